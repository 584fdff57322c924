// The parts of the page that show what is: doors, routes, hosts by door, problems, endpoints, certificates.

import { badge, bytes, count, distance, el, link, moment, number, percent, say, short, sparkline } from "./dom.js";
import { List, matcher } from "./list.js";
import { bound, read, within } from "./state.js";

const LEVEL = { error: "bad", warning: "warn", note: "quiet" };
const ROUTE = {
  ready: ["good", "ready"],
  "no-endpoints": ["bad", "no endpoints"],
  blocked: ["bad", "blocked"],
  redirect: ["quiet", "redirect"],
};
const ENDPOINT = {
  ready: ["good", "ready"],
  "not-ready": ["warn", "not ready"],
  terminating: ["warn", "terminating"],
  ejected: ["bad", "ejected"],
  down: ["bad", "unreachable"],
};
// A certificate is renewed well before, so that one which ends so soon was not.
const SOON = 14 * 86400;

export const day = (seconds) => new Date(seconds * 1000);
export const chip = (words, value) => badge(...(words[value] ?? ["quiet", value]));
export const objectText = ({ kind, namespace, name }) => `${kind} ${namespace === null ? name : `${namespace}/${name}`}`;

/** A part of the page that is one list. */
class ListView {
  constructor(app, id, title, explained, options) {
    this.id = id;
    this.title = title;
    this.list = new List({ id, label: title, ...options });
    this.list.onState = (state) => app.remember(id, state);
    this.element = el("section", null, el("p", { class: "lead" }, explained), this.list.element);
  }

  enter(parameters) {
    this.list.enter(parameters);
  }

  refresh() {
    return this.list.refresh();
  }

  leave() {
    this.list.clear();
  }
}

const doorChoice = (app) => ({
  name: "door", label: "Door", options: () => [["", "all doors"], ...app.doors().map((door) => [door, door])],
});

export function problems(app) {
  return new ListView(
    app, "problems", "Problems",
    "What is wrong with the configuration and with objects. An error closes something or leaves it out; a warning means that something is ignored.",
    {
      noun: ["problem", "problems"], placeholder: "object, field or words", empty: "No problem.",
      columns: [["Severity", "short"], "Object", "Field", ["What is wrong", "long"], "Written in"],
      choices: [{ name: "severity", label: "Severity", options: () => [["", "all"], ["error", "errors"], ["warning", "warnings"], ["note", "notes"]] }],
      load: async (question) => {
        const page = await read("problems", question);
        return { items: page.problems, total: page.total, of: page.errors + page.warnings + page.notes };
      },
      row: (problem) => ({
        key: `${objectText(problem.object)} ${problem.field} ${problem.message}`,
        cells: [
          badge(LEVEL[problem.severity], problem.severity),
          objectText(problem.object),
          problem.field === "" ? null : el("code", null, problem.field),
          problem.message,
          problem.file === null ? null : `${problem.file}:${problem.line}`,
        ],
      }),
    },
  );
}

export function failures(app) {
  return new ListView(
    app, "failures", "Failures",
    "What requests failed of lately, the last first: what the log says of it, once for each Ingress and reason, or for each host where no rule was found. In the memory of this process alone.",
    {
      noun: ["failure", "failures"], placeholder: "host, Ingress, reason or words", empty: "No request has failed lately.",
      columns: [["Last", "short"], "Door", ["Answer", "short"], "Host", "Ingress", ["What was wrong", "long"], "Endpoint"], choices: [doorChoice(app)],
      load: async (question) => {
        const page = await read("failures", question);
        return { items: page.failures, total: page.total, of: page.all };
      },
      row: (failure) => ({
        key: `${failure.listener} ${failure.refusal} ${failure.ingress ?? failure.host}`,
        cells: [
          moment(day(failure.last)),
          failure.listener,
          failure.status === 0 ? badge("bad", "cut") : badge(failure.status >= 500 ? "bad" : "warn", String(failure.status)),
          failure.host === "" ? null : el("bdi", null, failure.host),
          failure.ingress === null ? null : link("routes", { q: failure.ingress, door: failure.listener }, failure.ingress),
          [el("code", null, failure.refusal), " ", failure.detail],
          failure.endpoint === null ? null : `${failure.endpoint}${failure.pod ? ` ${failure.pod}` : ""}`,
        ],
      }),
    },
  );
}

