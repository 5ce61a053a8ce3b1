// One operator's tiles: for each tensor slot the tensor with the tiles that are written on the left
// and those that are read on the right, and the events that lead from one to the other.

import { boxRects, planeOf, tileBox } from "./tiles.js";

export const SIDE_WIDTH = 264;
const MIDDLE_WIDTH = 150;
const MIN_HEIGHT = 54;
const MAX_HEIGHT = 180;
const GRID_WIDTH = 288;
const GRID_X = 0;
const MIN_SLOTS_X = 240;
const SLOT_HEAD = 74;
const VIEW_HEAD = 20;
const SLOT_GAP = 44;
const MAX_CELL = 32;

export class TileScene {
  constructor(graph, k) {
    this.graph = graph;
    this.k = k;
    const { columns } = graph.operators[k];
    this.columns = columns;
    this.lines = graph.gridRows(k);
    this.cell = Math.min(MAX_CELL, GRID_WIDTH / columns, Math.max(600 / this.lines, GRID_WIDTH / columns / 4));
    this.gridRect = { x: GRID_X, y: 0, width: columns * this.cell, height: this.lines * this.cell };
    this.slotsX = Math.max(MIN_SLOTS_X, this.gridRect.width + 48);
    this.width = 2 * SIDE_WIDTH + MIDDLE_WIDTH;
    this.slots = graph.operators[k].slots.map((_, position) => this.makeSlot(position));
    let y = 0;
    for (const slot of this.slots) {
      slot.y = y;
      slot.head = SLOT_HEAD;
      slot.height = SLOT_HEAD;
      for (const side of [slot.left, slot.right]) {
        let at = y + SLOT_HEAD;
        for (const view of side.views) {
          Object.assign(view, { x: side.x, y: at + VIEW_HEAD, width: SIDE_WIDTH });
          at += VIEW_HEAD + view.height + 10;
        }
        slot.height = Math.max(slot.height, at - y, SLOT_HEAD + 40);
      }
      this.placeEvents(slot);
      y += slot.height + SLOT_GAP;
    }
    this.bounds = {
      x: 0, y: -70, width: this.slotsX + this.width,
      height: Math.max(y - SLOT_GAP, this.gridRect.height) + 90,
    };
  }

  // A slot: its tensor's writers on the left and readers on the right, the operator's own tiles on
  // the side that they belong to.
  makeSlot(position) {
    const { graph, k } = this;
    const output = graph.operators[k].slots[position][0] === 1;
    const tensors = graph.slotTensors(k, position);
    const own = { uses: [{ k, position }], isOwn: true };
    const other = { uses: tensors.length ? this.partners(tensors, output) : [], isOwn: false };
    const [left, right] = output ? [own, other] : [other, own];
    left.x = this.slotsX;
    right.x = this.slotsX + SIDE_WIDTH + MIDDLE_WIDTH;
    for (const side of [left, right]) side.views = this.viewsOf(side.uses, new Set(tensors));
    return { position, output, tensors, left, right };
  }

  // Of an input the operators that wrote the tensor last, of an output those that read it until it
  // is written again; operators that the events lead to or from come too.
  partners(tensors, output) {
    const { graph, k } = this;
    const found = new Map();
    const linked = graph.neighbours(k);
    const near = new Set((output ? linked.after : linked.before).map((n) => n.k));
    for (const tensor of tensors) {
      const uses = graph.usesOf(tensor);
      if (output) {
        const next = uses.find((u) => u.output && u.k > k)?.k ?? Infinity;
        for (const u of uses) {
          if (!u.output && u.k !== k && ((u.k > k && u.k <= next) || near.has(u.k))) found.set(`${u.k}:${u.position}`, u);
        }
      } else {
        const last = uses.filter((u) => u.output && u.k < k).at(-1)?.k ?? -1;
        for (const u of uses) {
          if (u.output && u.k !== k && (u.k === last || near.has(u.k))) found.set(`${u.k}:${u.position}`, u);
        }
      }
    }
    return [...found.values()];
  }

  // Tiles by view of a tensor (its strides and type): distinct ones, with the rows that have them.
  viewsOf(uses, tensors) {
    const { graph } = this;
    const views = new Map();
    for (const { k, position } of uses) {
      for (let row = graph.start[k]; row < graph.start[k + 1]; row++) {
        const slot = graph.slotIndex(row, position);
        const layout = graph.layout(slot);
        const number = graph.header.layouts[layout][0];
        if (number < 0 || !tensors.has(graph.header.views[number][0])) continue;
        const offset = graph.offset(slot);
        if (!views.has(number)) views.set(number, new Map());
        const tiles = views.get(number);
        const key = `${layout}:${offset}`;
        const tile = tiles.get(key);
        if (tile) tile.rows.push(row);
        else tiles.set(key, { layout, offset, rows: [row] });
      }
    }
    return [...views].map(([number, tiles]) => this.makeView(number, [...tiles.values()], uses));
  }

