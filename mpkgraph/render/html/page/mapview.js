// The map: blocks of operators, each a card with its grid of tasks. What is too small to be seen is
// left out, so that a frame costs what is on the screen and not what is in the graph.

import { css, rgb } from "./colours.js";
import { counted, FRAME } from "./scene.js";

const FLAT_WIDTH = 30;
const TEXT_WIDTH = 74;
const DETAIL_WIDTH = 118;
const GAP_CELL = 7;
const LABEL_CELL = 34;
const STORY_CELL = 190;
const MAX_LINKS = 400;
const BUDGET_MS = 7;

export class MapView {
  constructor(graph, scene, painter) {
    Object.assign(this, { graph, scene, painter, name: "map" });
    [this.cardWidth, this.cardHeight, this.gridTop, this.gridWidth, this.gridHeight, this.maxCell] = graph.header.card;
  }

  get bounds() {
    return this.scene.bounds;
  }

  cellSize(k) {
    const { columns } = this.graph.operators[k];
    return Math.min(this.maxCell, this.gridWidth / columns, this.gridHeight / this.graph.gridRows(k));
  }

  // Where a row's cell is in the world; null where it is folded away or of no operator.
  cellRect(row) {
    const k = this.graph.operatorOf[row];
    if (k < 0) return null;
    const card = this.scene.card(k);
    if (card.folded) return null;
    const size = this.cellSize(k);
    const cell = this.graph.columns.cell[row];
    const { columns } = this.graph.operators[k];
    return {
      x: card.x + 8 + (cell % columns) * size,
      y: card.y + this.gridTop + Math.floor(cell / columns) * size,
      width: size, height: size,
    };
  }

  operatorRect(k) {
    const card = this.scene.card(k);
    if (card.folded) return card.folded;
    return { x: card.x, y: card.y, width: this.cardWidth, height: this.cardHeight };
  }

  hit(x, y) {
    const found = this.scene.hit(x, y);
    if (found?.kind !== "operator") return found;
    const size = this.cellSize(found.k);
    const { columns } = this.graph.operators[found.k];
    const column = Math.floor((found.x - 8) / size);
    const line = Math.floor((found.y - this.gridTop) / size);
    if (column >= 0 && column < columns && line >= 0) {
      const row = this.graph.rowAt(found.k, line * columns + column);
      if (row >= 0) return { ...found, kind: "task", row, cell: size };
    }
    return found;
  }

  draw(context, camera, size, app) {
    const { theme } = this.painter;
    const [left, top] = camera.toWorld(0, 0);
    const [right, bottom] = camera.toWorld(size.width, size.height);
    const seen = { left, top, right, bottom };
    const budget = { left: app.isPrinting ? Infinity : BUDGET_MS };
    this.isComplete = true;
    for (const item of this.scene.items) {
      if (item.x < right && item.x + item.width > left && item.y < bottom && item.y + item.height > top) {
        this.drawFrame(context, camera, item, theme, app);
      }
    }
    this.drawEdges(context, camera, seen, theme, app);
    for (const item of this.scene.items) {
      if (item.x < right && item.x + item.width > left && item.y < bottom && item.y + item.height > top) {
        this.drawTitle(context, camera, item, theme);
      }
      if (item.folded || item.x > right || item.x + item.width < left || item.y > bottom || item.y + item.height < top) continue;
      for (const k of this.scene.members[item.block]) {
        const card = this.scene.card(k);
        if (card.x < right && card.x + this.cardWidth > left && card.y < bottom && card.y + this.cardHeight > top) {
          this.drawCard(context, camera, seen, k, card, theme, app, budget);
        }
      }
    }
    this.drawLinks(context, camera, theme, app);
    return this.isComplete;
  }

  drawFrame(context, camera, item, theme, app) {
    const [x, y] = camera.toScreen(item.x, item.y);
    const s = camera.scale;
    const [width, height] = [item.width * s, item.height * s];
    const isHot = app.hover?.kind === "frame" && app.hover.item.block === item.block && app.hover.item.kind === item.kind;
    context.fillStyle = isHot ? theme.frameHot : theme.frame;
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    context.setLineDash(item.kind === "stub" ? [4, 3] : []);
    context.beginPath();
    context.roundRect(x, y, width, height, Math.min(8 * s, 8));
    context.fill();
    if (s > 0.05) context.stroke();
    context.setLineDash([]);
  }

