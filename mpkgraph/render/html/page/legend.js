// What the colours mean. A click on a category filters by it.

import { el, replace, swatch } from "./dom.js";
import { css, numberText } from "./colours.js";

const MAX_ROWS = 14;
const RELATIONS = ["what it waits on", "what triggers its event", "what waits on it", "what waits on its event", "the task"];

export function showLegend(app, panel) {
  const { colouring, filters, painter } = app;
  const title = el("div", { class: "legend-title" }, colouring.title);
  if (painter.relation) {
    replace(panel, el("div", { class: "legend-title" }, "Order"), ...RELATIONS.map((name, i) => el("span", { class: "entry" }, swatch(painter.theme.relationCss[i + 1]), ` ${name}`)));
    return;
  }
  if (colouring.kind === "value") {
    const bar = el("canvas", { width: 180, height: 10, role: "img" });
    bar.setAttribute("aria-label", `${numberText(colouring.from)} to ${numberText(colouring.to)}`);
    const context = bar.getContext("2d");
    for (let x = 0; x < 180; x++) {
      context.fillStyle = css(colouring.colours[Math.floor((x / 180) * colouring.colours.length)]);
      context.fillRect(x, 0, 1, 10);
    }
    replace(panel, title, el("div", { class: "scale" }, el("span", {}, numberText(colouring.from)), bar, el("span", {}, `${numberText(colouring.to)} ${colouring.unit}`), colouring.scale === "log" ? el("span", { class: "dim" }, " log") : null));
    return;
  }
  const entries = colouring.isLong ? [] : colouring.categories.slice(0, MAX_ROWS).map((category, code) => {
    const button = el("button", { type: "button", class: "entry", title: "Show only these", onclick: () => filters.toggleCode(code) }, swatch(css(category.colour)), ` ${category.name}`);
    button.setAttribute("aria-pressed", String(filters.codes.has(code)));
    return button;
  });
  if (colouring.categories.length > MAX_ROWS && !colouring.isLong) entries.push(el("span", { class: "dim" }, `and ${colouring.categories.length - MAX_ROWS} more`));
  replace(panel, title, ...entries);
}
