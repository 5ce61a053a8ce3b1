"""What Mirage accepts without a word though it is wrong, or likely to be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpkgraph.model.divisors import divisors_near
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import LayerSlot, PipelineRecord, RecordedTensor
from mpkgraph.planner.dag import MAX_TENSOR_DIMS
from mpkgraph.planner.emission import FIRST_EVENT_INDEX, Emission
from mpkgraph.planner.registered import RegisteredLayer, layer_name

MAX_BLOCKS_PER_LAYER = 4096
"""`MAX_NUM_THREADBLOCKS_PER_KERNEL`: a build of Mirage with asserts refuses more."""
AXES = "xyz"

TILED_KINDS = frozenset({"norm", "linear", "elementwise"})
"""Kinds of tasks that work on their tiles alone. Others tell equal tiles apart by metadata."""
WRITES_ITS_INPUT = frozenset({"tensor_init"})
"""Names whose first input is what the task writes."""


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One thing to know about a pipeline that could be planned."""

    code: str
    """What is odd, for programs: `remainder`, `stuck-event`, ..."""
    what: str
    remedy: str
    layer: str | None = None
    """The layer by name; None for the pipeline as a whole."""
    where: str | None = None
    """JSON path of the layer in the record."""
    num_layers: int = 1
    """How many layers say the same; this is the first."""

    def __str__(self) -> str:
        subject = f"{self.layer} " if self.layer else ""
        others = self.num_layers - 1
        more = f" (and {others} more layer{'s' * (others > 1)} like it)" if others else ""
        return f"{subject}{self.what}{more}. {self.remedy}"


def plan_warnings(
    record: PipelineRecord,
    layers: Sequence[RegisteredLayer],
    order: Emission,
    graph: TaskGraph,
    undefined: Sequence[tuple[RegisteredLayer, str]] = (),
) -> tuple[PlanWarning, ...]:
    """Everything odd about a planned pipeline: names, then layer by layer, then events.

    `undefined` are layers whose variant hangs on undefined memory, with what Mirage reads there.
    Layers that were registered as the same task with the same grid and say the same of the same
    slot are told once.
    """
    found = [*_names(record), *_pipeline(layers)]
    repeats: dict[tuple[object, ...], int] = {}
    of_layers = [
        *_null_tasks(layers, order, graph),
        *_undefined(undefined),
        *_of_layers(record, layers, order),
    ]
    for layer, position, warning in of_layers:
        key = (warning.code, layer.row.name, layer.grid, position)
        if key in repeats:
            first = found[repeats[key]]
            found[repeats[key]] = replace(first, num_layers=first.num_layers + 1)
            continue
        repeats[key] = len(found)
        found.append(replace(warning, layer=layer_name(layer.recorded), where=layer.recorded.where))
    return tuple(found)


_Found = tuple[RegisteredLayer, object, PlanWarning]
"""Layer, slot or axis, warning."""


def _of_layers(
    record: PipelineRecord, layers: Sequence[RegisteredLayer], order: Emission
) -> Iterator[_Found]:
    yield from _read_before_write(record, layers)
    for layer in layers:
        yield from _grid(layer)
        for position, slot in enumerate(layer.slots):
            if slot.tensor is None:
                continue
            tensor = record.tensor_by_id[slot.tensor]
            role = "writes" if position >= layer.row.num_inputs else "reads"
            for axis, warning in _slot(layer, slot, tensor, role):
                yield layer, (position, axis), warning
    yield from _stuck_events(layers, order)


def _undefined(layers: Sequence[tuple[RegisteredLayer, str]]) -> Iterator[_Found]:
    for layer, what in layers:
        warning = PlanWarning(
            "undefined-variant",
            f"has a tensor of another rank than {layer.row.name} needs: Mirage reads {what}, and "
            "its variant hangs on whatever lies there; planned as 0",
            "Give it tensors of the ranks that the layer's documentation names",
        )
        yield layer, what, warning


