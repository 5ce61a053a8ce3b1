// The panel on the right: everything about the selected task, operator, event or tensor.

import { bytesText, el, facts, link, replace, swatch } from "./dom.js";
import { css, numberText } from "./colours.js";
import { METADATA } from "./graph.js";
import { counted } from "./scene.js";
import { RELATION } from "./closure.js";
import { tileBox } from "./tiles.js";

const MAX_LISTED = 24;
const HOLDS = { x: "grid x", y: "grid y", z: "grid z", linear: "x + y·X + z·X·Y" };

export class Details {
  constructor(app, panel) {
    this.app = app;
    this.graph = app.graph;
    this.panel = panel;
  }

  show() {
    const { selection } = this.app.state;
    const parts = selection ? this[selection.kind](selection.id) : this.overview();
    replace(this.panel, parts);
    this.panel.scrollTop = 0;
  }

  overview() {
    const { header } = this.graph;
    const { app } = this;
    return [
      el("h2", {}, header.title),
      facts([
        ["rank", String(header.rank)],
        ["tasks", header.num_tasks.toLocaleString("en")],
        ["events", header.num_events.toLocaleString("en")],
        ["operators", `${this.graph.numOperators.toLocaleString("en")}, ${header.origin}`],
        ["tensors", header.tensors.length.toLocaleString("en")],
        ["depth", `${counted(header.depth, "task")} on the longest chain`],
        ["target", header.target_cc === null ? null : `compute capability ${header.target_cc}`],
        ["names from", header.names_from],
      ]),
      header.cycle.length ? el("p", { class: "warn" }, `The events wait on each other in a cycle: ${header.cycle.slice(0, 12).map((e) => `e${e}`).join(" → ")}`) : null,
      header.notes.map((note) => el("p", { class: "dim" }, note)),
      this.extras("unknown fields", header.extras[2]),
      el("p", { class: "dim" }, "Click a card for its operator, a cell for its task, press ? for the keys."),
      ...header.overlays.map((o) => el("p", {}, el("strong", {}, o.title), o.description ? `: ${o.description}` : "")),
    ];
  }

  head(kind, name, ...buttons) {
    return el("div", { class: "head" }, el("h2", {}, el("span", { class: "what" }, `${kind} `), name), el("div", { class: "buttons" }, ...buttons));
  }

  button(text, title, action, pressed = null) {
    const button = el("button", { type: "button", title, onclick: action }, text);
    if (pressed !== null) button.setAttribute("aria-pressed", String(pressed));
    return button;
  }

  task(id) {
    const { graph, app } = this;
    const row = graph.rows[id];
    const type = graph.columns.task_type[row];
    if (type === -1) return [this.head("task", String(id)), el("p", {}, "The file holds null in its place.")];
    const k = graph.operatorOf[row];
    const grid = graph.gridPosition(row);
    const { sub } = k < 0 ? { sub: 1 } : graph.operators[k];
    const level = graph.columns.level[row];
    return [
      this.head("task", String(id),
        k >= 0 ? this.button("Tiles", "Its operator's tiles (Enter)", () => app.openTiles(k)) : null,
        this.button("Order", "Light up all that it waits on and all that waits on it (o)", () => app.toggleOrder(), app.state.order),
        this.button("Locate", "Move the map there (.)", () => app.reveal())),
      facts([
        ["type", `${graph.typeName(type)} (${type})`],
        ["operator", k < 0 ? null : link(app, "operator", k, `${k} ${graph.operators[k].name}`)],
        ["grid", grid && `(${grid.join(", ")})${sub > 1 ? `, subtask ${graph.columns.cell[row] % sub}` : ""}`],
        ["variant_id", String(graph.wide("variant_id", row, true))],
        ["level", level < 0 ? "in or behind a cycle, or none" : String(level)],
        [app.colouring.title.toLowerCase(), app.colouring.isOverlay ? app.colouring.textOf(row) : null],
        ["note", app.colouring.labelOf?.(row)],
      ]),
      app.state.order ? this.order(row) : null,
      el("h3", {}, "Events"),
      facts([
        ["waits on", this.eventOf("dependent_event", row, "triggers", "triggered by")],
        ["triggers", this.eventOf("trigger_event", row, "waitsOn", "waited on by")],
      ]),
      el("h3", {}, "Tiles"),
      this.tiles(row),
      el("h3", {}, "Metadata"),
      this.metadata(row, type),
      this.extras("Unknown fields", this.extrasOf("task", graph.header.extras[0], row)),
    ];
  }

