"""The tiles of an operator as rectangles on its tensors: which task has which part of each slot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.ranges import format_ranges, to_ranges
from mpkgraph.errors import TooLargeError
from mpkgraph.model.box import Box
from mpkgraph.model.graph import Slot
from mpkgraph.model.operator import Grid, Operator, OperatorSlot
from mpkgraph.model.tile import Tile, TileError

MAX_RECTANGLES = 20_000
"""Rectangles of one picture at most."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Part of a tensor, in elements of the two dims that are shown, and the tasks that have it."""

    top: int
    bottom: int
    """Half-open, along the first dim that is shown."""
    left: int
    right: int
    task_ids: tuple[int, ...]
    """Ascending."""
    shade: float
    """From 0 to 1, in the order of the operator's grid: a colour."""

    @property
    def label(self) -> str:
        """The tasks: `2`, `2-97`."""
        return format_ranges(to_ranges(np.array(self.task_ids, dtype=np.int64)))


@dataclass(frozen=True, slots=True)
class Region:
    """Elements of a tensor that something is said about, such as a finding."""

    slot: int
    """Position of the slot."""
    box: Box


@dataclass(frozen=True, slots=True)
class SlotMap:
    """One slot: its tensor as a rectangle and its tiles on it."""

    position: int
    is_output: bool
    name: str
    data_type: str
    tensor_dims: tuple[int, ...]
    known_dims: tuple[bool, ...]
    tile_dims: tuple[int, ...]
    input_map: tuple[int, ...]
    shown_dims: tuple[int, int]
    """The dims down and across; -1 down for a tensor of one dim."""
    extents: tuple[int, int]
    """Elements of the picture down and across: the tensor's, or more where a tile sticks out."""
    tensor_extents: tuple[int, int]
    rectangles: tuple[Rectangle, ...]
    num_not_drawn: int
    """Tiles that are no boxes of the tensor."""
    regions: tuple[tuple[int, int, int, int], ...] = ()
    """(top, bottom, left, right) to point out."""

    @property
    def num_tiles(self) -> int:
        return len(self.rectangles)


@dataclass(frozen=True, slots=True)
class TileMap:
    """An operator's slots with their tiles."""

    operator: int
    name: str
    task_type: str
    grid_dim: Grid
    num_tasks: int
    slots: tuple[SlotMap, ...]
    marked: frozenset[int] = frozenset()
    """Tasks to point out; when there are any the others are faint."""
    title: str = ""
    """What the picture shows, beside the operator."""


def tile_map(
    context: GraphContext,
    operator: int,
    *,
    marked: Collection[int] = (),
    regions: Sequence[Region] = (),
    title: str = "",
    force: bool = False,
) -> TileMap:
    """The tiles of an operator.

    Slots without a tensor are left out. Of a fused tensor each part is a slot of its own.

    Raises TooLargeError beyond `MAX_RECTANGLES` rectangles, unless `force`.
    """
    found = context.operators[operator]
    slots: list[SlotMap] = []
    total = 0
    for slot in found.slots:
        for part in _parts(context, found, slot, regions):
            slots.append(part)
            total += len(part.rectangles)
            if total > MAX_RECTANGLES and not force:
                raise TooLargeError(
                    f"operator {operator} has more than {MAX_RECTANGLES:,} different tiles",
                    remedy="Draw it all the same with --force",
                )
    return TileMap(
        operator,
        context.operator_names[operator],
        context.catalog.task_type_name(found.task_type),
        found.grid_dim,
        found.num_tasks,
        tuple(slots),
        frozenset(marked),
        title,
    )


def _parts(
    context: GraphContext, operator: Operator, slot: OperatorSlot, regions: Sequence[Region]
) -> Iterator[SlotMap]:
    graph = context.graph
    columns = graph.tasks
    tiles: dict[str, dict[tuple[int, int], list[int]]] = {}
    for place, task in enumerate(operator.task_ids.tolist()):
        start, end = columns.slot_starts[task : task + 2].tolist()
        if start + slot.position >= end:
            continue
        layout = int(columns.slot_layouts[start + slot.position])
        if graph.layouts[layout].is_null:
            continue
        key = (layout, int(columns.slot_offsets[start + slot.position]))
        tiles.setdefault(graph.layouts[layout].base_ptr, {}).setdefault(key, []).append(place)
    for name, by_tile in tiles.items():
        yield _slot_map(context, operator, slot, name, by_tile, regions)


