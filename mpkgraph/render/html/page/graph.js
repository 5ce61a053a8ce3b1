// A task graph in memory: columns over rows. Row r is a task, in the order of operators and grid
// positions; operator k has the rows start[k] .. start[k + 1] - 1.

const NO_EVENT_HI = 0x7fffffff;
const NO_EVENT_LO = 0xfffffffe;
const NVSHMEM_HI = 0x1e000000;
export const METADATA = ["request_id", "kv_idx", "merge_task_offset", "expert_offset", "task_offset"];

export class Graph {
  constructor(header, columns) {
    this.header = header;
    this.columns = columns;
    this.operators = header.operators;
    this.numTasks = header.num_tasks;
    this.numEvents = header.num_events;
    this.numOperators = this.operators.length;
    this.taskIds = columns.task_id;
    this.rows = new Int32Array(this.numTasks);
    for (let r = 0; r < this.numTasks; r++) this.rows[this.taskIds[r]] = r;
    this.placeOperators();
    this.findNodes();
    this.lists = {};
  }

  placeOperators() {
    const count = this.numOperators;
    this.start = new Int32Array(count + 1);
    this.slotStart = new Int32Array(count + 1);
    for (let k = 0; k < count; k++) {
      const operator = this.operators[k];
      this.start[k + 1] = this.start[k] + operator.count;
      this.slotStart[k + 1] = this.slotStart[k] + operator.count * operator.slots.length;
    }
    this.operatorOf = new Int32Array(this.numTasks).fill(-1);
    for (let k = 0; k < count; k++) this.operatorOf.fill(k, this.start[k], this.start[k + 1]);
    const rest = this.start[count];
    this.restSlots = new Int32Array(this.numTasks - rest + 1);
    this.restSlots[0] = this.slotStart[count];
    for (let r = rest; r < this.numTasks; r++) {
      this.restSlots[r - rest + 1] = this.restSlots[r - rest] + this.columns.num_slots[r];
    }
  }

  // For each row the event that it waits on and the one that it triggers; -1 for none. An event of
  // another rank stands for the one of its index here; what this file lacks comes after its events.
  findNodes() {
    const outside = new Map();
    const nodes = (name) => {
      const lo = this.columns[`${name}.lo`];
      const hi = this.columns[`${name}.hi`];
      const found = new Int32Array(this.numTasks);
      for (let r = 0; r < this.numTasks; r++) {
        if ((lo[r] === NO_EVENT_LO && hi[r] === NO_EVENT_HI) || this.columns.task_type[r] === -1) {
          found[r] = -1;
        } else if (lo[r] < this.numEvents) {
          found[r] = lo[r];
        } else {
          const key = `${hi[r] & 0xffff}:${lo[r]}`;
          if (!outside.has(key)) outside.set(key, this.numEvents + outside.size);
          found[r] = outside.get(key);
        }
      }
      return found;
    };
    this.waitsOn = nodes("dependent_event");
    this.triggers = nodes("trigger_event");
    this.outside = [...outside.keys()];
    this.numNodes = this.numEvents + outside.size;
  }

  // Rows by event: those that wait on it ("waitsOn") or trigger it ("triggers").
  rowsOf(event, what) {
    this.lists[what] ??= groupRows(this[what], this.numNodes);
    const { starts, rows } = this.lists[what];
    return event < 0 ? rows.subarray(0, 0) : rows.subarray(starts[event], starts[event + 1]);
  }

  wide(name, index, signed = false) {
    const hi = BigInt(this.columns[`${name}.hi`][index]);
    const value = (hi << 32n) | BigInt(this.columns[`${name}.lo`][index]);
    return signed ? BigInt.asIntN(64, value) : value;
  }

  // An event id's parts; null for the id of no event.
  event(name, row) {
    const id = this.wide(name, row);
    const hi = this.columns[`${name}.hi`][row];
    const lo = this.columns[`${name}.lo`][row];
    if (hi === NO_EVENT_HI && lo === NO_EVENT_LO) return null;
    return { id, index: lo, rank: hi & 0xffff, nvshmem: (hi & NVSHMEM_HI) !== 0 };
  }

  slotIndex(row, position) {
    const k = this.operatorOf[row];
    if (k < 0) return this.restSlots[row - this.start[this.numOperators]] + position;
    return this.slotStart[k] + position * this.operators[k].count + (row - this.start[k]);
  }

