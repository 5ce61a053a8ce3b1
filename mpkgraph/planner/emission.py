"""Which task ids and events Mirage's generator makes of layers.

Tasks are laid out event by event (`register_mugraph` in `src/kernel/runtime.cc` at `de8745d`). A
layer after one producer is one run of tasks; consumers of a fork take turns within each event of
the fork; a join is laid out by its own events. Whatever emits a group of events says three things
of each: the boxes of consumers that it gates, in order, and the boxes of producers that trigger it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass
from mpkgraph.model.ids import NUM_FIXED_TASKS
from mpkgraph.model.operator import Grid
from mpkgraph.planner.boxes import (
    Boxes,
    Int64Array,
    TooManyBlocksError,
    chain_boxes,
    event_grid,
    fork_boxes,
    join_boxes,
)
from mpkgraph.planner.dag import (
    Edge,
    EmissionError,
    LayerDag,
    LayerShape,
    TooManyTasksError,
)

FIRST_EVENT_INDEX = 2
"""Events 0 (termination) and 1 (launch) belong to no layer."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Emission:
    """Task ids of every layer, and the events that order them.

    `task_ids[i]` are those of layer i in grid order (x slowest), the subtasks of a point together.
    Ids that no layer holds are tasks emitted twice, of which the generator keeps the later one, and
    tasks beyond the grid of their layer.
    """

    num_tasks: int
    """The two fixed tasks included."""
    task_ids: tuple[Int64Array, ...]
    first_tasks: Int64Array
    """Ids of the tasks of layers that wait for nothing, in the order of emission."""
    dependent_events: Int64Array
    """For each task the index of the event it waits for; -1 where it waits for none."""
    trigger_events: Int64Array
    """For each task the index of the event it triggers; -1 where it triggers none."""
    event_first_tasks: Int64Array
    """For each event from `FIRST_EVENT_INDEX` on the first task that waits for it."""
    event_last_tasks: Int64Array
    """... and the one after the last."""
    event_triggers: Int64Array
    """How many triggers complete it (`num_triggers`)."""
    event_is_remote: BoolArray
    """Whether other GPUs trigger it, through NVSHMEM."""
    num_end_triggers: int
    """Triggers of the end event, whose index is `num_events - 1`."""
    producers: tuple[tuple[int, ...], ...]
    """For each layer those that it waits for, after residual edges are stripped."""
    num_emitted: tuple[int, ...]
    """For each layer the tasks that were given ids: more than it has where some are lost."""

    @property
    def num_events(self) -> int:
        """All events: the two fixed ones and the end of the graph included."""
        return FIRST_EVENT_INDEX + len(self.event_triggers) + 1


def emission(layers: Sequence[LayerShape], *, max_tasks: int) -> Emission:
    """The task ids and events of `layers`, given in program order.

    Raises EmissionError where Mirage refuses the layers or dies of them, TooManyTasksError beyond
    `max_tasks`.
    """
    total = NUM_FIXED_TASKS
    for index, layer in enumerate(layers):
        total += layer.num_tasks
        if total > max_tasks:
            raise TooManyTasksError(index, f"the layers up to here make {total} tasks")
    return _Emitter(LayerDag(layers), max_tasks).run()


@dataclass(frozen=True)
class _Events:
    """Consecutive events: what each gates and how many triggers complete it."""

    first_tasks: Int64Array
    last_tasks: Int64Array
    num_triggers: Int64Array
    is_remote: bool


