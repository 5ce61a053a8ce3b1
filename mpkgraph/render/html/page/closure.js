// What a task waits on and what waits on it, closed over events, found in slices so that the page
// never stands still. Relations are kept per row.

import { Pacer } from "./decode.js";
import { byteLevels, sharedBytes } from "./tiles.js";

export const RELATION = { none: 0, before: 1, justBefore: 2, after: 3, justAfter: 4, self: 5 };
const CHUNK = 1 << 14;

export class Closure {
  constructor(graph) {
    this.graph = graph;
    this.run = 0;
    this.clear();
  }

  clear() {
    this.run++;
    this.row = -1;
    this.relation = null;
    this.counts = null;
    this.overlaps = null;
    this.isDone = true;
  }

  // Fills `relation`; resolves to whether it ran to its end (another call stops it).
  async find(row, changed = () => {}) {
    this.clear();
    const run = this.run;
    const { graph } = this;
    this.row = row;
    this.isDone = false;
    this.counts = { before: 0, after: 0 };
    this.relation = new Uint8Array(graph.numTasks);
    const pacer = new Pacer(8);
    const directions = [
      ["before", "waitsOn", "triggers", RELATION.before, RELATION.justBefore],
      ["after", "triggers", "waitsOn", RELATION.after, RELATION.justAfter],
    ];
    for (const [name, leads, arrives, far, near] of directions) {
      const seen = new Uint8Array(graph.numNodes);
      const queue = [];
      const visit = (event) => {
        if (event >= 0 && !seen[event]) {
          seen[event] = 1;
          queue.push(event);
        }
      };
      visit(graph[leads][row]);
      for (let i = 0; i < queue.length; i++) {
        const rows = graph.rowsOf(queue[i], arrives);
        for (let j = 0; j < rows.length; j++) {
          const other = rows[j];
          if (!this.relation[other]) this.counts[name]++;
          this.relation[other] = i === 0 ? near : this.relation[other] || far;
          visit(graph[leads][other]);
          if (j % CHUNK === CHUNK - 1) await pacer.pause();
        }
        await pacer.pause();
        if (run !== this.run) return false;
      }
    }
    this.relation[row] = RELATION.self;
    this.overlaps = await this.findOverlaps(row, run, pacer);
    if (run !== this.run) return false;
    this.isDone = true;
    changed();
    return true;
  }

  // Tasks whose tiles share bytes with the row's: { row, mine, theirs, bytes } (-1: not known).
  async findOverlaps(row, run, pacer) {
    const { graph } = this;
    const found = [];
    const total = { count: 0 };
    for (let mine = 0; mine < graph.columns.num_slots[row]; mine++) {
      const slot = graph.slotIndex(row, mine);
      const layout = graph.layout(slot);
      const tensor = graph.layoutTensor(layout);
      if (tensor < 0) continue;
      const levels = byteLevels(graph, layout);
      const offset = graph.offset(slot);
      const output = mine >= graph.columns.num_inputs[row];
      for (const use of graph.usesOf(tensor)) {
        // Two reads are no matter of order
        if (!output && !use.output) continue;
        for (let other = graph.start[use.k]; other < graph.start[use.k + 1]; other++) {
          if (other === row) continue;
          const there = graph.slotIndex(other, use.position);
          const theirLayout = graph.layout(there);
          if (graph.layoutTensor(theirLayout) !== tensor) continue;
          const bytes = sharedBytes(levels, offset, byteLevels(graph, theirLayout), graph.offset(there));
          if (bytes !== 0) {
            total.count++;
            found.push({ row: other, mine, theirs: use.position, bytes, output: use.output });
          }
        }
        await pacer.pause();
        if (run !== this.run) return null;
      }
    }
    return found;
  }
}
