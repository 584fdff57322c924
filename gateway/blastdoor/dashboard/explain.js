// Questions: what a URL would get at each door, and what the next real request meets.

import { badge, count, el, moment, say } from "./dom.js";
import { labelled } from "./list.js";
import { Absent, read, Refused } from "./state.js";

// How long, in seconds, the gateway is asked to wait for a request; asked again until somebody stops it. For the end of one that
// has come it waits longer by itself.
const WAIT = 25;
// Stories that stay on the page.
const KEPT = 20;

function field(id, label, attributes) {
  const input = el("input", { id, type: "text", autocomplete: "off", spellcheck: "false", maxlength: "2000", ...attributes });
  return [input, labelled(label, input)];
}

export function explain(app) {
  const [url, urlField] = field("explain-url", "URL", { inputmode: "url", required: true, placeholder: "https://shop.example.com/cart" });
  const [client, clientField] = field("explain-client", "Client address", { placeholder: "any" });
  const method = el("select", { id: "explain-method" }, ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((name) => el("option", { value: name }, name)));
  const door = el("select", { id: "explain-door" });
  const result = el("div", { "aria-live": "polite" });
  const form = el(
    "form", { class: "filters", on: { submit: (event) => { event.preventDefault(); submit(); } } },
    urlField, labelled("Method", method), clientField, labelled("Door", door), el("button", { type: "submit" }, "Explain"),
  );
  const element = el(
    "section", null,
    el("p", { class: "lead" }, "Which rule answers a URL at each door, and why the others do not. It is worked out from what is served now; nothing is sent to any backend."),
    form, result,
  );
  let asked = null;
  const submit = () => {
    const wanted = { url: url.value, method: method.value === "GET" ? "" : method.value, client: client.value, door: door.value };
    app.remember("explain", { ...wanted, page: 1 });
    asked = wanted;
    show();
  };
  const show = async () => {
    if (asked === null || asked.url === "") {
      say(result);
      return;
    }
    const mine = asked;
    try {
      const page = await read("explain", asked);
      if (mine === asked) say(result, page.listeners.map(verdict));
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Absent)) throw error;
      if (mine === asked) say(result, el("p", { class: "empty" }, badge("bad", "no answer"), ` ${error.message}`));
    }
  };
  return {
    id: "explain", title: "Explain", element,
    enter(parameters) {
      url.value = parameters.get("url") ?? "";
      method.value = parameters.get("method") ?? "GET";
      client.value = parameters.get("client") ?? "";
      asked = Object.fromEntries(["url", "method", "client", "door"].map((name) => [name, parameters.get(name) ?? ""]));
      this.offer();
      if (app.traffic.latest !== undefined) show();
    },
    offer() {
      const wanted = asked?.door ?? "";
      const names = app.doors();
      if (wanted !== "" && !names.includes(wanted)) names.push(wanted);
      say(door, [["", "all doors"], ...names.map((name) => [name, name])].map(([value, text]) => el("option", { value }, text)));
      door.value = wanted;
    },
    refresh() {
      if (door.children.length !== app.doors().length + 1) this.offer();
      if (result.children.length === 0) return show();
      return undefined;
    },
  };
}

// What has a place of its own on a card; the rest is shown as it comes.
const PLACED = ["listener", "status", "reason", "candidates", "more_candidates", "filters", "backend", "problems", "addressed", "ingress", "path", "field", "location"];
const VERDICT = { passes: "good", answers: "bad", unknown: "warn", "not-reached": "quiet" };

