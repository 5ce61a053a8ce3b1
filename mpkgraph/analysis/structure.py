"""What the order of tasks looks like: depth, width, chains, odd events, edges of operators."""

from __future__ import annotations

from dataclasses import field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray, expand_ranges, run_starts, unique_pairs
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.levels import Levels, find_levels, longest_chain
from mpkgraph.catalog import (
    EVENT_END_OF_TASK_GRAPH,
    EVENT_LAUNCH_DEPENDENT_TASKS,
    EVENT_TERMINATION,
)
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.ids import EventId, event_ranks
from mpkgraph.model.operator import OperatorSet

_RUNTIME_GATES = (EVENT_TERMINATION, EVENT_LAUNCH_DEPENDENT_TASKS, EVENT_END_OF_TASK_GRAPH)
"""The runtime acts on these itself, so no task needs to wait on them."""


@dataclass(frozen=True)
class Structure:
    """Shape of a graph's order. Chains pass through other ranks (see `EventGraph.mirror`)."""

    depth: int
    """Number of tasks on the longest chain."""
    width: int
    """Largest number of tasks on one level."""
    tasks_per_level: IntArray = field(repr=False)
    critical_chain: tuple[int, ...] = field(repr=False)
    """One longest chain: task, event, task, ..., task."""
    cycle: tuple[int, ...]
    """Events of one cycle, none where the graph has no cycle."""
    num_event_edges: int
    untriggered_events: tuple[int, ...] = field(repr=False)
    """Events with triggers to wait for that neither a task here nor, as far as the event ids
    tell, a task of another rank triggers; the runtime triggers the termination event itself."""
    ungating_events: tuple[int, ...] = field(repr=False)
    """Events on which no task waits and on which the runtime does not act."""
    remote_events: tuple[EventId, ...] = field(repr=False)
    """Events of other ranks that tasks here trigger or wait on."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; long id lists in full."""
        return {
            "depth": self.depth,
            "width": self.width,
            "tasks_per_level": self.tasks_per_level.tolist(),
            "critical_chain": chain_json(self.critical_chain),
            "cycle": list(self.cycle),
            "num_event_edges": self.num_event_edges,
            "untriggered_events": list(self.untriggered_events),
            "ungating_events": list(self.ungating_events),
            "remote_events": [
                {"rank": event.rank, "event_index": event.event_index}
                for event in self.remote_events
            ],
        }


@dataclass(frozen=True)
class OperatorEdges:
    """Edges between operators, one row per (producer, consumer, is_remote), in that order.

    Row i: operator `producers[i]` has tasks that trigger `num_events[i]` events on which tasks of
    operator `consumers[i]` wait. `num_triggering[i]` and `num_waiting[i]` count those tasks.
    `is_remote[i]`: the events belong to other ranks, and the consumer is the operator that waits
    on the events of the same index here (ranks of one pipeline have the same graph).
    """

    producers: IntArray
    consumers: IntArray
    num_events: IntArray
    num_triggering: IntArray
    num_waiting: IntArray
    is_remote: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.producers)

    def of(self, operator: int) -> OperatorEdges:
        """The edges that lead to or from one operator."""
        rows = (self.producers == operator) | (self.consumers == operator)
        return OperatorEdges(*(getattr(self, column.name)[rows] for column in fields(self)))

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {
                "producer": producer,
                "consumer": consumer,
                "num_events": events,
                "num_triggering": triggering,
                "num_waiting": waiting,
                "is_remote": remote,
            }
            for producer, consumer, events, triggering, waiting, remote in zip(
                self.producers.tolist(),
                self.consumers.tolist(),
                self.num_events.tolist(),
                self.num_triggering.tolist(),
                self.num_waiting.tolist(),
                self.is_remote.tolist(),
                strict=True,
            )
        ]


def find_structure(graph: TaskGraph) -> Structure:
    """Depth, width, one longest chain and what is odd about the events of a graph."""
    strict = EventGraph.of(graph)
    whole = EventGraph.of(graph, mirror=True) if len(strict.outside_keys) else strict
    return structure_of(graph, strict, whole, find_levels(whole))


