// Elements from text. Whatever comes from objects or requests is hostile: it becomes text nodes here, and nothing else.

// What would be invisible, or reorder what is around it: controls, bidirectional formatting, zero width, tags.
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

/** The text with everything invisible written out, as `\u{202e}`. */
export function visible(text) {
  return String(text).replace(HIDDEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/** An element. Children are nodes, texts, lists of these, or nothing (`null`, `undefined`, `false`). */
export function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, visible(value));
    }
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) {
      element.append(document.createTextNode(visible(child)));
    }
  }
}

/** Replaces what an element contains, if it is to say something else: what stays keeps selection, focus and readers in peace. */
export function say(element, ...children) {
  const next = element.cloneNode(false);
  append(next, children);
  if (next.isEqualNode(element)) return;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  element.replaceChildren(...next.childNodes);
  const address = focused?.getAttribute("href");
  if (address) element.querySelector(`a[href="${CSS.escape(address)}"]`)?.focus({ preventScroll: true });
}

const SVG = "http://www.w3.org/2000/svg";

/** A line of the last values, for the eye alone: the numbers stand beside it. */
export function sparkline(values) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 24");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  if (values.length > 1) {
    const most = Math.max(...values, 1e-9);
    const step = 100 / (values.length - 1);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("points", values.map((value, index) => `${(index * step).toFixed(1)},${(22 - (value / most) * 20).toFixed(1)}`).join(" "));
    svg.append(line);
  }
  return svg;
}

/** A link to a part of this page, with what it is to show. */
export function link(view, parameters, ...children) {
  return el("a", { href: hash(view, parameters) }, ...children);
}

/** The fragment that stands for a part of the page and what it shows. */
export function hash(view, parameters) {
  const wanted = Object.entries(parameters ?? {}).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(wanted.map(([name, value]) => [name, String(value)])).toString();
  return `#${view}${query && "?"}${query}`;
}

/** A short word with a colour, which says nothing that the word does not. */
export function badge(level, text) {
  return el("span", { class: `badge ${level}` }, text);
}

/** `1 route`, `2 routes`, `10,000 routes`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function number(value) {
  if (value === 0) return "0";
  if (value < 0.1) return "<\u00a00.1";
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

export function percent(share) {
  if (share === 0) return "0\u00a0%";
  if (share < 0.001) return "<\u00a00.1\u00a0%";
  return `${(share * 100).toLocaleString("en", { maximumFractionDigits: share < 0.1 ? 1 : 0 })}\u00a0%`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(value)}\u00a0${units[unit]}`;
}

/** The beginning of a long text. */
export function short(text, most = 240) {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most).join("")} …` : text;
}

/** A duration in words: `40 s`, `3 min`, `2 h`, `5 d`. */
export function duration(seconds) {
  const size = Math.abs(seconds);
  if (size < 120) return `${Math.round(size)}\u00a0s`;
  if (size < 7200) return `${Math.round(size / 60)}\u00a0min`;
  if (size < 172800) return `${Math.round(size / 3600)}\u00a0h`;
  return `${Math.round(size / 86400)}\u00a0d`;
}

const two = (value) => String(value).padStart(2, "0");
const utcTime = (date) => date.toISOString().slice(11, 19);
const localTime = (date) => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
const localDay = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

/** The time of day, here and in UTC; once where that is the same. */
export function clock(date) {
  const isUtc = date.getTimezoneOffset() === 0;
  return isUtc ? `${utcTime(date)} UTC` : `${localTime(date)} local · ${utcTime(date)} UTC`;
}

/** A moment, here and in UTC, as an element. `date` is a Date. */
export function moment(date) {
  if (Number.isNaN(date.getTime())) return el("span", null, "unknown");
  const utc = `${date.toISOString().slice(0, 10)} ${utcTime(date)} UTC`;
  const isUtc = date.getTimezoneOffset() === 0;
  const local = `${localDay(date)} ${localTime(date)} local`;
  return el("time", { datetime: date.toISOString() }, isUtc ? utc : [local, el("br"), el("span", { class: "quiet" }, utc)]);
}

/** How long ago, or in how long. */
export function distance(date, now = new Date()) {
  const seconds = (now - date) / 1000;
  return seconds >= 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`;
}
