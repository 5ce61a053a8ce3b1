"""One fault in a pipeline record: what an author gets wrong.

Most are wrong as made: a kernel that touches exactly its tile works on another part of the tensor
than its place in the grid asks for, or on a tensor of another size or type than its partners'.
Two that reuse a buffer are judged by the brute force of `behaviour`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.model.record import BlockGraph, LayerCall, PipelineRecord, RecordedTensor, walk
from tests.mutations import edit
from tests.mutations.behaviour import Behaviour
from tests.mutations.subjects import LayerUse, Subject


@dataclass(frozen=True)
class RecordMutant:
    """A record with a fault, and what was done to it."""

    record: PipelineRecord
    what: str


Make = Callable[[Random, Subject], "RecordMutant | None"]
Judge = Callable[[Subject, RecordMutant, VerifyContext], bool]


@dataclass(frozen=True)
class RecordFault:
    """A class of faults. `make` gives None where a subject has no place for one."""

    name: str
    make: Make
    expected: tuple[str, ...]
    judge: Judge | None = None
    """Says of a mutant and its graph whether it is a fault; None: all are, as made."""


def _split_uses(subject: Subject) -> list[tuple[LayerUse, int]]:
    """(slot, axis) where an axis of several blocks splits a slot that the kernel takes as told."""
    found = []
    for use in subject.uses:
        grid = subject.layers[use.layer].grid_dim
        if use.effect.footprint == "tile" and use.effect.access not in {"none", "remote"}:
            found += [
                (use, axis)
                for axis, dim in enumerate(use.slot.input_map)
                if grid[axis] > 1 and dim >= 0
            ]
    return found


def _name(subject: Subject, layer: int) -> str:
    return f"layer {layer} ({subject.layers[layer].register_name})"


def _dims(subject: Subject, use: LayerUse) -> tuple[int, ...]:
    return subject.record.tensor_by_id[use.slot.tensor].dims


def _grid(sizes: Callable[[Random, int, int], list[int]]) -> Make:
    """Another grid along an axis that splits a dim; `sizes` of the dim and the grid."""

    def make(rng: Random, subject: Subject) -> RecordMutant | None:
        places = _split_uses(subject)
        if not places:
            return None
        use, axis = rng.choice(places)
        layer = subject.layers[use.layer]
        extent = _dims(subject, use)[use.slot.input_map[axis]]
        choices = sizes(rng, extent, layer.grid_dim[axis])
        if not choices:
            return None
        grid = [*layer.grid_dim]
        grid[axis] = rng.choice(choices)
        what = f"{_name(subject, use.layer)} has grid {grid}, not {list(layer.grid_dim)}"
        return RecordMutant(edit.with_grid(subject.record, layer, grid), what)

    return make


def _no_divisors(rng: Random, extent: int, grid: int) -> list[int]:
    near = [grid - 1, grid + 1, grid + grid // 2, *(rng.randrange(2, 200) for _ in range(4))]
    return [x for x in near if 1 < x < extent and extent % x]


def _too_many(_rng: Random, extent: int, _grid: int) -> list[int]:
    return [x for x in (2 * extent, 3 * extent, extent + 1) if x <= 4096]


def _map(change: str) -> Make:
    def make(rng: Random, subject: Subject) -> RecordMutant | None:
        places = _split_uses(subject)
        if not places:
            return None
        use, axis = rng.choice(places)
        rank, axes = len(_dims(subject, use)), list(use.slot.input_map)
        layer = subject.layers[use.layer]
        if change == "unmapped":
            axes[axis] = -1
        elif change == "another":
            others = [x for x in range(rank) if x not in axes]
            if not others:
                return None
            axes[axis] = rng.choice(others)
        elif change == "past":
            axes[axis] = rng.choice([rank, 3]) if rank < 3 else 3
        elif change == "twice":
            others = [x for x in range(3) if x != axis and layer.grid_dim[x] > 1]
            if not others:
                return None
            axes[rng.choice(others)] = axes[axis]
        else:  # two axes change places
            others = [x for x in range(3) if x != axis and axes[x] != axes[axis]]
            others = [x for x in others if layer.grid_dim[x] > 1]
            if not others:
                return None
            other = rng.choice(others)
            axes[axis], axes[other] = axes[other], axes[axis]
        what = (
            f"{_name(subject, use.layer)} maps slot {use.position} by {axes}, "
            f"not {list(use.slot.input_map)}"
        )
        return RecordMutant(edit.with_map(subject.record, layer, use.position, axes), what)

    return make


def _row_major(dims: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(dims):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def _linear_tensors(subject: Subject, position: int) -> list[tuple[int, RecordedTensor]]:
    """(layer, tensor) of a slot of linear layers (-1: the output); no part of a shuffle."""
    parts = {
        ref.tensor
        for call in subject.record.calls.values()
        for ref in call.inputs or ()
        if call.op in {"shuffle_tensors", "fuse_tensors"}
    }
    found = []
    for layer in subject.layers:
        name = layer.register_name or ""
        if not name.startswith("linear") or "fp8" in name:  # there scales come between
            continue
        tensor = subject.record.tensor_by_id[layer.slots[position].tensor]
        plain = tensor.kind in {"attach_input", "new_tensor"} and tensor.id not in parts
        if plain and len(tensor.dims) == 2 and tensor.strides == _row_major(tensor.dims):
            found.append((layer.index, tensor))
    return found


def _shape(position: int, dim: int, factors: tuple[float, ...]) -> Make:
    def make(rng: Random, subject: Subject) -> RecordMutant | None:
        places = _linear_tensors(subject, position)
        if not places:
            return None
        layer, tensor = rng.choice(places)
        extent = tensor.dims[dim] * rng.choice(factors)
        if extent != int(extent) or extent < 1:
            return None
        dims = tuple(int(extent) if d == dim else x for d, x in enumerate(tensor.dims))
        record = edit.with_tensor(subject.record, tensor.id, dims=dims, strides=_row_major(dims))
        what = f"{tensor.name} of {_name(subject, layer)} has dims {list(dims)}"
        return RecordMutant(record, f"{what}, not {list(tensor.dims)}")

    return make


def _stride(rng: Random, subject: Subject) -> RecordMutant | None:
    """Rows that begin inside one another, in a tensor that a layer writes."""
    written = {use.slot.tensor for use in subject.uses if use.effect.writes}
    good = [
        x
        for x in subject.record.tensors
        if x.id in written and len(x.dims) == 2 and x.dims[0] > 1 and x.dims[1] % 2 == 0
    ]
    if not good:
        return None
    tensor = rng.choice(good)
    strides = (tensor.strides[0] // 2, tensor.strides[1])
    record = edit.with_tensor(subject.record, tensor.id, strides=strides)
    return RecordMutant(record, f"{tensor.name} has strides {strides}, not {tensor.strides}")


def _merge(rng: Random, subject: Subject, effect: str) -> RecordMutant | None:
    """Two tensors that layers write become one buffer, to some effect: `same` values are read in
    the order of the calls, `others`, or one layer writes both at once (`outputs`).
    """
    written = {use.slot.tensor for use in subject.uses if use.effect.writes}
    tensors = [subject.record.tensor_by_id[x] for x in sorted(written)]
    pairs = [
        (a, b)
        for a in tensors
        for b in tensors
        if a.id != b.id
        and (a.dims, a.strides, a.dtype, a.kind) == (b.dims, b.strides, b.dtype, b.kind)
        and a.kind in {"attach_input", "new_tensor"}
    ]
    pairs = [x for x in pairs if _effect(subject, *x) == effect]
    if not pairs:
        return None
    tensor, into = rng.choice(pairs)
    record = edit.merged(subject.record, tensor, into)
    return RecordMutant(record, f"{tensor.name} is {into.name}")


def _effect(subject: Subject, tensor: RecordedTensor, into: RecordedTensor) -> str:
    """What comes of one buffer for two tensors, in the order of the calls."""
    effect = "same"
    last: dict[int, int] = {}
    last_merged: dict[int, int] = {}
    for layer in subject.layers:
        mine = [use for use in subject.uses if use.layer == layer.index]
        for use in mine:
            known = use.slot.tensor
            one = into.id if known == tensor.id else known
            if use.effect.reads and last.get(known) != last_merged.get(one):
                effect = "others"
        writes = [use.slot.tensor for use in mine if use.effect.writes]
        merged = [into.id if x == tensor.id else x for x in writes]
        if len(set(merged)) < len(set(writes)):
            return "outputs"
        last.update(dict.fromkeys(writes, layer.index))
        last_merged.update(dict.fromkeys(merged, layer.index))
    return effect


def _has_unordered(_subject: Subject, _mutant: RecordMutant, context: VerifyContext) -> bool:
    """Whether tasks of different layers touch the same bytes in no order."""
    behaviour = Behaviour(context.graph)
    loose = behaviour.conflicts & ~behaviour.ordered & ~behaviour.ordered.T
    owners = np.asarray(context.operators.task_operators)
    return bool((loose & (owners[:, None] != owners[None, :])).any())


def _swapped(rng: Random, subject: Subject) -> RecordMutant | None:
    """Two inputs of different shape or type in each other's place."""
    pairs = []
    for one in subject.uses:
        for two in subject.uses:
            if one.layer != two.layer or one.position >= two.position:
                continue
            if one.is_output or two.is_output or "none" in {one.effect.access, two.effect.access}:
                continue
            tensors = [subject.record.tensor_by_id[x.slot.tensor] for x in (one, two)]
            if (tensors[0].dims, tensors[0].dtype) != (tensors[1].dims, tensors[1].dtype):
                pairs.append((one, two))
    if not pairs:
        return None
    one, two = rng.choice(pairs)
    record = edit.swap_slots(subject.record, subject.layers[one.layer], one.position, two.position)
    what = f"{_name(subject, one.layer)} has slots {one.position} and {two.position} swapped"
    return RecordMutant(record, what)


