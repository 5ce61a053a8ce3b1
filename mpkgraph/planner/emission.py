"""Which task ids Mirage's generator gives to each grid point of each layer.

Tasks are laid out event by event (`register_mugraph` in `src/kernel/runtime.cc` at `de8745d`). A
layer after one producer is one run of tasks; consumers of a fork take turns within each event of
the fork; a join is laid out by its own events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpkgraph.model.ids import NUM_FIXED_TASKS
from mpkgraph.model.operator import Grid
from mpkgraph.planner.dag import (
    MAX_TENSOR_DIMS,
    Edge,
    EmissionError,
    LayerDag,
    LayerShape,
    TooManyTasksError,
)

FIRST_EVENT_INDEX = 2
"""Events 0 (termination) and 1 (launch) belong to no layer."""

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Emission:
    """Task ids of every layer.

    `task_ids[i]` are those of layer i in grid order (x slowest), the subtasks of a point together.
    Ids that no layer holds are tasks emitted twice, of which the generator keeps the later one.
    """

    num_tasks: int
    """The two fixed tasks included."""
    task_ids: tuple[Int64Array, ...]
    dependent_events: Int64Array
    """For each task the index of the event it waits for; -1 where it waits for none."""
    producers: tuple[tuple[int, ...], ...]
    """For each layer those that it waits for, after residual edges are stripped."""


def emission(layers: Sequence[LayerShape], *, max_tasks: int) -> Emission:
    """The task ids of `layers`, given in program order.

    Raises EmissionError where Mirage refuses the layers, TooManyTasksError beyond `max_tasks`.
    """
    total = NUM_FIXED_TASKS
    for index, layer in enumerate(layers):
        total += layer.num_tasks
        if total > max_tasks:
            raise TooManyTasksError(index, f"the layers up to here make {total} tasks")
    dag = LayerDag(layers)
    return _Emitter(dag, max_tasks).run()


class _Emitter:
    """Hands out task ids and event indices in the order of emission."""

    def __init__(self, dag: LayerDag, max_tasks: int) -> None:
        self.dag = dag
        self.max_tasks = max_tasks
        self.task_ids = [np.full(x.num_tasks, -1, dtype=np.int64) for x in dag.layers]
        self.num_tasks = NUM_FIXED_TASKS
        self.num_events = FIRST_EVENT_INDEX
        self.dependents: list[Int64Array] = [np.full(NUM_FIXED_TASKS, -1, dtype=np.int64)]

    def run(self) -> Emission:
        dag = self.dag
        # A consumer with two edges from one fork is known by the later of them. A fork whose first
        # edge is not the one that some consumer is known by is never emitted at all.
        branch = {
            edge.consumer: position
            for out, is_fork in zip(dag.out_edges, dag.is_fork, strict=True)
            if is_fork
            for position, edge in enumerate(out)
        }
        for index in dag.order():
            into = dag.in_edges[index]
            if index in branch:
                if branch[index] == 0:
                    self._fork(into[0].producer)
            elif not into:
                self._emit(
                    [(index, np.zeros((1, 3), np.int64), list(self._grid(index)))], wait=False
                )
            elif dag.is_join[index]:
                blocks = into[0].consumer_blocks
                events = _events_of(self._grid(index), blocks)
                self._emit([(index, events * np.array(blocks), blocks)])
            else:
                self._chain(index, into[0])
        for index, ids in enumerate(self.task_ids):
            if (ids < 0).any():
                raise EmissionError(index, "the generator leaves out some of its tasks")
        return Emission(
            num_tasks=self.num_tasks,
            task_ids=tuple(self.task_ids),
            dependent_events=np.concatenate(self.dependents),
            producers=tuple(tuple(sorted({e.producer for e in x})) for x in dag.in_edges),
        )

    def _grid(self, index: int) -> Grid:
        return self.dag.layers[index].grid_dim

    def _chain(self, index: int, edge: Edge) -> None:
        grid = self._grid(index)
        events = np.indices(edge.event_dims).reshape(MAX_TENSOR_DIMS, -1)
        low = np.zeros((events.shape[1], 3), dtype=np.int64)
        blocks = list(grid)
        for axis, dim in enumerate(edge.input_map):
            if 0 <= dim < MAX_TENSOR_DIMS:
                blocks[axis] = grid[axis] // edge.event_dims[dim]
                low[:, axis] = events[dim] * blocks[axis]
        self._emit([(index, low, blocks)])

    def _fork(self, producer: int) -> None:
        edges = self.dag.out_edges[producer]
        events = _events_of(self._grid(producer), edges[0].producer_blocks)
        branches = []
        for edge in edges:
            low = np.zeros_like(events)
            for axis, dim in enumerate(edge.input_map):
                if 0 <= dim < MAX_TENSOR_DIMS and dim in edge.output_map:
                    source = edge.output_map.index(dim)
                    low[:, axis] = events[:, source] * edge.consumer_blocks[axis]
            branches.append((edge.consumer, low, edge.consumer_blocks))
        self._emit(branches)

    def _emit(
        self, branches: Iterable[tuple[int, Int64Array, list[int]]], *, wait: bool = True
    ) -> None:
        """Append tasks: for each event the boxes of all branches, one after the other.

        A branch is (layer, first grid point of each event's box, size of the boxes).
        """
        members = [(layer, self._box_tasks(layer, low, size)) for layer, low, size in branches]
        num_events = len(members[0][1])
        per_event = sum(tasks.shape[1] for _, tasks in members)
        if self.num_tasks + num_events * per_event > self.max_tasks:
            raise TooManyTasksError(members[0][0], "its events repeat tasks without end")
        start = self.num_tasks
        for layer, tasks in members:
            first = start + per_event * np.arange(num_events, dtype=np.int64)
            ids = first[:, None] + np.arange(tasks.shape[1], dtype=np.int64)
            np.maximum.at(self.task_ids[layer], tasks.ravel(), ids.ravel())  # the last one stays
            start += tasks.shape[1]
        self.num_tasks += num_events * per_event
        if wait:
            events = self.num_events + np.arange(num_events, dtype=np.int64)
            self.dependents.append(np.repeat(events, per_event))
            self.num_events += num_events
        else:
            self.dependents.append(np.full(num_events * per_event, -1, dtype=np.int64))

    def _box_tasks(self, layer: int, low: Int64Array, size: list[int]) -> Int64Array:
        """(events, tasks of one event): positions in the layer's grid order."""
        shape = self.dag.layers[layer]
        num_points = len(low) * math.prod(size)
        if num_points * shape.num_subtasks > self.max_tasks:
            raise TooManyTasksError(layer, "its events repeat tasks without end")
        points: Int64Array = low[:, :, None] + np.indices(size).reshape(3, -1)
        if points.size and (points.max(axis=(0, 2)) >= shape.grid_dim).any():
            raise EmissionError(layer, "the generator steps outside its grid")
        _, ny, nz = shape.grid_dim
        linear: Int64Array = (points[:, 0] * ny + points[:, 1]) * nz + points[:, 2]
        if shape.num_subtasks == 1:
            return linear
        subtasks = np.arange(shape.num_subtasks, dtype=np.int64)
        tasks: Int64Array = linear[:, :, None] * shape.num_subtasks + subtasks
        return tasks.reshape(len(low), -1)


def _events_of(grid: Grid, blocks: list[int]) -> Int64Array:
    """(events, 3): positions of the events along the grid axes, z fastest."""
    counts = [size // max(block, 1) for size, block in zip(grid, blocks, strict=True)]
    events: Int64Array = np.indices(counts).reshape(3, -1).T
    return events
