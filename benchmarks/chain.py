"""A chain of layers turned into tasks and events, as Mirage emits them.

Every layer here reads an output of the layer just before it, and edges that reach further back
are implied by that chain, so the rules for forks and joins never apply: one event per part of the
tensor that producer and consumer both cut, consumers of an event contiguous, producers triggering
it. The rules are those of `docs/format.md`; tests hold the result against real graphs byte for
byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpkgraph.catalog import (
    DEFAULT,
    EVENT_EMPTY,
    EVENT_END_OF_TASK_GRAPH,
    EVENT_LAUNCH_DEPENDENT_TASKS,
    EVENT_TERMINATION,
)
from mpkgraph.catalog.task_types import TASK_TYPES, TaskTypeRow
from mpkgraph.model.ids import (
    EVENT_INVALID_ID,
    EVENT_NVSHMEM_TAG,
    EVENT_RANK_SHIFT,
    NUM_FIXED_TASKS,
)
from mpkgraph.model.operator import Grid, InputMap

Int64Array = npt.NDArray[np.int64]

MAX_TENSOR_DIMS = 4
PUT_TO_PEERS = "nvshmem_allgather_strided_put"
"""The one kind of task that Mirage emits once per peer and grid point."""

_ROWS = {name: row for row in TASK_TYPES for name in row.register_names}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A whole tensor; `dims` and `strides` in elements."""

    name: str
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    data_type: int

    @classmethod
    def row_major(cls, name: str, dims: Sequence[int], data_type: int) -> Tensor:
        strides = tuple(math.prod(dims[axis + 1 :]) for axis in range(len(dims)))
        return cls(name, tuple(dims), strides, data_type)

    @property
    def element_bytes(self) -> int:
        size = DEFAULT.data_type_size(self.data_type)
        if size is None:
            raise ValueError(f"{self.name}: data type {self.data_type} has no size")
        return size