export function endpoints(app) {
  return new ListView(
    app, "endpoints", "Endpoints",
    "The Services that routes name, those in trouble first. “Ejected” and “unreachable” are this process's own verdicts, by door; the rest is what EndpointSlices say.",
    {
      noun: ["Service", "Services"], placeholder: "Service, address or pod", empty: "No Service is named by any route.",
      columns: ["Service", ["State", "long"], ["Ready", "short"], ["Endpoints", "long"], "Doors"],
      choices: [
        { name: "state", label: "State", options: () => [["", "all"], ["trouble", "in trouble"]] },
        doorChoice(app),
      ],
      load: async (question) => {
        const page = await read("endpoints", question);
        return { items: page.services, total: page.total, of: page.all };
      },
      row: (service) => ({
        key: `${service.service}:${service.port}`,
        cells: [
          link("routes", { q: service.service }, `${service.service}:${service.port}`),
          [serviceBadge(service), service.why && el("p", { class: "quiet why" }, service.why)],
          `${service.ready} of ${service.ready + service.not_ready}`,
          addresses(service),
          service.listeners.join(", "),
        ],
      }),
    },
  );
}

export function serviceBadge(service) {
  if (service.state === "none") return badge("bad", "none ready");
  return service.state === "ready" ? badge("good", "ready") : badge("warn", "some in trouble");
}

function addresses(service) {
  if (service.endpoints.length === 0) return null;
  const lines = service.endpoints.map((endpoint) => {
    const at = endpoint.listeners.length === 0 ? "" : ` at ${endpoint.listeners.join(", ")}`;
    const pod = endpoint.pod ? ` ${endpoint.pod}` : "";
    return el("li", null, `${endpoint.address}${pod} `, chip(ENDPOINT, endpoint.state), at);
  });
  const more = service.more > 0 && el("li", null, `and ${service.more.toLocaleString("en")} more`);
  return el("ul", { class: "plain" }, lines, more);
}

export function certificates(app) {
  return new ListView(
    app, "certificates", "Certificates", "What doors that end TLS present, the first to expire first.",
    {
      noun: ["certificate", "certificates"], placeholder: "Secret or host", empty: "No door presents a certificate.",
      columns: ["Door", "Secret", ["Expires", "short"], "Ends", ["Names", "long"]], choices: [doorChoice(app)],
      load: async (question) => {
        const page = await read("certificates", question);
        return { items: page.certificates, total: page.total, of: page.all };
      },
      row: (certificate) => {
        const [level, words] = expiry(certificate);
        return {
          key: `${certificate.listener} ${certificate.secret}`,
          cells: [
            certificate.listener,
            certificate.secret === "default" ? "default (of the door)" : certificate.secret,
            badge(level, words),
            moment(day(certificate.expires)),
            [certificate.hosts.join(", "), certificate.more > 0 && ` and ${certificate.more.toLocaleString("en")} more`],
          ],
        };
      },
    },
  );
}

/** Level and words for when a certificate ends. */
export function expiry(certificate, now = new Date()) {
  const left = certificate.expires - now / 1000;
  const level = left <= 0 ? "bad" : left < SOON ? "warn" : "good";
  return [level, left <= 0 ? `expired ${distance(day(certificate.expires), now)}` : distance(day(certificate.expires), now)];
}

/** All routes, read when they have changed and somebody looks at them. */
export class Routes {
  constructor(app) {
    this.app = app;
    this.all = [];
  }

  async refresh() {
    const wanted = this.app.publications();
    if (this.publications === wanted && this.all.length > 0) return;
    const page = await read("audit");
    this.publications = wanted;
    this.all = page.routes.map((route) => {
      const host = route.host || "*";
      return { ...route, host, text: `${route.listener} ${host}${route.path} ${route.ingress ?? ""} ${route.service ?? ""} ${route.state}`.toLowerCase() };
    });
    this.hosts = this.byHost();
  }

  byHost() {
    const hosts = new Map();
    for (const route of this.all) {
      let entry = hosts.get(route.host);
      if (entry === undefined) {
        entry = { host: route.host, doors: new Map(), text: `${route.host} `.toLowerCase() };
        hosts.set(route.host, entry);
      }
      const at = entry.doors.get(route.listener) ?? { total: 0, trouble: 0, redirects: 0 };
      at.total += 1;
      if (route.state === "redirect") at.redirects += 1;
      else if (route.state !== "ready") at.trouble += 1;
      entry.doors.set(route.listener, at);
    }
    return [...hosts.values()].sort((left, right) => (left.host < right.host ? -1 : 1));
  }
}

