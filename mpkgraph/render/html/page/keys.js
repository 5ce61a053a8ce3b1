// The keyboard: one table, from which the help is made too.

import { byId, el, replace } from "./dom.js";

const PAN = 90;

export const KEYS = [
  ["?", "this help", (app) => toggleHelp(app)],
  ["/", "search", () => byId("search").select()],
  ["← ↑ → ↓", "to the next task or operator; without a selection: move", null],
  ["h j k l", "move the view", null],
  ["+ -", "zoom", null],
  ["0", "show everything", (app) => app.fit()],
  ["Enter", "open the operator's tiles", (app) => app.openSelected()],
  ["Esc", "back to the map, then clear the selection", (app) => app.escape()],
  ["[ ]", "previous, next operator", null],
  [".", "move to what is selected", (app) => app.reveal()],
  ["o", "light up what a task waits on and what waits on it", (app) => app.toggleOrder()],
  ["f", "fold or unfold the layer of the selected operator", (app) => app.toggleFold()],
  ["F", "fold equal layers, or unfold all", (app) => app.toggleFoldAll()],
  ["c C", "next, previous colouring", null],
  ["n N", "next, previous item of the overlay (finding)", null],
  ["x", "clear the filters", (app) => { app.filters.clear(); app.filters.apply(); }],
  ["t", "light, dark or as the system", (app) => app.nextTheme()],
  ["Alt+← Alt+→", "back, forward", null],
];

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], h: [-1, 0], l: [1, 0], k: [0, -1], j: [0, 1] };

export function listen(app) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const help = byId("help");
    if (help.open) return;
    const { target } = event;
    if (target.closest?.("input, select, textarea")) {
      if (event.key === "Escape") app.canvas.focus();
      return;
    }
    const isButton = target.closest?.("button, summary");
    if (isButton && ["Enter", " ", "ArrowUp", "ArrowDown"].includes(event.key)) return;
    if (press(app, event.key)) event.preventDefault();
  });
}

export function press(app, key) {
  const wanted = key === "Escape" ? "Esc" : key;
  const single = KEYS.find(([name, , action]) => name === wanted && action);
  if (single) single[2](app);
  else if (key.startsWith("Arrow")) app.step(...MOVES[key]);
  else if (key in MOVES) app.pan(-MOVES[key][0] * PAN, -MOVES[key][1] * PAN);
  else if (key === "+" || key === "=") app.zoom(1.3);
  else if (key === "-" || key === "_") app.zoom(1 / 1.3);
  else if (key === "[" || key === "]") app.stepOperator(key === "]" ? 1 : -1);
  else if (key === "c" || key === "C") app.nextColouring(key === "c" ? 1 : -1);
  else if (key === "n" || key === "N") app.stepItem(key === "n" ? 1 : -1);
  else return false;
  return true;
}

export function toggleHelp(app) {
  const help = byId("help");
  if (help.open) {
    help.close();
    return;
  }
  const rows = KEYS.map(([name, text]) => el("tr", {}, el("th", { scope: "row" }, ...name.split(" ").flatMap((k, i) => [i ? " " : "", el("kbd", {}, k)])), el("td", {}, text)));
  replace(byId("help-keys"), el("table", {}, el("tbody", {}, ...rows)));
  help.showModal();
  help.addEventListener("close", () => app.canvas.focus(), { once: true });
}