class _Emitter:
    """Hands out task ids and event indices in the order of emission."""

    def __init__(self, dag: LayerDag, max_tasks: int) -> None:
        self.dag = dag
        self.max_tasks = max_tasks
        self.task_ids = [np.full(x.num_tasks, -1, dtype=np.int64) for x in dag.layers]
        self.triggers = [np.full(x.num_tasks, -1, dtype=np.int64) for x in dag.layers]
        self.num_emitted = [0] * len(dag.layers)
        self.outside: dict[int, Int64Array] = {}
        """By layer the blocks beyond its grid that have tasks all the same."""
        self.num_tasks = NUM_FIXED_TASKS
        self.num_events = FIRST_EVENT_INDEX
        self.first_tasks: list[Int64Array] = []
        self.events: list[_Events] = []

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
            self._layer(index, branch.get(index))
        for index, ids in enumerate(self.task_ids):
            if (ids < 0).any():
                raise _left_out(dag, index, branch)
        return self._result()

    def _layer(self, index: int, branch: int | None) -> None:
        into = self.dag.in_edges[index]
        try:
            if branch is not None:
                if branch == 0:  # the first branch emits the others too
                    self._fork(into[0].producer)
            elif not into:
                self._source(index)
            elif self.dag.is_join[index]:
                self._join(index)
            else:
                self._chain(index, into[0])
        except TooManyBlocksError:
            raise TooManyTasksError(index, "its events repeat tasks without end") from None

    def _source(self, index: int) -> None:
        count = self.dag.layers[index].num_tasks
        ids = np.arange(self.num_tasks, self.num_tasks + count, dtype=np.int64)
        self.task_ids[index][:] = ids
        self.first_tasks.append(ids)
        self.num_emitted[index] = count
        self.num_tasks += count

    def _chain(self, index: int, edge: Edge) -> None:
        # Of several edges from one producer only the first makes events.
        consumers, producers = chain_boxes(
            tuple(edge.event_dims),
            edge.input_map,
            edge.output_map,
            self._grid(index),
            self._grid(edge.producer),
        )
        self._emit([(index, consumers)], [(edge.producer, producers)])

    def _fork(self, producer: int) -> None:
        edges = self.dag.out_edges[producer]
        grid, blocks = self._grid(producer), tuple(edges[0].producer_blocks)
        branches = [
            (
                edge.consumer,
                fork_boxes(
                    grid,
                    blocks,
                    edge.output_map,
                    edge.input_map,
                    tuple(edge.consumer_blocks),
                    self._grid(edge.consumer),
                ),
            )
            for edge in edges
        ]
        self._emit(branches, [(producer, event_grid(grid, blocks))])

    def _join(self, index: int) -> None:
        edges = self.dag.in_edges[index]
        grid, blocks = self._grid(index), tuple(edges[0].consumer_blocks)
        sources = [
            (
                edge.producer,
                join_boxes(
                    grid,
                    blocks,
                    edge.input_map,
                    edge.output_map,
                    tuple(edge.producer_blocks),
                    self._grid(edge.producer),
                ),
            )
            for edge in edges
        ]
        for edge, (producer, boxes) in zip(edges, sources, strict=True):
            if not boxes.inside.all():
                raise EmissionError(
                    producer,
                    "it is joined with others, and events ask for blocks beyond its grid: Mirage "
                    "dies of a segmentation fault",
                    "Map each grid axis to a tensor dim of its own",
                    others=[index],
                    tensors=[edge.tensor],
                )
        self._emit([(index, event_grid(grid, blocks))], sources)

    def _grid(self, index: int) -> Grid:
        return self.dag.layers[index].grid_dim

    def _emit(self, branches: list[tuple[int, Boxes]], sources: list[tuple[int, Boxes]]) -> None:
        """Append events: each gates the boxes of all branches, one after the other.

        A branch or source is (layer, the box of its blocks in each event).
        """
        layers = self.dag.layers
        num_events = len(branches[0][1])
        per_event = sum(x.volume * layers[layer].num_subtasks for layer, x in branches)
        if self.num_tasks + num_events * per_event > self.max_tasks:
            raise TooManyTasksError(branches[0][0], "its events repeat tasks without end")
        indices = self.num_events + np.arange(num_events, dtype=np.int64)
        firsts = self.num_tasks + per_event * np.arange(num_events, dtype=np.int64)
        start = 0
        for layer, boxes in branches:
            subtasks = layers[layer].num_subtasks
            tasks = boxes.tasks(subtasks)
            self.num_emitted[layer] += tasks.size
            ids = firsts[:, None] + (start + np.arange(tasks.shape[1], dtype=np.int64))
            # Of a task that is emitted twice the later one stays, which has the greater id
            if boxes.is_once:
                self.task_ids[layer][tasks] = ids
            else:
                inside = boxes.tasks_inside(subtasks)
                np.maximum.at(self.task_ids[layer], tasks[inside], ids[inside])
            if len(boxes.outside):
                known = self.outside.get(layer, boxes.outside)
                self.outside[layer] = np.unique(np.concatenate([known, boxes.outside]), axis=0)
            start += tasks.shape[1]
        num_triggers = np.zeros(num_events, dtype=np.int64)
        for layer, boxes in sources:
            subtasks = layers[layer].num_subtasks
            if subtasks == 0 and boxes.volume:
                raise EmissionError(
                    layer,
                    "it puts to other GPUs, and there is only one: Mirage dies of a segmentation "
                    "fault",
                    "Give a world_size of at least 2, or leave the all-reduce out",
                )
            tasks = boxes.tasks(subtasks)
            # Of several events of one task the last one stays: numpy assigns one after the other
            self.triggers[layer][tasks.ravel()] = np.repeat(indices, tasks.shape[1])
            num_triggers += tasks.shape[1]
        self.events.append(
            _Events(
                firsts,
                firsts + per_event,
                num_triggers,
                any(layers[layer].is_remote for layer, _ in sources),
            )
        )
        self.num_tasks += num_events * per_event
        self.num_events += num_events

    def _result(self) -> Emission:
        end_triggers = self._end(self.num_events)
        triggers = np.full(self.num_tasks, -1, dtype=np.int64)
        for ids, events in zip(self.task_ids, self.triggers, strict=True):
            triggers[ids] = events
        first_tasks = _joined([x.first_tasks for x in self.events])
        last_tasks = _joined([x.last_tasks for x in self.events])
        dependents = np.full(self.num_tasks, -1, dtype=np.int64)
        gated = np.arange(FIRST_EVENT_INDEX, self.num_events, dtype=np.int64)
        tasks = np.repeat(gated, last_tasks - first_tasks)
        # Events gate consecutive tasks, in their order
        dependents[_ranges(first_tasks, last_tasks)] = tasks
        return Emission(
            num_tasks=self.num_tasks,
            task_ids=tuple(self.task_ids),
            first_tasks=_joined(self.first_tasks),
            dependent_events=dependents,
            trigger_events=triggers,
            event_first_tasks=first_tasks,
            event_last_tasks=last_tasks,
            event_triggers=_joined([x.num_triggers for x in self.events]),
            event_is_remote=np.repeat(
                np.array([x.is_remote for x in self.events], dtype=np.bool_),
                [len(x.num_triggers) for x in self.events],
            ),
            num_end_triggers=end_triggers,
            producers=tuple(tuple(sorted({e.producer for e in x})) for x in self.dag.in_edges),
            num_emitted=tuple(self.num_emitted),
        )

    def _end(self, end_event: int) -> int:
        """Let the first task of each block of the leaves trigger the end; how many do."""
        count = 0
        for index, out in enumerate(self.dag.out_edges):
            layer = self.dag.layers[index]
            if not out:
                if layer.num_subtasks == 0:
                    raise EmissionError(
                        index,
                        "it puts to other GPUs, and there is only one: Mirage dies of a "
                        "segmentation fault",
                        "Give a world_size of at least 2, or leave the all-reduce out",
                    )
                self.triggers[index][:: layer.num_subtasks] = end_event
                count += math.prod(layer.grid_dim) + len(self.outside.get(index, ()))
        return count