  layout(slot) {
    return this.columns.slot_layout[slot];
  }

  // Bytes as a number, for drawing: exact up to 2^53.
  offset(slot) {
    return (this.columns["slot_offset.hi"][slot] | 0) * 4294967296 + this.columns["slot_offset.lo"][slot];
  }

  typeName(type) {
    return (this.header.task_types[type] ?? [`TASK_${type}`])[0];
  }

  typeKind(type) {
    return (this.header.task_types[type] ?? ["", "", "unknown"])[2];
  }

  taskName(row) {
    const k = this.operatorOf[row];
    const type = this.columns.task_type[row];
    return k >= 0 ? this.operators[k].name : (this.header.task_types[type] ?? ["", `task_${type}`])[1];
  }

  // Grid coordinates of a row, from its cell.
  gridPosition(row) {
    const k = this.operatorOf[row];
    if (k < 0) return null;
    const { grid, sub, points } = this.operators[k];
    if (points) return points[row - this.start[k]];
    const point = Math.floor(this.columns.cell[row] / sub);
    const inner = grid[1] * grid[2];
    return [Math.floor(point / inner), Math.floor(point / grid[2]) % grid[1], point % grid[2]];
  }

  // The row at a cell of an operator's grid; -1 where the file has no task.
  rowAt(k, cell) {
    const cells = this.columns.cell;
    let low = this.start[k];
    let high = this.start[k + 1];
    if (low + cell < high && cells[low + cell] === cell) return low + cell;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cells[middle] < cell) low = middle + 1;
      else high = middle;
    }
    return low < this.start[k + 1] && cells[low] === cell ? low : -1;
  }

  numCells(k) {
    return this.operators[k].count ? this.columns.cell[this.start[k + 1] - 1] + 1 : 0;
  }

  gridRows(k) {
    return Math.max(1, Math.ceil(this.numCells(k) / this.operators[k].columns));
  }

  // By tensor the operators' slots that see it: { k, position, output }, in order of operators.
  usesOf(tensor) {
    if (!this.uses) {
      this.uses = this.header.tensors.map(() => []);
      for (let k = 0; k < this.numOperators; k++) {
        for (let p = 0; p < this.operators[k].slots.length; p++) {
          for (const t of this.slotTensors(k, p)) {
            this.uses[t].push({ k, position: p, output: this.operators[k].slots[p][0] === 1 });
          }
        }
      }
    }
    return this.uses[tensor] ?? [];
  }

  // Tensors that an operator's slot sees: one, none for None, several for a fused tensor.
  slotTensors(k, position) {
    const first = this.slotStart[k] + position * this.operators[k].count;
    const found = new Set();
    let last = -1;
    for (let i = first; i < first + this.operators[k].count; i++) {
      const layout = this.columns.slot_layout[i];
      if (layout !== last) found.add(this.layoutTensor(layout));
      last = layout;
    }
    found.delete(-1);
    return [...found];
  }

  layoutTensor(layout) {
    const view = this.header.layouts[layout][0];
    return view < 0 ? -1 : this.header.views[view][0];
  }

  // Operators before and after, by the operators' edges.
  neighbours(k) {
    const [producers, consumers, events, remote] = this.header.edges;
    if (!this.edgesOf) {
      this.edgesOf = this.operators.map(() => ({ before: [], after: [] }));
      for (let i = 0; i < producers.length; i++) {
        this.edgesOf[producers[i]].after.push({ k: consumers[i], events: events[i], remote: remote[i] });
        this.edgesOf[consumers[i]].before.push({ k: producers[i], events: events[i], remote: remote[i] });
      }
    }
    return this.edgesOf[k];
  }
}

function groupRows(nodes, count) {
  const starts = new Int32Array(count + 1);
  for (let r = 0; r < nodes.length; r++) if (nodes[r] >= 0) starts[nodes[r] + 1]++;
  for (let i = 0; i < count; i++) starts[i + 1] += starts[i];
  const next = starts.slice(0, count);
  const rows = new Int32Array(starts[count]);
  for (let r = 0; r < nodes.length; r++) if (nodes[r] >= 0) rows[next[nodes[r]]++] = r;
  return { starts, rows };
}
