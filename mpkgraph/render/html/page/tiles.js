// Tiles: boxes of a tensor for drawing, and the bytes that two tiles share. The same algorithms as
// model/box.py, model/byteset.py and model/intersect.py, for one pair at a time.

const SAFE = Number.MAX_SAFE_INTEGER;
const MAX_STEPS = 1 << 16;
const MAX_RECTS = 512;

// The index range of a tile in each dim of its tensor; null where no box holds just its elements.
export function elementBox(start, dims, strides, tensorDims) {
  if (strides.some((s) => s < 0) || dims.length !== strides.length) return null;
  const fixed = dims.map((_, d) => tensorDims !== null && tensorDims[d] === 1);
  const order = dims.map((_, d) => d).filter((d) => !fixed[d]);
  order.sort((a, b) => strides[b] - strides[a] || Number(dims[a] === 1) - Number(dims[b] === 1) || a - b);
  const starts = dims.map(() => 0);
  let rest = start;
  for (const d of order) {
    if (strides[d]) {
      starts[d] = Math.floor(rest / strides[d]);
      rest %= strides[d];
    }
  }
  if (rest && !dims.includes(0)) return null;
  let reach = 0;
  for (const d of [...order].reverse()) {
    if (dims[d] > 1 && strides[d] === 0) return null;
    if (strides[d]) {
      if (reach >= strides[d]) return null;
      reach += (starts[d] + Math.max(dims[d], 1) - 1) * strides[d];
    }
  }
  const stops = starts.map((s, d) => s + dims[d]);
  if (tensorDims !== null && stops.some((stop, d) => stop > tensorDims[d])) return null;
  return { starts, stops };
}

// A tile of a slot's layout at an offset in bytes: its box, null as above.
export function tileBox(graph, layout, offset) {
  const [view, type, dims, strides] = graph.header.layouts[layout];
  const size = (graph.header.data_types[type] ?? [])[1];
  if (view < 0 || !size || offset < 0 || offset > SAFE || offset % size || !dims.every(Number.isInteger)) {
    return null;
  }
  return elementBox(offset / size, dims, strides, graph.header.views[view][3]);
}

// A tensor flattened to a plane: [columns, rows]; the last dim that is not 1 goes across.
export function planeOf(dims) {
  let across = dims.length - 1;
  while (across > 0 && dims[across] === 1) across--;
  const columns = dims.length ? dims[across] : 1;
  const rows = dims.slice(0, Math.max(across, 0)).reduce((a, b) => a * b, 1);
  return { across, columns: Math.max(columns, 1), rows: Math.max(rows, 1) };
}

// Rectangles [x, y, width, height] of a box on its tensor's plane; null where there are too many.
export function boxRects(box, dims) {
  const { across } = planeOf(dims);
  const x = dims.length ? box.starts[across] : 0;
  const width = dims.length ? box.stops[across] - x : 1;
  let spans = [[0, 1]];
  for (let d = 0; d < across; d++) {
    const low = box.starts[d];
    const high = box.stops[d];
    const whole = low === 0 && high === dims[d];
    const next = [];
    for (const [from, to] of spans) {
      if (whole || to - from === 1) {
        next.push([from * dims[d] + (whole ? 0 : low), (to - 1) * dims[d] + high]);
      } else {
        if (next.length + to - from > MAX_RECTS) return null;
        for (let i = from; i < to; i++) next.push([i * dims[d] + low, i * dims[d] + high]);
      }
    }
    spans = next;
  }
  return spans.map(([from, to]) => [x, from, width, to - from]);
}

// The bytes of a layout relative to its lowest one, as levels [count, stride] of ascending stride.
export function byteLevels(graph, layout) {
  graph.levels ??= new Map();
  if (!graph.levels.has(layout)) {
    const [view, type, dims, strides] = graph.header.layouts[layout];
    const size = (graph.header.data_types[type] ?? [])[1];
    const plain = dims.length === strides.length && [...dims, ...strides].every(Number.isSafeInteger);
    graph.levels.set(layout, view < 0 || !size || !plain ? null : levelsOf(dims, strides, size));
  }
  return graph.levels.get(layout);
}

export function levelsOf(dims, strides, size) {
  if (dims.includes(0)) return { lowest: 0, levels: [], reach: 0, nested: true };
  const counts = new Map([[1, size]]);
  let lowest = 0;
  dims.forEach((count, d) => {
    const stride = strides[d] * size;
    if (stride < 0) lowest += (count - 1) * stride;
    const step = Math.abs(stride);
    if (count > 1 && step) counts.set(step, (counts.get(step) ?? 1) + count - 1);
  });
  const levels = mergeLevels(counts);
  return { lowest, levels, reach: reachOf(levels), nested: isNested(levels) };
}

