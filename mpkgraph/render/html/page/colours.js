// Colourings: what a task's colour says. A category has a colour by role or from a palette, a value
// one of a scale; a colour is a number 0xRRGGBB.

const PALETTE = [
  "#7fbfd6", "#edc75c", "#b8857c", "#94fdbc", "#728cf2", "#e165a3", "#659e49", "#f9a285", "#acb4ff",
  "#9f9725", "#cbff99", "#c49ae0",
];
// `same` is NOTHING: what did not change is to stand back
const ROLES = {
  error: "#e5484d", warning: "#f5a623", advice: "#5b9bf3", good: "#46a758", added: "#46a758",
  removed: "#e5484d", changed: "#f5a623", same: "#a0a0a1", broken: "#8e4ec6",
};
const SEQUENTIAL = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
const DIVERGING = ["#1f6fd0", "#6aa5e6", "#b8d2ef", "#dcdcdc", "#f2c9a4", "#e8924d", "#c2410c"];
// Of a task about which a colouring says nothing; the painter puts the theme's colour in its place.
export const NOTHING = 0xa0a0a1;
const STEPS = 256;

export const rgb = (hex) => parseInt(hex.slice(1), 16);
export const css = (colour) => `#${colour.toString(16).padStart(6, "0")}`;

export function mix(a, b, share) {
  let out = 0;
  for (const shift of [16, 8, 0]) {
    const from = (a >> shift) & 255;
    out |= Math.round(from + (((b >> shift) & 255) - from) * share) << shift;
  }
  return out;
}

function ramp(stops) {
  const colours = stops.map(rgb);
  return Array.from({ length: STEPS }, (_, i) => {
    const place = (i / (STEPS - 1)) * (colours.length - 1);
    const low = Math.min(Math.floor(place), colours.length - 2);
    return mix(colours[low], colours[low + 1], place - low);
  });
}

const RAMPS = { sequential: ramp(SEQUENTIAL), diverging: ramp(DIVERGING) };

function categories(name, title, names, codeOf, colours, extra = {}) {
  return {
    name, title, kind: "category", description: "", items: [], ...extra,
    categories: names.map((text, i) => ({ name: text, colour: rgb(colours?.[i] ?? PALETTE[i % PALETTE.length]) })),
    codeOf,
    colourOf(row) {
      const code = codeOf(row);
      return code < 0 ? NOTHING : this.categories[code].colour;
    },
    textOf(row) {
      const code = codeOf(row);
      return code < 0 ? "" : this.categories[code].name;
    },
  };
}

function values(name, title, column, options = {}) {
  const { unit = "", scale = "linear", center = null, description = "", items = [] } = options;
  let low = Infinity;
  let high = -Infinity;
  for (const v of column) {
    if (v < low && (scale !== "log" || v > 0)) low = v;
    if (v > high) high = v;
  }
  if (low > high) [low, high] = [0, 0];
  const far = center === null ? 0 : Math.max(Math.abs(low - center), Math.abs(high - center)) || 1;
  const [from, to] = center === null ? [low, high] : [center - far, center + far];
  const shape = scale === "log" && from > 0 ? Math.log : (v) => v;
  const span = shape(to) - shape(from) || 1;
  const colours = RAMPS[center === null ? "sequential" : "diverging"];
  return {
    name, title, kind: "value", description, items, unit, scale, from, to, low, high, column,
    colours, categories: [],
    codeOf: () => -1,
    valueOf: (row) => column[row],
    colourOf(row) {
      const v = column[row];
      if (Number.isNaN(v)) return NOTHING;
      const place = Math.round(((shape(v) - shape(from)) / span) * (STEPS - 1));
      return colours[Math.max(0, Math.min(STEPS - 1, place || 0))];
    },
    textOf(row) {
      return Number.isNaN(column[row]) ? "" : `${numberText(column[row])}${unit ? ` ${unit}` : ""}`;
    },
  };
}

export function numberText(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  return Number(value.toPrecision(5)).toString();
}

