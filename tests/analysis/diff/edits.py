"""One edit of a pipeline record at a time, drawn at random, and what a diff must say of it.

`run_edit` plans the record anew and judges the report: exact when it names the edit and nothing
else. Graphs are compared twice: with the records, and alone, so that operators are recovered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from random import Random
from typing import Any

from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.options import DiffOptions
from mpkgraph.analysis.diff.result import DiffResult
from mpkgraph.analysis.diff.side import Side
from mpkgraph.analysis.layer_names import without_layer_number
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.errors import MpkGraphError
from mpkgraph.io.writer import text_chunks
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import (
    BlockGraph,
    LayerCall,
    PipelineRecord,
    RecordedTensor,
    TensorCall,
)
from mpkgraph.planner.plan import Plan, plan
from mpkgraph.views.recorded import recorded_operators
from tests.mutations import edit
from tests.mutations.preserving import record_in_other_order
from tests.mutations.subjects import Subject

DRAWS = 12
"""Draws for each edit that is wanted: many have no place, are refused, or change nothing."""

Item = tuple[Any, ...]
"""What a report names: ("op", layer, aspect), ("removed", layer), ("added", layer on the right),
("moved", layer), ("tensor", name, aspect), ("events",) and so on."""


@dataclass(frozen=True)
class Edited:
    """A record with one edit, and the items that its report must consist of."""

    record: PipelineRecord
    what: str
    items: frozenset[Item]
    instead: tuple[frozenset[Item], ...] = ()
    """Other reports that say the same: of two neighbours that changed places, either moved."""
    is_equal: bool = False


Make = Callable[[Random, Subject], "Edited | None"]


@dataclass(frozen=True)
class Edit:
    name: str
    make: Make


@dataclass
class EditTally:
    """One kind of edit in one way of looking."""

    tried: int = 0
    named: int = 0
    """Reports that name the edit, whatever else they say."""
    exact: int = 0
    """Reports that name it and nothing else."""
    misses: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.exact / self.tried if self.tried else 1.0


@dataclass(frozen=True)
class EditResult:
    name: str
    recorded: EditTally
    alone: EditTally


def _ops(layers: Sequence[int], aspect: str) -> frozenset[Item]:
    return frozenset(("op", x, aspect) for x in layers)


def _title(subject: Subject, layer: int) -> str:
    return f"layer {layer} ({subject.layers[layer].register_name})"


def _extents(subject: Subject, layer: int, axis: int) -> list[int]:
    """Dims that an axis of a layer splits."""
    found = []
    for slot in subject.layers[layer].slots:
        dim = slot.input_map[axis]
        if slot.tensor is not None and dim >= 0:
            found.append(subject.record.tensor_by_id[slot.tensor].dims[dim])
    return found


def _other_grid(rng: Random, subject: Subject, layer: int) -> list[int] | None:
    grid = [*subject.layers[layer].grid_dim]
    axis = rng.randrange(3)
    extents = _extents(subject, layer, axis)
    sizes = [x for x in range(1, 129) if x != grid[axis] and not any(e % x for e in extents)]
    if not extents or not sizes:
        return None
    grid[axis] = rng.choice(sizes)
    return grid


def _grid(rng: Random, subject: Subject) -> Edited | None:
    layer = rng.choice(subject.layers)
    grid = _other_grid(rng, subject, layer.index)
    if grid is None:
        return None
    record = edit.with_grid(subject.record, layer, grid)
    return Edited(
        record, f"{_title(subject, layer.index)}: grid {grid}", _ops([layer.index], "grid")
    )


def _alike_grid(rng: Random, subject: Subject) -> Edited | None:
    """The same grid for a layer in every layer of the model."""
    groups: dict[object, list[int]] = {}
    for layer in subject.layers:
        weights = tuple(without_layer_number(x.name or "") for x in layer.slots)
        groups.setdefault((layer.register_name, layer.grid_dim, weights), []).append(layer.index)
    groups = {k: v for k, v in groups.items() if len(v) > 1}
    if not groups:
        return None
    chosen = groups[rng.choice(sorted(groups, key=repr))]
    grid = _other_grid(rng, subject, chosen[0])
    if grid is None:
        return None
    record = subject.record
    for index in chosen:
        record = edit.with_grid(record, record.layers[index], grid)
    return Edited(record, f"layers {chosen}: grid {grid}", _ops(chosen, "grid"))


def _map(rng: Random, subject: Subject) -> Edited | None:
    use = rng.choice(subject.uses)
    layer = subject.layers[use.layer]
    axes = [x for x in range(3) if layer.grid_dim[x] > 1]
    if not axes:
        return None
    axis, changed = rng.choice(axes), [*use.slot.input_map]
    dims = subject.record.tensor_by_id[use.slot.tensor].dims
    size = layer.grid_dim[axis]
    choices = [-1, *(d for d, x in enumerate(dims) if x % size == 0 and d not in changed)]
    choices = [x for x in choices if x != changed[axis]]
    if not choices:
        return None
    changed[axis] = rng.choice(choices)
    record = edit.with_map(subject.record, layer, use.position, changed)
    what = f"{_title(subject, layer.index)}: slot {use.position} by {changed}"
    return Edited(record, what, _ops([layer.index], "input_map"))


def _tensor(rng: Random, subject: Subject) -> RecordedTensor | None:
    """A tensor that layers use and that is part of no other."""
    parts = {ref.tensor for call in subject.record.calls.values() for ref in call.inputs or ()}
    used = sorted({x.slot.tensor for x in subject.uses} - parts)
    tensor = subject.record.tensor_by_id[rng.choice(used)]
    return tensor if tensor.kind in {"attach_input", "new_tensor"} else None


def _row_major(dims: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(dims):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _shape(rng: Random, subject: Subject) -> Edited | None:
    tensor = _tensor(rng, subject)
    if tensor is None or tensor.strides != _row_major(tensor.dims):
        return None
    dim, dims = rng.randrange(len(tensor.dims)), [*tensor.dims]
    if rng.random() < 0.5 and dims[dim] % 2 == 0:
        dims[dim] //= 2
    else:
        dims[dim] *= 2
    record = edit.with_tensor(subject.record, tensor.id, dims=tuple(dims), strides=_row_major(dims))
    return Edited(
        record, f"{tensor.name}: {dims}", frozenset([("tensor", tensor.base_ptr, "shape")])
    )


def _stride(rng: Random, subject: Subject) -> Edited | None:
    tensor = _tensor(rng, subject)
    if tensor is None or len(tensor.dims) < 2 or tensor.dims[0] < 2:
        return None
    strides = (tensor.strides[0] + rng.choice([8, 64, 128]), *tensor.strides[1:])
    record = edit.with_tensor(subject.record, tensor.id, strides=strides)
    return Edited(
        record, f"{tensor.name}: {strides}", frozenset([("tensor", tensor.base_ptr, "stride")])
    )


def _dtype(rng: Random, subject: Subject) -> Edited | None:
    tensor = _tensor(rng, subject)
    if tensor is None:
        return None
    dtype = rng.choice([x for x in ("bf16", "fp16", "fp32", "int32") if x != tensor.dtype])
    record = edit.with_tensor(subject.record, tensor.id, dtype=dtype)
    return Edited(
        record, f"{tensor.name}: {dtype}", frozenset([("tensor", tensor.base_ptr, "dtype")])
    )


def _params(rng: Random, subject: Subject) -> Edited | None:
    layers = [x for x in subject.layers if x.params]
    if not layers:
        return None
    layer = rng.choice(layers)
    params = list(layer.params or ())
    place = rng.randrange(len(params))
    params[place] = params[place] * 2 or 1
    task = layer.graph.register_task
    assert task is not None
    graph = replace(layer.graph, register_task=replace(task, params=tuple(params)))
    record = edit.with_graph(subject.record, layer, graph)
    what = f"{_title(subject, layer.index)}: params {params}"
    return Edited(record, what, _ops([layer.index], "variant"))


def _retyped(rng: Random, subject: Subject) -> Edited | None:
    layer = rng.choice(subject.layers)
    task = layer.graph.register_task
    row = REGISTERED_TASKS[task.name]
    others = [
        name
        for name, x in REGISTERED_TASKS.items()
        if name != task.name
        and (x.num_inputs, x.num_outputs) == (row.num_inputs, row.num_outputs)
        and len(x.params) <= len(layer.params or ())
        and x.task_type != row.task_type
    ]
    if not others:
        return None
    name = rng.choice(others)
    graph = replace(layer.graph, register_task=replace(task, name=name))
    record = edit.with_graph(subject.record, layer, graph)
    return Edited(record, f"{_title(subject, layer.index)}: {name}", _ops([layer.index], "type"))


def _base(rng: Random, subject: Subject) -> Edited | None:
    use = rng.choice([x for x in subject.uses if not x.is_output])
    tensor = subject.record.tensor_by_id[use.slot.tensor]
    others = sorted({x.slot.tensor for x in subject.uses if x.slot.tensor != tensor.id})
    alike = [
        x
        for x in (subject.record.tensor_by_id[i] for i in others)
        if (x.dims, x.strides, x.dtype) == (tensor.dims, tensor.strides, tensor.dtype)
    ]
    if not alike:
        return None
    other = rng.choice(alike)
    layer = subject.layers[use.layer]
    record = edit.with_graph(
        subject.record, layer, _rebound(layer.graph, {use.position: (other.id, other.name)})
    )
    what = f"{_title(subject, layer.index)}: slot {use.position} reads {other.name}"
    return Edited(record, what, _ops([layer.index], "base"))


def _rebound(graph: BlockGraph, tensors: dict[int, tuple[int, str]]) -> BlockGraph:
    slots, refs = list(graph.inputs), list(graph.customized)
    for place, (tensor, name) in tensors.items():
        slots[place] = replace(slots[place], tensor=tensor, name=name)
        ref = refs[place]
        assert ref is not None
        refs[place] = replace(ref, tensor=tensor, name=name)
    return replace(graph, inputs=tuple(slots), customized=tuple(refs))


def _swapped(rng: Random, subject: Subject) -> Edited | None:
    layer = rng.choice(subject.layers)
    tensors = subject.record.tensor_by_id
    inputs = [x for x in subject.uses if x.layer == layer.index and not x.is_output]
    pairs = [
        (a.position, b.position)
        for a in inputs
        for b in inputs
        if a.position < b.position
        and a.slot.tensor != b.slot.tensor
        and tensors[a.slot.tensor].dims == tensors[b.slot.tensor].dims
        and tensors[a.slot.tensor].dtype == tensors[b.slot.tensor].dtype
    ]
    if not pairs:
        return None
    one, other = rng.choice(pairs)
    record = edit.swap_slots(subject.record, layer, one, other)
    what = f"{_title(subject, layer.index)}: slots {one} and {other} swapped"
    return Edited(record, what, _ops([layer.index], "base"))


def _merged(rng: Random, subject: Subject) -> Edited | None:
    """Two buffers are one: everyone who used the second uses the first."""
    tensors = subject.record.tensor_by_id
    made = sorted(
        {x.slot.tensor for x in subject.uses if tensors[x.slot.tensor].kind == "new_tensor"}
    )
    pairs = [
        (a, b)
        for a in made
        for b in made
        if a != b and (tensors[a].dims, tensors[a].dtype) == (tensors[b].dims, tensors[b].dtype)
    ]
    if not pairs:
        return None
    one, other = (tensors[x] for x in rng.choice(pairs))
    users = sorted({x.layer for x in subject.uses if x.slot.tensor == other.id})
    record = edit.merged(subject.record, other, one)
    return Edited(record, f"{other.name} is {one.name}", _ops(users, "base"))


def _simple_entries(subject: Subject) -> list[tuple[int, int]]:
    """(entry of the log, layer) of calls that made one layer and no tensors."""
    log = subject.record.log
    layers: dict[int, list[int]] = {}
    for layer in subject.layers:
        layers.setdefault(edit.entry_of(layer), []).append(layer.index)
    return [
        (entry, found[0])
        for entry, found in sorted(layers.items())
        if len(found) == 1
        and isinstance(log[entry], LayerCall)
        and all(isinstance(x, BlockGraph) for x in log[entry].lowlevel)
    ]


def _removed(rng: Random, subject: Subject) -> Edited | None:
    entries = _simple_entries(subject)
    if len(entries) < 2:
        return None
    entry, layer = rng.choice(entries)
    record = edit.without_entry(subject.record, entry)
    return Edited(record, f"{_title(subject, layer)} removed", frozenset([("removed", layer)]))


def _with_copy(
    subject: Subject, entry: int, layer: int, reads: dict[int, int]
) -> tuple[PipelineRecord, dict[int, RecordedTensor]] | None:
    """The record with a copy of a call behind it that writes new tensors."""
    record = subject.record
    outputs = [x for x in subject.uses if x.layer == layer and x.is_output]
    if not outputs:
        return None
    number = max(x.id for x in record.tensors) + 1
    fresh: dict[int, RecordedTensor] = {}
    calls: list[TensorCall] = []
    for use in outputs:
        old = record.tensor_by_id[use.slot.tensor]
        tensor = RecordedTensor(
            id=number + len(fresh),
            name=f"{old.name}_of_the_copy",
            kind="new_tensor",
            dims=old.dims,
            strides=_row_major(old.dims),
            dtype=old.dtype,
            io_category="cuda_tensor",
        )
        fresh[use.position] = tensor
        calls.append(
            TensorCall(
                "new_tensor",
                tensor.id,
                tensor.name,
                tensor.dims,
                tensor.strides,
                tensor.dtype,
                "cuda_tensor",
            )
        )
    tensors = {position: (x.id, x.name) for position, x in fresh.items()}
    for position, tensor_id in reads.items():
        tensors[position] = (tensor_id, record.tensor_by_id[tensor_id].name)
    call = record.log[entry]
    assert isinstance(call, LayerCall)
    copied = replace(call, lowlevel=tuple(_rebound(x, tensors) for x in call.lowlevel))
    log = (*record.log[: entry + 1], *calls, copied, *record.log[entry + 1 :])
    return (
        replace(record, log=log, tensors=(*record.tensors, *fresh.values()), call_sites=()),
        fresh,
    )


def _added(rng: Random, subject: Subject) -> Edited | None:
    """A layer that does the same again, into memory of its own that nobody reads."""
    entries = _simple_entries(subject)
    if not entries:
        return None
    entry, layer = rng.choice(entries)
    made = _with_copy(subject, entry, layer, {})
    if made is None:
        return None
    return Edited(made[0], f"copy of {_title(subject, layer)}", frozenset([("added", layer + 1)]))


def _inserted(rng: Random, subject: Subject) -> Edited | None:
    """A layer between another and those that read it."""
    tensors = subject.record.tensor_by_id
    places = []
    for entry, layer in _simple_entries(subject):
        uses = [x for x in subject.uses if x.layer == layer]
        outputs = [x for x in uses if x.is_output]
        inputs = [x for x in uses if not x.is_output]
        if len(outputs) == 1 and inputs:
            a, b = tensors[inputs[0].slot.tensor], tensors[outputs[0].slot.tensor]
            if (a.dims, a.dtype) == (b.dims, b.dtype) and a.id != b.id:
                places.append((entry, layer, inputs[0].position, b.id))
    if not places:
        return None
    entry, layer, position, tensor = rng.choice(places)
    made = _with_copy(subject, entry, layer, {position: tensor})
    if made is None:
        return None
    record, fresh = made
    new = next(iter(fresh.values()))
    later = [x for x in subject.uses if x.layer > layer and x.slot.tensor == tensor]
    readers = []
    for use in later:
        if use.is_output:
            break  # the buffer is used again
        readers.append(use)
    if not readers:
        return None
    for use in readers:
        changed = record.layers[use.layer + 1]
        record = edit.with_graph(
            record, changed, _rebound(changed.graph, {use.position: (new.id, new.name)})
        )
    return Edited(
        record, f"another {_title(subject, layer)} behind it", frozenset([("added", layer + 1)])
    )


def _moved(rng: Random, subject: Subject) -> Edited | None:
    """A call made after the next that has to do with it, or one further on."""
    entries = _simple_entries(subject)
    if len(entries) < 2:
        return None
    start = rng.randrange(len(entries) - 1)
    stop = min(start + rng.choice([1, 1, 2, 3]), len(entries) - 1)
    (entry, layer), (after, last) = entries[start], entries[stop]
    passed = [x for x, _ in zip(range(layer + 1, last + 1), range(8), strict=False)]
    if not any(_share(subject, layer, x) for x in passed):
        return None  # an order that nobody can tell
    record = edit.moved_entry(subject.record, entry, after)
    # Without a record it may only show who no longer reads what it wrote, or the other way round
    readers = [layer, *passed]
    instead = tuple(
        frozenset(("op", x, "orderings") for x in some)
        for size in (1, 2)
        for some in combinations(readers, size)
    )
    # ... or that one of those that it passed has moved to the front
    instead += tuple(frozenset([("moved", x)]) for x in passed)
    what = f"{_title(subject, layer)} after {_title(subject, last)}"
    return Edited(record, what, frozenset([("moved", layer)]), instead)


def _share(subject: Subject, one: int, other: int) -> bool:
    """Whether two layers touch a tensor that either of them declares as an output."""
    touched = [
        (
            {x.slot.tensor for x in subject.uses if x.layer == layer and x.is_output},
            {x.slot.tensor for x in subject.uses if x.layer == layer},
        )
        for layer in (one, other)
    ]
    return bool(touched[0][0] & touched[1][1] or touched[1][0] & touched[0][1])


def _renamed(rng: Random, subject: Subject) -> Edited | None:
    tensor = _tensor(rng, subject)
    if tensor is None:
        return None
    record = edit.with_tensor(subject.record, tensor.id, name=f"other_{tensor.name}")
    return Edited(record, f"{tensor.name} renamed", frozenset(), is_equal=True)


def _independent(rng: Random, subject: Subject) -> Edited | None:
    record = record_in_other_order(rng, subject)
    return None if record is None else Edited(record, "order", frozenset(), is_equal=True)


EDITS = (
    Edit("another grid", _grid),
    Edit("another grid in every model layer", _alike_grid),
    Edit("another input_map", _map),
    Edit("a tensor's shape", _shape),
    Edit("a tensor's strides", _stride),
    Edit("a tensor's element type", _dtype),
    Edit("another kernel: parameters", _params),
    Edit("another kernel: registered name", _retyped),
    Edit("a slot reads another tensor", _base),
    Edit("two inputs swapped", _swapped),
    Edit("two buffers made one", _merged),
    Edit("a layer removed", _removed),
    Edit("a layer added", _added),
    Edit("a layer inserted between two", _inserted),
    Edit("a layer moved", _moved),
    Edit("a tensor renamed (no difference)", _renamed),
    Edit("independent layers in another order (no difference)", _independent),
)


def items_of(result: DiffResult, left: dict[int, int], right: dict[int, int]) -> frozenset[Item]:
    """What a report names, by layers of the records."""
    found: set[Item] = set()
    for change in result.operators:
        for lefts, rights in change.members:
            if change.kind == "added":
                found.add(("added", right[rights[0]]))
            elif change.kind == "changed":
                found |= {("op", left[lefts[0]], x.aspect) for x in change.changes}
            elif change.kind == "moved":
                found.add(("moved", left[lefts[0]]))
                further = {x.aspect for x in change.changes} - {"operators"}
                found |= {("op", left[lefts[0]], x) for x in further}
            else:
                found |= {(change.kind, left[x]) for x in lefts}
    for tensor in result.tensors:
        found |= {("tensor", x, tensor.change.aspect) for x in tensor.names}
    found |= {("events", x.producer, x.consumer) for x in result.own_events}
    # Mirage loses tasks of some forks: that an edit makes one of them is a fact, and no surplus
    found |= {("graph", x.what) for x in result.other if x.what != "null tasks"}
    return frozenset(found)


def side_of(planned: Plan, *, recorded: bool) -> Side:
    operators = recorded_operators(planned.graph, planned.record) if recorded else None
    return Side.of(planned.graph, operators, planned.record if recorded else None)


def layers_of(side: Side, planned: Plan) -> dict[int, int]:
    """By operator the layer that emitted its first task."""
    owner = {}
    for layer, ids in enumerate(planned.task_ids):
        owner.update(dict.fromkeys(ids.tolist(), layer))
    return {x.index: owner.get(int(x.task_ids[0]), -1) for x in side.operators}


def text_of(graph: TaskGraph) -> bytes:
    return b"".join(text_chunks(graph))


def look(
    before: Plan, after: Plan, *, recorded: bool, options: DiffOptions | None = None
) -> tuple[DiffResult, frozenset[Item]]:
    """The report on two plans, and what it names."""
    left, right = (side_of(x, recorded=recorded) for x in (before, after))
    found = compare(left, right, options or DiffOptions())
    names = (layers_of(found.left, before), layers_of(found.right, after))
    return found.result, items_of(found.result, *names)


def run_edit(one: Edit, subjects: Sequence[Subject], rng: Random, count: int) -> EditResult:
    recorded, alone = EditTally(), EditTally()
    for _ in range(count * DRAWS):
        if recorded.tried >= count:
            break
        subject = rng.choice(subjects)
        edited = one.make(rng, subject)
        if edited is None:
            continue
        before = plan(subject.record)
        try:
            after = plan(edited.record)
        except MpkGraphError:
            continue
        same = text_of(before.graph) == text_of(after.graph)
        for tally, with_record in ((recorded, True), (alone, False)):
            if same and (edited.is_equal or not with_record or "variant" not in str(edited.items)):
                continue  # nothing that the graphs could show
            result, items = look(before, after, recorded=with_record)
            tally.tried += 1
            exact = result.is_equal if edited.is_equal else items in (edited.items, *edited.instead)
            tally.exact += exact
            tally.named += edited.items <= items or any(x <= items for x in edited.instead)
            if not exact:
                tally.misses.append(f"{subject.name}: {edited.what}: {sorted(map(str, items))}")
    return EditResult(one.name, recorded, alone)
