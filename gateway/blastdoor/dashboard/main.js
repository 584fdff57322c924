// The page as a whole: its parts, what the address says, and reading anew.

import { changes, orElse, recentChanges } from "./changes.js";
import { clock, count, duration, el, hash, say } from "./dom.js";
import { explain, live } from "./explain.js";
import { Absent, read, Refused, Traffic } from "./state.js";
import { audit, certificates, concerns, doors, endpoints, failures, FEW, overview, problems, Routes, routes } from "./views.js";

const EVERY = 5000;
// While the first rates are measured.
const FIRST = 1000;
// Browsers bound how often a page may change its address.
const REMEMBER = 250;
// What makes a path a regular expression: it is no address then. Few other paths have these.
const PATTERN = /[\\^$*+?()[\]{}|]/;

const at = (id) => document.getElementById(id);

const app = {
  traffic: new Traffic(),
  wrong: { items: [], bad: 0, warn: 0 },
  recent: [],
  doors: () => app.traffic.latest?.doors.map((door) => door.listener) ?? [],
  /** Stands for what all doors serve now. */
  publications: () => app.traffic.latest?.doors.map((door) => `${door.listener} ${door.publication}`).join() ?? "",
  /** The address of a route as a client would write it; `null` if it stands for many. */
  addressOf: (route) => {
    const path = route.path ?? "/";
    if (route.host.startsWith("*") || !path.startsWith("/") || PATTERN.test(path)) return null;
    const door = app.traffic.latest?.doors.find((known) => known.listener === route.listener);
    // The escapes of a path are written as such.
    const written = path.replace(/#|%(?![0-9a-f]{2})/gi, encodeURIComponent);
    return `${door?.scheme ?? "http"}://${route.host}${written}`;
  },
  /** Writes into the address what a list shows, so that the link can be passed on. */
  remember: (view, state) => {
    clearTimeout(app.remembering);
    app.remembering = setTimeout(() => {
      if (shown.id !== view) return;
      const { page, ...rest } = state;
      app.address = hash(view, page > 1 ? state : rest);
      history.replaceState(null, "", app.address);
    }, REMEMBER);
  },
};

/** What may be wrong, and what has changed: one page each. */
function pages() {
  return Promise.all([
    read("problems", { severity: "warning", limit: FEW }),
    orElse(read("certificates", { limit: 5 }), { certificates: [] }),
    orElse(read("endpoints", { state: "trouble", limit: FEW }), { services: [], total: 0, none: 0, some: 0 }),
    // Null: this gateway keeps no journal.
    orElse(recentChanges(), null),
  ]);
}

const data = new Routes(app);
const views = [
  overview(app), problems(app), failures(app), endpoints(app), doors(app), routes(app, data), audit(app, data), certificates(app), explain(app), changes(app), live(app),
];
let shown = views[0];

function build() {
  for (const view of views) {
    view.heading = el("h2", { tabindex: "-1", id: `title-${view.id}` }, view.title);
    view.element.prepend(view.heading);
    view.element.setAttribute("aria-labelledby", view.heading.id);
    view.element.hidden = true;
    view.tab = el("a", { href: hash(view.id) }, view.title);
    at("tabs").append(el("li", null, view.tab));
  }
  at("main").replaceChildren(...views.map((view) => view.element));
}

/** Shows what the address asks for. */
function go(isFirst) {
  // One's own note of what a list shows.
  if (!isFirst && location.hash === app.address) return;
  app.address = location.hash;
  const [id, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const wanted = views.find((view) => view.id === id) ?? views[0];
  if (wanted !== shown) shown.leave?.();
  shown = wanted;
  for (const view of views) {
    view.element.hidden = view !== shown;
    if (view === shown) view.tab.setAttribute("aria-current", "page");
    else view.tab.removeAttribute("aria-current");
  }
  shown.enter(new URLSearchParams(query));
  title();
  if (!isFirst) {
    shown.heading.focus({ preventScroll: true });
    scrollTo(0, 0);
    if (app.traffic.latest !== undefined) tell(shown.refresh());
  }
}

function title() {
  const { bad } = app.wrong;
  document.title = `${bad > 0 ? `(${bad}) ` : ""}${shown.title} – Blastdoor`;
}

let paused = false;
let timer;
let goneSince = null;
let readAt = null;

/** Reads everything that is shown anew. */
async function tick() {
  clearTimeout(timer);
  working(1);
  try {
    const [traffic, [found, ends, troubled, recent]] = await Promise.all([read("traffic"), pages()]);
    readAt = new Date();
    app.traffic.add(traffic);
    app.wrong = concerns(app.traffic, found, ends, troubled);
    app.recent = recent;
    views.find((view) => view.id === "changes").tab.parentElement.hidden = recent === null;
    await part(shown.refresh());
    goneSince = null;
  } catch (error) {
    failed(error);
  }
  working(-1);
  document.body.classList.toggle("old", goneSince !== null);
  status();
  if (readAt !== null && performance.getEntriesByName("shown").length === 0) performance.mark("shown");
  if (!paused && !document.hidden) timer = setTimeout(tick, app.traffic.samples.length === 1 ? FIRST : EVERY);
}

/** What the part that is shown reads. If it is refused, the gateway answers all the same. */
async function part(refreshed) {
  let refused = null;
  try {
    await refreshed;
  } catch (error) {
    if (!(error instanceof Absent || (error instanceof Refused && error.isOfQuestion))) throw error;
    refused = error instanceof Absent ? "This gateway has no page for this part." : `The gateway refuses this part: ${error.message}`;
  }
  at("outage").hidden = refused === null;
  say(at("outage"), refused);
}

function failed(error) {
  goneSince ??= new Date();
  const what = error instanceof Refused || error instanceof Absent
    ? `The gateway does not answer as it should (${error.message}) since ${clock(goneSince)}.`
    : `The gateway has not answered since ${clock(goneSince)}. Is the port-forward still running?`;
  const old = readAt === null ? "" : ` What you see is from ${clock(readAt)}.`;
  at("outage").hidden = false;
  say(at("outage"), what, old, paused ? "" : " Trying again every 5 s.");
  if (!(error instanceof TypeError || error instanceof DOMException || error instanceof Refused || error instanceof Absent)) {
    throw error;
  }
}

/** A part that was opened in between. */
async function tell(refreshed) {
  working(1);
  try {
    await part(refreshed);
  } catch (error) {
    failed(error);
  }
  working(-1);
}

let works = 0;

/** Says, for whoever drives the page, whether something is still being read. */
function working(change) {
  works += change;
  document.body.dataset.idle = String(works === 0);
}

function status() {
  title();
  const { bad, warn } = app.wrong;
  const words = readAt === null ? "No answer yet"
    : bad > 0 ? `${count(bad, "thing is", "things are")} wrong`
      : warn > 0 ? `${count(warn, "thing")} to look at` : "Nothing is wrong";
  at("state").className = bad > 0 ? "bad" : warn > 0 ? "warn" : "good";
  say(at("state"), words);
  say(at("clock"), readAt === null ? "" : `${paused ? "Paused at" : "As of"} ${clock(readAt)}`);
  const page = app.traffic.latest;
  if (page !== undefined) {
    say(at("process"), `blastdoor ${page.version}${page.host ? ` · ${page.host}` : ""} · up ${duration(page.time - page.started)} · objects last heard of ${duration(page.source_age)} ago`);
  }
}

function pause() {
  paused = !paused;
  const button = at("pause");
  button.setAttribute("aria-pressed", String(paused));
  if (paused) {
    clearTimeout(timer);
    status();
  } else tick();
}

build();
go(true);
addEventListener("hashchange", () => go(false));
at("pause").addEventListener("click", pause);
at("skip").addEventListener("click", (event) => {
  // The address says what is shown, and stays.
  event.preventDefault();
  shown.heading.focus();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !paused) tick();
});
tick();
