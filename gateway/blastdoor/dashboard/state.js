// What is known of the gateway: how it is asked, and what follows from several answers in a row.

const PATIENCE = 10_000;
// Rates are those of the last minute, or of as long as the page has been open.
const WINDOW = 60;
// Points of a sparkline.
const KEPT = 60;

/** The gateway does not have this page. */
export class Absent extends Error {}

/** The gateway answered, and not with the page. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether what was asked for is wrong, and not the gateway. */
  get isOfQuestion() {
    return this.status >= 400 && this.status < 500;
  }
}

/** One page of the API. `stop` is a signal in place of the usual deadline. */
export async function read(path, parameters = {}, stop = null) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  const response = await fetch(`/api/v1/${path}${text && "?"}${text}`, {
    cache: "no-store", credentials: "omit", redirect: "error", signal: stop ?? AbortSignal.timeout(PATIENCE),
  });
  if (response.status === 404) throw new Absent(reason(await response.text()) || path);
  if (!response.ok) throw new Refused(reason(await response.text()) || `status ${response.status}`, response.status);
  return response.json();
}

/** Errors are `{"error": …}`, or text. */
function reason(body) {
  try {
    return String(JSON.parse(body).error);
  } catch {
    return body.trim();
  }
}

/** What several readings of `/api/v1/traffic` say. */
export class Traffic {
  constructor() {
    this.samples = [];
    this.points = new Map();
  }

  /** Takes note of a reading. */
  add(page) {
    const last = this.samples.at(-1);
    // Another process, whose counters begin anew.
    if (last !== undefined && (last.started !== page.started || page.time < last.time)) {
      this.samples = [];
      this.points.clear();
    }
    this.samples.push(page);
    while (this.samples.length > 2 && page.time - this.samples[1].time >= WINDOW) this.samples.shift();
    if (last === undefined) return;
    for (const door of page.doors) {
      const points = this.points.get(door.listener) ?? [];
      const rate = this.between(door.listener, last, page)?.rate;
      if (rate !== undefined) points.push(rate);
      this.points.set(door.listener, points.slice(-KEPT));
    }
  }

  get latest() {
    return this.samples.at(-1);
  }

  /** Requests a second, shares and latencies of a door; `undefined` before there are two readings. */
  of(listener) {
    const [first] = this.samples;
    return first === undefined ? undefined : this.between(listener, first, this.latest);
  }

  between(listener, from, to) {
    const [before, after] = [from, to].map((page) => page.doors.find((door) => door.listener === listener));
    const seconds = to.time - from.time;
    if (before === undefined || after === undefined || seconds <= 0) return undefined;
    const classes = {};
    let total = 0;
    for (const [status, value] of Object.entries(after.requests)) {
      classes[status] = value - (before.requests[status] ?? 0);
      total += classes[status];
    }
    const durations = after.durations.counts.map((value, index) => value - (before.durations.counts[index] ?? 0));
    return {
      seconds,
      total,
      rate: total / seconds,
      clientErrors: total === 0 ? 0 : (classes["4xx"] ?? 0) / total,
      serverErrors: total === 0 ? 0 : (classes["5xx"] ?? 0) / total,
      durations,
      received: (after.bytes_in - before.bytes_in) / seconds,
      sent: (after.bytes_out - before.bytes_out) / seconds,
      refusals: Object.entries(after.refusals)
        .map(([reason, value]) => [reason, value - (before.refusals[reason] ?? 0)])
        .filter(([, value]) => value > 0)
        .sort((left, right) => right[1] - left[1]),
    };
  }
}

/** Within how many milliseconds a share of the requests was answered, as a bound of the histogram. */
export function within(durations, bounds, share) {
  const total = durations.reduce((sum, value) => sum + value, 0);
  if (total === 0) return undefined;
  let sum = 0;
  for (const [index, value] of durations.entries()) {
    sum += value;
    if (sum >= share * total) return bounds[index] ?? Number.POSITIVE_INFINITY;
  }
  return Number.POSITIVE_INFINITY;
}

/** A bound in words. */
export function bound(milliseconds, bounds) {
  if (milliseconds === undefined) return "–";
  if (milliseconds === Number.POSITIVE_INFINITY) return `> ${bounds.at(-1) / 1000} s`;
  return milliseconds >= 1000 ? `≤ ${milliseconds / 1000} s` : `≤ ${milliseconds} ms`;
}