  // Above the edges, which may run behind it; it stays in sight while its frame does.
  drawTitle(context, camera, item, theme) {
    const [x, y] = camera.toScreen(item.x, item.y);
    const s = camera.scale;
    const width = item.width * s;
    const font = Math.min(13, 15 * s);
    if (font < 5.5 || width < 60) return;
    context.font = `${font}px ${theme.font}`;
    context.textBaseline = "middle";
    const bar = (item.folded ? item.height : FRAME.title + 4) * s;
    const left = Math.max(x, Math.min(0, x + width - 200)) + 10;
    const text = clip(context, `${item.folded ? "▸" : "▾"} ${this.scene.title(item)}`, x + width - left - 8);
    context.fillStyle = theme.frame;
    context.fillRect(left - 3, y + bar / 2 - font * 0.7, context.measureText(text).width + 6, font * 1.4);
    context.fillStyle = theme.dim;
    context.fillText(text, left, y + bar / 2);
  }

  drawEdges(context, camera, seen, theme, app) {
    const s = camera.scale;
    const hot = app.hover?.k ?? -1;
    const chosen = app.selectedOperator();
    const lines = { plain: [], remote: [], hot: [] };
    for (const edge of this.scene.edges) {
      const p = edge.points;
      let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
      for (let i = 0; i < p.length; i += 2) {
        if (p[i] < x0) x0 = p[i];
        if (p[i] > x1) x1 = p[i];
        if (p[i + 1] < y0) y0 = p[i + 1];
        if (p[i + 1] > y1) y1 = p[i + 1];
      }
      if (x0 > seen.right || x1 < seen.left || y0 > seen.bottom || y1 < seen.top) continue;
      if ((x1 - x0 + y1 - y0) * s < 3) continue;
      const isHot = [hot, chosen].some((k) => k >= 0 && (edge.tail === k || edge.head === k));
      lines[isHot ? "hot" : edge.remote ? "remote" : "plain"].push(edge);
    }
    this.strokeEdges(context, camera, lines.plain, theme.edge, s < 0.2 ? 0.7 : 1.2);
    this.strokeEdges(context, camera, lines.remote, theme.remote, 1.4, [5, 4]);
    this.strokeEdges(context, camera, lines.hot, theme.accent, 2);
    if (s < 0.8) return;
    context.font = `10px ${theme.font}`;
    context.textBaseline = "bottom";
    context.fillStyle = theme.dim;
    for (const edge of [...lines.plain, ...lines.hot, ...lines.remote]) {
      if (edge.points.length === 4 && edge.events > 1) {
        const [x, y] = camera.toScreen(edge.points[0], edge.points[1]);
        const room = (edge.points[2] - edge.points[0]) * s;
        context.fillText(clip(context, `${edge.events} ev`, room - 8), x + 4, y - 2);
      }
    }
  }

  strokeEdges(context, camera, edges, colour, width, dash = []) {
    if (!edges.length) return;
    const s = camera.scale;
    context.strokeStyle = colour;
    context.fillStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    for (const { points } of edges) {
      context.moveTo(points[0] * s + camera.x, points[1] * s + camera.y);
      for (let i = 2; i < points.length; i += 2) context.lineTo(points[i] * s + camera.x, points[i + 1] * s + camera.y);
    }
    context.stroke();
    context.setLineDash([]);
    if (s < 0.25) return;
    context.beginPath();
    const tip = Math.min(7, 7 * s);
    for (const { points } of edges) {
      const x = points[points.length - 2] * s + camera.x;
      const y = points[points.length - 1] * s + camera.y;
      context.moveTo(x, y);
      context.lineTo(x - tip, y - tip / 2);
      context.lineTo(x - tip, y + tip / 2);
    }
    context.fill();
  }