function mergeLevels(counts) {
  for (let merged = true; merged;) {
    merged = false;
    const sorted = [...counts.keys()].sort((a, b) => a - b);
    for (const fine of sorted) {
      const coarse = sorted.find((s) => s > fine && s % fine === 0 && s / fine <= counts.get(fine));
      if (coarse === undefined) continue;
      counts.set(fine, counts.get(fine) + (coarse / fine) * (counts.get(coarse) - 1));
      counts.delete(coarse);
      merged = true;
      break;
    }
  }
  return [...counts].sort((a, b) => a[0] - b[0]).filter(([s, n]) => s === 1 || n > 1).map(([s, n]) => [n, s]);
}

const reachOf = (levels) => levels.reduce((sum, [n, s]) => sum + (n - 1) * s, levels.length ? 1 : 0);
const isNested = (levels) => levels.every(([, s], i) => s >= reachOf(levels.slice(0, i)));

// Bytes that two tiles of one tensor share; -1 where it would take too long to tell.
export function sharedBytes(a, offsetA, b, offsetB) {
  if (!a || !b || Math.max(Math.abs(offsetA), Math.abs(offsetB)) > SAFE) return -1;
  const delta = offsetB + b.lowest - offsetA - a.lowest;
  if (!a.levels.length || !b.levels.length) return 0;
  if (delta >= a.reach || -delta >= b.reach) return 0;
  const known = (a.met ??= new Map()).get(b) ?? new Map();
  if (!a.met.has(b)) a.met.set(b, known);
  if (known.has(delta)) return known.get(delta);
  const budget = { left: MAX_STEPS };
  const share = a.nested && b.nested ? sharedNested : sharedRuns;
  const bytes = share(a.levels, b.levels, delta, budget);
  if (known.size < MAX_STEPS) known.set(delta, budget.left < 0 ? -1 : bytes);
  return budget.left < 0 ? -1 : bytes;
}

function sharedNested(a, b, delta, budget) {
  if (--budget.left < 0 || delta >= reachOf(a) || -delta >= reachOf(b)) return 0;
  if (a.length === 1 && b.length === 1) {
    return Math.max(0, Math.min(a[0][0], b[0][0] + delta) - Math.max(0, delta));
  }
  const top = Math.max(a[a.length - 1][1], b[b.length - 1][1]);
  const cutA = cutLevels(a, top);
  const cutB = cutLevels(b, top);
  if (!cutA) return sharedNested(b, a, -delta, budget);
  let total = 0;
  if (cutB) {
    const first = Math.floor((delta - reachOf(cutA[0])) / top) + 1;
    for (const step of [first, first + 1]) {
      const pairs = Math.min(cutA[1], cutB[1] + step) - Math.max(0, step);
      if (pairs > 0) total += pairs * sharedNested(cutA[0], cutB[0], delta - step * top, budget);
    }
    return total;
  }
  const low = Math.max(0, Math.floor((delta - reachOf(cutA[0])) / top) + 1);
  const high = Math.min(cutA[1], Math.ceil((delta + reachOf(b)) / top));
  for (let k = low; k < high && budget.left >= 0; k++) {
    total += sharedNested(cutA[0], b, delta - k * top, budget);
  }
  return total;
}

function cutLevels(levels, top) {
  const last = levels[levels.length - 1];
  if (last[1] === top) return [levels.slice(0, -1), last[0]];
  return reachOf(levels) <= top ? [levels, 1] : null;
}

function sharedRuns(a, b, delta, budget) {
  const runsA = byteRuns(a, budget);
  const runsB = byteRuns(b, budget);
  if (budget.left < 0) return 0;
  let total = 0;
  for (let i = 0, j = 0; i < runsA.length && j < runsB.length;) {
    const [lowA, highA] = runsA[i];
    const lowB = runsB[j][0] + delta;
    const highB = runsB[j][1] + delta;
    total += Math.max(0, Math.min(highA, highB) - Math.max(lowA, lowB));
    if (highA < highB) i++;
    else j++;
  }
  return total;
}

function byteRuns(levels, budget) {
  let runs = [[0, levels[0][0]]];
  for (const [count, stride] of levels.slice(1)) {
    budget.left -= runs.length * count;
    if (budget.left < 0) return [];
    const all = [];
    for (let i = 0; i < count; i++) for (const [from, to] of runs) all.push([from + i * stride, to + i * stride]);
    all.sort((x, y) => x[0] - y[0]);
    runs = [];
    for (const [from, to] of all) {
      const last = runs[runs.length - 1];
      if (last && from <= last[1]) last[1] = Math.max(last[1], to);
      else runs.push([from, to]);
    }
  }
  return runs;
}
