// From a row to the colour it is painted in: its colouring, faded where a filter leaves it out or
// where it has nothing to do with the selected task. Operators' grids are kept as small bitmaps.

import { mix, NOTHING, operatorColour } from "./colours.js";
import { RELATION } from "./closure.js";

const FADE = 0.86;

export class Painter {
  constructor(graph) {
    this.graph = graph;
    this.version = 0;
    this.mask = null;
    this.relation = null;
    this.textures = new Map();
  }

  set(changes) {
    Object.assign(this, changes);
    this.version++;
  }

  colour(row) {
    const relation = this.relation ? this.relation[row] : RELATION.none;
    if (relation) return this.theme.relations[relation];
    let colour = this.colouring.colourOf(row);
    if (colour === NOTHING) colour = this.theme.nothing;
    if (this.relation || (this.mask && !this.mask[row])) return mix(colour, this.theme.cardColour, FADE);
    return colour;
  }

  // Whether an operator has a row that is not faded.
  isLit(k) {
    const { start } = this.graph;
    for (let r = start[k]; r < start[k + 1]; r++) {
      if (this.relation ? this.relation[r] : !this.mask || this.mask[r]) return true;
    }
    return false;
  }

  // A bitmap of an operator's grid, one pixel a task, and its colour from afar. One that is out of
  // date is painted again while the frame's `budget` (ms) lasts.
  texture(k, budget) {
    let texture = this.textures.get(k);
    if (texture?.version === this.version) return texture;
    if (budget.left <= 0) return texture ?? null;
    const started = performance.now();
    texture ??= { canvas: null };
    texture.version = this.version;
    texture.isLit = this.isLit(k);
    texture.colour = operatorColour(this.graph, this.colouring, k);
    if (texture.colour === NOTHING) texture.colour = this.theme.nothing;
    if (!texture.isLit) texture.colour = mix(texture.colour, this.theme.cardColour, FADE);
    else if (this.relation) texture.colour = this.strongest(k);
    texture.isPainted = false;
    this.textures.set(k, texture);
    budget.left -= performance.now() - started;
    return texture;
  }

  bitmap(k, budget) {
    const texture = this.texture(k, budget);
    if (!texture || texture.isPainted || budget.left <= 0) return texture?.canvas ? texture : null;
    const started = performance.now();
    const { graph } = this;
    const width = graph.operators[k].columns;
    const height = graph.gridRows(k);
    texture.canvas ??= Object.assign(document.createElement("canvas"), { width, height });
    const context = texture.canvas.getContext("2d");
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const cells = graph.columns.cell;
    for (let r = graph.start[k]; r < graph.start[k + 1]; r++) {
      const c = this.colour(r);
      pixels[cells[r]] = 0xff000000 | ((c & 255) << 16) | (c & 0xff00) | (c >> 16);
    }
    context.putImageData(image, 0, 0);
    texture.isPainted = true;
    budget.left -= performance.now() - started;
    return texture;
  }

  strongest(k) {
    let best = 0;
    for (let r = this.graph.start[k]; r < this.graph.start[k + 1]; r++) best = Math.max(best, this.relation[r]);
    return this.theme.relations[best];
  }
}
