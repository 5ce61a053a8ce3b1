// Draws one operator's grid of tasks, its tensors with their tiles, and the events between them.

import { css } from "./colours.js";
import { clip, isLight } from "./mapview.js";
import { counted } from "./scene.js";
import { SIDE_WIDTH, TileScene } from "./tilescene.js";

const MAX_LINKS = 700;
const MAX_DIRECT = 300;
const MAX_PICTURE = 2048;
const MAX_FONT = 19;

export class TileView {
  constructor(graph, painter, k) {
    this.graph = graph;
    this.painter = painter;
    this.name = "tiles";
    this.k = k;
    this.scene = new TileScene(graph, k);
    this.pictures = new Map();
  }

  get bounds() {
    return this.scene.bounds;
  }

  hit(x, y) {
    return this.scene.hit(x, y);
  }

  cellRect(row) {
    if (this.graph.operatorOf[row] !== this.k) return null;
    const { cell, columns } = this.scene;
    const at = this.graph.columns.cell[row];
    return { x: (at % columns) * cell, y: Math.floor(at / columns) * cell, width: cell, height: cell };
  }

  draw(context, camera, size, app) {
    const { theme } = this.painter;
    this.drawGrid(context, camera, size, theme, app);
    const lit = this.litTiles(app);
    for (const slot of this.scene.slots) {
      const [, top] = camera.toScreen(0, slot.y);
      const [, bottom] = camera.toScreen(0, slot.y + slot.height);
      if (bottom < 0 || top > size.height) continue;
      this.drawSlotHead(context, camera, slot, theme);
      for (const side of [slot.left, slot.right]) {
        for (const view of side.views) this.drawView(context, camera, side, view, theme, lit, app);
      }
      this.drawEvents(context, camera, slot, theme, lit, app);
    }
    return this.isComplete;
  }

  drawGrid(context, camera, size, theme, app) {
    const { scene, graph, k } = this;
    const s = camera.scale;
    const texture = this.painter.bitmap(k, { left: Infinity });
    this.isComplete = true;
    const [x, y] = camera.toScreen(0, 0);
    const cell = scene.cell * s;
    const operator = graph.operators[k];
    this.label(context, `${k} ${operator.name}`, x, y - 44 * s, 16 * s, theme.text, (scene.slotsX - 20) * s, true);
    const grid = `grid ${operator.grid.join("×")} · ${counted(operator.count, "task")}`;
    this.label(context, grid, x, y - 22 * s, 13 * s, theme.dim, (scene.slotsX - 20) * s);
    if (texture) {
      context.imageSmoothingEnabled = cell < 1;
      context.drawImage(texture.canvas, x, y, scene.gridRect.width * s, scene.gridRect.height * s);
    }
    const from = { c: Math.max(0, Math.floor(-x / cell)), r: Math.max(0, Math.floor(-y / cell)) };
    const to = {
      c: Math.min(scene.columns, Math.ceil((size.width - x) / cell)),
      r: Math.min(scene.lines, Math.ceil((size.height - y) / cell)),
    };
    if (cell >= 5) {
      context.fillStyle = theme.back;
      const gap = Math.min(Math.max(1, cell * 0.06), 3);
      for (let c = from.c; c <= to.c; c++) context.fillRect(x + c * cell - gap / 2, y, gap, scene.lines * cell);
      for (let r = from.r; r <= to.r; r++) context.fillRect(x, y + r * cell - gap / 2, scene.columns * cell, gap);
    }
    if (cell >= 28) this.drawLabels(context, x, y, cell, from, to);
    for (const [row, colour, width] of [[app.hover?.row ?? -1, theme.text, 2], [app.selectedRow(), theme.accent, 3]]) {
      const rect = row >= 0 ? this.cellRect(row) : null;
      if (!rect) continue;
      context.strokeStyle = colour;
      context.lineWidth = width;
      const [cx, cy] = camera.toScreen(rect.x, rect.y);
      context.strokeRect(cx, cy, Math.max(cell, 4), Math.max(cell, 4));
    }
  }

  drawLabels(context, x, y, cell, from, to) {
    const { graph, painter, scene } = this;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `${Math.min(13, cell * 0.3)}px ${painter.theme.font}`;
    for (let r = from.r; r < to.r; r++) {
      for (let c = from.c; c < to.c; c++) {
        const row = graph.rowAt(this.k, r * scene.columns + c);
        if (row < 0) continue;
        context.fillStyle = isLight(painter.colour(row)) ? "#101418" : "#ffffff";
        context.fillText(String(graph.taskIds[row]), x + (c + 0.5) * cell, y + (r + 0.5) * cell, cell * 0.9);
      }
    }
    context.textAlign = "start";
  }

