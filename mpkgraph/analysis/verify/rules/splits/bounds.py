"""Tiles that leave their tensor, or run from one row into the next; tensors that overlap."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from mpkgraph.analysis.verify.context import SlotUse, VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.splits.facts import facts_of
from mpkgraph.analysis.verify.rules.splits.maps import has_sound_map
from mpkgraph.frozen import dataclass
from mpkgraph.model.record import PipelineRecord, RecordedTensor
from mpkgraph.model.tile import TileError, TileLayout
from mpkgraph.planner.registered import ALLGATHER_PUT

OUT_OF_BOUNDS = Rule(
    code="MPK105",
    name="tile-out-of-bounds",
    severity="error",
    summary="a tile reaches beyond its tensor, or over the end of a row into the next",
    why="The task reads or writes memory of another tensor, or elements that belong to another "
    "task; past the end of an allocation the kernel may die of an illegal access.",
    remedy="Choose grid, map and strides so that every tile lies within the tensor.",
)
SELF_OVERLAP = Rule(
    code="MPK115",
    name="self-overlap",
    severity="error",
    summary="a tensor's strides make different elements share memory, and a task writes it",
    why="What is written to one element appears in another: the last task to run wins.",
    remedy="Give each dim a stride of at least the extent of the dims within it.",
)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Of a tensor in the record: bytes, and whether elements share memory."""

    tensor: RecordedTensor
    num_bytes: int
    overlaps: bool


def find_out_of_bounds(context: VerifyContext) -> Iterator[Finding]:
    """Tiles beyond the tensor where the record tells its size, and tiles over the end of a row."""
    bounds = _all_bounds(context)
    crossed: dict[tuple[TileLayout, bytes], int] = {}
    for use in context.uses:
        if use.effect.access == "none" or not use.layout.has_bytes or use.layout.is_empty:
            continue
        if _is_part(context, use) or not len(use.offsets):
            continue
        bound = bounds.get(use.tensor)
        if bound is not None or int(use.offsets.min()) < 0:
            finding = _beyond(context, use, bound)
            if finding is not None:
                yield finding
                continue
        if bound is not None and bound.overlaps:
            continue
        key = use.layout, use.offsets.tobytes()
        if key not in crossed:
            crossed[key] = _first_crossing(use)
        if crossed[key] >= 0:
            yield _crossing(context, use, crossed[key])


def find_self_overlaps(context: VerifyContext) -> Iterator[Finding]:
    """Written tensors whose elements share memory: by the record's strides, else by a tile's."""
    bounds = _all_bounds(context)
    for name, uses in context.uses_by_tensor.items():
        bound = bounds.get(name)
        for use in uses:
            if not use.effect.writes:
                continue
            dims, strides = use.layout.dims, use.layout.strides
            if bound is not None and bound.overlaps:
                dims, strides = bound.tensor.dims, bound.tensor.strides
            elif bound is not None or not use.layout.aliases:
                continue
            yield Finding(
                rule=SELF_OVERLAP,
                message=f"{context.name(use.operator)} writes {name!r}, whose elements share "
                f"memory: dims {list(dims)} with strides {list(strides)}",
                location=context.location(use.operator, use.slot),
                remedy=f"Row-major strides of these dims are {list(row_major(dims))}",
                witness=(context.task_ref(int(use.tasks[0])),),
                count=len(use.tasks),
                # Kernels that find their rows themselves need not follow these strides
                severity_here=None if use.effect.footprint == "tile" else "warning",
                key=(use.operator.task_type, use.slot.position, dims, strides),
            )
            break


def bytes_of(tensor: RecordedTensor, size: int) -> int:
    """Bytes that a tensor's memory has: Mirage allocates by dims, the caller by strides."""
    elements = 1
    for dim in tensor.dims:
        elements *= dim
    if tensor.kind == "attach_input" and elements:
        strided = zip(tensor.dims, tensor.strides, strict=False)
        return (1 + sum((dim - 1) * abs(stride) for dim, stride in strided)) * size
    return elements * size


def whole_layout(dims: tuple[int, ...], strides: tuple[int, ...], size: int) -> TileLayout | None:
    """A tensor as one tile; None for one beyond all memory."""
    try:
        return TileLayout(dims, strides, size)
    except TileError:
        return None


def _all_bounds(context: VerifyContext) -> Mapping[str, _Bounds]:
    """By name, of the tensors that tasks use and that the record tells apart."""
    found: dict[str, _Bounds] | None = context.memo.get(__name__)
    if found is not None:
        return found
    found = context.memo[__name__] = {}
    if context.record is None:
        return found
    counts = Counter(tensor.base_ptr for tensor in context.record.tensors)
    for tensor in context.record.tensors:
        uses = context.uses_by_tensor.get(tensor.base_ptr, ())
        size = uses[0].layout.element_bytes if uses else None
        if size is None or counts[tensor.base_ptr] > 1:
            continue
        overlaps = False
        if tensor.strides != row_major(tensor.dims):
            whole = whole_layout(tensor.dims, tensor.strides, size)
            if whole is None:
                continue
            overlaps = whole.aliases
        found[tensor.base_ptr] = _Bounds(tensor, bytes_of(tensor, size), overlaps)
    return found