def _names(record: PipelineRecord) -> Iterator[PlanWarning]:
    # The generated code looks parts of a shuffled tensor up by name, without a variable
    parts = {
        ref.tensor
        for call in record.calls.values()
        if call.op == "shuffle_tensors"
        for ref in call.inputs or ()
    }
    names = Counter(x.base_ptr for x in record.tensors if x.id not in parts)
    for name in names:
        if not name.isidentifier():
            yield PlanWarning(
                "name",
                f"tensor {name!r} becomes a C++ variable of that name, which nvcc rejects",
                "Use letters, digits and underscores",
            )
    for name, count in names.items():
        if count > 1:
            yield PlanWarning(
                "duplicate-name",
                f"{count} tensors are named {name!r}: nvcc rejects the second declaration, and the "
                "graph can't tell them apart",
                "Give each tensor a name of its own",
            )


def _pipeline(layers: Sequence[RegisteredLayer]) -> Iterator[PlanWarning]:
    if not layers:
        yield PlanWarning(
            "empty",
            "the pipeline has no layer: its kernel waits for an end that nothing triggers",
            "Add a layer before compile()",
        )


def _null_tasks(
    layers: Sequence[RegisteredLayer], order: Emission, graph: TaskGraph
) -> Iterator[_Found]:
    """Layers of which the generator emits more tasks than they have, and loses some."""
    for index, layer in enumerate(layers):
        lost = order.num_emitted[index] - layer.shape.num_tasks
        if not lost:
            continue
        fork = layers[order.producers[index][0]]
        written = {x.tensor for x in fork.outputs}
        read = [repr(x.name) for x in layer.inputs if x.tensor in written]
        if len(read) > 1:
            why = f"reads a fork, {layer_name(fork.recorded)}, through {len(read)} slots"
            why = f"{why} ({', '.join(read)})"
            remedy = "Let it read the fork's result through one slot, or copy the tensor"
        else:
            why = f"reads {read[0]} of a fork, {layer_name(fork.recorded)}, two of whose grid axes"
            why = f"{why} split one dim"
            remedy = "Map each grid axis to a tensor dim of its own"
        warning = PlanWarning(
            "null-tasks",
            f"{why}: the generator emits {order.num_emitted[index]} tasks for its "
            f"{layer.shape.num_tasks}. {graph.num_null_tasks} of the graph's {graph.num_tasks} "
            "tasks are null, and the runtime can't load it",
            remedy,
        )
        yield layer, None, warning


def _read_before_write(
    record: PipelineRecord, layers: Sequence[RegisteredLayer]
) -> Iterator[_Found]:
    first_writers: dict[int, int] = {}
    for index, layer in enumerate(layers):
        written = layer.slots[:1] if layer.row.name in WRITES_ITS_INPUT else layer.outputs
        for slot in written:
            if slot.tensor is not None:
                first_writers.setdefault(slot.tensor, index)
    for index, layer in enumerate(layers):
        for position, slot in enumerate(layer.inputs):
            writer = -1 if slot.tensor is None else first_writers.get(slot.tensor, -1)
            if slot.tensor is None or writer <= index:
                continue
            is_buffer = record.tensor_by_id[slot.tensor].kind == "new_tensor"
            content = "uninitialised memory" if is_buffer else "what the caller put there"
            yield (
                layer,
                position,
                PlanWarning(
                    "read-before-write",
                    f"reads {slot.name!r} before {layer_name(layers[writer].recorded)} writes it: "
                    f"it sees {content}, and nothing orders the two",
                    "Register the writer first",
                ),
            )


def _grid(layer: RegisteredLayer) -> Iterator[_Found]:
    volume = math.prod(layer.grid)
    if not volume:
        warning = PlanWarning(
            "no-blocks",
            "has a grid without blocks: it has no tasks, and what it should write stays as it is",
            "Make every grid axis at least 1",
        )
        yield layer, None, warning
    if volume > MAX_BLOCKS_PER_LAYER:
        warning = PlanWarning(
            "blocks",
            f"has {volume} blocks; Mirage is made for at most {MAX_BLOCKS_PER_LAYER} a layer",
            "Make its tiles larger",
        )
        yield layer, None, warning
    if layer.type_row.kind not in TILED_KINDS:
        return
    for axis, size in enumerate(layer.grid):
        if size > 1 and all(x.input_map[axis] < 0 for x in layer.slots if x.tensor is not None):
            warning = PlanWarning(
                "replicated",
                f"splits nothing along grid axis {AXES[axis]}: each tile is computed and written "
                f"{size} times",
                f"Set {AXES[axis]} to 1, or map it",
            )
            yield layer, axis, warning
        elif size > 1 and all(x.input_map[axis] < 0 for x in layer.outputs):
            split = [x.name for x in layer.inputs if x.input_map[axis] >= 0]
            if "splitk" in layer.row.name:
                continue  # it adds up what the blocks along this axis compute
            warning = PlanWarning(
                "overwritten",
                f"splits {split[0]!r} along grid axis {AXES[axis]} and no output: {size} tasks "
                "write the same tile",
                "Map the axis to a dim of the output",
            )
            yield layer, axis, warning