  // Tiles and events that belong to what is pointed at, else to the selected task.
  litTiles(app) {
    const { scene } = this;
    const { hover } = app;
    const lit = { tiles: new Set(), events: new Set() };
    const rows = new Set();
    if (hover?.kind === "tile") hover.tile.rows.forEach((r) => rows.add(r));
    else if (hover?.row >= 0) rows.add(hover.row);
    else if (hover?.kind === "event") {
      hover.entry.writers.forEach((t) => lit.tiles.add(t));
      hover.entry.readers.forEach((t) => lit.tiles.add(t));
      lit.events.add(hover.event);
      return lit;
    } else if (app.selectedRow() >= 0) rows.add(app.selectedRow());
    for (const row of rows) {
      for (const { slot, side, tile } of scene.tilesOf(row)) {
        if (hover?.kind === "tile" && tile !== hover.tile && side.isOwn === hover.side.isOwn && slot === hover.slot) continue;
        lit.tiles.add(tile);
        const event = this.graph[side === slot.left ? "triggers" : "waitsOn"][row];
        if (event >= 0) lit.events.add(event);
      }
    }
    return lit;
  }

  drawSlotHead(context, camera, slot, theme) {
    const s = camera.scale;
    const { header, operators } = this.graph;
    const row = operators[this.k].slots[slot.position];
    const [, type, tile, whole, known, map, knownMap, name] = row;
    const [x, y] = camera.toScreen(this.scene.slotsX, slot.y);
    const width = this.scene.width * s;
    context.fillStyle = theme.line;
    context.fillRect(x, y - 8 * s, width, 1);
    this.label(context, `${slot.output ? "output" : "input"} ${slot.position}  ${name}`, x, y + 10 * s, 15 * s, theme.text, width, true);
    const dims = whole.map((n, d) => `${known[d] ? "" : "≥"}${n}`).join("×");
    const splits = map.map((dim, axis) => `${"xyz"[axis]}${knownMap[axis] ? "" : "?"}→${dim < 0 ? "–" : dim}`).join(" ");
    const kind = (header.data_types[type] ?? ["none"])[0];
    this.label(context, `${kind} ${dims || "no tensor"}, tiles ${tile.join("×")}, grid axis→dim ${splits}`, x, y + 31 * s, 13 * s, theme.dim, width);
    for (const side of [slot.left, slot.right]) {
      const [sx] = camera.toScreen(side.x, 0);
      this.label(context, this.sideTitle(slot, side), sx, y + 55 * s, 13 * s, theme.dim, SIDE_WIDTH * s);
    }
  }

  sideTitle(slot, side) {
    const verb = side === slot.left ? "written by" : "read by";
    if (!slot.tensors.length) return side.isOwn ? "no tensor" : "";
    if (!side.uses.length) return side === slot.left ? "no task writes it (a weight or an input)" : "nothing reads it";
    const names = [...new Set(side.uses.map((u) => u.k))].map((k) => `${k} ${this.graph.operators[k].name}`);
    return `${verb} ${names.slice(0, 3).join(", ")}${names.length > 3 ? ` and ${names.length - 3} more` : ""}`;
  }

  drawView(context, camera, side, view, theme, lit, app) {
    const s = camera.scale;
    const [x, y] = camera.toScreen(view.x, view.y);
    const [width, height] = [view.width * s, view.height * s];
    const [tensor, , , dims, known] = this.graph.header.views[view.number];
    const shape = dims.map((n, d) => `${known[d] ? "" : "≥"}${n}`).join("×");
    const note = view.numUnplaced ? ", not boxes: by their first byte" : "";
    this.label(context, `${this.graph.header.tensors[tensor]} ${shape}, ${counted(view.tiles.length, "tile")}${note}`, x, y - 8 * s, 12 * s, theme.dim, width);
    if (view.numRects <= MAX_DIRECT) this.drawTiles(context, view, x, y, width, height);
    else this.drawCached(context, view, x, y, width, height);
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    context.strokeRect(x, y, width, height);
    for (const tile of lit.tiles) {
      if (view.tileSet.has(tile)) this.drawLit(context, tile, x, y, width, height, theme, app);
    }
  }

  drawTiles(context, view, x, y, width, height) {
    const { theme } = this.painter;
    context.fillStyle = theme.card;
    context.fillRect(x, y, width, height);
    context.lineWidth = 0.8;
    context.strokeStyle = theme.back;
    for (const tile of view.tiles) {
      context.fillStyle = css(this.painter.colour(tile.rows[0]));
      for (const [a, b, w, h] of tile.rects) {
        const rect = [x + a * width, y + b * height, Math.max(w * width, 0.7), Math.max(h * height, 0.7)];
        context.fillRect(...rect);
        if (Math.min(rect[2], rect[3]) > 3) context.strokeRect(...rect);
      }
    }
  }