function explained(app, route) {
  const url = app.addressOf(route);
  return url === null ? null : link("explain", { url, door: route.listener }, "explain");
}

export function routes(app, data) {
  const view = new ListView(
    app, "routes", "Routes", "Every host and path that a door serves, by which Ingress, to which Service.",
    {
      noun: ["route", "routes"], placeholder: "host, path, Ingress or Service", empty: "No door serves any route.", local: true,
      columns: ["Door", ["Host and path", "long"], ["State", "short"], "Ingress", "Service", ["Why", "short"]],
      choices: [
        doorChoice(app),
        { name: "state", label: "State", options: () => [["", "all"], ...Object.entries(ROUTE).map(([state, [, words]]) => [state, words])] },
      ],
      load: ({ q, door, state, offset, limit }) => {
        const has = matcher(q);
        const found = data.all.filter(
          (route) => (!door || route.listener === door) && (!state || route.state === state) && has(route.text),
        );
        return { items: found.slice(offset, offset + limit), total: found.length, of: data.all.length };
      },
      row: (route) => ({
        key: `${route.listener} ${route.host} ${route.path_type} ${route.path} ${route.ingress}`,
        cells: [
          route.listener,
          [el("bdi", null, route.host), el("wbr"), el("bdi", null, route.path ?? ""), " ", el("span", { class: "quiet" }, route.path_type)],
          chip(ROUTE, route.state),
          [route.ingress, route.canary === true && [" ", badge("quiet", "canary")]],
          route.service === null || route.service === undefined ? null : `${route.service}${route.port ? `:${route.port}` : ""}`,
          explained(app, route),
        ],
      }),
    },
  );
  const refresh = view.refresh.bind(view);
  view.refresh = async () => {
    await data.refresh();
    return refresh();
  };
  return view;
}

export function audit(app, data) {
  const lead = "Which host can be reached at which door. A number is how many rules the door has for the host.";
  const element = el("section", null, el("p", { class: "lead" }, lead));
  const view = { id: "audit", title: "Hosts by door", element };
  let doors = [];
  const build = () => {
    const shown = app.doors();
    if (view.list !== undefined && shown.join() === doors.join()) return;
    doors = shown;
    view.list?.element.remove();
    view.list = new List({
      id: "audit", label: "Hosts by door", noun: ["host", "hosts"], placeholder: "host", empty: "No door serves any host.", local: true,
      columns: [["Host", "long"], ...doors.map((door) => [door, "short"])],
      choices: [
        { name: "only", label: "Show", options: () => [["", "all hosts"], ["several", "at several doors"], ["trouble", "in trouble"], ...doors.map((door) => [`at:${door}`, `at ${door}`])] },
      ],
      load: ({ q, only, offset, limit }) => {
        const has = matcher(q);
        const found = (data.hosts ?? []).filter((entry) => has(entry.text) && isShown(entry, only));
        return { items: found.slice(offset, offset + limit), total: found.length, of: data.hosts?.length ?? 0 };
      },
      row: (entry) => ({ key: entry.host, cells: [el("bdi", null, entry.host === "*" ? "* (any host)" : entry.host), ...doors.map((door) => place(entry, door))] }),
    });
    view.list.onState = (state) => app.remember("audit", state);
    view.list.enter(view.parameters ?? new URLSearchParams());
    element.append(view.list.element);
  };
  view.enter = (parameters) => {
    view.parameters = parameters;
    build();
    view.list.enter(parameters);
  };
  view.refresh = async () => {
    await data.refresh();
    build();
    return view.list.refresh();
  };
  view.leave = () => view.list.clear();
  return view;
}

function isShown(entry, only) {
  if (!only) return true;
  if (only === "several") return [...entry.doors.values()].filter((at) => at.total > at.redirects).length > 1;
  if (only === "trouble") return [...entry.doors.values()].some((at) => at.trouble > 0);
  return entry.doors.has(only.slice(3));
}

function place(entry, door) {
  const at = entry.doors.get(door);
  if (at === undefined) return el("span", { class: "quiet" }, "–");
  const words = at.redirects === at.total ? "redirect" : count(at.total, "rule");
  return [
    link("routes", { q: entry.host, door }, words),
    at.trouble > 0 && [" ", badge("bad", `${at.trouble} in trouble`)],
  ];
}

