// The page: state, views, and what happens when.

import { decodeState, encodeState } from "./anchor.js";
import { Camera } from "./camera.js";
import { Closure } from "./closure.js";
import { colouringsOf } from "./colours.js";
import { inflate, readData } from "./decode.js";
import { Details } from "./details.js";
import { byId, el, replace } from "./dom.js";
import { Filters } from "./filters.js";
import { Graph } from "./graph.js";
import { listen, toggleHelp } from "./keys.js";
import { showLegend } from "./legend.js";
import { MapView, readTheme } from "./mapview.js";
import { markItem, Outline, showItems } from "./outline.js";
import { Painter } from "./paint.js";
import { Scene } from "./scene.js";
import { Search } from "./search.js";
import { boxRects, elementBox, levelsOf, planeOf, sharedBytes, tileBox } from "./tiles.js";
import { TileView } from "./tileview.js";

const CLICK_SLOP = 4;
const SETTLE_MS = 350;
const MARGIN = 24;
const THEMES = ["auto", "light", "dark"];

class App {
  constructor(graph) {
    this.graph = graph;
    this.canvas = byId("canvas");
    this.context = this.canvas.getContext("2d");
    this.colourings = colouringsOf(graph);
    this.first = [...this.colourings.values()].find((c) => c.isOverlay && !c.isEmpty)?.name ?? "kind";
    this.colouring = this.colourings.get(this.first);
    this.state = { view: "map", operator: null, selection: null, order: false, item: -1 };
    this.scene = new Scene(graph);
    this.painter = new Painter(graph);
    this.closure = new Closure(graph);
    this.map = new MapView(graph, this.scene, this.painter);
    this.view = this.map;
    this.camera = new Camera();
    this.cameras = new Map();
    this.hover = null;
    this.frames = 0;
    this.tiles = { boxRects, elementBox, levelsOf, planeOf, sharedBytes };
    this.details = new Details(this, byId("details"));
    this.filters = new Filters(this, byId("filters"));
    this.outline = new Outline(this, byId("outline"));
    this.search = new Search(this, byId("search"), byId("results"));
    this.setUp();
  }

  setUp() {
    const { header } = this.graph;
    document.title = `${header.title} - mpkgraph`;
    byId("title").textContent = header.title;
    replace(byId("colour"), ...[...this.colourings.values()].map((c) => el("option", { value: c.name }, c.title)));
    this.loadTheme();
    this.resize();
    this.applyTheme();
    this.bind();
    listen(this);
    this.restore(decodeState(location.hash), true);
    this.outline.show();
    this.filters.show();
  }

  bind() {
    new ResizeObserver(() => this.isPrinting || this.resize()).observe(this.canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.applyTheme());
    window.addEventListener("popstate", () => this.restore(decodeState(location.hash), false));
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
    byId("colour").addEventListener("change", (event) => this.setColouring(event.target.value));
    const clicks = {
      back: () => history.back(), forward: () => history.forward(), fit: () => this.fit(),
      fold: () => this.toggleFoldAll(), theme: () => this.nextTheme(), "show-help": () => toggleHelp(this),
      "to-map": () => this.openMap(), "zoom-in": () => this.zoom(1.4), "zoom-out": () => this.zoom(1 / 1.4),
      "clear-filter": () => { this.filters.clear(); this.filters.apply(); },
    };
    for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", action);
    for (const tab of document.querySelectorAll("[role=tab]")) {
      tab.addEventListener("click", () => showTab(tab));
      tab.addEventListener("keydown", (event) => stepTab(event, tab));
    }
    this.bindPointer();
  }