  // Many tiles are drawn once for each change of colours, and again when the view has come so close
  // that more can be seen.
  drawCached(context, view, x, y, width, height) {
    const closer = 2 ** Math.ceil(Math.log2(Math.max(width / view.width, 0.5)));
    const step = Math.min(closer, MAX_PICTURE / view.width);
    let picture = this.pictures.get(view);
    if (!picture || picture.version !== this.painter.version || picture.step !== step) {
      const canvas = picture?.canvas ?? document.createElement("canvas");
      canvas.width = Math.ceil(view.width * step);
      canvas.height = Math.ceil(view.height * step);
      this.drawTiles(canvas.getContext("2d"), view, 0, 0, canvas.width, canvas.height);
      picture = { canvas, step, version: this.painter.version };
      this.pictures.set(view, picture);
    }
    context.imageSmoothingEnabled = true;
    context.drawImage(picture.canvas, x, y, width, height);
  }

  drawLit(context, tile, x, y, width, height, theme, app) {
    const isHot = app.hover?.tile === tile || tile.rows.includes(app.selectedRow());
    context.strokeStyle = isHot ? theme.accent : theme.text;
    context.lineWidth = isHot ? 2.5 : 1.8;
    for (const [a, b, w, h] of tile.rects) {
      context.strokeRect(x + a * width, y + b * height, Math.max(w * width, 2), Math.max(h * height, 2));
    }
  }

  drawEvents(context, camera, slot, theme, lit, app) {
    if (!slot.events.length) {
      if (slot.left.uses.length && slot.right.uses.length && slot.tensors.length) {
        const [x, y] = camera.toScreen(this.scene.slotsX + SIDE_WIDTH + 12, slot.y + slot.head + 34);
        this.label(context, "no event in common:", x, y, 11 * camera.scale, theme.dim, 132 * camera.scale);
        this.label(context, "ordered by others, if at all", x, y + 15 * camera.scale, 11 * camera.scale, theme.dim, 132 * camera.scale);
      }
      return;
    }
    const faint = [];
    const strong = [];
    for (const side of [slot.left, slot.right]) {
      const name = side === slot.left ? "writers" : "readers";
      for (const view of side.views) {
        for (const event of slot.events) {
          const isNear = lit.events.has(event.event);
          if (!isNear && slot.numLinks > MAX_LINKS) continue;
          for (const tile of event[name]) {
            if (!view.tileSet.has(tile)) continue;
            const isLit = isNear && lit.tiles.has(tile);
            if (isLit || slot.numLinks <= MAX_LINKS) (isLit ? strong : faint).push([view, tile, event]);
          }
        }
      }
    }
    this.strokeLinks(context, camera, slot, faint, theme.edge, lit.events.size ? 0.25 : 0.6, 0.8);
    this.strokeLinks(context, camera, slot, strong, theme.accent, 1, 1.8);
    for (const event of slot.events) {
      const [x, y] = camera.toScreen(event.x, event.y);
      const isLit = lit.events.has(event.event);
      const room = ((slot.height - slot.head) / slot.events.length) * camera.scale;
      const size = Math.max(1.5, Math.min(6 * camera.scale, room / 2.2)) * (isLit ? 1.4 : 1);
      context.fillStyle = isLit ? theme.accent : theme.dim;
      context.beginPath();
      context.moveTo(x - size, y);
      context.lineTo(x, y - size);
      context.lineTo(x + size, y);
      context.lineTo(x, y + size);
      context.fill();
      if ((room > 12 && camera.scale > 0.7) || isLit) {
        this.label(context, `e${event.event}`, x + size + 3, y, Math.max(10, Math.min(10.5 * camera.scale, 13)), theme.dim, 60 * camera.scale);
      }
    }
    if (slot.numLinks > MAX_LINKS && !lit.events.size) {
      const [x, y] = camera.toScreen(this.scene.slotsX + SIDE_WIDTH + 8, slot.y + slot.head);
      this.label(context, "point at a tile for its edges", x, y, 11 * camera.scale, theme.dim, 136 * camera.scale);
    }
  }

  strokeLinks(context, camera, slot, links, colour, alpha, width) {
    if (!links.length) return;
    context.strokeStyle = colour;
    context.globalAlpha = alpha;
    context.lineWidth = width;
    context.beginPath();
    for (const [view, tile, event] of links) {
      const from = camera.toScreen(...this.scene.touch(view, tile));
      const edge = camera.toScreen(view.x < event.x ? view.x + view.width : view.x, 0)[0];
      const to = camera.toScreen(event.x, event.y);
      const bend = (to[0] - edge) * 0.7;
      context.moveTo(...from);
      context.bezierCurveTo(edge, from[1], to[0] - bend, to[1], ...to);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  label(context, text, x, y, size, colour, width, bold = false) {
    if (size < 5.5) return;
    context.font = `${bold ? "600 " : ""}${Math.min(size, MAX_FONT)}px ${this.painter.theme.font}`;
    context.fillStyle = colour;
    context.textBaseline = "middle";
    context.fillText(clip(context, text, width), x, y);
  }
}