def _top_level(subject: Subject, layer: int) -> bool:
    """Whether the call that made a layer made only this one."""
    entry = subject.record.log[edit.entry_of(subject.layers[layer])]
    if isinstance(entry, BlockGraph):
        return True
    inner = [x for _, x, _ in walk((entry,)) if isinstance(x, BlockGraph)]
    return isinstance(entry, LayerCall) and len(inner) == 1


def _flows(subject: Subject) -> list[tuple[int, int, int, bool]]:
    """(writer, reader, tensor, whether an earlier layer wrote it too)."""
    found = []
    for use in subject.uses:
        if not use.effect.reads or use.effect.footprint != "tile":
            continue
        writers = [
            x.layer
            for x in subject.uses
            if x.slot.tensor == use.slot.tensor and x.effect.writes and x.layer < use.layer
        ]
        if writers:
            last = max(writers)
            found.append((last, use.layer, use.slot.tensor, any(x < last for x in writers)))
    return [x for x in found if _top_level(subject, x[0]) and _top_level(subject, x[1])]


def _late(*, again: bool) -> Make:
    """The call that writes a tensor comes after one that reads it."""

    def make(rng: Random, subject: Subject) -> RecordMutant | None:
        flows = [x for x in _flows(subject) if x[3] == again]
        if not flows:
            return None
        writer, reader, tensor, _ = rng.choice(flows)
        places = [edit.entry_of(subject.layers[x]) for x in (writer, reader)]
        record = edit.moved_entry(subject.record, *places)
        name = subject.record.tensor_by_id[tensor].name
        what = f"{_name(subject, writer)} is called after {_name(subject, reader)} reads {name}"
        return RecordMutant(record, what)

    return make


