"""Layers of which tasks are missing: null tasks, and graphs that hold a part of another graph."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from mpkgraph.model.operator import Grid, InputMap
from mpkgraph.views.grids import GridSplit, known_columns, repeat_ranks
from mpkgraph.views.rows import Int
from mpkgraph.views.segments import row_numbers
from mpkgraph.views.slot_splits import NUM_AXES, UNSPLIT, SlotSplit, Tasks, tile_indices

_UNKNOWN = (False, False, False)
GAPS = (
    "The tasks do not fill a grid: some are missing, or the metadata mean something else."
    " Sizes are the smallest that hold them"
)
NO_COORDINATES = "Some metadata exceed 32767, which no grid does: they do not count"
MAX_COORDINATE = 32767
"""Of a grid with gaps. A negative request_id reads as more: it is a coordinate cut to 16 bits."""
NO_GRID = "The tiles and the order of the tasks fit no grid: listed along x in file order"


def is_partial(ambiguities: Sequence[str]) -> bool:
    """Whether an operator's tasks fill no grid, by what is said of it."""
    return GAPS in ambiguities or NO_GRID in ambiguities


def solve_partial(tasks: Tasks) -> GridSplit | None:
    """Places the tasks in a grid that has gaps, by metadata and by offsets from the tensor's base.

    None when two tasks would share a point. The grid is the smallest that holds them all.
    """
    named = known_columns(tasks.coordinates)
    columns = {
        axis: column for axis, column in named.items() if int(column.max()) <= MAX_COORDINATE
    }
    free = [axis for axis in range(NUM_AXES) if axis not in columns]
    ambiguities = (GAPS,) if len(columns) == len(named) else (GAPS, NO_COORDINATES)
    num_tasks = len(tasks.offsets)
    for column in _tile_columns(tasks, list(columns.values()))[: len(free)]:
        columns[free.pop(0)] = column
    if _num_points(columns, num_tasks) < num_tasks and free:
        columns[free.pop(0)] = repeat_ranks(list(columns.values()), num_tasks)
    if not columns or _num_points(columns, num_tasks) < num_tasks:
        return None
    points = np.zeros((num_tasks, NUM_AXES), dtype=np.int64)
    for axis, column in columns.items():
        points[:, axis] = column
    sizes = (points.max(axis=0) + 1).tolist()
    order = np.lexsort(points.T[::-1])
    grid: Grid = (sizes[0], sizes[1], sizes[2])
    return GridSplit(
        grid_dim=grid,
        known_grid=_UNKNOWN,
        order=order,
        positions=points[order].astype(np.int32),
        slots=tuple(_split(tasks, slot, columns) for slot in range(len(tasks.shapes))),
        ambiguities=ambiguities,
        repeats=1,
    )


def list_tasks(tasks: Tasks) -> GridSplit:
    """Tasks that no grid explains, along x in the order of the file."""
    return GridSplit(
        grid_dim=(len(tasks.offsets), 1, 1),
        known_grid=_UNKNOWN,
        order=None,
        positions=None,
        slots=tuple(_split(tasks, slot, {}) for slot in range(len(tasks.shapes))),
        ambiguities=(NO_GRID,),
        repeats=1,
    )


def _tile_columns(tasks: Tasks, known: list[Int]) -> list[Int]:
    """Columns of tile indices, outputs first, that tell tasks apart beyond those before them."""
    columns = list(known)
    num_slots = len(tasks.shapes)
    num_tasks = len(tasks.offsets)
    num_points = _num_points(dict(enumerate(columns)), num_tasks)
    for slot in itertools.chain(range(tasks.num_inputs, num_slots), range(tasks.num_inputs)):
        offsets = tasks.offsets[:, slot] + tasks.bases[slot]
        for column in tile_indices(tasks.shapes[slot], offsets).values():
            extended = _num_points(dict(enumerate([*columns, column])), num_tasks)
            if extended > num_points:
                columns.append(column)
                num_points = extended
    return columns[len(known) :]


def _num_points(columns: dict[int, Int], num_tasks: int) -> int:
    if not columns:
        return min(num_tasks, 1)
    return int(row_numbers(np.stack(list(columns.values()), axis=1)).max()) + 1


def _split(tasks: Tasks, slot: int, columns: dict[int, Int]) -> SlotSplit:
    """Dims along which the tiles of a slot move as an axis does; nothing is sure."""
    shape = tasks.shapes[slot]
    mapped = [UNSPLIT] * NUM_AXES
    indices = tile_indices(shape, tasks.offsets[:, slot] + tasks.bases[slot])
    for dim, index in indices.items():
        for axis, column in columns.items():
            if np.array_equal(column, index) and mapped[axis] == UNSPLIT:
                mapped[axis] = dim
    input_map: InputMap = (mapped[0], mapped[1], mapped[2])
    return SlotSplit(input_map, _UNKNOWN, shape.tile_dims, (False,) * len(shape.tile_dims))