def structure_of(
    graph: TaskGraph, strict: EventGraph, whole: EventGraph, levels: Levels
) -> Structure:
    """`find_structure` from parts that the caller has already computed."""
    local = strict.num_local
    triggered = np.bincount(whole.trigger_nodes[whole.trigger_nodes >= 0], minlength=local)[:local]
    waited = np.bincount(strict.dependent_nodes[strict.dependent_nodes >= 0], minlength=local)
    types = graph.events.event_types
    untriggered = (triggered == 0) & (types != EVENT_TERMINATION) & (graph.events.num_triggers > 0)
    ungating = (waited[:local] == 0) & ~np.isin(types, _RUNTIME_GATES)
    return Structure(
        depth=levels.depth,
        width=levels.width,
        tasks_per_level=levels.tasks_per_level,
        critical_chain=longest_chain(whole, levels),
        cycle=levels.cycle,
        num_event_edges=strict.num_edges,
        untriggered_events=tuple(np.flatnonzero(untriggered).tolist()),
        ungating_events=tuple(np.flatnonzero(ungating).tolist()),
        remote_events=strict.outside_events,
    )


def operator_edges(graph: TaskGraph, operators: OperatorSet) -> OperatorEdges:
    """Which operator waits on which, through how many events.

    An event that several operators trigger or wait on makes an edge for each pair.
    """
    tasks = graph.tasks
    starts = run_starts(tasks.dependent_events, tasks.trigger_events, operators.task_operators)
    sizes = np.diff(starts, append=graph.num_tasks)
    events = EventGraph.of(graph, mirror=True)
    return _edges_among(graph, operators, events, (starts, sizes), (starts, sizes))


def edges_of_operator(
    graph: TaskGraph, operators: OperatorSet, events: EventGraph, index: int
) -> OperatorEdges:
    """The rows of `operator_edges` that lead to or from one operator. `events` are mirrored."""
    task_ids = operators[index].task_ids
    nodes = np.concatenate((events.dependents_of(task_ids), events.triggers_of(task_ids)))
    found = _edges_among(
        graph,
        operators,
        events,
        (events.tasks_of("trigger", nodes), None),
        (events.tasks_of("dependent", nodes), None),
    )
    return found.of(index)


_Alike = tuple[IntArray, IntArray | None]
"""Tasks, each for as many as the second column says, which have its events and its operator."""
_Ends = tuple[IntArray, npt.NDArray[np.int32], IntArray | None]
"""Events, operators whose tasks trigger or wait on them, and numbers of those tasks."""


def _edges_among(
    graph: TaskGraph,
    operators: OperatorSet,
    events: EventGraph,
    making: _Alike,
    waiting: _Alike,
) -> OperatorEdges:
    """Edges from tasks that trigger an event to tasks that wait on one."""
    waits = _ends(operators, waiting, events.dependents_of(waiting[0]))
    waited = unique_pairs(*waits)
    nodes = events.triggers_of(making[0])
    own_rank = event_ranks(graph.tasks.values("trigger_events", making[0])) == graph.rank
    parts = [
        _edges_through(
            _ends(operators, making, np.where(chosen, nodes, -1)), waited, is_remote=is_remote
        )
        for is_remote, chosen in ((False, own_rank), (True, ~own_rank))
    ]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[5], columns[1], columns[0]))
    return OperatorEdges(*(column[order] for column in columns))


def _ends(operators: OperatorSet, tasks: _Alike, nodes: IntArray) -> _Ends:
    """Of tasks with the events `nodes` those that have an event and an operator."""
    owners = operators.owners(tasks[0])
    known = (nodes >= 0) & (owners >= 0)
    sizes = tasks[1]
    return nodes[known], owners[known], None if sizes is None else sizes[known]


def _edges_through(
    made: _Ends, waited: tuple[IntArray, IntArray, IntArray], *, is_remote: bool
) -> tuple[npt.NDArray[Any], ...]:
    """Columns of `OperatorEdges`, from what triggers events to what waits on them."""
    made_event, made_by, num_made = unique_pairs(*made)
    wait_event, waited_by, num_waits = waited
    first = np.searchsorted(wait_event, made_event, side="left")
    sizes = np.searchsorted(wait_event, made_event, side="right") - first
    left = np.repeat(np.arange(len(made_event)), sizes)
    right = expand_ranges(first, sizes)
    producer, consumer = made_by[left], waited_by[right]
    pairs, through, num_events = unique_pairs(producer, consumer)
    span = int(waited_by.max(initial=0)) + 1
    row = np.searchsorted(pairs * span + through, producer * span + consumer)
    return (
        pairs,
        through,
        num_events,
        _sums(row, num_made[left], len(pairs)),
        _sums(row, num_waits[right], len(pairs)),
        np.full(len(pairs), is_remote),
    )


def _sums(rows: IntArray, values: IntArray, num_rows: int) -> IntArray:
    totals = np.zeros(num_rows, dtype=np.int64)
    np.add.at(totals, rows, values)
    return totals


def chain_json(chain: tuple[int, ...]) -> list[dict[str, int]]:
    """A task, event, task, ... chain with each number named."""
    return [{"event" if i % 2 else "task": number} for i, number in enumerate(chain)]