def _forgotten(rng: Random, subject: Subject) -> RecordMutant | None:
    """The only layer that writes a new tensor is not called."""
    flows = [
        x
        for x in _flows(subject)
        if not x[3] and subject.record.tensor_by_id[x[2]].kind == "new_tensor"
    ]
    if not flows:
        return None
    writer = rng.choice(flows)[0]
    record = edit.without_entry(subject.record, edit.entry_of(subject.layers[writer]))
    return RecordMutant(record, f"{_name(subject, writer)} is not called")


PAGED = (
    "qo_indptr_buffer",
    "paged_kv_indptr_buffer",
    "paged_kv_indices_buffer",
    "paged_kv_last_page_len_buffer",
)
"""What every attention kernel over pages looks its rows and pages up in."""


def _meta(rng: Random, subject: Subject) -> RecordMutant | None:
    names = [x.register_name or "" for x in subject.layers]
    given = dict(subject.record.init.get("meta_tensors") or {})
    if not given or not any(x.startswith("paged_attention") for x in names):
        return None
    gone = rng.choice(PAGED)
    given.pop(gone)
    init = {**subject.record.init, "meta_tensors": given}
    return RecordMutant(replace(subject.record, init=init), f"{gone} is not given")


def _dtype(rng: Random, subject: Subject) -> RecordMutant | None:
    """A tensor of another type in a layer whose kernel takes bfloat16."""
    layers = [
        x.index
        for x in subject.layers
        if (x.register_name or "").startswith(("linear", "rmsnorm", "silu_mul"))
    ]
    tensors = sorted({x.slot.tensor for x in subject.uses if x.layer in layers})
    good = [
        tensor
        for tensor in (subject.record.tensor_by_id[x] for x in tensors)
        if tensor.dtype == "bf16" and tensor.kind in {"attach_input", "new_tensor"}
    ]
    if not good:
        return None
    tensor, dtype = rng.choice(good), rng.choice(["fp32", "fp16", "int32"])
    record = edit.with_tensor(subject.record, tensor.id, dtype=dtype)
    return RecordMutant(record, f"{tensor.name} is {dtype}")