// All colourings of a graph by name: those that it has by itself, then the overlays.
export function colouringsOf(graph) {
  const { header, columns } = graph;
  const types = Object.keys(header.task_types).map(Number);
  const kinds = [...new Set(types.map((t) => graph.typeKind(t)))].sort();
  const typePlace = new Map(types.map((t, i) => [t, i]));
  const kindPlace = new Map(types.map((t) => [t, kinds.indexOf(graph.typeKind(t))]));
  const type = columns.task_type;
  const found = [
    categories("kind", "Kind of task", kinds, (row) => kindPlace.get(type[row]) ?? -1,
      kinds.map((k) => header.kind_colours[k])),
    categories("type", "Task type", types.map((t) => header.task_types[t][1]), (row) => typePlace.get(type[row]) ?? -1),
    values("level", "Level (longest chain before)", columns.level),
    categories("operator", "Operator", graph.operators.map((o, k) => `${k} ${o.name}`), (row) => graph.operatorOf[row],
      null, { isLong: true }),
  ];
  const variants = new Map();
  graph.operators.forEach((o) => o.variants.forEach((v) => {
    const key = `${o.name} variant ${v}`;
    if (!variants.has(key)) variants.set(key, variants.size);
  }));
  const variantPlace = graph.operators.map((o) => variants.get(`${o.name} variant ${o.variants[0]}`));
  found.push(categories("variant", "Variant (kernel call)", [...variants.keys()], (row) => {
    const k = graph.operatorOf[row];
    return k < 0 ? -1 : variantPlace[k];
  }));
  if (header.blocks.some((b) => b.layer !== null)) {
    const layerOf = new Float64Array(graph.numTasks);
    for (let r = 0; r < graph.numTasks; r++) {
      const k = graph.operatorOf[r];
      layerOf[r] = k < 0 ? NaN : header.blocks[graph.operators[k].block].layer ?? NaN;
    }
    found.push(values("layer", "Model layer", layerOf));
  }
  header.overlays.forEach((overlay, i) => found.push(overlayColouring(graph, overlay, i)));
  return new Map(found.map((c) => [c.name, c]));
}

function overlayColouring(graph, overlay, i) {
  const column = graph.columns[`overlay.${i}.${overlay.kind === "value" ? "values" : "codes"}`];
  const labels = graph.columns[`overlay.${i}.labels`];
  const colouring = overlay.kind === "value"
    ? values(overlay.name, overlay.title, column, overlay)
    : categories(overlay.name, overlay.title, overlay.categories.map(([name]) => name), (row) => column[row],
      overlay.categories.map(([, role]) => ROLES[role] ?? undefined), { description: overlay.description, items: overlay.items });
  colouring.isOverlay = true;
  colouring.isEmpty = !column.some((v) => (overlay.kind === "value" ? !Number.isNaN(v) : v >= 0));
  colouring.labelOf = (row) => (labels && labels[row] >= 0 ? overlay.labels[labels[row]] : "");
  return colouring;
}

// The colour that stands for an operator: of the gravest category, or of the mean value.
export function operatorColour(graph, colouring, k) {
  const [from, to] = [graph.start[k], graph.start[k + 1]];
  if (colouring.kind === "category") {
    let best = -1;
    for (let r = from; r < to; r++) {
      const code = colouring.codeOf(r);
      if (code >= 0 && (best < 0 || code < best)) best = code;
      if (best === 0) break;
    }
    return best < 0 ? NOTHING : colouring.categories[best].colour;
  }
  let sum = [0, 0, 0];
  let count = 0;
  for (let r = from; r < to; r++) {
    const c = colouring.colourOf(r);
    if (c === NOTHING) continue;
    count++;
    sum = [sum[0] + (c >> 16), sum[1] + ((c >> 8) & 255), sum[2] + (c & 255)];
  }
  if (!count) return NOTHING;
  return sum.reduce((c, part) => (c << 8) | Math.round(part / count), 0);
}
