"""What a grid does to one slot: its input_map and the whole tensor's dims, from the tiles.

A tile starts at sum over axes of b_a * tile_dims[m_a] * strides[m_a] elements, since a tile's dim
is what the division by the grid leaves, as is the distance of two tiles.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid, InputMap
from mpkgraph.views.rows import AXES, Int

Bool = npt.NDArray[np.bool_]
Flags = tuple[bool, bool, bool]
NUM_AXES = len(AXES)
UNSPLIT = -1
UNTOLD = "the offsets do not tell the grid axes apart"
UNEXPLAINED = "no dim explains the step"


@dataclass(frozen=True)
class SlotShape:
    """What the tiles of one slot share. `element_bytes` is None for a type of unknown size."""

    tile_dims: tuple[int, ...]
    strides: tuple[int, ...]
    element_bytes: int | None
    is_fused: bool
    """Whether tasks see several tensors here."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of one layer in the order of the file."""

    offsets: Int
    """(num_tasks, num_slots) bytes above `bases`."""
    bases: Int
    """(num_slots,): the smallest offset of each slot in bytes."""
    tensors: Int | None
    """(num_tasks, num_slots): equal numbers for equal tensors; None without fused slots."""
    coordinates: Int
    """(num_tasks, 4), see `Rows`."""
    block_starts: Bool
    """Where the tasks of another event begin."""
    shapes: tuple[SlotShape, ...]
    num_inputs: int


@dataclass(frozen=True)
class SlotSplit:
    """What the grid does to one slot."""

    input_map: InputMap
    known_map: Flags
    tensor_dims: tuple[int, ...]
    known_dims: tuple[bool, ...]


def tile_indices(shape: SlotShape, offsets: Int) -> dict[int, Int]:
    """For each tensor dim along which the tiles of a slot differ the index of each task's tile.

    Nothing where the offsets are no multiples of the tiles' steps.
    """
    if not shape.element_bytes or shape.is_fused or not offsets.any():
        return {}
    rest, remainder = np.divmod(offsets, shape.element_bytes)
    if remainder.any():
        return {}
    largest = int(rest.max())
    columns: dict[int, Int] = {}
    steps = [tile * stride for tile, stride in zip(shape.tile_dims, shape.strides, strict=True)]
    # of two dims with equal strides one has extent 1: the smaller step is its
    for dim in sorted(range(len(steps)), key=lambda d: (-shape.strides[d], -steps[d], d)):
        step = steps[dim]
        if 0 < step <= largest:
            column, rest = np.divmod(rest, step)
            if column.any():
                columns[dim] = column
    return {} if rest.any() else dict(sorted(columns.items()))


def nesting_order(strides: Sequence[int]) -> list[int]:
    """Dims from the outermost to the innermost: by stride, ties by position.

    >>> nesting_order((1, 4096))
    [1, 0]
    """
    return sorted(range(len(strides)), key=lambda dim: (-strides[dim], dim))


def split_slots(
    tasks: Tasks, sizes: Grid, certain: Flags, order: Int | None, undecoded: frozenset[int]
) -> tuple[tuple[SlotSplit, ...], list[str]]:
    """The input_map and the whole dims of each slot; sentences about what does not fit.

    `undecoded` slots have tiles that may move along two axes in one.
    """
    num_slots = len(tasks.shapes)
    offsets, tensors = tasks.offsets, tasks.tensors
    if order is not None:
        offsets = offsets[order]
        tensors = None if tensors is None else tensors[order]
    grid = offsets.reshape(*sizes, num_slots)
    names = None if tensors is None else tensors.reshape(*sizes, num_slots)
    steps = np.zeros((NUM_AXES, num_slots), dtype=np.int64)
    predicted = np.zeros_like(grid)
    for axis in range(NUM_AXES):
        if sizes[axis] > 1:
            ahead = [0, 0, 0]
            ahead[axis] = 1
            steps[axis] = grid[tuple(ahead)] - grid[0, 0, 0]
            shape = [1, 1, 1, 1]
            shape[axis] = sizes[axis]
            predicted = predicted + np.arange(sizes[axis]).reshape(shape) * steps[axis]
    fits = (predicted + grid[0, 0, 0] == grid).all(axis=(0, 1, 2))
    fits[list(undecoded)] = False
    splits, notes = [], []
    for slot, shape_of_slot in enumerate(tasks.shapes):
        decodes = bool(shape_of_slot.element_bytes) and slot not in undecoded
        if names is not None and shape_of_slot.is_fused and decodes:
            splits.append(
                _split_fused(shape_of_slot, sizes, certain, grid[..., slot], names[..., slot])
            )
            continue
        split, note = _split_slot(
            shape_of_slot, sizes, certain, steps[:, slot].tolist(), fits=bool(fits[slot])
        )
        splits.append(split)
        if note:
            notes.append(f"Slot {slot}: {note}")
    return tuple(splits), notes