  eventOf(name, row, column, verb) {
    const { graph, app } = this;
    const event = graph.event(name, row);
    if (!event) return "no event";
    const node = name === "dependent_event" ? graph.waitsOn[row] : graph.triggers[row];
    const rows = graph.rowsOf(node, column);
    const where = event.rank === graph.header.rank ? "" : ` of rank ${event.rank}`;
    const label = `event ${event.index}${where}`;
    return el("div", {},
      event.index < graph.numEvents ? link(app, "event", event.index, label) : label,
      event.nvshmem ? " NVSHMEM" : "",
      el("div", { class: "dim mono" }, `id ${event.id}`),
      el("div", {}, `${verb} ${counted(rows.length, "task")}`, rows.length ? ": " : "", this.groups(rows)));
  }

  // Rows by operator, as links: the operator, and its first tasks.
  groups(rows) {
    const { graph, app } = this;
    const byOperator = new Map();
    for (const row of rows) {
      const k = graph.operatorOf[row];
      if (!byOperator.has(k)) byOperator.set(k, []);
      byOperator.get(k).push(row);
    }
    const parts = [...byOperator].slice(0, MAX_LISTED).map(([k, members]) => el("div", { class: "group" },
      k >= 0 ? link(app, "operator", k, `${k} ${graph.operators[k].name}`) : "no operator",
      " ",
      ...members.slice(0, 6).flatMap((row) => [link(app, "task", graph.taskIds[row], String(graph.taskIds[row])), " "]),
      members.length > 6 ? `… ${members.length} in all` : null));
    if (byOperator.size > MAX_LISTED) parts.push(el("div", { class: "dim" }, `and ${byOperator.size - MAX_LISTED} more operators`));
    return el("div", {}, ...parts);
  }

  order(row) {
    const { closure } = this.app;
    if (closure.row !== row || !closure.isDone) return el("p", { class: "dim", role: "status" }, "Following the events …");
    const { before, after } = closure.counts;
    const others = this.graph.numTasks - before - after - 1;
    const colours = this.app.painter.theme.relationCss;
    const line = (code, text) => el("div", {}, swatch(colours[code]), " ", text);
    return el("section", { class: "order", "aria-label": "Order" },
      el("h3", {}, "Order"),
      line(RELATION.before, `waits on ${counted(before, "task")}`),
      line(RELATION.justBefore, "of them those that trigger its event"),
      line(RELATION.after, `${counted(after, "task")} wait${after === 1 ? "s" : ""} on it`),
      line(RELATION.justAfter, "of them those that wait on its event"),
      el("div", { class: "dim" }, `${others.toLocaleString("en")} others are in no order with it`),
      el("h3", {}, "Tiles that meet its own"),
      this.overlaps(row));
  }

  overlaps(row) {
    const { graph, app } = this;
    const { overlaps, relation } = app.closure;
    if (!overlaps.length) return el("p", { class: "dim" }, "No other task's tile shares bytes with what it writes, or writes what it reads.");
    const groups = new Map();
    for (const found of overlaps) {
      const k = graph.operatorOf[found.row];
      const when = { 1: "before", 2: "before", 3: "after", 4: "after" }[relation[found.row]] ?? "in no order";
      const key = `${k}:${found.mine}:${found.theirs}:${when}`;
      if (!groups.has(key)) groups.set(key, { k, when, ...found, rows: [], total: 0 });
      const group = groups.get(key);
      group.rows.push(found.row);
      group.total += Math.max(found.bytes, 0);
      group.isUnknown ||= found.bytes < 0;
    }
    const here = graph.operatorOf[row];
    const sorted = [...groups.values()].sort((a, b) => Math.abs(a.k - here) - Math.abs(b.k - here));
    const inputs = graph.columns.num_inputs[row];
    const rows = sorted.slice(0, MAX_LISTED).map((g) => el("li", { class: g.when === "in no order" ? "unordered" : "" },
      `${g.mine < inputs ? "input" : "output"} ${g.mine} is ${g.output ? "written" : "read"} `,
      el("strong", {}, g.when), " by ",
      link(app, "operator", g.k, `${g.k} ${graph.operators[g.k].name}`), " ",
      ...g.rows.slice(0, 4).flatMap((r) => [link(app, "task", graph.taskIds[r], String(graph.taskIds[r])), " "]),
      g.rows.length > 4 ? `… ${g.rows.length} tasks ` : "",
      el("span", { class: "dim" }, g.isUnknown ? "(bytes not told)" : `(${bytesText(g.total)})`)));
    if (sorted.length > MAX_LISTED) rows.push(el("li", { class: "dim" }, `and ${sorted.length - MAX_LISTED} more operators further away`));
    return el("ul", { class: "plain" }, ...rows);
  }