def _slot(
    layer: RegisteredLayer, slot: LayerSlot, tensor: RecordedTensor, role: str
) -> Iterator[tuple[int, PlanWarning]]:
    rank = len(tensor.dims)
    for axis, dim in enumerate(slot.input_map):
        size = layer.grid[axis]
        if dim < 0 or size <= 1:
            continue
        name, at = repr(slot.name), AXES[axis]
        twice = [a for a in range(axis) if slot.input_map[a] == dim and layer.grid[a] > 1]
        if dim >= rank:
            if dim < MAX_TENSOR_DIMS:
                yield (
                    axis,
                    PlanWarning(
                        "map-past-rank",
                        f"maps grid axis {at} to dim {dim} of {name}, which has {rank} dims: "
                        "Mirage's offsets are whatever its memory holds there; planned as 0",
                        f"Map it to one of dims 0 to {rank - 1}, or to -1",
                    ),
                )
        elif twice:
            yield (
                axis,
                PlanWarning(
                    "mapped-twice",
                    f"splits dim {dim} of {name} along grid axes {AXES[twice[0]]} and {at}: tiles "
                    "overlap, and parts of the tensor belong to none",
                    "Map each grid axis to a dim of its own",
                ),
            )
        elif size > tensor.dims[dim]:
            yield (
                axis,
                PlanWarning(
                    "empty-tiles",
                    f"{role} {name} in tiles of no elements: grid axis {at} has {size} blocks, dim "
                    f"{dim} has {tensor.dims[dim]}",
                    _valid_sizes(tensor.dims[dim], size, at),
                ),
            )
        elif tensor.dims[dim] % size:
            yield (
                axis,
                PlanWarning(
                    "remainder",
                    f"{role} {name} without the last {tensor.dims[dim] % size} of dim {dim}: "
                    f"{size} blocks of grid axis {at} do not divide {tensor.dims[dim]}",
                    _valid_sizes(tensor.dims[dim], size, at),
                ),
            )


def _valid_sizes(extent: int, size: int, axis: str) -> str:
    """The nearest divisors of an extent below and above a size."""
    choices = " or ".join(map(str, divisors_near(extent, size)))
    return f"Valid sizes of grid axis {axis} nearest to {size}: {choices}"


def _stuck_events(layers: Sequence[RegisteredLayer], order: Emission) -> Iterator[_Found]:
    """Events that need more triggers than they get. Other ranks trigger theirs of remote ones."""
    triggered = order.trigger_events[order.trigger_events >= FIRST_EVENT_INDEX]
    fired = np.bincount(triggered, minlength=order.num_events)[FIRST_EVENT_INDEX:-1]
    stuck = np.flatnonzero((fired != order.event_triggers) & ~order.event_is_remote)
    if not len(stuck):
        return
    layer_of = np.full(order.num_tasks + 1, -1, dtype=np.int64)
    for index, ids in enumerate(order.task_ids):
        layer_of[ids] = index
    waiting = layer_of[order.event_first_tasks[stuck]]
    for index in sorted(set(waiting[waiting >= 0].tolist())):
        events = stuck[waiting == index]
        event = int(events[0])
        warning = PlanWarning(
            "stuck-event",
            f"waits for {len(events)} events that never complete: event "
            f"{event + FIRST_EVENT_INDEX} needs {order.event_triggers[event]} triggers and gets "
            f"{fired[event]}. The kernel hangs",
            "A task triggers one event, once: join a producer through one tensor, and let grids "
            "split what they join",
        )
        yield layers[index], None, warning