  bindPointer() {
    const { canvas } = this;
    const pointers = new Map();
    let moved = 0;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, place(event));
      moved = 0;
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = place(event);
      const before = pointers.get(event.pointerId);
      if (before && pointers.size === 1) {
        moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
        if (moved > CLICK_SLOP) this.pan(x - before[0], y - before[1]);
      } else if (before && pointers.size === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const gap = (p) => Math.hypot(p[0] - other[0], p[1] - other[1]) || 1;
        this.camera.zoomAt((x + other[0]) / 2, (y + other[1]) / 2, gap([x, y]) / gap(before));
        moved = CLICK_SLOP + 1;
        this.dirty();
      } else {
        this.point(x, y, event);
      }
      if (before) pointers.set(event.pointerId, [x, y]);
    });
    canvas.addEventListener("pointerup", (event) => {
      const wasDown = pointers.delete(event.pointerId);
      if (wasDown && moved <= CLICK_SLOP) this.click(...place(event));
      else this.settle();
    });
    canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.setHover(null));
    canvas.addEventListener("dblclick", (event) => {
      const found = this.view.hit(...this.camera.toWorld(...place(event)));
      if (this.view === this.map && found?.k >= 0) this.openTiles(found.k);
    });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : 1;
      if (event.shiftKey) this.pan(-(event.deltaY + event.deltaX) * unit, 0);
      else this.camera.zoomAt(...place(event), Math.exp(-Math.max(-240, Math.min(240, event.deltaY * unit)) * (event.ctrlKey ? 0.01 : 0.0022)));
      this.dirty();
      this.settle();
    }, { passive: false });
  }

  // State and history

  snapshot() {
    const { view, operator, selection, order } = this.state;
    const fold = [...this.scene.foldedRuns].join(",") + (this.scene.foldedBlocks.size ? `:${[...this.scene.foldedBlocks].join(",")}` : "");
    return encodeState({
      tiles: view === "tiles" ? operator : null,
      ...(selection ? { [selection.kind]: this.nameOf(selection) } : {}),
      order,
      colour: this.colouring.name === this.first ? null : this.colouring.name,
      ...this.filters.toJSON(),
      fold: fold === this.defaultFold ? null : fold || "none",
      at: this.camera.text(this.size),
    });
  }

  // Tensors are linked by name: a number would not outlast a change of the graph.
  nameOf({ kind, id }) {
    return kind === "tensor" ? this.graph.header.tensors[id] : id;
  }

  selectionOf(values) {
    const { graph } = this;
    const limits = { task: graph.numTasks, operator: graph.numOperators, event: graph.numEvents };
    for (const [kind, limit] of Object.entries(limits)) {
      const id = numberOf(values[kind], limit);
      if (id !== null) return { kind, id };
    }
    const tensor = graph.header.tensors.indexOf(values.tensor ?? "");
    return tensor >= 0 ? { kind: "tensor", id: tensor } : null;
  }

  // Shows what a link says; what it does not name is as at the start.
  restore(values, isFirst) {
    if (isFirst) this.defaultFold = [...this.scene.foldedRuns].join(",");
    const numbers = (text) => new Set((text ?? "").split(",").filter(Boolean).map(Number).filter(Number.isInteger));
    const [runs, blocks] = (values.fold === "none" ? "" : values.fold ?? this.defaultFold).split(":");
    this.scene.foldedRuns = new Set([...numbers(runs)].filter((run) => this.scene.runs[run]?.length > 1));
    this.scene.foldedBlocks = new Set([...numbers(blocks)].filter((b) => b < this.scene.blocks.length));
    this.scene.place();
    this.filters.load(values);
    this.state.order = values.order === "true";
    const selection = this.selectionOf(values);
    const colouring = this.colourings.get(values.colour) ?? this.colourings.get(this.first);
    const operator = numberOf(values.tiles, this.graph.numOperators);
    this.useColouring(colouring);
    this.useView(operator === null ? "map" : "tiles", operator);
    this.state.selection = selection;
    if (!values.at || !this.camera.set(values.at, this.size)) {
      if (selection && this.view === this.map && isFirst) this.reveal(false);
      else this.camera.goTo(this.home(), false);
    }
    this.repaint();
    this.refresh();
  }

  push() {
    history.pushState(null, "", `#${this.snapshot()}`);
  }

  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => history.replaceState(null, "", `#${this.snapshot()}`), SETTLE_MS);
  }

  go(selection, { push = true, move = true } = {}) {
    this.state.selection = selection;
    const row = this.selectedRow();
    const k = this.selectedOperator();
    if (this.view !== this.map && k >= 0 && k !== this.view.k && move) this.useView("tiles", k);
    if (move && this.view === this.map && (row >= 0 || k >= 0)) this.reveal();
    this.repaint();
    this.refresh();
    if (push) this.push();
    this.announce();
  }

  goItem(i) {
    const item = this.colouring.items[i];
    if (!item) return;
    this.state.item = i;
    if (item.tasks.length) this.go({ kind: "task", id: item.tasks[0] });
    else if (item.operators.length) this.go({ kind: "operator", id: item.operators[0] });
    else if (item.events.length) this.go({ kind: "event", id: item.events[0] });
    else {
      const tensor = this.graph.header.tensors.indexOf(item.tensors[0]);
      if (tensor >= 0) this.go({ kind: "tensor", id: tensor });
    }
    markItem(this);
    this.say(`${item.title}: ${item.text}`);
  }

  stepItem(step) {
    const count = this.colouring.items.length;
    if (count) this.goItem((this.state.item + step + count) % count);
  }

  selectedRow() {
    const { selection } = this.state;
    return selection?.kind === "task" ? this.graph.rows[selection.id] : -1;
  }

  selectedOperator() {
    const { selection } = this.state;
    if (selection?.kind === "operator") return selection.id;
    return selection?.kind === "task" ? this.graph.operatorOf[this.graph.rows[selection.id]] : -1;
  }

  // Views

  useView(name, operator) {
    this.cameras.set(this.viewKey(), { x: this.camera.x, y: this.camera.y, scale: this.camera.scale });
    this.hover = null;
    this.state.view = name;
    this.state.operator = name === "tiles" ? operator : null;
    if (name === "map") this.view = this.map;
    else if (this.view.k !== operator) this.view = new TileView(this.graph, this.painter, operator);
    const known = this.cameras.get(this.viewKey());
    if (known) this.camera.goTo(known, false);
    else this.camera.goTo(this.home(), false);
    byId("to-map").hidden = name === "map";
    byId("where").textContent = name === "map" ? "" : `${operator} ${this.graph.operators[operator].name}`;
    this.canvas.setAttribute("aria-label", name === "map" ? "Map of operators" : `Tiles of operator ${operator}`);
  }

  viewKey() {
    return `${this.state.view}:${this.state.operator ?? ""}`;
  }

  openTiles(k) {
    const selected = this.selectedOperator();
    if (selected !== k) this.state.selection = { kind: "operator", id: k };
    this.useView("tiles", k);
    this.repaint();
    this.refresh();
    this.push();
    this.announce();
  }

  openMap() {
    this.useView("map");
    if (!this.cameras.has("map:")) this.reveal(false);
    this.refresh();
    this.push();
  }

  openSelected() {
    const k = this.selectedOperator();
    if (k >= 0 && this.view === this.map) this.openTiles(k);
  }

  escape() {
    if (this.view !== this.map) this.openMap();
    else if (this.state.selection) this.go(null);
  }

  // Where a view opens: all of it, or its top where all of it could not be read.
  home() {
    const { bounds } = this.view;
    const { width, height } = this.size;
    const across = (width - 2 * MARGIN) / bounds.width;
    const whole = Math.min(1.25, across, (height - 2 * MARGIN) / bounds.height);
    const readable = Math.min(this.view === this.map ? 0.62 : 0.9, across);
    const scale = Math.max(whole, readable);
    const top = scale > whole ? MARGIN : (height - bounds.height * scale) / 2;
    return { scale, x: (width - bounds.width * scale) / 2 - bounds.x * scale, y: top - bounds.y * scale };
  }

  fit() {
    this.camera.show(this.view.bounds, this.size);
    this.dirty();
    this.settle();
  }

  pan(dx, dy) {
    this.camera.pan(dx, dy);
    this.dirty();
    this.settle();
  }

  zoom(factor) {
    this.camera.zoomAt(this.size.width / 2, this.size.height / 2, factor);
    this.dirty();
    this.settle();
  }

  // Moves so that what is selected can be seen.
  reveal(smooth = true) {
    const row = this.selectedRow();
    const k = this.selectedOperator();
    if (k < 0) return;
    if (this.view !== this.map) {
      if (this.view.k !== k) this.useView("tiles", k);
      this.fit();
      return;
    }
    if (this.scene.reveal(k)) this.outline.show();
    const card = this.map.operatorRect(k);
    const cell = row >= 0 ? this.map.cellRect(row) : null;
    const wanted = cell ? Math.max(this.camera.scale, 0.9, Math.min(26 / cell.width, 6)) : Math.max(this.camera.scale, 0.9);
    const rect = cell ?? card;
    const [sx, sy] = this.camera.toScreen(rect.x + rect.width / 2, rect.y + rect.height / 2);
    const inside = sx > 60 && sy > 60 && sx < this.size.width - 60 && sy < this.size.height - 60;
    if (inside && this.camera.scale >= wanted * 0.8) {
      this.dirty();
      return;
    }
    const scale = Math.min(wanted, 8);
    this.camera.goTo({
      scale,
      x: this.size.width / 2 - (rect.x + rect.width / 2) * scale,
      y: this.size.height / 2 - (rect.y + rect.height / 2) * scale,
    }, smooth);
    this.dirty();
    this.settle();
  }

  toggleFold() {
    const k = this.selectedOperator();
    if (k < 0) return;
    const b = this.graph.operators[k].block;
    this.fold({ kind: "block", block: b, run: this.scene.blocks[b].run });
  }

  // Folds or unfolds a frame, which stays where it is on the screen.
  fold(item) {
    const before = this.scene.itemOf.get(item.block);
    const at = before && this.camera.toScreen(before.x, before.y);
    this.scene.toggle(item);
    this.foldChanged();
    const after = this.scene.itemOf.get(item.block);
    if (at && after) {
      const [x, y] = this.camera.toScreen(after.x, after.y);
      this.camera.pan(at[0] - x, at[1] - y);
    }
    this.push();
  }

  toggleFoldAll() {
    if (this.scene.foldedRuns.size || this.scene.foldedBlocks.size) this.scene.unfoldAll();
    else {
      this.scene.foldAlike();
      if (!this.scene.foldedRuns.size) this.scene.foldAll();
    }
    this.scene.place();
    this.foldChanged();
    this.fit();
    this.push();
  }

  foldChanged() {
    this.hover = null;
    byId("fold").textContent = this.scene.foldedRuns.size || this.scene.foldedBlocks.size ? "Unfold" : "Fold";
    this.dirty();
  }

  // To the next task of the grid, or the next operator; without a selection the view moves.
  step(dx, dy) {
    const row = this.selectedRow();
    const k = this.selectedOperator();
    if (k < 0) {
      this.pan(-dx * 90, -dy * 90);
      return;
    }
    if (row >= 0) {
      const { columns } = this.graph.operators[k];
      const cell = this.graph.columns.cell[row];
      const column = (cell % columns) + dx;
      const next = column < 0 || column >= columns ? -1 : this.graph.rowAt(k, cell + dx + dy * columns);
      if (next >= 0 && cell + dx + dy * columns >= 0) this.go({ kind: "task", id: this.graph.taskIds[next] });
      return;
    }
    if (dx) this.stepOperator(dx);
    else if (dy > 0 && this.graph.operators[k].count) this.go({ kind: "task", id: this.graph.taskIds[this.graph.start[k]] });
  }

  stepOperator(step) {
    const k = this.selectedOperator();
    const next = k < 0 ? 0 : k + step;
    if (next < 0 || next >= this.graph.numOperators) return;
    if (this.view !== this.map) this.openTiles(next);
    else this.go({ kind: "operator", id: next });
  }

  // Colours, filters, order

  useColouring(colouring) {
    this.colouring = colouring;
    this.state.item = -1;
    byId("colour").value = colouring.name;
    showItems(this);
  }

  setColouring(name) {
    this.useColouring(this.colourings.get(name));
    this.filters.codes.clear();
    this.filters.low = "";
    this.filters.high = "";
    this.repaint();
    this.refresh();
    this.filters.show();
    this.outline.show();
    this.push();
  }

  nextColouring(step) {
    const names = [...this.colourings.keys()];
    this.setColouring(names[(names.indexOf(this.colouring.name) + step + names.length) % names.length]);
    this.say(`Colours: ${this.colouring.title}`);
  }

  filtersChanged() {
    this.repaint();
    this.refresh();
    this.push();
  }

  toggleOrder() {
    this.state.order = !this.state.order;
    this.repaint();
    this.refresh();
    this.push();
  }

  repaint() {
    const row = this.state.order ? this.selectedRow() : -1;
    if (row < 0) this.closure.clear();
    else if (this.closure.row !== row) {
      this.closure.find(row).then((done) => {
        if (!done) return;
        this.painter.set({ relation: this.closure.relation });
        this.refresh();
        this.say(`Task ${this.graph.taskIds[row]} waits on ${this.closure.counts.before} tasks, ${this.closure.counts.after} wait on it`);
      });
    }
    const relation = row >= 0 && this.closure.isDone ? this.closure.relation : null;
    this.painter.set({ colouring: this.colouring, mask: this.filters.mask(), relation });
    byId("clear-filter").hidden = !this.filters.isActive;
    this.dirty();
  }

  refresh() {
    this.details.show();
    this.outline.mark();
    showLegend(this, byId("legend"));
    this.foldChanged();
  }

  // Pointing

  point(x, y, event) {
    this.setHover(this.view.hit(...this.camera.toWorld(x, y)), event);
  }

  setHover(found, event) {
    const key = (h) => (h ? `${h.kind}:${h.k ?? ""}:${h.row ?? ""}:${h.event ?? ""}:${h.item?.y ?? ""}:${h.tile?.offset ?? ""}:${h.view?.x ?? ""}` : "");
    const changed = key(found) !== key(this.hover);
    this.hover = found;
    this.canvas.style.cursor = found && found.kind !== "slot" ? "pointer" : "grab";
    this.showTip(event);
    if (changed) this.dirty();
  }

  showTip(event) {
    const tip = byId("tip");
    const lines = event && this.hover ? this.tipLines(this.hover) : [];
    tip.hidden = !lines.length;
    if (!lines.length) return;
    replace(tip, ...lines.map((line, i) => el("div", { class: i ? "" : "first" }, line)));
    const box = this.canvas.getBoundingClientRect();
    const left = Math.min(event.clientX - box.left + 14, box.width - tip.offsetWidth - 6);
    const top = event.clientY - box.top + 18;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${top + tip.offsetHeight > box.height ? Math.max(4, top - tip.offsetHeight - 30) : top}px`;
  }

  tipLines(hover) {
    const { graph } = this;
    if (hover.kind === "frame") return [this.scene.title(hover.item), hover.item.folded ? "click to unfold" : "click to fold"];
    if (hover.kind === "operator") {
      const operator = graph.operators[hover.k];
      return [`operator ${hover.k} ${operator.name}`, `${operator.grid.join("×")}, ${operator.count.toLocaleString("en")} tasks`, "double click: its tiles"];
    }
    if (hover.kind === "event") return [`event ${hover.event}`, `${hover.entry.writers.size} tiles lead to it, ${hover.entry.readers.size} wait on it`];
    if (hover.kind === "slot") return [];
    const { row } = hover;
    const lines = [`task ${graph.taskIds[row]} ${graph.taskName(row)}`];
    const grid = graph.gridPosition(row);
    if (grid) lines.push(`grid (${grid.join(", ")})`);
    const said = this.colouring.name === "kind" ? "" : this.colouring.textOf(row);
    if (said) lines.push(`${this.colouring.title}: ${said}`);
    const label = this.colouring.labelOf?.(row);
    if (label) lines.push(label);
    if (hover.kind === "tile") {
      const { box } = hover.tile;
      if (box) lines.push(`[${box.starts.map((s, d) => `${s}:${box.stops[d]}`).join(", ")}]`);
      if (hover.tile.rows.length > 1) lines.push(`and ${hover.tile.rows.length - 1} more tasks have this tile`);
    } else {
      lines.push(`waits on ${graph.waitsOn[row] < 0 ? "nothing" : `e${graph.waitsOn[row]}`}, triggers ${graph.triggers[row] < 0 ? "nothing" : `e${graph.triggers[row]}`}`);
    }
    return lines;
  }

  // What is told inside of a cell that is large enough: each slot's tile.
  cellLines(row) {
    const { graph } = this;
    const lines = [];
    for (let p = 0; p < graph.columns.num_slots[row]; p++) {
      const slot = graph.slotIndex(row, p);
      const layout = graph.layout(slot);
      const tensor = graph.layoutTensor(layout);
      const box = tileBox(graph, layout, graph.offset(slot));
      const range = box ? ` [${box.starts.map((s, d) => `${s}:${box.stops[d]}`).join(", ")}]` : "";
      const arrow = p < graph.columns.num_inputs[row] ? "←" : "→";
      lines.push(tensor < 0 ? `${arrow} none` : `${arrow} ${graph.header.tensors[tensor]}${range}`);
    }
    return lines;
  }

  cellText(row) {
    const said = this.colouring.isOverlay ? this.colouring.textOf(row) : "";
    return said || this.graph.gridPosition(row).join(",");
  }

  click(x, y) {
    const found = this.view.hit(...this.camera.toWorld(x, y));
    this.canvas.focus({ preventScroll: true });
    if (!found) return;
    if (found.kind === "frame") this.fold(found.item);
    else if (found.kind === "event") this.go({ kind: "event", id: found.event }, { move: false });
    else if (found.kind === "slot") {
      if (found.slot.tensors.length) this.go({ kind: "tensor", id: found.slot.tensors[0] }, { move: false });
    } else if (found.kind === "operator" || (found.kind === "task" && found.cell * this.camera.scale < 3)) {
      this.go({ kind: "operator", id: found.k }, { move: false });
    } else this.go({ kind: "task", id: this.graph.taskIds[found.row] }, { move: false });
  }

  say(text) {
    byId("status").textContent = text;
  }

  announce() {
    const { selection } = this.state;
    if (!selection) this.say("Nothing selected");
    else if (selection.kind === "task") this.say(`Task ${selection.id}, ${this.graph.taskName(this.graph.rows[selection.id])}`);
    else if (selection.kind === "operator") this.say(`Operator ${selection.id}, ${this.graph.operators[selection.id].name}`);
    else this.say(`${selection.kind} ${this.nameOf(selection)}`);
  }

  // Theme, size, frames

  loadTheme() {
    try {
      this.theme = localStorage.getItem("mpkgraph-theme") ?? "auto";
    } catch {
      this.theme = "auto";
    }
  }

  nextTheme() {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("mpkgraph-theme", this.theme);
    } catch {
      // Without storage the choice lasts as long as the page
    }
    this.applyTheme();
    this.say(`Theme: ${this.theme}`);
  }

  applyTheme() {
    const isDark = !this.isPrinting && (this.theme === "dark" || (this.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches));
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    byId("theme").textContent = { auto: "Auto", light: "Light", dark: "Dark" }[this.theme];
    this.painter.set({ theme: readTheme(document.documentElement) });
    if (this.details.panel.childElementCount) this.refresh();
    this.dirty();
  }

  resize() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    const ratio = this.isPrinting ? 2 : Math.min(window.devicePixelRatio || 1, 2);
    const before = this.size;
    this.size = { width: Math.max(1, box.width), height: Math.max(1, box.height), ratio };
    this.canvas.width = Math.round(this.size.width * ratio);
    this.canvas.height = Math.round(this.size.height * ratio);
    this.scene.aspect = this.size.width / this.size.height;
    // What was in the middle stays there
    if (before && !this.isPrinting) this.camera.pan((this.size.width - before.width) / 2, (this.size.height - before.height) / 2);
    this.dirty();
  }

  print(isPrinting) {
    this.isPrinting = isPrinting;
    this.applyTheme();
    this.resize();
    this.draw(performance.now());
  }

  dirty() {
    if (this.isDirty) return;
    this.isDirty = true;
    requestAnimationFrame((now) => this.draw(now));
  }

  draw(now) {
    this.isDirty = false;
    if (!this.painter.theme || !this.painter.colouring) return;
    const moving = this.camera.step(now);
    const { context, size } = this;
    context.setTransform(size.ratio, 0, 0, size.ratio, 0, 0);
    context.fillStyle = this.painter.theme.back;
    context.fillRect(0, 0, size.width, size.height);
    const isComplete = this.view.draw(context, this.camera, size, this);
    this.frames++;
    if (moving || !isComplete) this.dirty();
  }
}

function numberOf(text, limit) {
  const number = /^\d+$/.test(text ?? "") ? Number(text) : limit;
  return number < limit ? number : null;
}

function showTab(tab) {
  for (const other of document.querySelectorAll("[role=tab]")) {
    const isShown = other === tab;
    other.setAttribute("aria-selected", String(isShown));
    other.tabIndex = isShown ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !isShown;
  }
}

function stepTab(event, tab) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.stopPropagation();
  const tabs = [...document.querySelectorAll("[role=tab]")].filter((t) => !t.hidden);
  const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
  showTab(next);
  next.focus();
}

async function start() {
  const started = performance.now();
  const bar = byId("loading");
  try {
    const data = byId("data");
    const bytes = await inflate(data.textContent);
    data.remove();
    const { header, columns } = await readData(bytes, (share) => { bar.value = share; });
    const app = new App(new Graph(header, columns));
    byId("veil").remove();
    if (app.colouring.items.length) showTab(byId("tab-items"));
    requestAnimationFrame(() => {
      app.openedMs = performance.now() - started;
      // For tests and for the curious
      window.mpkgraph = app;
    });
  } catch (error) {
    replace(byId("veil"), el("p", {}, `This page can't be shown: ${error.message ?? error}. It needs a browser of 2023 or later.`));
    throw error;
  }
}

start();
