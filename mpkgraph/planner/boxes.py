"""Boxes of blocks: which part of a layer's grid belongs to each of a group of events.

Layers repeat from one model layer to the next, so each function remembers what it has computed.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid, InputMap
from mpkgraph.planner.dag import MAX_TENSOR_DIMS

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAX_BLOCKS = 1 << 26
"""Blocks of all events of a layer: beyond this Mirage's own loops would not end in a day."""
REMEMBERED = 256
"""Shapes of one model: a few dozen kinds of edges."""


class TooManyBlocksError(Exception):
    """Events that name more than `MAX_BLOCKS` blocks in all."""


@dataclass(frozen=True)
class Boxes:
    """For each event a box of blocks of one layer, all of the same size.

    `blocks[e, i]` is block i of event e as a position in grid order (x slowest, z fastest), and
    `inside` says whether it is within the grid; a box can reach beyond where two grid axes split
    one tensor dim.
    """

    blocks: Int64Array
    inside: BoolArray
    outside: Int64Array
    """The distinct blocks beyond the grid, as (blocks, 3) positions along its axes."""

    def __post_init__(self) -> None:
        self.blocks.flags.writeable = False
        self.inside.flags.writeable = False
        self.outside.flags.writeable = False

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def volume(self) -> int:
        """Blocks of one event."""
        return int(self.blocks.shape[1])

    @cached_property
    def is_once(self) -> bool:
        """Whether all blocks are within the grid and none belongs to two events."""
        blocks = np.sort(self.blocks, axis=None)
        return bool(self.inside.all() and (blocks[1:] != blocks[:-1]).all())

    def tasks(self, num_subtasks: int) -> Int64Array:
        """The blocks' tasks, (events, tasks of one event): the subtasks of a block together."""
        if num_subtasks == 1:
            return self.blocks
        subtasks = np.arange(num_subtasks, dtype=np.int64)
        tasks: Int64Array = self.blocks[:, :, None] * num_subtasks + subtasks
        return tasks.reshape(len(self), -1)

    def tasks_inside(self, num_subtasks: int) -> BoolArray:
        """For each of `tasks` whether its block is within the grid."""
        return np.repeat(self.inside, num_subtasks, axis=1)


@lru_cache(maxsize=REMEMBERED)
def chain_boxes(
    event_dims: tuple[int, ...],
    input_map: InputMap,
    output_map: InputMap,
    consumer_grid: Grid,
    producer_grid: Grid,
) -> tuple[Boxes, Boxes]:
    """(Consumers, producers) of events that go over the tensor's dims, the last dim fastest."""
    _limit(math.prod(event_dims))
    events = np.indices(event_dims).reshape(MAX_TENSOR_DIMS, -1)
    return (
        _along_dims(events, event_dims, input_map, consumer_grid),
        _along_dims(events, event_dims, output_map, producer_grid),
    )


@lru_cache(maxsize=REMEMBERED)
def event_grid(grid: Grid, blocks: tuple[int, ...]) -> Boxes:
    """The events of a fork's producer or a join's consumer: its grid in boxes of `blocks`."""
    return _boxes(_events_of(grid, blocks) * np.array(blocks), blocks, grid)


@lru_cache(maxsize=REMEMBERED)
def fork_boxes(
    grid: Grid,
    blocks: tuple[int, ...],
    output_map: InputMap,
    input_map: InputMap,
    consumer_blocks: tuple[int, ...],
    consumer_grid: Grid,
) -> Boxes:
    """The consumer's boxes for the events of a fork whose producer has `grid` and `blocks`."""
    low = _across(_events_of(grid, blocks), output_map, input_map, consumer_blocks)
    return _boxes(low, consumer_blocks, consumer_grid)


@lru_cache(maxsize=REMEMBERED)
def join_boxes(
    grid: Grid,
    blocks: tuple[int, ...],
    input_map: InputMap,
    output_map: InputMap,
    producer_blocks: tuple[int, ...],
    producer_grid: Grid,
) -> Boxes:
    """A producer's boxes for the events of a join whose consumer has `grid` and `blocks`."""
    low = _across(_events_of(grid, blocks), input_map, output_map, producer_blocks)
    return _boxes(low, producer_blocks, producer_grid)


def _along_dims(
    events: Int64Array, event_dims: tuple[int, ...], axis_map: InputMap, grid: Grid
) -> Boxes:
    low = np.zeros((events.shape[1], 3), dtype=np.int64)
    size = list(grid)
    for axis, dim in enumerate(axis_map):
        if 0 <= dim < MAX_TENSOR_DIMS:
            size[axis] = grid[axis] // event_dims[dim]
            low[:, axis] = events[dim] * size[axis]
    return _boxes(low, tuple(size), grid)


def _across(
    events: Int64Array, from_map: InputMap, to_map: InputMap, to_blocks: tuple[int, ...]
) -> Int64Array:
    """Where events of one side begin on the other: axes meet on the tensor dim that both split."""
    low = np.zeros_like(events)
    for axis, dim in enumerate(to_map):
        if 0 <= dim < MAX_TENSOR_DIMS and dim in from_map:
            low[:, axis] = events[:, from_map.index(dim)] * to_blocks[axis]
    return low


def _events_of(grid: Grid, blocks: tuple[int, ...]) -> Int64Array:
    """(events, 3): positions of the events along the grid axes, z fastest."""
    counts = [size // max(block, 1) for size, block in zip(grid, blocks, strict=True)]
    _limit(math.prod(counts))
    events: Int64Array = np.indices(counts).reshape(3, -1).T
    return events


def _boxes(low: Int64Array, size: tuple[int, ...], grid: Grid) -> Boxes:
    _limit(len(low) * math.prod(size))
    points: Int64Array = low[:, :, None] + np.indices(size).reshape(3, math.prod(size))
    _, ny, nz = grid
    blocks: Int64Array = (points[:, 0] * ny + points[:, 1]) * nz + points[:, 2]
    limits = np.array(grid, dtype=np.int64)[:, None]
    inside = np.all(points < limits, axis=1)
    outside = np.empty((0, 3), dtype=np.int64)
    if not inside.all():  # np.unique imports numpy.ma, a fifth of a small model's time
        outside = np.unique(points.transpose(0, 2, 1)[~inside], axis=0)
    return Boxes(blocks, inside, outside)


def _limit(count: int) -> None:
    if count > MAX_BLOCKS:
        raise TooManyBlocksError