function verdict(one) {
  const level = one.status === null ? "good" : one.status >= 400 ? "bad" : "warn";
  const words = one.status === null ? "goes to the backend" : `answers ${one.status} itself`;
  const row = (name, ...value) => el("div", null, el("dt", null, name), el("dd", null, value));
  const rest = Object.entries(one).filter(([name, value]) => !PLACED.includes(name) && value !== null && !isEmpty(value));
  const { problems = [], filters = [], candidates = [], more_candidates: more = 0 } = one;
  return el(
    "article", { class: "card spaced" },
    el("h3", null, one.listener, " ", badge(level, words), one.addressed === true && [" ", badge("quiet", "where the URL leads")]),
    el("p", null, one.reason),
    el(
      "dl", null,
      one.ingress && row("Ingress", one.ingress, one.path && [", path ", el("bdi", null, one.path)], one.field && [" ", el("code", { class: "quiet" }, one.field)]),
      one.location && row("Location", el("bdi", null, one.location)),
      problems.length > 0 && row("Problems", el("ul", { class: "plain" }, problems.map((text) => el("li", null, badge("bad", "problem"), ` ${text}`)))),
      filters.length > 0 && row("Filters", el("ul", { class: "plain" }, filters.map(filter))),
      one.backend && row("Backend", backend(one.backend)),
      rest.map(([name, value]) => row(spaced(name), tree(value))),
    ),
    candidates.length > 0 && el(
      "details", null, el("summary", null, `${count(candidates.length + more, "other rule")} that one might think of`),
      el("ul", { class: "plain indent" }, candidates.map(candidate)), more > 0 && el("p", { class: "quiet" }, `and ${more.toLocaleString("en")} more`),
    ),
  );
}

function filter({ kind, does, verdict: outcome, status, ...rest }) {
  return el("li", null, el("code", null, kind), ` ${does ?? ""} `, outcome && badge(VERDICT[outcome] ?? "quiet", spaced(outcome).replace("-", " ")), status && ` ${status}`, tree(rest));
}

function backend({ service, port, protocol, endpoints = [], more_endpoints: more = 0, ...rest }) {
  return [
    `${service}:${port}`, protocol && ` (${protocol})`,
    el("ul", { class: "plain" }, endpoints.map(({ address, state }) => el("li", null, `${address}: ${state}`)), more > 0 && el("li", { class: "quiet" }, `and ${more.toLocaleString("en")} more`)),
    tree(rest),
  ];
}

function candidate(rule) {
  return el("li", null, el("strong", null, rule.ingress ?? ""), " ", el("bdi", null, `${rule.host ?? "*"}${rule.path ?? ""}`), ` (${rule.path_type}): ${rule.why}`);
}

const spaced = (name) => name.replaceAll("_", " ");
const isEmpty = (value) => typeof value === "object" && Object.keys(value).length === 0;

/** Whatever a page says, as nested lists: it may say more tomorrow than today. */
export function tree(value) {
  if (Array.isArray(value)) return el("ul", { class: "plain" }, value.map((one) => el("li", null, tree(one))));
  if (typeof value === "object" && value !== null) {
    const pairs = Object.entries(value).filter(([, inner]) => inner !== null && !isEmpty(inner));
    return el("span", null, pairs.map(pair));
  }
  return el("bdi", null, String(value));
}

function pair([name, value]) {
  const isTime = name.endsWith("_ms");
  const label = spaced(isTime ? name.slice(0, -3) : name);
  return el("span", { class: "pair" }, el("span", { class: "quiet" }, `${label} `), tree(value), isTime ? "\u00a0ms " : " ");
}