/** The doors, as cards: they are few. */
export function doors(app) {
  const cards = el("div", { class: "cards" });
  const element = el("section", null, el("p", { class: "lead" }, "Rates and latencies are those of the last minute, or since this page was opened."), cards);
  return {
    id: "doors", title: "Doors", element, enter() {},
    refresh() {
      say(cards, app.traffic.latest.doors.map((door) => card(app, door)));
    },
  };
}

export function doorBadge(door) {
  if (door.state === "ready" && door.workers.listening < door.workers.configured) return badge("warn", "ready, short of workers");
  return badge({ ready: "good", draining: "warn" }[door.state] ?? "bad", door.state);
}

/** A share of errors, with a colour where it is high. */
export function errorShare(share) {
  return share >= 0.01 ? badge(share >= 0.05 ? "bad" : "warn", percent(share)) : percent(share);
}

function card(app, door) {
  const seen = app.traffic.of(door.listener);
  const { bounds_ms: bounds } = door.durations;
  const row = (name, ...value) => el("div", null, el("dt", null, name), el("dd", null, value));
  const latency = (share) => bound(within(seen.durations, bounds, share), bounds);
  const rates = seen === undefined
    ? row("Requests", "measuring …")
    : [
        row("Requests", `${number(seen.rate)}\u00a0/\u00a0s`, sparkline(app.traffic.points.get(door.listener) ?? [])),
        row("Errors", errorShare(seen.serverErrors), ` 5xx, ${percent(seen.clientErrors)} 4xx`),
        row("Latency", seen.total === 0 ? "no request yet" : `half ${latency(0.5)}, 95\u00a0% ${latency(0.95)}, 99\u00a0% ${latency(0.99)}`),
        row("Bodies", `${bytes(seen.received)}\u00a0/\u00a0s in, ${bytes(seen.sent)}\u00a0/\u00a0s out`),
        row("Refused", seen.refusals.length === 0 ? "nothing" : seen.refusals.slice(0, 6).map(([reason, value]) => el("span", { class: "pair" }, el("code", null, reason), ` ${value.toLocaleString("en")} `))),
      ];
  const total = Object.values(door.requests).reduce((sum, value) => sum + value, 0);
  return el(
    "article", { class: "card" },
    el("h3", null, door.listener, " ", doorBadge(door)),
    el(
      "dl", null,
      row("Address", `${door.address} (${door.scheme}${door.ends_tls ? ", ends TLS" : ""})`),
      row("Workers", `${door.workers.listening} of ${door.workers.configured}`),
      row("Connections", `${door.connections.active.toLocaleString("en")} active, ${door.connections.idle.toLocaleString("en")} idle`),
      row("Routes", link("routes", { door: door.listener }, door.routes.toLocaleString("en"))),
      rates,
      row("Since start", count(total, "request"), door.probes > 0 && [", ", badge("warn", `${door.probes.toLocaleString("en")} for hosts of other doors`)]),
    ),
  );
}

/** What is wrong, worst first; then the doors at a glance. */
export function overview(app) {
  const wrong = el("div");
  const table = new List({
    id: "glance", label: "Doors at a glance", noun: ["door", "doors"], placeholder: "door", empty: "No door is open.", local: true,
    columns: ["Door", "State", "Requests", "5xx", "99 % within", "Connections", "Routes"],
    load: () => ({ items: app.traffic.latest.doors, total: app.traffic.latest.doors.length }),
    row: (door) => {
      const seen = app.traffic.of(door.listener);
      const { bounds_ms: bounds } = door.durations;
      return {
        key: door.listener,
        cells: [
          door.listener, doorBadge(door),
          seen === undefined ? "measuring …" : `${number(seen.rate)}\u00a0/\u00a0s`,
          seen === undefined ? "–" : errorShare(seen.serverErrors),
          seen === undefined ? "–" : bound(within(seen.durations, bounds, 0.99), bounds),
          (door.connections.active + door.connections.idle).toLocaleString("en"),
          link("routes", { door: door.listener }, door.routes.toLocaleString("en")),
        ],
      };
    },
  });
  table.element.querySelector("form").remove();
  const changes = el("div");
  const lately = el("div", null, el("h3", null, "Last changes"), changes);
  const element = el(
    "section", null, wrong, el("h3", null, "Doors"), table.element, lately,
  );
  return {
    id: "overview", title: "Now", element, enter() {},
    refresh() {
      say(wrong, wrongs(app.wrong));
      lately.hidden = app.recent === null;
      if (app.recent !== null) say(changes, app.recent.length === 0 ? el("p", { class: "quiet" }, "None since this process began to take notes.") : el("ul", { class: "plain" }, app.recent));
      return table.refresh();
    },
  };
}

