// A list with search: a table of which one page at a time is in the document, however long it is.

import { count, el, say } from "./dom.js";
import { Refused } from "./state.js";

const PAGE = 100;
// What a link may ask for.
const MOST_PAGES = 1e6;
const MOST_TEXT = 500;
// While somebody types, what a list loads from the gateway waits for this long.
const TYPING = 150;

/**
 * `options`: `id`, `label` (what is listed, for readers), `noun` (`[one, many]`), `placeholder`, `columns` (texts, or `[text, class]`), `row`
 * (item → `{ key, cells, level }`), `load` (`{ q, offset, limit, … } → { items, total, note }`, or a promise), `choices`
 * (`[{ name, label, options: () => [[value, text]] }]`), `empty` (what is said when there is nothing at all), `local`
 * (whether loading costs nothing).
 */
export class List {
  constructor(options) {
    this.options = options;
    this.state = { q: "", page: 1 };
    this.turn = 0;
    this.rows = new Map();
    this.onState = () => {};
    this.build();
  }

  build() {
    const { id, placeholder, columns, label, choices = [] } = this.options;
    this.search = el("input", {
      type: "search", id: `${id}-search`, placeholder, autocomplete: "off", spellcheck: "false", maxlength: MOST_TEXT,
      on: { input: () => this.typed() },
    });
    this.choices = choices.map((choice) => {
      const select = el("select", { id: `${id}-${choice.name}`, on: { change: () => this.chosen() } });
      return { ...choice, select };
    });
    this.count = el("p", { class: "count", role: "status" });
    this.note = el("p", { class: "note", hidden: true });
    this.body = el("tbody", { role: "rowgroup" });
    this.columns = columns.map((column) => (Array.isArray(column) ? column : [column, ""]));
    const heads = this.columns.map(([text]) => el("th", { scope: "col", role: "columnheader" }, text));
    this.table = el(
      "table", { role: "table", "aria-label": label },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)), this.body,
    );
    this.empty = el("p", { class: "empty", hidden: true });
    this.before = el("button", { type: "button", on: { click: () => this.turnTo(this.state.page - 1) } }, "Previous");
    this.after = el("button", { type: "button", on: { click: () => this.turnTo(this.state.page + 1) } }, "Next");
    this.where = el("span");
    this.pager = el("nav", { class: "pager", "aria-label": `Pages of ${label}`, hidden: true }, this.before, this.where, this.after);
    this.element = el(
      "div", { class: "list" },
      el(
        "form", { class: "filters", role: "search", on: { submit: (event) => { event.preventDefault(); this.refresh(); } } },
        labelled("Search", this.search), this.choices.map(({ label: text, select }) => labelled(text, select)),
        this.count,
      ),
      this.note, this.table, this.empty, this.pager,
    );
  }

  typed() {
    this.state.q = this.search.value;
    this.state.page = 1;
    clearTimeout(this.timer);
    if (this.options.local) this.changed();
    else this.timer = setTimeout(() => this.changed(), TYPING);
  }

  chosen() {
    for (const { name, select } of this.choices) this.state[name] = select.value;
    this.state.page = 1;
    this.changed();
  }

  turnTo(page) {
    this.state.page = page;
    this.changed();
    this.table.scrollIntoView({ block: "start" });
  }

  changed() {
    this.onState(this.state);
    this.refresh();
  }

  /** Shows what a link asks for. */
  enter(parameters) {
    const page = Number.parseInt(parameters.get("page") ?? "1", 10) || 1;
    this.state = { q: (parameters.get("q") ?? "").slice(0, MOST_TEXT), page: Math.min(Math.max(1, page), MOST_PAGES) };
    this.search.value = this.state.q;
    for (const { name } of this.choices) this.state[name] = parameters.get(name) ?? "";
    this.offer();
  }

  /** The options of the choices: doors come and go. */
  offer() {
    for (const { name, select, options } of this.choices) {
      const wanted = this.state[name] ?? "";
      const known = options();
      if (wanted !== "" && !known.some(([value]) => value === wanted)) known.push([wanted, wanted]);
      say(select, known.map(([value, text]) => el("option", { value }, text)));
      select.value = wanted;
    }
  }

  /** Loads anew and shows. An answer that another question has overtaken is dropped. */
  async refresh() {
    this.turn += 1;
    const turn = this.turn;
    const { page, ...wanted } = this.state;
    const offset = (page - 1) * PAGE;
    const question = { ...wanted, offset, limit: PAGE };
    const started = performance.now();
    const loaded = this.options.load(question);
    // What is at hand is shown at once, before the next key.
    const found = loaded instanceof Promise ? await loaded.catch(refused) : loaded;
    if (turn !== this.turn) return;
    this.show(found, offset);
    if (question.q === "") return;
    performance.clearMeasures("searched");
    performance.measure("searched", { start: started });
  }

  /** Lets the rows go: another part of the page is shown. */
  clear() {
    this.turn += 1;
    this.rows = new Map();
    this.body.replaceChildren();
  }

  show({ items, total, note = null, of = null }, offset) {
    this.offer();
    const pages = Math.max(1, Math.ceil(total / PAGE));
    if (this.state.page > pages) {
      this.turnTo(pages);
      return;
    }
    this.fill(items);
    const [one, many] = this.options.noun;
    say(this.count, of === null || of === total ? count(total, one, many) : `${count(total, one, many)} of ${of.toLocaleString("en")}`);
    this.note.hidden = note === null;
    say(this.note, note);
    this.table.hidden = total === 0;
    this.empty.hidden = total > 0;
    const isFiltered = Object.entries(this.state).some(([name, value]) => name !== "page" && value !== "");
    say(this.empty, isFiltered ? "Nothing matches." : this.options.empty);
    this.pager.hidden = pages === 1;
    this.before.disabled = this.state.page === 1;
    this.after.disabled = this.state.page === pages;
    say(this.where, `${(offset + 1).toLocaleString("en")}–${(offset + items.length).toLocaleString("en")} of ${total.toLocaleString("en")}`);
  }

  fill(items) {
    const rows = new Map();
    const elements = [];
    for (const item of items) {
      const { key, cells, level } = this.options.row(item);
      // Two rows with one key are two rows all the same.
      let unique = key;
      for (let copy = 2; rows.has(unique); copy += 1) unique = `${key} ${copy}`;
      const row = this.rows.get(unique) ?? el("tr", { role: "row" });
      row.className = level ?? "";
      this.fillRow(row, cells);
      rows.set(unique, row);
      elements.push(row);
    }
    this.rows = rows;
    const shown = this.body.children;
    const isSame = shown.length === elements.length && elements.every((row, index) => row === shown[index]);
    if (!isSame) this.body.replaceChildren(...elements);
  }

  fillRow(row, cells) {
    cells.forEach((content, index) => {
      const [label, width] = this.columns[index];
      const cell = el("td", { role: "cell", class: width || null, "data-label": label }, content);
      const shown = row.children[index];
      if (shown === undefined) row.append(cell);
      else if (!shown.isEqualNode(cell)) shown.replaceWith(cell);
    });
  }
}

/** Nothing, and why the gateway refuses what was asked for. */
function refused(error) {
  if (!(error instanceof Refused && error.isOfQuestion)) throw error;
  return { items: [], total: 0, note: error.message };
}

/** A control and its label, which stay together. */
export function labelled(text, control) {
  return el("span", { class: "field" }, el("label", { for: control.id }, text), control);
}

/** A function that says whether an item's text has every word of a search. */
export function matcher(search) {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return (text) => words.every((word) => text.includes(word));
}