def _left_out(dag: LayerDag, index: int, branch: dict[int, int]) -> EmissionError:
    if index in branch:
        fork = dag.in_edges[index][0].producer
        # The first edge's consumer has another one
        twice = [e for e in dag.out_edges[fork] if e.consumer == dag.out_edges[fork][0].consumer]
        if len(twice) > 1:
            what = (
                f"layer {fork} forks, and layer {twice[0].consumer} reads it through "
                f"{len(twice)} slots: the generator "
                "leaves out all the fork's consumers and dies of a segmentation fault"
            )
            remedy = "Let a consumer that reads the fork through one slot come first, or copy it"
            return EmissionError(
                index, what, remedy, others=[fork], tensors=[e.tensor for e in twice]
            )
    return EmissionError(
        index,
        "the generator leaves out some of its tasks and aborts: two grid axes split one dim",
        "Map each grid axis to a tensor dim of its own",
        tensors=[e.tensor for e in dag.in_edges[index]],
    )


def _joined(arrays: list[Int64Array]) -> Int64Array:
    return np.concatenate([np.empty(0, dtype=np.int64), *arrays])


def _ranges(first: Int64Array, last: Int64Array) -> Int64Array:
    """All integers of the half-open ranges, one range after the other."""
    counts = last - first
    within = np.arange(counts.sum(), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    found: Int64Array = np.repeat(first, counts) + within
    return found
