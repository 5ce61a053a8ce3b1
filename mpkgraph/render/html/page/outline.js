// The outline on the left: model layers and operators as a tree of buttons, and an overlay's items.

import { byId, el, link, replace, swatch } from "./dom.js";
import { css, operatorColour } from "./colours.js";
import { counted } from "./scene.js";

const MAX_ITEMS = 400;
const MAX_LEADS = 4;

export class Outline {
  constructor(app, panel) {
    this.app = app;
    this.panel = panel;
    this.open = new Set();
    this.buttons = new Map();
  }

  show() {
    const { graph, scene } = this.app;
    this.buttons.clear();
    const parts = scene.blocks.map((block, b) => {
      const members = scene.members[b];
      if (block.layer === null && members.length === 1) return this.line(members[0]);
      const tasks = members.reduce((sum, k) => sum + graph.operators[k].count, 0);
      const name = block.layer === null ? `operators ${members[0]}–${members[members.length - 1]}` : `layer ${block.layer}`;
      const details = el("details", { open: this.open.has(b) }, el("summary", {}, name, el("span", { class: "dim" }, ` ${counted(tasks, "task")}`)));
      const fill = () => details.children.length === 1 && details.append(...members.map((k) => this.line(k)));
      if (details.open) fill();
      details.addEventListener("toggle", () => {
        if (details.open) {
          this.open.add(b);
          fill();
        } else this.open.delete(b);
      });
      return details;
    });
    replace(this.panel, parts);
    this.mark();
  }

  line(k) {
    const { app } = this;
    const operator = app.graph.operators[k];
    const button = el("button", { type: "button", class: "line", onclick: () => app.go({ kind: "operator", id: k }), ondblclick: () => app.openTiles(k) },
      swatch(css(operatorColour(app.graph, app.colouring, k))), ` ${k} ${operator.name} `, el("span", { class: "dim" }, operator.count.toLocaleString("en")));
    this.buttons.set(k, button);
    return button;
  }

  mark() {
    const chosen = this.app.selectedOperator();
    for (const [k, button] of this.buttons) {
      if (k === chosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }
}

// Links to all that an item speaks of.
function leads(app, item) {
  const { tensors } = app.graph.header;
  const links = [
    ...item.tasks.slice(0, MAX_LEADS).map((id) => link(app, "task", id, `task ${id}`)),
    ...item.operators.slice(0, MAX_LEADS).map((id) => link(app, "operator", id, `operator ${id}`)),
    ...item.events.slice(0, MAX_LEADS).map((id) => link(app, "event", id, `event ${id}`)),
    ...item.tensors.flatMap((name) => (tensors.includes(name) ? [link(app, "tensor", tensors.indexOf(name), name)] : [])),
  ];
  return el("div", { class: "leads" }, ...links.flatMap((one, i) => (i ? [", ", one] : [one])));
}

export function markItem(app) {
  [...byId("items").querySelectorAll("ol > li")].forEach((row, i) => {
    if (i === app.state.item) {
      row.setAttribute("aria-current", "true");
      row.scrollIntoView({ block: "nearest" });
    } else row.removeAttribute("aria-current");
  });
}

// An overlay's items: what was found, and where it leads.
export function showItems(app) {
  const { colouring } = app;
  const tab = byId("tab-items");
  const panel = byId("items");
  tab.hidden = !colouring.items.length;
  tab.textContent = `${colouring.name} (${colouring.items.length})`;
  if (tab.hidden && tab.getAttribute("aria-selected") === "true") byId("tab-outline").click();
  const rows = colouring.items.slice(0, MAX_ITEMS).map((item, i) => {
    const category = colouring.categories[item.category];
    return el("li", {},
      el("button", { type: "button", class: "item", onclick: () => app.goItem(i) },
        category ? [swatch(css(category.colour)), ` ${category.name} `] : null,
        el("strong", {}, item.title),
        el("span", { class: "text" }, item.text)),
      leads(app, item));
  });
  if (colouring.items.length > MAX_ITEMS) rows.push(el("li", { class: "dim" }, `and ${colouring.items.length - MAX_ITEMS} more`));
  replace(panel, el("p", { class: "dim" }, colouring.description), el("ol", { class: "plain" }, ...rows));
}