def _pairing(rng: Random, subject: Subject) -> RecordMutant | None:
    """SiLU times in another number of tasks than groups of gate and up take turns."""
    shuffled = {
        layer.slots[-1].tensor: call.num_groups
        for layer in subject.layers
        for slot in layer.slots[:-1]
        if (call := subject.record.calls.get(slot.tensor)) is not None
        and call.op == "shuffle_tensors"
        and len(call.inputs or ()) == 2
    }
    places = [
        layer
        for layer in subject.layers
        if (layer.register_name or "").startswith("silu_mul")
        and shuffled.get(layer.slots[0].tensor) == layer.grid_dim[0]
    ]
    if not places:
        return None
    layer = rng.choice(places)
    width = subject.record.tensor_by_id[layer.slots[-1].tensor].dims[-1]
    grids = [x for x in range(2, 257) if width % x == 0 and x != layer.grid_dim[0]]
    grid = [rng.choice(grids), *layer.grid_dim[1:]]
    what = f"{_name(subject, layer.index)} has grid {grid}, not {list(layer.grid_dim)}"
    return RecordMutant(edit.with_grid(subject.record, layer, grid), what)


SPLITS = ("MPK1", "MPK2", "MPK4")

RECORD_FAULTS = (
    RecordFault("grid that does not divide", _grid(_no_divisors), SPLITS),
    RecordFault("grid beyond the dim", _grid(_too_many), SPLITS),
    RecordFault("axis not mapped", _map("unmapped"), SPLITS),
    RecordFault("axis mapped to another dim", _map("another"), SPLITS),
    RecordFault("axis mapped past the rank", _map("past"), ("MPK103",)),
    RecordFault("two axes on one dim", _map("twice"), SPLITS),
    RecordFault("two axes swapped", _map("swapped"), SPLITS),
    RecordFault("weight with other rows (N)", _shape(1, 0, (0.5, 2)), SPLITS),
    RecordFault("weight with other columns (K)", _shape(1, 1, (0.5, 2)), SPLITS),
    RecordFault("output with fewer rows", _shape(-1, 0, (0.5,)), SPLITS),
    RecordFault("output with more rows", _shape(-1, 0, (2,)), SPLITS),
    RecordFault("output with other columns", _shape(-1, 1, (0.5, 2)), SPLITS),
    RecordFault("rows that overlap", _stride, ("MPK115",)),
    RecordFault("gate and up paired wrongly", _pairing, SPLITS),
    RecordFault(
        "buffer reused, no order", lambda r, s: _merge(r, s, "same"), ("MPK2",), _has_unordered
    ),
    RecordFault("buffer reused while needed", lambda r, s: _merge(r, s, "others"), ("MPK2",)),
    RecordFault("two outputs in one buffer", lambda r, s: _merge(r, s, "outputs"), SPLITS),
    RecordFault("inputs swapped", _swapped, (*SPLITS, "MPK46")),
    RecordFault("reader before its only writer", _late(again=False), ("MPK209", "MPK210")),
    RecordFault("reader before a later writer", _late(again=True), ("MPK2",)),
    RecordFault("layer forgotten", _forgotten, ("MPK210",)),
    RecordFault("meta tensor not given", _meta, ("MPK451",)),
    RecordFault("another element type", _dtype, ("MPK461", "MPK462")),
)
