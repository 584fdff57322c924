// What has changed: the journal of publications, newest first.

import { badge, count, distance, el, link, moment, say } from "./dom.js";
import { labelled } from "./list.js";
import { Absent, read, Refused } from "./state.js";

const LEVEL = { appeared: "good", changed: "warn", gone: "bad" };
// Publications on one page, and changes shown of each before somebody asks for all.
const PAGE = 50;
const SHOWN = 5;

const sinces = [["", "all that is kept"], ["15m", "the last 15 minutes"], ["1h", "the last hour"], ["1d", "the last day"], ["7d", "the last week"]];

export function changes(app) {
  const state = { since: "", door: "", q: "" };
  const since = el("select", { id: "changes-since", on: { change: () => set({ since: since.value }) } }, sinces.map(([value, text]) => el("option", { value }, text)));
  const door = el("select", { id: "changes-door", on: { change: () => set({ door: door.value }) } });
  const search = el("input", { type: "search", id: "changes-search", placeholder: "host, path, object or field manager", autocomplete: "off", spellcheck: "false", maxlength: "500", on: { input: () => set({ q: search.value }) } });
  const summary = el("p", { class: "count", role: "status" });
  const list = el("ol", { class: "timeline" });
  const element = el(
    "section", null,
    el("p", { class: "lead" }, "Every publication that changed what a door answers, since this process began: when, because of which objects, and who wrote them. Restarts and other replicas are not in it."),
    el(
      "form", { class: "filters", role: "search", on: { submit: (event) => event.preventDefault() } },
      labelled("Search", search), labelled("Since", since), labelled("Door", door), summary,
    ),
    list,
  );
  const view = { id: "changes", title: "Changes", element };
  let turn = 0;
  const set = (change) => {
    Object.assign(state, change);
    app.remember("changes", state);
    view.refresh();
  };
  view.enter = (parameters) => {
    for (const name of Object.keys(state)) state[name] = parameters.get(name) ?? "";
    search.value = state.q;
    since.value = state.since;
  };
  view.refresh = async () => {
    turn += 1;
    const mine = turn;
    say(door, [["", "all doors"], ...app.doors().map((name) => [name, name])].map(([value, text]) => el("option", { value }, text)));
    door.value = state.door;
    const page = await read("changes", { since: state.since, door: state.door, limit: 500 });
    if (mine !== turn) return;
    const words = state.q.toLowerCase().split(/\s+/).filter((word) => word !== "");
    const has = (entry) => {
      const text = words.length === 0 ? "" : JSON.stringify(entry).toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const found = page.entries.filter(has).reverse();
    const kept = page.complete ? "" : `, complete only since ${page.complete_since}`;
    say(summary, `${count(found.length, "publication")}${kept}`);
    const open = new Set([...list.querySelectorAll("details[open]")].map((details) => details.id));
    say(
      list,
      found.slice(0, PAGE).map((entry) => publication(entry, open)),
      found.length > PAGE && el("li", { class: "quiet" }, `${count(found.length - PAGE, "older publication")}: search, or ask for a shorter time.`),
    );
  };
  return view;
}

function publication(entry, open) {
  const date = new Date(entry.time);
  return el(
    "li", null,
    el("p", { class: "when" }, moment(date)),
    el(
      "div", null,
      entry.causes.map(cause),
      entry.causes_omitted > 0 && el("p", { class: "quiet" }, `and ${count(entry.causes_omitted, "more object")}`),
      entry.doors.map((door) => doorChange(entry, door, open)),
    ),
  );
}

function cause(one) {
  const name = one.namespace ? `${one.namespace}/${one.name}` : one.name;
  const where = one.file ? ` in ${one.file}:${one.line ?? 1}` : "";
  const who = one.field_manager ? ` by ${one.field_manager}` : "";
  const version = one.resource_version ? ` (resource version ${one.resource_version})` : "";
  return el("p", { class: "cause" }, `${one.kind} `, el("strong", null, name), ` ${one.change}${who}${where}`, el("span", { class: "quiet" }, version));
}

function doorChange(entry, door, open) {
  if (door.event !== "changed") {
    const words = door.event === "opened"
      ? ` opened with ${count(door.hosts.appeared, "host")} and ${count(door.places.appeared, "path")}`
      : " is no longer configured";
    return el("p", null, el("strong", null, door.listener), words);
  }
  const numbers = ["appeared", "changed", "gone"].filter((what) => door.places[what] > 0).map((what) => `${door.places[what].toLocaleString("en")} ${what}`);
  const isNew = door.hosts.appeared > 0 && [" ", badge("warn", count(door.hosts.appeared, "new host"))];
  const rest = door.changes.length - SHOWN + door.omitted;
  const id = `change-${entry.number}-${door.listener}`;
  return el(
    "div", null,
    el("p", null, "At ", el("strong", null, door.listener), `: ${numbers.join(", ")}`, isNew),
    el("ul", { class: "plain indent" }, door.changes.slice(0, SHOWN).map((change) => place(door.listener, change))),
    rest > 0 && el(
      "details", { id, open: open.has(id) },
      el("summary", null, `${rest.toLocaleString("en")} more`),
      el("ul", { class: "plain indent" }, door.changes.slice(SHOWN).map((change) => place(door.listener, change))),
      door.omitted > 0 && el("p", { class: "quiet" }, `${count(door.omitted, "change")} counted and not listed`),
    ),
  );
}

function place(listener, change) {
  const host = change.host === "" ? "(any host)" : change.host;
  const answer = (one) => (one === null ? "nothing" : [one.service ?? one.ingress ?? "the sibling door", one.state === "ready" ? "" : ` (${one.state})`].join(""));
  const how = change.change === "changed"
    ? `: ${change.aspects.join(", ")}; ${answer(change.before)} → ${answer(change.after)}`
    : `: ${answer(change.after ?? change.before)}`;
  return el(
    "li", null, badge(LEVEL[change.change], change.change), " ",
    link("routes", { q: change.host, door: listener }, el("bdi", null, `${host}${change.path}`)), how, change.new_host && [" ", badge("warn", "new host")],
  );
}

/** The last publications, in a line each, for the overview. */
export async function recentChanges() {
  const page = await read("changes", { limit: 5 });
  return page.entries.reverse().map((entry) => {
    const at = entry.doors.map((door) => {
      const isNew = door.event === "changed" && door.hosts.appeared > 0 ? `, ${count(door.hosts.appeared, "new host")}` : "";
      return `${door.listener} ${door.event}${isNew}`;
    });
    const [first] = entry.causes;
    const others = entry.causes.length - 1 + entry.causes_omitted;
    const because = first === undefined ? "" : ` because of ${first.kind} ${first.namespace ? `${first.namespace}/` : ""}${first.name}${others > 0 ? ` and ${others.toLocaleString("en")} more` : ""}`;
    return el("li", null, link("changes", {}, distance(new Date(entry.time))), `: ${at.join("; ")}${because}`);
  });
}

/** What stands for a page that this gateway lacks, or does not have yet. */
export async function orElse(promise, otherwise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Absent || (error instanceof Refused && error.status === 503)) return otherwise;
    throw error;
  }
}