def _is_part(context: VerifyContext, use: SlotUse) -> bool:
    """Tiles that are not meant to lie in what their name says: of a fused tensor, of all planes, of
    a map that names no dim.
    """
    facts = facts_of(context, use.operator)
    if not has_sound_map(facts.slots[use.slot.position], facts):
        return True
    if len(use.slot.base_ptrs) > 1 or _is_fused(context.record, context, use):
        return True
    return use.slot.is_output and facts.task_type == ALLGATHER_PUT


def _is_fused(record: PipelineRecord | None, context: VerifyContext, use: SlotUse) -> bool:
    layer = context.layer(use.operator)
    if record is None or layer is None:
        return False
    tensor = layer.slots[use.slot.position].tensor
    return tensor is not None and record.tensor_by_id[tensor].kind == "fuse_tensors"


def _beyond(context: VerifyContext, use: SlotUse, bound: _Bounds | None) -> Finding | None:
    """The first tile that starts before the tensor or ends after it."""
    starts = use.offsets + use.layout.lowest
    stops = starts + use.layout.extent_bytes
    limit = None if bound is None else bound.num_bytes
    outside = starts < 0
    if limit is not None:
        outside |= stops > limit
    if not outside.any():
        return None
    at = int(np.argmax(outside))
    low, high = int(starts[at]), int(stops[at])
    size = (
        "before its first byte"
        if bound is None or low < 0
        else f"beyond its {limit} bytes (dims {list(bound.tensor.dims)})"
    )
    return Finding(
        rule=OUT_OF_BOUNDS,
        message=f"{context.name(use.operator)} {'writes' if use.effect.writes else 'reads'} bytes "
        f"[{low}, {high}) of {use.tensor!r}, {size}: {int(outside.sum())} of "
        f"{len(use.tasks)} tiles of {list(use.layout.dims)} do",
        location=context.location(use.operator, use.slot, byte_range=(low, high)),
        remedy="Check the map and grid of the slot, and the strides of the tensor",
        witness=(context.task_ref(int(use.tasks[at])),),
        count=int(outside.sum()),
        key=(use.operator.task_type, use.slot.position, use.layout, low, high, limit),
    )


def _first_crossing(use: SlotUse) -> int:
    """Position of the first tile that runs over the end of a row; -1 for none.

    Only for row-major strides, where a row's end is known: each outer stride is at least as large
    as the next inner one.
    """
    layout = use.layout
    dims, strides, size = layout.dims, layout.strides, layout.element_bytes
    pairs = [(n, s) for n, s in zip(dims, strides, strict=True) if s > 0]
    if size is None or len(pairs) < len(dims) or (use.offsets % size).any():
        return -1
    if any(a[1] < b[1] for a, b in itertools.pairwise(pairs)):
        return -1
    rest = use.offsets // size
    crossing = np.zeros(len(rest), dtype=np.bool_)
    for level, (count, stride) in enumerate(pairs):
        if level and pairs[level - 1][1] > stride and count > 1:
            crossing |= (rest // stride + count - 1) * stride >= pairs[level - 1][1]
        rest = rest % stride
    return int(np.argmax(crossing)) if crossing.any() else -1


def _crossing(context: VerifyContext, use: SlotUse, at: int) -> Finding:
    size = use.layout.element_bytes or 1
    offset = int(use.offsets[at])
    return Finding(
        rule=OUT_OF_BOUNDS,
        message=f"{context.name(use.operator)} {'writes' if use.effect.writes else 'reads'} a tile "
        f"{list(use.layout.dims)} of {use.tensor!r} at byte {offset} (element {offset // size}) "
        f"that runs over the end of a row: strides {list(use.layout.strides)}",
        location=context.location(
            use.operator, use.slot, byte_range=(offset, offset + use.layout.extent_bytes)
        ),
        remedy="Check the map and grid of the slot, and the strides of the tensor",
        witness=(context.task_ref(int(use.tasks[at])),),
        key=(use.operator.task_type, use.slot.position, use.layout, offset),
    )


def row_major(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Strides in elements.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    if not dims:
        return ()
    strides = [1]
    for dim in reversed(dims[1:]):
        strides.append(strides[-1] * dim)
    return tuple(reversed(strides))


CHECKS = (
    CheckRow(find_out_of_bounds, (OUT_OF_BOUNDS,)),
    CheckRow(find_self_overlaps, (SELF_OVERLAP,)),
)
