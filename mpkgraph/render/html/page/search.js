// Search by number, 64-bit event id, type, operator and tensor.

import { el, replace } from "./dom.js";

const MAX_OF_KIND = 20;
const INDEX_MASK = 0xffffffffn;

export class Search {
  constructor(app, input, list) {
    Object.assign(this, { app, input, list, results: [], active: -1 });
    input.addEventListener("input", () => this.update());
    input.addEventListener("focus", () => this.input.value && this.update());
    input.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("pointerdown", (event) => {
      if (!list.contains(event.target) && event.target !== input) this.close();
    });
  }

  find(text) {
    const { graph } = this.app;
    const query = text.trim().toLowerCase();
    if (!query) return [];
    const found = [];
    const add = (kind, id, name, note) => found.push({ kind, id, name, note });
    const number = /^(task|t|event|ev|e|operator|op|layer)?\s*#?(\d+|0x[0-9a-f]+)$/.exec(query);
    if (number) {
      const value = BigInt(number[2]);
      const word = number[1] ?? "";
      if ((!word || word[0] === "t") && value < BigInt(graph.numTasks)) {
        const id = Number(value);
        add("task", id, `task ${id}`, graph.taskName(graph.rows[id]));
      }
      if ((!word || word[0] === "e") && value < BigInt(graph.numEvents)) {
        add("event", Number(value), `event ${value}`, graph.header.event_types[graph.columns.event_type[Number(value)]] ?? "");
      } else if ((!word || word[0] === "e") && (value & INDEX_MASK) < BigInt(graph.numEvents)) {
        add("event", Number(value & INDEX_MASK), `event ${value & INDEX_MASK}`, `id ${value}`);
      }
      if ((!word || word[0] === "o") && value < BigInt(graph.numOperators)) add("operator", Number(value), `operator ${value}`, graph.operators[Number(value)].name);
      if (word === "layer") {
        graph.operators.forEach((o, k) => graph.header.blocks[o.block].layer === Number(value) && add("operator", k, `operator ${k}`, `${o.name}, layer ${value}`));
      }
    }
    for (const [type, [name, short]] of Object.entries(graph.header.task_types)) {
      if (name.toLowerCase().includes(query) || type === query) add("type", Number(type), name, `type ${type}: filter ${short}`);
    }
    graph.operators.forEach((operator, k) => {
      const names = `${operator.name} ${operator.method ?? ""} ${k} ${operator.name}`.toLowerCase();
      if (names.includes(query)) add("operator", k, `${k} ${operator.name}`, operator.grid.join("×"));
    });
    graph.header.tensors.forEach((name, t) => name.toLowerCase().includes(query) && add("tensor", t, name, "tensor"));
    return found;
  }

  update() {
    const all = this.find(this.input.value);
    const kinds = new Map();
    this.results = all.filter(({ kind }) => {
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      return kinds.get(kind) <= MAX_OF_KIND;
    });
    this.active = this.results.length ? 0 : -1;
    const rows = this.results.map((result, i) => el("li", {
      role: "option", id: `result-${i}`, onpointerdown: (event) => { event.preventDefault(); this.choose(i); },
    }, el("span", { class: "what" }, `${result.kind} `), el("span", { class: "name" }, result.name), el("span", { class: "dim" }, ` ${result.note}`)));
    if (!rows.length && this.input.value.trim()) rows.push(el("li", { class: "dim" }, "nothing of that name or number"));
    const left = all.length - this.results.length;
    if (left) rows.push(el("li", { class: "dim" }, `and ${left} more: type more of the name`));
    replace(this.list, rows);
    this.list.hidden = !rows.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === this.active)));
    this.input.setAttribute("aria-activedescendant", this.active >= 0 ? `result-${this.active}` : "");
    this.list.children[this.active]?.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (this.results.length) this.active = (this.active + step + this.results.length) % this.results.length;
      this.mark();
    } else if (event.key === "Enter") {
      this.choose(this.active);
    } else if (event.key === "Escape") {
      this.close();
      this.app.canvas.focus();
    }
    event.stopPropagation();
  }

  choose(i) {
    const result = this.results[i];
    if (!result) return;
    this.close();
    this.app.canvas.focus();
    if (result.kind === "type") this.app.filters.setType(result.id);
    else this.app.go({ kind: result.kind, id: result.id });
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
  }
}