export function live(app) {
  const fields = [["host", "Host", "shop.example.com"], ["path", "Path", "/cart or /api/*"], ["method", "Method", "any"], ["client", "Client address", "any"]].map(
    ([name, label, placeholder]) => [name, ...field(`live-${name}`, label, { placeholder })],
  );
  const door = el("select", { id: "live-door" });
  const start = el("button", { type: "submit" }, "Wait for a request");
  const stop = el("button", { type: "button", disabled: true, on: { click: () => end("Stopped.") } }, "Stop");
  const said = el("p", { class: "note", role: "status" });
  const stories = el("div");
  const form = el(
    "form", { class: "filters", on: { submit: (event) => { event.preventDefault(); begin(); } } },
    fields.map(([, , both]) => both), labelled("Door", door), start, stop,
  );
  const element = el(
    "section", null,
    el("p", { class: "lead" }, "Waits for the next real request that matches, and shows what happened to it: phases, filters, attempts, and what was sent to the backend. No values of cookies or credentials, no query strings."),
    form, said, stories,
  );
  let running = null;
  const end = (words) => {
    running?.abort();
    running = null;
    start.disabled = false;
    stop.disabled = true;
    say(said, words);
  };
  const begin = async () => {
    end("Waiting for a request …");
    const mine = new AbortController();
    running = mine;
    start.disabled = true;
    stop.disabled = false;
    const wanted = Object.fromEntries(fields.map(([name, input]) => [name, input.value.trim()]));
    app.remember("live", { ...wanted, door: door.value, page: 1 });
    try {
      for (;;) {
        const story = await read("live", { ...wanted, door: door.value, wait: WAIT }, mine.signal);
        if (running !== mine) return;
        if (story.matched) {
          end(story.under_way ? story.note : "A request has come.");
          if (!story.under_way) stories.prepend(card(story));
          while (stories.children.length > KEPT) stories.lastChild.remove();
          return;
        }
      }
    } catch (error) {
      if (running !== mine) return;
      end(error instanceof Absent ? "This gateway has no live trace." : error instanceof Refused ? error.message : "The gateway does not answer.");
    }
  };
  return {
    id: "live", title: "Live", element,
    enter(parameters) {
      for (const [name, input] of fields) input.value = parameters.get(name) ?? "";
      this.wanted = parameters.get("door") ?? "";
      this.refresh();
    },
    refresh() {
      const names = app.doors();
      if (door.children.length === names.length + 1) return;
      say(door, [["", "all doors"], ...names.map((name) => [name, name])].map(([value, text]) => el("option", { value }, text)));
      door.value = this.wanted;
    },
    leave() {
      if (running !== null) end("Stopped.");
    },
  };
}

function card({ listener, request, rule, phases, filters = [], attempts = [], sent, answer }) {
  const { status, refusal, detail, bytes } = answer;
  const level = status >= 500 ? "bad" : status >= 400 ? "warn" : "good";
  const { method, host, path, time_unix_ms: time, scheme, http_version: version, tls_version: tls, ...about } = request;
  const row = (name, ...value) => el("div", null, el("dt", null, name), el("dd", null, value));
  return el(
    "article", { class: "card spaced" },
    el("h3", null, `${method} `, el("bdi", null, `${scheme}://${host}${path}`), " ", badge(level, status === 0 ? "no answer" : status)),
    el("p", null, `Door ${listener}, HTTP/${version}${tls ? `, TLS ${tls}` : ""}, took ${phases.ended_ms} ms`),
    el("p", null, moment(new Date(time))),
    el(
      "dl", null,
      row("Answer", tree({ status, bytes, refusal, detail })),
      rule && row("Rule", tree(rule)),
      row("Steps", timeline(phases, filters, attempts)),
      sent && row("Sent", tree({ method: sent.method, path: sent.path, ...sent.own_fields }), el("br"), el("span", { class: "quiet" }, `all fields: ${(sent.fields ?? []).join(", ")}`)),
      row("Request", tree(about)),
    ),
  );
}

/** All that happened, in the order of time. */
function timeline(phases, filters, attempts) {
  const steps = [];
  const at = (time, ...words) => time !== null && time !== undefined && steps.push([time, words]);
  at(phases.head_read_ms, "the head has been read");
  at(phases.decided_ms, "the rule has been found");
  for (const one of filters) {
    const level = { passed: "good", answered: "bad" }[one.verdict] ?? "warn";
    at(one.at_ms, "filter ", el("code", null, one.filter), " ", badge(level, one.verdict), ` took ${one.took_ms} ms`);
  }
  attempts.forEach((one, index) => {
    const name = `attempt ${index + 1}`;
    at(one.at_ms, `${name} at ${one.endpoint}`);
    at(one.connected_ms, `${name}: a ${one.connection} connection`);
    at(one.first_byte_ms, `${name}: the response's head ${one.status ?? ""}`);
    if (one.fault) at(one.ended_ms, `${name}: `, badge("bad", one.fault), ` ${one.detail ?? ""}`);
    else at(one.ended_ms, `${name}: complete`);
  });
  // What happened at the same time stays in its order.
  steps.sort(([one], [other]) => one - other);
  at(phases.ended_ms, "the end");
  return el("ol", { class: "plain" }, steps.map(([time, words]) => el("li", null, el("span", { class: "when" }, `${time.toFixed(3)}\u00a0ms `), words)));
}