function wrongs({ items }) {
  if (items.length === 0) return el("p", { class: "calm" }, badge("good", "fine"), " Nothing is wrong that this process knows of.");
  const line = ({ level, text, view, parameters, more }) =>
    el(
      "li", { class: level }, badge(level, level === "bad" ? "wrong" : "look at this"), " ",
      link(view, parameters, short(text)), more && el("span", { class: "quiet" }, ` ${more}`),
    );
  return el("ul", { class: "wrongs" }, items.map(line));
}

// Of each kind that may be long, the overview shows so many.
export const FEW = 6;

/** Everything that is wrong, worst first, from what the pages say: `{ items, bad, warn }`, the last two as counts of all. */
export function concerns(traffic, found, certificatesFound, troubled) {
  const items = [];
  const counts = { bad: 0, warn: 0 };
  const add = (level, text, view, parameters, more, counted = 1) => {
    items.push({ level, text, view, parameters, more });
    counts[level] += counted;
  };
  for (const door of traffic.latest.doors) concernsOfDoor(traffic, door, add);
  for (const service of troubled.services) {
    const name = `${service.service}:${service.port}`;
    const has = service.endpoints.some((endpoint) => endpoint.listeners.length > 0) ? ", some are ejected or unreachable" : "";
    const none = service.why ?? (service.ready > 0 ? `No endpoint of Service ${name} can be reached.` : `Service ${name} has no ready endpoint.`);
    const text = service.state === "none" ? none : `Service ${name}: ${service.ready} of ${service.ready + service.not_ready} endpoints are ready${has}.`;
    add(service.state === "none" ? "bad" : "warn", text, "endpoints", { q: service.service }, `at ${service.listeners.join(", ")}`, 0);
  }
  counts.bad += troubled.none;
  counts.warn += troubled.some;
  const others = troubled.total - troubled.services.length;
  if (others > 0) add(troubled.none > FEW ? "bad" : "warn", `${count(others, "more Service is", "more Services are")} in trouble.`, "endpoints", { state: "trouble" }, "", 0);
  for (const certificate of certificatesFound.certificates.filter((one) => expiry(one)[0] !== "good")) {
    const [level, words] = expiry(certificate);
    const text = `Certificate ${certificate.secret} of door ${certificate.listener} ${level === "bad" ? "" : "expires "}${words}.`;
    add(level, text, "certificates", { q: certificate.secret });
  }
  for (const problem of found.problems) {
    const level = problem.severity === "error" ? "bad" : "warn";
    add(level, `${objectText(problem.object)}: ${problem.message}`, "problems", { q: problem.object.name }, problem.field, 0);
  }
  counts.bad += found.errors;
  counts.warn += found.warnings;
  const unshown = found.total - found.problems.length;
  if (unshown > 0) {
    const all = `${count(found.errors, "error")} and ${count(found.warnings, "warning")} in all`;
    add(found.errors > FEW ? "bad" : "warn", `${count(unshown, "more problem")}: ${all}.`, "problems", {}, "", 0);
  }
  items.sort((left, right) => Number(right.level === "bad") - Number(left.level === "bad"));
  return { items, ...counts };
}

function concernsOfDoor(traffic, door, add) {
  const { configured, listening } = door.workers;
  if (door.state !== "ready") add(door.state === "draining" ? "warn" : "bad", `Door ${door.listener} is ${door.state}.`, "doors", {});
  else if (listening < configured) add("warn", `Door ${door.listener} has ${listening} of ${configured} workers.`, "doors", {});
  const seen = traffic.of(door.listener);
  // A few requests make no share.
  if (seen === undefined || seen.total < 20 || seen.serverErrors < 0.01) return;
  const text = `Door ${door.listener} answers ${percent(seen.serverErrors)} of its requests with 5xx.`;
  const refusals = seen.refusals.slice(0, 3).map(([reason]) => reason).join(", ");
  add(seen.serverErrors >= 0.05 ? "bad" : "warn", text, "doors", {}, refusals);
}