  drawCard(context, camera, seen, k, card, theme, app, budget) {
    const s = camera.scale;
    const [x, y] = camera.toScreen(card.x, card.y);
    const [width, height] = [this.cardWidth * s, this.cardHeight * s];
    const texture = this.painter.texture(k, budget);
    if (!texture || texture.version !== this.painter.version) this.isComplete = false;
    if (width < FLAT_WIDTH) {
      context.fillStyle = texture ? css(texture.colour) : theme.card;
      context.fillRect(x, y, Math.max(width, 1), Math.max(height, 1));
      return;
    }
    const isChosen = app.selectedOperator() === k;
    context.fillStyle = theme.card;
    context.strokeStyle = isChosen ? theme.accent : app.hover?.k === k ? theme.text : theme.line;
    context.lineWidth = isChosen ? 2.5 : 1;
    context.beginPath();
    if (width < 3000) context.roundRect(x, y, width, height, Math.min(5 * s, 6));
    else context.rect(x, y, width, height);
    context.fill();
    if (texture) {
      context.fillStyle = css(texture.colour);
      context.fillRect(x + 1, y + 1, Math.min(4 * s, 6), height - 2);
    }
    context.stroke();
    this.drawText(context, x, y, width, s, k, theme, texture);
    this.drawGrid(context, camera, seen, k, card, theme, app, budget);
  }

  drawText(context, x, y, width, s, k, theme, texture) {
    if (width < TEXT_WIDTH) return;
    const operator = this.graph.operators[k];
    const font = Math.min(13 * s, 16);
    const left = x + 9 * Math.min(s, 1.3);
    const room = x + width - left - 6;
    context.globalAlpha = texture && !texture.isLit ? 0.4 : 1;
    context.textBaseline = "middle";
    context.fillStyle = theme.text;
    context.font = `600 ${font}px ${theme.font}`;
    context.fillText(clip(context, `${k} ${operator.name}`, room), left, y + 12 * s);
    if (width >= DETAIL_WIDTH) {
      context.fillStyle = theme.dim;
      context.font = `${font * 0.86}px ${theme.font}`;
      const size = operator.grid.map((n, a) => `${n}${operator.known[a] ? "" : "?"}`).join("×");
      context.fillText(clip(context, `${size} · ${counted(operator.count, "task")}`, room), left, y + 28 * s);
    }
    context.globalAlpha = 1;
  }

  drawGrid(context, camera, seen, k, card, theme, app, budget) {
    const { graph } = this;
    const texture = this.painter.bitmap(k, budget);
    if (!texture || !texture.isPainted) this.isComplete = false;
    if (!texture) return;
    const s = camera.scale;
    const cell = this.cellSize(k) * s;
    const { columns } = graph.operators[k];
    const lines = graph.gridRows(k);
    const [x, y] = camera.toScreen(card.x + 8, card.y + this.gridTop);
    // Cut to what is seen: a bitmap that is blown up far beyond the screen is slow to draw
    const from = { c: Math.max(0, Math.floor(-x / cell)), r: Math.max(0, Math.floor(-y / cell)) };
    const to = {
      c: Math.min(columns, Math.ceil((camera.toScreen(seen.right, 0)[0] - x) / cell)),
      r: Math.min(lines, Math.ceil((camera.toScreen(0, seen.bottom)[1] - y) / cell)),
    };
    if (to.c <= from.c || to.r <= from.r) return;
    context.imageSmoothingEnabled = cell < 1;
    context.drawImage(
      texture.canvas, from.c, from.r, to.c - from.c, to.r - from.r,
      x + from.c * cell, y + from.r * cell, (to.c - from.c) * cell, (to.r - from.r) * cell,
    );
    if (cell >= GAP_CELL) this.drawGaps(context, x, y, cell, from, to, theme);
    if (cell >= LABEL_CELL) this.drawLabels(context, x, y, cell, from, to, k, app);
  }

  drawGaps(context, x, y, cell, from, to, theme) {
    const width = Math.min(Math.max(1, cell * 0.07), 3);
    context.fillStyle = theme.card;
    for (let c = from.c; c <= to.c; c++) {
      context.fillRect(x + c * cell - width / 2, y + from.r * cell, width, (to.r - from.r) * cell);
    }
    for (let r = from.r; r <= to.r; r++) {
      context.fillRect(x + from.c * cell, y + r * cell - width / 2, (to.c - from.c) * cell, width);
    }
  }

