// Filters: tasks that they leave out are faded. What is filtered stands in the link.

import { el, replace, swatch } from "./dom.js";
import { css, numberText } from "./colours.js";

export class Filters {
  constructor(app, panel) {
    this.app = app;
    this.panel = panel;
    this.clear();
  }

  clear() {
    this.kinds = new Set();
    this.types = new Set();
    this.layers = "";
    this.tensor = "";
    this.event = "";
    this.codes = new Set();
    this.low = "";
    this.high = "";
  }

  get isActive() {
    return Boolean(this.kinds.size || this.types.size || this.layers || this.tensor || this.event || this.codes.size || this.low || this.high);
  }

  toJSON() {
    const list = (set) => [...set].join(",");
    return Object.fromEntries(Object.entries({
      kinds: list(this.kinds), types: list(this.types), layers: this.layers, touches: this.tensor, gate: this.event,
      codes: list(this.codes), low: this.low, high: this.high,
    }).filter(([, value]) => value !== ""));
  }

  load(values) {
    const numbers = (text) => new Set((text ?? "").split(",").filter(Boolean).map(Number).filter(Number.isInteger));
    this.kinds = new Set((values.kinds ?? "").split(",").filter(Boolean));
    this.types = numbers(values.types);
    this.codes = numbers(values.codes);
    this.layers = values.layers ?? "";
    this.tensor = values.touches ?? "";
    this.event = values.gate ?? "";
    this.low = values.low ?? "";
    this.high = values.high ?? "";
  }

  setType(type) {
    this.clear();
    this.types.add(type);
    this.apply();
  }

  setTensor(id) {
    this.clear();
    this.tensor = this.app.graph.header.tensors[id];
    this.apply();
  }

  toggleCode(code) {
    if (!this.codes.delete(code)) this.codes.add(code);
    this.apply();
  }

  apply() {
    this.app.filtersChanged();
    this.show();
  }

  // One byte a row: whether it is let through; null where nothing is filtered.
  mask() {
    if (!this.isActive) return null;
    const { graph, colouring } = this.app;
    const mask = new Uint8Array(graph.numTasks);
    const types = graph.columns.task_type;
    const layers = ranges(this.layers);
    const wanted = this.tensor.toLowerCase();
    const touched = wanted && new Set(graph.header.tensors.flatMap((name, t) => (name.toLowerCase().includes(wanted) ? [t] : [])));
    const touching = touched && graph.operators.map((o, k) => o.slots.some((_, p) => graph.slotTensors(k, p).some((t) => touched.has(t))));
    const event = /^e?(\d+)$/.exec(this.event.trim());
    const low = this.low === "" ? -Infinity : Number(this.low);
    const high = this.high === "" ? Infinity : Number(this.high);
    this.count = 0;
    for (let r = 0; r < mask.length; r++) {
      const k = graph.operatorOf[r];
      if (this.kinds.size && !this.kinds.has(graph.typeKind(types[r]))) continue;
      if (this.types.size && !this.types.has(types[r])) continue;
      if (layers && (k < 0 || !layers(graph.header.blocks[graph.operators[k].block].layer))) continue;
      if (touching && (k < 0 || !touching[k])) continue;
      if (event && graph.waitsOn[r] !== Number(event[1]) && graph.triggers[r] !== Number(event[1])) continue;
      if (this.codes.size && !this.codes.has(colouring.codeOf(r))) continue;
      if ((this.low !== "" || this.high !== "") && colouring.kind === "value") {
        const v = colouring.valueOf(r);
        if (!(v >= low && v <= high)) continue;
      }
      mask[r] = 1;
      this.count++;
    }
    return mask;
  }

  show() {
    const { app, panel } = this;
    const { graph } = app;
    const types = graph.columns.task_type;
    this.totals ??= count(types);
    const byKind = new Map();
    for (const [type, n] of this.totals) byKind.set(graph.typeKind(type), (byKind.get(graph.typeKind(type)) ?? 0) + n);
    const check = (set, value, text, n) => el("label", { class: "check" },
      el("input", { type: "checkbox", checked: set.has(value), onchange: (e) => { if (e.target.checked) set.add(value); else set.delete(value); this.apply(); } }),
      text, el("span", { class: "dim" }, ` ${n.toLocaleString("en")}`));
    const field = (name, label, placeholder) => el("label", { class: "field" }, label,
      el("input", { type: "text", value: this[name], placeholder, onchange: (e) => { this[name] = e.target.value; this.apply(); } }));
    replace(panel,
      el("div", { class: "buttons" },
        el("button", { type: "button", disabled: !this.isActive, onclick: () => { this.clear(); this.apply(); } }, "Clear"),
        el("span", { class: "dim", role: "status" }, this.isActive ? `${(this.count ?? 0).toLocaleString("en")} of ${graph.numTasks.toLocaleString("en")} tasks` : "all tasks")),
      el("fieldset", {}, el("legend", {}, "Kind"), ...[...byKind].sort().map(([kind, n]) => check(this.kinds, kind, [swatch(graph.header.kind_colours[kind]), ` ${kind}`], n))),
      el("fieldset", {}, el("legend", {}, "Task type"), ...[...this.totals].sort((a, b) => b[1] - a[1]).map(([type, n]) => check(this.types, type, (graph.header.task_types[type] ?? ["", String(type)])[1], n))),
      field("layers", "Model layers", "0-3, 7"),
      field("tensor", "Touches tensor", "part of a name"),
      field("event", "Waits on or triggers event", "number"),
      app.colouring.kind === "value" ? el("div", { class: "pair" }, field("low", `${app.colouring.title} from`, numberText(app.colouring.low)), field("high", "to", numberText(app.colouring.high))) : null,
      app.colouring.isOverlay && app.colouring.kind === "category" && app.colouring.categories.length <= 40
        ? el("fieldset", {}, el("legend", {}, app.colouring.title), ...app.colouring.categories.map((c, code) => el("label", { class: "check" },
          el("input", { type: "checkbox", checked: this.codes.has(code), onchange: () => this.toggleCode(code) }), swatch(css(c.colour)), ` ${c.name}`)))
        : null);
  }
}

function count(types) {
  const totals = new Map();
  for (const type of types) totals.set(type, (totals.get(type) ?? 0) + 1);
  return totals;
}

// "0-3, 7" as a test of numbers; null for an empty text.
function ranges(text) {
  const parts = [...text.matchAll(/(\d+)\s*(?:[-–]\s*(\d+))?/g)].map(([, a, b]) => [Number(a), Number(b ?? a)]);
  return parts.length ? (n) => n !== null && parts.some(([a, b]) => n >= a && n <= b) : null;
}
