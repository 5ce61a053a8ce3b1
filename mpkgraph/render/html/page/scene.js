// Where blocks of operators stand: one below the other, folded or not, in as many columns as make
// the whole fit a screen. Places inside a block come with the page.

const TITLE = 28;
const PAD = 16;
const GAP = 18;
const STUB = 34;
const MIN_WIDTH = 420;
const TALL = 2.2;
const FOLD_ABOVE = 64;

export class Scene {
  constructor(graph) {
    this.graph = graph;
    this.blocks = graph.header.blocks;
    this.runs = [];
    this.blocks.forEach((block, b) => (this.runs[block.run] ??= []).push(b));
    this.foldedRuns = new Set();
    this.foldedBlocks = new Set();
    this.members = this.blocks.map(() => []);
    graph.operators.forEach((operator, k) => this.members[operator.block].push(k));
    if (graph.numOperators > FOLD_ABOVE) this.foldAlike();
    this.aspect = 1.6;
    this.place();
  }

  foldAlike() {
    this.foldedBlocks.clear();
    this.runs.forEach((run, i) => run.length > 1 && this.foldedRuns.add(i));
  }

  foldAll() {
    this.foldAlike();
    this.blocks.forEach((block, b) => block.layer !== null && this.foldedBlocks.add(b));
  }

  unfoldAll() {
    this.foldedRuns.clear();
    this.foldedBlocks.clear();
  }

  // Shows an operator that is folded away; whether anything changed.
  reveal(k) {
    const b = this.graph.operators[k].block;
    const { run } = this.blocks[b];
    const hidden = this.foldedRuns.has(run) && this.runs[run][0] !== b;
    const changed = hidden || this.foldedBlocks.has(b);
    if (hidden) this.foldedRuns.delete(run);
    this.foldedBlocks.delete(b);
    if (changed) this.place();
    return changed;
  }

  toggle(item) {
    if (item.kind === "stub") this.foldedRuns.delete(item.run);
    else if (this.foldedBlocks.has(item.block)) this.foldedBlocks.delete(item.block);
    else this.foldedBlocks.add(item.block);
    this.place();
  }

  toggleRun(run) {
    if (!this.foldedRuns.delete(run)) this.foldedRuns.add(run);
    this.place();
  }

  place() {
    const items = [];
    this.blocks.forEach((block, b) => {
      const run = this.runs[block.run];
      if (this.foldedRuns.has(block.run) && run[0] !== b) return;
      const folded = this.foldedBlocks.has(b);
      const height = folded ? TITLE : TITLE + block.height + 2 * PAD;
      items.push({ kind: "block", block: b, run: block.run, folded, width: block.width + 2 * PAD, height });
      if (this.foldedRuns.has(block.run)) {
        items.push({ kind: "stub", block: b, run: block.run, folded: true, width: block.width + 2 * PAD, height: STUB });
      }
    });
    const width = Math.max(MIN_WIDTH, ...items.map((item) => item.width));
    const total = items.reduce((sum, item) => sum + item.height + GAP, 0);
    const columns = total > TALL * width ? Math.max(1, Math.round(Math.sqrt((total * this.aspect) / width))) : 1;
    const limit = total / columns;
    let [x, y] = [0, 0];
    for (const item of items) {
      if (y > 0 && y + item.height / 2 > limit) [x, y] = [x + width + 4 * GAP, 0];
      Object.assign(item, { x, y, width });
      y += item.height + GAP;
    }
    this.items = items;
    this.itemOf = new Map(items.filter((item) => item.kind === "block").map((item) => [item.block, item]));
    this.stubOf = new Map(items.filter((item) => item.kind === "stub").map((item) => [item.run, item]));
    this.bounds = {
      x: 0, y: 0,
      width: Math.max(MIN_WIDTH, ...items.map((item) => item.x + item.width)),
      height: Math.max(100, ...items.map((item) => item.y + item.height)),
    };
    this.placeEdges();
  }

  // Where an operator's card is: { x, y } and whether it is folded into the item given.
  card(k) {
    const operator = this.graph.operators[k];
    const item = this.itemOf.get(operator.block);
    if (!item) return { folded: this.stubOf.get(this.blocks[operator.block].run) };
    if (item.folded) return { folded: item };
    return { x: item.x + PAD + operator.x, y: item.y + TITLE + PAD + operator.y };
  }

  isVisible(k) {
    return !this.card(k).folded;
  }

  // Edges between what is shown; those of folded layers end at the frame.
  placeEdges() {
    const [producers, consumers, events, remote] = this.graph.header.edges;
    const [cardWidth, cardHeight] = this.graph.header.card;
    const merged = new Map();
    const end = (k) => {
      const card = this.card(k);
      if (!card.folded) return { key: k, x: card.x, y: card.y + cardHeight / 2, width: cardWidth, top: card.y };
      const { x, y, width, height, kind, block } = card.folded;
      return { key: `${kind}${block}`, x: x + 4, y: y + height / 2, width: width - PAD, top: y };
    };
    for (let i = 0; i < producers.length; i++) {
      const tail = end(producers[i]);
      const head = end(consumers[i]);
      if (tail.key === head.key) continue;
      const key = `${tail.key}>${head.key}`;
      const edge = merged.get(key);
      if (edge) {
        edge.events += events[i];
        continue;
      }
      merged.set(key, { tail: producers[i], head: consumers[i], events: events[i], remote: remote[i] === 1, points: route(tail, head) });
    }
    this.edges = [...merged.values()];
  }

  // What is at a point: an operator's card, a frame's title, or nothing.
  hit(x, y) {
    const [cardWidth, cardHeight] = this.graph.header.card;
    const item = this.items.find((i) => x >= i.x && x < i.x + i.width && y >= i.y && y < i.y + i.height);
    if (!item) return null;
    if (item.folded || y < item.y + TITLE) return { kind: "frame", item };
    for (const k of this.members[item.block]) {
      const card = this.card(k);
      if (x >= card.x && x < card.x + cardWidth && y >= card.y && y < card.y + cardHeight) {
        return { kind: "operator", k, x: x - card.x, y: y - card.y };
      }
    }
    return null;
  }

  title(item) {
    const block = this.blocks[item.block];
    const run = this.runs[item.run];
    if (item.kind === "stub") {
      const rest = run.slice(1).map((b) => this.blocks[b].layer);
      return `layers ${rest[0]}–${rest[rest.length - 1]}: ${rest.length} more like layer ${block.layer}`;
    }
    const members = this.members[item.block];
    const tasks = members.reduce((sum, k) => sum + this.graph.operators[k].count, 0);
    const name = block.layer === null ? "" : `layer ${block.layer} · `;
    return `${name}${counted(members.length, "operator")} · ${counted(tasks, "task")}`;
  }
}

export function counted(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

export const FRAME = { title: TITLE, pad: PAD };

// Straight ahead to a card on the right, else around in the gaps between columns and lines.
function route(tail, head) {
  const from = tail.x + tail.width;
  if (head.x > from && Math.abs(head.y - tail.y) < 1) return [from, tail.y, head.x, head.y];
  const out = from + 9;
  const into = head.x - 9;
  if (head.x > from && head.x - from < 60) return [from, tail.y, out + 8, tail.y, out + 8, head.y, head.x, head.y];
  const level = head.top - 9;
  return [from, tail.y, out, tail.y, out, level, into, level, into, head.y, head.x, head.y];
}