  drawLabels(context, x, y, cell, from, to, k, app) {
    const { graph, painter } = this;
    const { columns } = graph.operators[k];
    context.textBaseline = "middle";
    context.textAlign = "center";
    const font = Math.min(cell * 0.26, 13);
    context.font = `600 ${font}px ${painter.theme.font}`;
    for (let r = from.r; r < to.r; r++) {
      for (let c = from.c; c < to.c; c++) {
        const row = graph.rowAt(k, r * columns + c);
        if (row < 0) continue;
        context.fillStyle = isLight(painter.colour(row)) ? "#101418" : "#ffffff";
        const middle = y + (r + 0.5) * cell;
        context.fillText(String(graph.taskIds[row]), x + (c + 0.5) * cell, middle - (cell > 60 ? font * 0.7 : 0), cell * 0.9);
        if (cell > 60) {
          context.font = `${font * 0.85}px ${painter.theme.font}`;
          context.fillText(app.cellText(row), x + (c + 0.5) * cell, middle + font * 0.7, cell * 0.92);
          if (cell > STORY_CELL) {
            app.cellLines(row).forEach((line, i) => {
              context.fillText(clip(context, line, cell * 0.92), x + (c + 0.5) * cell, middle + font * (2.4 + 1.5 * i));
            });
          }
          context.font = `600 ${font}px ${painter.theme.font}`;
        }
      }
    }
    context.textAlign = "start";
  }

  // Events as edges: from the tasks that trigger what the selected task waits on, to those that
  // wait on what it triggers.
  drawLinks(context, camera, theme, app) {
    const row = app.selectedRow();
    if (row >= 0) {
      const { graph } = this;
      const before = graph.rowsOf(graph.waitsOn[row], "triggers");
      const after = graph.rowsOf(graph.triggers[row], "waitsOn");
      this.strokeLinks(context, camera, row, before, theme.relationCss[2], false);
      this.strokeLinks(context, camera, row, after, theme.relationCss[4], true);
      this.outline(context, camera, row, theme.accent, 3);
    }
    if (app.hover?.row >= 0 && app.hover.row !== row) this.outline(context, camera, app.hover.row, theme.text, 2);
  }

  strokeLinks(context, camera, row, others, colour, leaves) {
    const here = this.middle(row, camera);
    if (!here) return;
    context.strokeStyle = colour;
    context.lineWidth = 1.3;
    context.globalAlpha = others.length > 60 ? 0.45 : 0.85;
    context.beginPath();
    const step = Math.max(1, Math.ceil(others.length / MAX_LINKS));
    for (let i = 0; i < others.length; i += step) {
      const there = this.middle(others[i], camera);
      if (!there) continue;
      const bend = Math.max(20, Math.abs(there[0] - here[0]) / 3) * (leaves ? 1 : -1);
      context.moveTo(...here);
      context.bezierCurveTo(here[0] + bend, here[1], there[0] - bend, there[1], ...there);
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  middle(row, camera) {
    const rect = this.cellRect(row) ?? (this.graph.operatorOf[row] >= 0 ? this.operatorRect(this.graph.operatorOf[row]) : null);
    return rect && camera.toScreen(rect.x + rect.width / 2, rect.y + rect.height / 2);
  }

  outline(context, camera, row, colour, width) {
    const rect = this.cellRect(row);
    if (!rect) return;
    const [x, y] = camera.toScreen(rect.x, rect.y);
    const size = Math.max(rect.width * camera.scale, 5);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(x - 0.5, y - 0.5, size + 1, size + 1);
  }
}

export function isLight(colour) {
  return 0.299 * (colour >> 16) + 0.587 * ((colour >> 8) & 255) + 0.114 * (colour & 255) > 140;
}

// The text, cut in its middle to the width given.
export function clip(context, text, width) {
  if (width <= 8) return "";
  const full = context.measureText(text).width;
  if (full <= width) return text;
  const keep = Math.floor((text.length * width) / full) - 1;
  if (keep < 3) return "";
  const tail = Math.floor(keep / 3);
  return `${text.slice(0, keep - tail)}…${text.slice(text.length - tail)}`;
}

export function readTheme(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(`--${name}`).trim();
  const relationCss = ["none", "before", "just-before", "after", "just-after", "self"].map((n) => value(`relation-${n}`));
  return {
    text: value("text"), dim: value("dim"), card: value("card"), cardColour: rgb(value("card")),
    frame: value("frame"), frameHot: value("frame-hot"), line: value("line"), edge: value("edge"),
    remote: value("remote"), accent: value("accent"), back: value("back"),
    font: value("font"), relationCss, relations: relationCss.map(rgb), nothing: rgb(value("nothing")),
  };
}