  tiles(row) {
    const { graph, app } = this;
    const { header, columns } = graph;
    const parts = [];
    for (let p = 0; p < columns.num_slots[row]; p++) {
      const slot = graph.slotIndex(row, p);
      const [view, type, dims, strides, bytes, extra] = header.layouts[graph.layout(slot)];
      const kind = p < columns.num_inputs[row] ? "input" : "output";
      if (view < 0) {
        parts.push(el("div", { class: "slot" }, `${kind} ${p}: none`));
        continue;
      }
      const tensor = header.views[view][0];
      const box = tileBox(graph, graph.layout(slot), graph.offset(slot));
      const range = box ? `[${box.starts.map((s, d) => `${s}:${box.stops[d]}`).join(", ")}]` : "no box of the tensor";
      parts.push(el("div", { class: "slot" },
        el("div", {}, `${kind} ${p}: `, link(app, "tensor", tensor, header.tensors[tensor])),
        el("div", { class: "mono" }, range),
        el("div", { class: "dim" }, `${(header.data_types[type] ?? ["?"])[0]} ${dims.join("×") || "scalar"}, strides ${strides.join(", ")}, offset ${graph.wide("slot_offset", slot, true)} B${bytes >= 0 ? `, ${bytesText(Number(bytes))}` : ""}`),
        this.extras("unknown fields", extra)));
    }
    return el("div", {}, ...(parts.length ? parts : [el("p", { class: "dim" }, "It has no tensors.")]));
  }

  metadata(row, type) {
    const holds = new Map((this.graph.header.task_types[type] ?? [0, 0, 0, []])[3]);
    return facts(METADATA.map((name) => [name, `${this.graph.columns[name][row]}${holds.has(name) ? ` (${HOLDS[holds.get(name)] ?? holds.get(name)})` : ""}`]));
  }

  extrasOf(kind, tables, index) {
    const found = {};
    tables.forEach((table, i) => {
      const code = this.graph.columns[`${kind}.${i}`][index];
      if (code >= 0) found[table.name] = table.values[code];
    });
    return found;
  }

  extras(title, values) {
    if (!values || !Object.keys(values).length) return null;
    return el("div", {}, el("h3", {}, title), facts(Object.entries(values).map(([name, value]) => [name, JSON.stringify(value)])));
  }

  operator(k) {
    const { graph, app } = this;
    const operator = graph.operators[k];
    const { header } = graph;
    const { before, after } = graph.neighbours(k);
    const first = graph.start[k];
    const block = header.blocks[operator.block];
    const neighbours = (list) => (list.length
      ? el("div", {}, ...list.slice(0, MAX_LISTED).map((n) => el("div", {}, link(app, "operator", n.k, `${n.k} ${graph.operators[n.k].name}`), ` ${counted(n.events, "event")}${n.remote ? " of other ranks" : ""}`)))
      : "none");
    return [
      this.head("operator", `${k} ${operator.name}`,
        this.button("Tiles", "Its tasks and tiles (Enter)", () => app.openTiles(k)),
        this.button("Locate", "Move the map there (.)", () => app.reveal())),
      facts([
        ["task type", `${graph.typeName(operator.type)} (${operator.type})`],
        ["layer method", operator.method],
        ["your line", operator.site],
        ["in the record", operator.where],
        ["model layer", block.layer === null ? null : String(block.layer)],
        ["grid", operator.grid.map((n, a) => `${n}${operator.known[a] ? "" : "?"}`).join(" × ")],
        ["subtasks", operator.sub > 1 ? `${operator.sub} at each grid point` : null],
        ["tasks", operator.count ? this.range(first, operator.count) : "none"],
        ["missing", operator.missing ? `${operator.missing} grid points have no task in the file` : null],
        ["variant_id", operator.variants.join(", ")],
        [app.colouring.title.toLowerCase(), app.colouring.isOverlay && operator.count ? this.spread(k) : null],
      ]),
      operator.doubts ? el("ul", { class: "plain warn" }, ...operator.doubts.map((d) => el("li", {}, d))) : null,
      el("h3", {}, "Tensors"),
      ...operator.slots.map((slot, p) => this.slotLine(k, slot, p)),
      el("h3", {}, "Waits on"), neighbours(before),
      el("h3", {}, "Waited on by"), neighbours(after),
    ];
  }

  range(first, count) {
    const { graph, app } = this;
    let low = Infinity;
    let high = -1;
    for (let r = first; r < first + count; r++) {
      low = Math.min(low, graph.taskIds[r]);
      high = Math.max(high, graph.taskIds[r]);
    }
    return el("span", {}, `${count.toLocaleString("en")}: `, link(app, "task", low, String(low)), " to ", link(app, "task", high, String(high)));
  }