def _slot_map(
    context: GraphContext,
    operator: Operator,
    slot: OperatorSlot,
    name: str,
    by_tile: dict[tuple[int, int], list[int]],
    regions: Sequence[Region],
) -> SlotMap:
    is_whole = len(slot.base_ptrs) == 1
    boxes: list[tuple[Box, list[int]]] = []
    num_not_drawn = 0
    dims: tuple[int, ...] | None = slot.tensor_dims if is_whole else None
    for (layout, offset), places in by_tile.items():
        box = _box(context, layout, offset, dims)
        if box is None:
            num_not_drawn += 1
        else:
            boxes.append((box, places))
    num_dims = max((len(box.starts) for box, _ in boxes), default=0)
    boxes = [(box, places) for box, places in boxes if len(box.starts) == num_dims]
    if dims is None or len(dims) != num_dims:
        dims = tuple(max((box.stops[d] for box, _ in boxes), default=0) for d in range(num_dims))
    shown = _shown_dims(num_dims, dims, [box for box, _ in boxes])
    spans: dict[tuple[int, int, int, int], list[int]] = {}
    for box, places in boxes:
        spans.setdefault(_span(box, shown), []).extend(places)
    sizes = (_size(dims, shown[0]), _size(dims, shown[1]))
    rectangles = _rectangles(operator, spans)
    pointed = tuple(
        _span(region.box, shown)
        for region in regions
        if region.slot == slot.position and len(region.box.starts) == num_dims
    )
    drawn = [(x.bottom, x.right) for x in rectangles] + [(x[1], x[3]) for x in pointed]
    return SlotMap(
        position=slot.position,
        is_output=slot.is_output,
        name=name,
        data_type=context.catalog.data_type_name(slot.data_type),
        tensor_dims=dims,
        known_dims=slot.known_dims if is_whole else (False,) * len(dims),
        tile_dims=slot.tile_dims,
        input_map=slot.input_map,
        shown_dims=shown,
        extents=(
            max([sizes[0], *(down for down, _ in drawn)]),
            max([sizes[1], *(across for _, across in drawn)]),
        ),
        tensor_extents=sizes,
        rectangles=rectangles,
        num_not_drawn=num_not_drawn,
        regions=pointed,
    )


def _rectangles(
    operator: Operator, spans: dict[tuple[int, int, int, int], list[int]]
) -> tuple[Rectangle, ...]:
    """Rectangles by place; a task alone keeps its shade on every slot, others follow each other."""
    by_first = sorted(spans, key=lambda span: min(spans[span]))
    turns = {span: turn / max(len(spans) - 1, 1) for turn, span in enumerate(by_first)}
    last = max(operator.num_tasks - 1, 1)
    return tuple(
        Rectangle(
            *span,
            task_ids=tuple(sorted(int(operator.task_ids[place]) for place in places)),
            shade=places[0] / last if len(places) == 1 else turns[span],
        )
        for span, places in sorted(spans.items())
    )


def _box(
    context: GraphContext, layout: int, offset: int, dims: tuple[int, ...] | None
) -> Box | None:
    """The tile as a box: of the tensor, else one that sticks out of it."""
    try:
        tile = Tile.of(Slot(context.graph.layouts[layout], offset), context.catalog)
    except TileError:
        return None
    if tile is None:
        return None
    return (tile.box(dims) if dims is not None else None) or tile.box()


def _shown_dims(num_dims: int, dims: Sequence[int], boxes: Sequence[Box]) -> tuple[int, int]:
    """The two dims in which tiles differ most, in order; of equals the larger ones."""
    if num_dims < 2:
        return -1, 0

    def rank(dim: int) -> tuple[int, int, int]:
        return (-len({box.starts[dim] for box in boxes}), -dims[dim], -dim)

    first, second = sorted(sorted(range(num_dims), key=rank)[:2])
    return first, second


def _span(box: Box, shown: tuple[int, int]) -> tuple[int, int, int, int]:
    down, across = shown
    top, bottom = (0, 1) if down < 0 else (box.starts[down], box.stops[down])
    left, right = (box.starts[across], box.stops[across]) if box.starts else (0, 1)
    return top, bottom, left, right


def _size(dims: Sequence[int], dim: int) -> int:
    return dims[dim] if 0 <= dim < len(dims) else 1


def region_of(slot: int, elements: Sequence[tuple[int, int]]) -> Region:
    """A region of a slot's tensor by its range of elements in each dim."""
    return Region(slot, Box(tuple(x for x, _ in elements), tuple(x for _, x in elements)))