@dataclass(frozen=True, slots=True)
class Split:
    """A tensor slot of a layer: grid axis `a` cuts dim `input_map[a]`, -1 cuts nothing."""

    tensor: Tensor
    input_map: InputMap

    def partition(self, grid: Grid) -> tuple[int, ...]:
        """Into how many parts each of four tensor dims is cut."""
        parts = [1] * MAX_TENSOR_DIMS
        for size, dim in zip(grid, self.input_map, strict=True):
            if dim >= 0:
                parts[dim] = size
        return tuple(parts)

    def tile_dims(self, grid: Grid) -> tuple[int, ...]:
        return tuple(
            dim // part for dim, part in zip(self.tensor.dims, self.partition(grid), strict=False)
        )

    def offsets(self, grid: Grid, points: Int64Array) -> Int64Array:
        """Byte offset of the tile at each grid point; `points` is (3, n)."""
        elements = np.zeros(points.shape[1], dtype=np.int64)
        tile = self.tile_dims(grid)
        for axis, dim in enumerate(self.input_map):
            if dim >= 0:
                elements += points[axis] * (tile[dim] * self.tensor.strides[dim])
        return elements * self.tensor.element_bytes


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the name that Mirage registers it under, its grid and its tensor slots."""

    register_name: str
    grid_dim: Grid
    inputs: tuple[Split, ...]
    outputs: tuple[Split, ...]

    @property
    def row(self) -> TaskTypeRow:
        return _ROWS[self.register_name]

    @property
    def num_points(self) -> int:
        return math.prod(self.grid_dim)

    @property
    def is_put(self) -> bool:
        return self.register_name == PUT_TO_PEERS

    @property
    def shape_key(self) -> tuple[object, ...]:
        """What two layers must have in common to run the same generated code."""
        return (
            self.register_name,
            *((s.tile_dims(self.grid_dim), s.tensor.strides) for s in self.inputs + self.outputs),
        )


@dataclass(frozen=True)
class Emission:
    """The tasks of one layer in the order of the file; every array has one entry a task."""

    layer: Layer
    variant_id: int
    first_task_id: int
    points: Int64Array
    """(3, n): grid coordinates."""
    dependent_events: list[int]
    trigger_events: list[int]

    @property
    def num_tasks(self) -> int:
        return len(self.dependent_events)


@dataclass(frozen=True)
class EventTable:
    """All events of a graph, columns over events."""

    event_types: Int64Array
    first_task_ids: Int64Array
    last_task_ids: Int64Array
    num_triggers: Int64Array

    @property
    def num_events(self) -> int:
        return len(self.event_types)

    def rows(self) -> Iterator[tuple[int, int, int, int]]:
        yield from zip(
            self.event_types.tolist(),
            self.first_task_ids.tolist(),
            self.last_task_ids.tolist(),
            self.num_triggers.tolist(),
            strict=True,
        )


@dataclass(frozen=True, slots=True)
class _Link:
    """The events between a layer and the one that follows it."""

    first_event: int
    num_events: int
    trigger_of_point: Int64Array
    """For each grid point of the producer its event, counted from `first_event`."""
    event_of_point: Int64Array
    """For each grid point of the consumer likewise."""


class Chain:
    """A chain of layers on one rank of several, ready to be written.

    Only the events and one small integer per grid point are kept, so that a graph of gigabytes
    can be written layer by layer.

    Raises ValueError when a layer reads nothing that the layer before it writes.
    """

    def __init__(self, layers: Sequence[Layer], *, rank: int = 0, num_ranks: int = 1) -> None:
        if not layers:
            raise ValueError("a chain needs at least one layer")
        if not 0 <= rank < num_ranks:
            raise ValueError(f"rank {rank} of {num_ranks}")
        self.layers = tuple(layers)
        self.rank = rank
        self.peers = tuple(r for r in range(num_ranks) if r != rank)
        self._subtasks = [len(self.peers) if x.is_put else 1 for x in self.layers]
        sizes = [
            x.num_points * subtasks for x, subtasks in zip(self.layers, self._subtasks, strict=True)
        ]
        self._first_tasks = np.concatenate(([0], np.cumsum(sizes))) + NUM_FIXED_TASKS
        self.num_tasks = int(self._first_tasks[-1])
        self._links = self._link_layers()
        self.events = self._count_events()
        self.first_tasks = range(NUM_FIXED_TASKS, int(self._first_tasks[1]))

    def _link_layers(self) -> list[_Link]:
        links = []
        first_event = 2
        for producer, consumer in zip(self.layers, self.layers[1:], strict=False):
            written, read = _edge(producer, consumer)
            event_dims = tuple(
                math.gcd(p, c)
                for p, c in zip(
                    written.partition(producer.grid_dim),
                    read.partition(consumer.grid_dim),
                    strict=True,
                )
            )
            num_events = math.prod(event_dims)
            links.append(
                _Link(
                    first_event,
                    num_events,
                    _event_of_points(producer.grid_dim, written.input_map, event_dims),
                    _event_of_points(consumer.grid_dim, read.input_map, event_dims),
                )
            )
            first_event += num_events
        return links

    def _count_events(self) -> EventTable:
        num_events = 3 + sum(link.num_events for link in self._links)
        types = np.full(num_events, EVENT_EMPTY, dtype=np.int64)
        first, last, triggers = (np.zeros(num_events, dtype=np.int64) for _ in range(3))
        types[0], triggers[0] = EVENT_TERMINATION, 1
        types[1], triggers[1] = EVENT_LAUNCH_DEPENDENT_TASKS, 1
        first[1], last[1] = NUM_FIXED_TASKS, self.num_tasks
        for position, link in enumerate(self._links):
            rows = slice(link.first_event, link.first_event + link.num_events)
            counts = np.bincount(link.event_of_point, minlength=link.num_events)
            ends = np.cumsum(counts * self._subtasks[position + 1])
            first_task = self._first_tasks[position + 1]
            last[rows] = first_task + ends
            first[rows] = first_task + np.concatenate(([0], ends[:-1]))
            triggers[rows] = self._subtasks[position] * np.bincount(
                link.trigger_of_point, minlength=link.num_events
            )
        types[-1] = EVENT_END_OF_TASK_GRAPH
        triggers[-1] = self.layers[-1].num_points * self._subtasks[-1]
        return EventTable(types, first, last, triggers)

    def emissions(self) -> Iterator[Emission]:
        """The layers' tasks, in the order of the file."""
        variants: dict[str, dict[tuple[object, ...], int]] = {}
        own_rank = self.rank << EVENT_RANK_SHIFT
        for position, layer in enumerate(self.layers):
            of_type = variants.setdefault(layer.register_name, {})
            variant_id = of_type.setdefault(layer.shape_key, len(of_type))
            subtasks = self._subtasks[position]
            before = self._links[position - 1] if position else None
            order = (
                np.arange(layer.num_points)
                if before is None
                else np.argsort(before.event_of_point, kind="stable")
            )
            order = np.repeat(order, subtasks)
            if before is None:
                dependent = [EVENT_INVALID_ID] * len(order)
            else:
                tag = EVENT_NVSHMEM_TAG if self.layers[position - 1].is_put else 0
                base = (own_rank | tag) + before.first_event
                dependent = (base + before.event_of_point[order]).tolist()
            if position == len(self._links):
                trigger = [own_rank + self.events.num_events - 1] * len(order)
            else:
                after = self._links[position]
                ids = after.first_event + after.trigger_of_point[order]
                if layer.is_put:
                    peers = np.tile(np.array(self.peers, dtype=np.int64), layer.num_points)
                    ids = ids + (EVENT_NVSHMEM_TAG | (peers << EVENT_RANK_SHIFT))
                else:
                    ids = ids + own_rank
                trigger = ids.tolist()
            yield Emission(
                layer=layer,
                variant_id=variant_id,
                first_task_id=int(self._first_tasks[position]),
                points=_grid_points(layer.grid_dim)[:, order],
                dependent_events=dependent,
                trigger_events=trigger,
            )


def _edge(producer: Layer, consumer: Layer) -> tuple[Split, Split]:
    """The slots that tie two layers: the consumer's first input that the producer writes."""
    written = {split.tensor.name: split for split in producer.outputs}
    for split in consumer.inputs:
        if split.tensor.name in written:
            return written[split.tensor.name], split
    raise ValueError(
        f"{consumer.register_name} reads nothing that {producer.register_name} before it writes"
    )


def _grid_points(grid: Grid) -> Int64Array:
    """(3, n): the grid points with x slowest and z fastest."""
    return np.stack(np.unravel_index(np.arange(math.prod(grid)), grid)).astype(np.int64)


def _event_of_points(grid: Grid, input_map: InputMap, event_dims: tuple[int, ...]) -> Int64Array:
    """For each grid point its event, counted in the order of the tensor's dims."""
    points = _grid_points(grid)
    event = np.zeros(points.shape[1], dtype=np.int64)
    for dim, num_parts in enumerate(event_dims):
        event *= num_parts
        if num_parts > 1:
            axis = input_map.index(dim)
            event += points[axis] // (grid[axis] // num_parts)
    return event