  // What an overlay says of an operator's tasks.
  spread(k) {
    const { graph, app } = this;
    const { colouring } = app;
    if (colouring.kind === "value") {
      let [low, high, sum, count] = [Infinity, -Infinity, 0, 0];
      for (let r = graph.start[k]; r < graph.start[k + 1]; r++) {
        const v = colouring.valueOf(r);
        if (Number.isNaN(v)) continue;
        low = Math.min(low, v);
        high = Math.max(high, v);
        sum += v;
        count++;
      }
      return count ? `${numberText(low)} to ${numberText(high)}, mean ${numberText(sum / count)} ${colouring.unit}` : "no values";
    }
    const counts = new Map();
    for (let r = graph.start[k]; r < graph.start[k + 1]; r++) {
      const code = colouring.codeOf(r);
      if (code >= 0) counts.set(code, (counts.get(code) ?? 0) + 1);
    }
    const parts = [...counts].sort((a, b) => a[0] - b[0]).map(([code, n]) => el("div", {}, swatch(css(colouring.categories[code].colour)), ` ${colouring.categories[code].name}: ${counted(n, "task")}`));
    return el("div", {}, ...(parts.length ? parts : ["no task"]));
  }

  slotLine(k, slot, p) {
    const { graph, app } = this;
    const [output, type, tile, whole, known, map, knownMap, name] = slot;
    const tensors = graph.slotTensors(k, p);
    const dims = whole.map((n, d) => `${known[d] ? "" : "≥"}${n}`).join("×");
    const splits = map.flatMap((dim, axis) => (dim >= 0 ? [`${"xyz"[axis]} splits dim ${dim}${knownMap[axis] ? "" : " (not certain)"}`] : []));
    return el("div", { class: "slot" },
      el("div", {}, `${output ? "output" : "input"} ${p}: `,
        ...(tensors.length ? tensors.slice(0, 8).flatMap((t, i) => [i ? " + " : "", link(app, "tensor", t, graph.header.tensors[t])]) : [name])),
      tensors.length ? el("div", { class: "dim" }, `${(graph.header.data_types[type] ?? ["?"])[0]} ${dims}, tile ${tile.join("×")}${splits.length ? `, ${splits.join(", ")}` : ""}`) : null);
  }

  event(id) {
    const { graph } = this;
    const { columns, header } = graph;
    const type = columns.event_type[id];
    return [
      this.head("event", String(id)),
      facts([
        ["type", `${header.event_types[type] ?? "EVENT"} (${type})`],
        ["num_triggers", String(graph.wide("num_triggers", id, true))],
        ["range", `[${graph.wide("first_task_id", id)}, ${graph.wide("last_task_id", id)})`],
        ["level", columns.event_level[id] < 0 ? "in or behind a cycle" : String(columns.event_level[id])],
      ]),
      ...[["Triggered by", "triggers"], ["Waited on by", "waitsOn"]].flatMap(([title, column]) => {
        const rows = graph.rowsOf(id, column);
        return [el("h3", {}, `${title} ${counted(rows.length, "task")}`), this.groups(rows)];
      }),
      this.extras("Unknown fields", this.extrasOf("event", header.extras[1], id)),
    ];
  }

  tensor(id) {
    const { graph, app } = this;
    const { header } = graph;
    const uses = graph.usesOf(id);
    const list = (output) => {
      const found = uses.filter((u) => u.output === output);
      return [
        el("h3", {}, `${output ? "Written" : "Read"} by ${counted(found.length, "operator slot")}`),
        ...found.slice(0, 80).map((u) => el("div", {}, link(app, "operator", u.k, `${u.k} ${graph.operators[u.k].name}`), ` ${output ? "output" : "input"} ${u.position}, `, counted(graph.operators[u.k].count, "task"))),
        found.length > 80 ? el("div", { class: "dim" }, `and ${found.length - 80} more`) : null,
      ];
    };
    const views = header.views.filter((v) => v[0] === id);
    return [
      this.head("tensor", header.tensors[id],
        this.button("Filter", "Show only the tasks that touch it", () => app.filters.setTensor(id))),
      ...views.map(([, type, strides, dims, known]) => facts([
        ["type", (header.data_types[type] ?? ["?"])[0]],
        ["dims", dims.map((n, d) => `${known[d] ? "" : "≥"}${n}`).join(" × ") || "scalar"],
        ["strides", strides.join(", ")],
      ])),
      ...list(true), ...list(false),
    ];
  }
}