def _split_slot(
    shape: SlotShape, sizes: Grid, certain: Flags, steps: list[int], *, fits: bool
) -> tuple[SlotSplit, str]:
    tile, num_dims = shape.tile_dims, len(shape.tile_dims)
    if not num_dims:  # a tensor given as None
        return SlotSplit((-1, -1, -1), (False, False, False), (), ()), ""
    if not fits or not shape.element_bytes:
        why = UNTOLD if shape.element_bytes else "the element size of its type is not known"
        return (
            SlotSplit((-1, -1, -1), (False, False, False), tile, (False,) * num_dims),
            f"{why}, so its input_map is not known",
        )
    split_axes = [axis for axis in range(NUM_AXES) if sizes[axis] > 1]
    empty = [dim for dim in range(num_dims) if tile[dim] == 0 or shape.strides[dim] == 0]
    mapped = [UNSPLIT] * NUM_AXES
    sure = [False] * NUM_AXES
    note = ""
    for axis in split_axes:
        step = steps[axis]
        if step == 0:
            if not empty:
                sure[axis] = True
            elif len(empty) == 1 and tile[empty[0]] == 0:
                # a tile without extent: some grid axis is larger than the dim
                mapped[axis] = empty[0]
                sure[axis] = len(split_axes) == 1
                note = f"dim {empty[0]} is smaller than the grid"
            continue
        candidates, sure[axis] = _dims_of_step(shape, step, sizes, axis)
        if empty:
            sure[axis] = False  # two axes may split the dim without extent, in steps of any size
        if candidates:
            mapped[axis] = candidates[0]
            if not sure[axis]:
                listed = " or ".join(map(str, candidates))
                note = f"{AXES[axis]} seems to split dim {listed}, which the steps do not prove"
        else:
            note = f"{UNEXPLAINED} of {step} bytes along {AXES[axis]}"
    dims, known_dims = _whole_dims(shape, sizes, mapped, sure)
    flags = tuple(sure[axis] and certain[axis] for axis in range(NUM_AXES))
    x, y, z = mapped
    return SlotSplit((x, y, z), flags, dims, known_dims), note  # type: ignore[arg-type]


def _dims_of_step(
    shape: SlotShape, step: int, sizes: Grid, axis: int
) -> tuple[tuple[int, ...], bool]:
    """Dims whose tiles lie `step` bytes apart, and whether the first of them is it for sure."""
    steps = [
        tile * stride * (shape.element_bytes or 0)
        for tile, stride in zip(shape.tile_dims, shape.strides, strict=True)
    ]
    matching = [dim for dim, other in enumerate(steps) if other == step]
    extents = _extents(shape)
    roomy = [
        dim
        for dim in matching
        if (extent := extents[dim]) is None or shape.tile_dims[dim] * sizes[axis] <= extent
    ]
    if roomy:
        return tuple(roomy), len(roomy) == 1
    if matching:
        return tuple(matching), False
    # two axes that split one dim: the step counts the tiles of the other axis too
    others = [sizes[other] for other in range(NUM_AXES) if other != axis and sizes[other] > 1]
    shared = {dim for dim, one in enumerate(steps) for size in others if one * size == step}
    return tuple(sorted(shared)), False


def stride_extents(strides: Sequence[int]) -> list[int | None]:
    """Extent of each dim if the tensor has no gaps; None where that is open.

    >>> stride_extents((4096, 1)), stride_extents((1, 512))
    ([None, 4096], [512, None])
    """
    extents: list[int | None] = [None] * len(strides)
    order = nesting_order(strides)
    for outer, inner in itertools.pairwise(order):
        if strides[inner] > 0 and strides[outer] % strides[inner] == 0:
            extents[inner] = strides[outer] // strides[inner]
    for outer, inner in itertools.pairwise(order):
        if strides[outer] == strides[inner]:
            # one of the two has extent 1, but which one does not show
            extents[outer] = extents[inner] = None
    return extents


def _extents(shape: SlotShape) -> list[int | None]:
    """`stride_extents`, none where a tile is larger than that: the strides were made by hand."""
    extents = stride_extents(shape.strides)
    for extent, tile in zip(extents, shape.tile_dims, strict=True):
        if extent is not None and extent < tile:
            return [None] * len(extents)
    return extents


def _whole_dims(
    shape: SlotShape, sizes: Grid, mapped: list[int], sure: list[bool]
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Extents of the whole tensor, at least those that the tiles fill."""
    extents = _extents(shape)
    all_sure = all(sure[axis] or sizes[axis] == 1 for axis in range(NUM_AXES))
    dims, known = [], []
    for dim, tile in enumerate(shape.tile_dims):
        volume = 1
        for axis in range(NUM_AXES):
            if mapped[axis] == dim and sure[axis]:
                volume *= sizes[axis]
        extent = extents[dim]
        if volume == 1:
            dims.append(tile)
            known.append(all_sure)
        elif extent is not None and tile * volume <= extent < (tile + 1) * volume:
            dims.append(extent)
            known.append(all_sure)
        else:
            dims.append(tile * volume)
            known.append(False)
    return tuple(dims), tuple(known)


def _split_fused(
    shape: SlotShape, sizes: Grid, certain: Flags, offsets: Int, tensors: Int
) -> SlotSplit:
    """A fused tensor: along the axis that splits dim 0 the tasks change from tensor to tensor."""
    mapped = [UNSPLIT] * NUM_AXES
    sure = [False] * NUM_AXES
    for axis in range(NUM_AXES):
        if sizes[axis] == 1:
            continue
        if np.diff(tensors, axis=axis).any():
            mapped[axis], sure[axis] = 0, True
            continue
        ahead = [0, 0, 0]
        ahead[axis] = 1
        step = int(offsets[tuple(ahead)] - offsets[0, 0, 0])
        if step == 0:
            sure[axis] = True
        else:
            candidates, is_sure = _dims_of_step(shape, step, sizes, axis)
            if candidates:
                mapped[axis], sure[axis] = candidates[0], is_sure
    dims, known = _whole_dims(shape, sizes, mapped, sure)
    # no tile tells the rows of the whole buffer from the strides of one sub-tensor
    known = (known[0] and 0 not in mapped, *known[1:])
    flags = tuple(sure[axis] and certain[axis] for axis in range(NUM_AXES))
    x, y, z = mapped
    return SlotSplit((x, y, z), flags, dims, known)  # type: ignore[arg-type]