  makeView(number, tiles, uses) {
    const { graph } = this;
    const dims = graph.header.views[number][3];
    const plane = planeOf(dims);
    for (const tile of tiles) {
      const box = tileBox(graph, tile.layout, tile.offset);
      const rects = box && boxRects(box, dims);
      tile.box = box;
      tile.rects = rects?.map(([x, y, w, h]) => [x / plane.columns, y / plane.rows, w / plane.columns, h / plane.rows]) ?? null;
    }
    const unplaced = tiles.filter((tile) => !tile.rects);
    if (unplaced.length) this.placeByBytes(unplaced);
    const ratio = plane.rows / plane.columns;
    return {
      number, tiles, dims, uses,
      tileSet: new Set(tiles),
      numRects: tiles.reduce((sum, tile) => sum + tile.rects.length, 0),
      numUnplaced: unplaced.length,
      height: Math.min(MAX_HEIGHT, Math.max(MIN_HEIGHT, SIDE_WIDTH * ratio)),
    };
  }

  // Tiles that are no boxes of the tensor: side by side in order of their first byte.
  placeByBytes(tiles) {
    const low = Math.min(...tiles.map((t) => t.offset));
    const high = Math.max(...tiles.map((t) => t.offset)) + 1;
    const width = Math.max(1 / (tiles.length + 1), 0.02);
    for (const tile of tiles) {
      tile.rects = [[((tile.offset - low) / (high - low)) * (1 - width), 0, width, 1]];
    }
  }

  // The events that tiles of both sides have in common, one below the other.
  placeEvents(slot) {
    const { graph } = this;
    const made = new Map();
    const collect = (side, column, name) => {
      for (const view of side.views) {
        for (const tile of view.tiles) {
          for (const row of tile.rows) {
            const event = graph[column][row];
            if (event < 0) continue;
            if (!made.has(event)) made.set(event, { event, writers: new Set(), readers: new Set() });
            made.get(event)[name].add(tile);
          }
        }
      }
    };
    collect(slot.left, "triggers", "writers");
    collect(slot.right, "waitsOn", "readers");
    slot.events = [...made.values()].filter((e) => e.writers.size && e.readers.size).sort((a, b) => a.event - b.event);
    slot.numLinks = slot.events.reduce((sum, e) => sum + e.writers.size + e.readers.size, 0);
    const x = this.slotsX + SIDE_WIDTH + MIDDLE_WIDTH / 2;
    const [from, to] = [slot.y + SLOT_HEAD + VIEW_HEAD, slot.y + slot.height];
    slot.events.forEach((event, i) => {
      event.x = x;
      event.y = from + ((i + 0.5) / slot.events.length) * (to - from);
    });
  }

  // Where an edge touches a tile, in the world. Tall tiles are touched one lower than the other, so
  // that edges of columns side by side do not run along one line.
  touch(view, tile) {
    const [x, y, w, h] = tile.rects[0] ?? [0, 0, 1, 1];
    const share = h > 0.5 ? 0.15 + 0.7 * (x + w / 2) : 0.5;
    return [view.x + (x + w / 2) * view.width, view.y + (y + h * share) * view.height];
  }

  // Tiles, with their view, of a row.
  tilesOf(row) {
    this.byRow ??= this.indexRows();
    return this.byRow.get(row) ?? [];
  }

  indexRows() {
    const found = new Map();
    for (const slot of this.slots) {
      for (const side of [slot.left, slot.right]) {
        for (const view of side.views) {
          for (const tile of view.tiles) {
            for (const row of tile.rows) {
              if (!found.has(row)) found.set(row, []);
              found.get(row).push({ slot, side, view, tile });
            }
          }
        }
      }
    }
    return found;
  }

  hit(x, y) {
    const { gridRect: g } = this;
    if (x >= g.x && x < g.x + g.width && y >= g.y && y < g.y + g.height) {
      const row = this.graph.rowAt(this.k, Math.floor(y / this.cell) * this.columns + Math.floor(x / this.cell));
      return row < 0 ? null : { kind: "task", k: this.k, row };
    }
    for (const slot of this.slots) {
      if (y < slot.y || y > slot.y + slot.height) continue;
      const event = slot.events.find((e) => Math.abs(e.x - x) < 9 && Math.abs(e.y - y) < Math.max(3, Math.min(7, slot.height / slot.events.length / 2)));
      if (event) return { kind: "event", event: event.event, entry: event, slot };
      for (const side of [slot.left, slot.right]) {
        for (const view of side.views) {
          const found = hitView(view, x, y);
          if (found) return { kind: "tile", slot, side, view, tile: found, row: found.rows[0], k: this.graph.operatorOf[found.rows[0]] };
        }
      }
      if (y < slot.y + SLOT_HEAD && x > this.slotsX) return { kind: "slot", slot };
    }
    return null;
  }
}

// The smallest tile at a point.
function hitView(view, x, y) {
  if (x < view.x || x >= view.x + view.width || y < view.y || y >= view.y + view.height) return null;
  const [u, v] = [(x - view.x) / view.width, (y - view.y) / view.height];
  let best = null;
  let area = Infinity;
  for (const tile of view.tiles) {
    for (const [a, b, w, h] of tile.rects) {
      if (u >= a && u < a + w && v >= b && v < b + h && w * h < area) {
        best = tile;
        area = w * h;
      }
    }
  }
  return best;
}
