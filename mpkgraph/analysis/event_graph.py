"""The order of tasks, kept on events: a task leads from its dependent to its trigger event.

Task a precedes task b iff b's dependent event is reachable from a's trigger event. Graphs have
far fewer events than tasks, so everything about order is computed here and then looked up.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray, expand_ranges, run_starts
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import NULL_TASK_TYPE, TaskGraph

_KEY_MASK = np.uint64((ids.EVENT_RANK_MASK << ids.EVENT_RANK_SHIFT) | ids.EVENT_INDEX_MASK)
"""Rank and index: the NVSHMEM tag says how an event is counted, not which event it is."""
_INDEX_HALF = 0 if sys.byteorder == "little" else 1
"""Where in a 64-bit id its index is, in halves."""
Side = Literal["dependent", "trigger"]
MAX_SCANS = 32
"""Nodes whose tasks are looked for one by one before all tasks are grouped."""


@dataclass(frozen=True)
class EventGraph:
    """Events as nodes, one edge per (dependent event, trigger event) pair that some task has.

    Nodes `[0, num_local)` are the events of this graph. `outside_events` (node `num_local + i`)
    are events that tasks name but this file does not hold: those of other ranks and, in a broken
    file, indices past the end.

    With `mirror` an event of another rank stands for the event of the same index here. Ranks of
    one pipeline have the same graph index for index, so chains that pass through other ranks show
    whole; but then a path is one over all ranks together, not an order among tasks of this rank.
    """

    num_local: int
    outside_keys: npt.NDArray[np.uint64] = field(repr=False)
    """Ids of `outside_events`, without the NVSHMEM tag."""
    mirror: bool
    dependent_nodes: IntArray
    """For each task the node that it waits on; -1 for none."""
    trigger_nodes: IntArray
    """For each task the node that it triggers; -1 for none."""
    null_tasks: npt.NDArray[np.bool_] = field(repr=False)
    """Tasks that the file holds as `null`."""
    edge_sources: IntArray = field(repr=False)
    edge_targets: IntArray = field(repr=False)
    edge_num_tasks: IntArray = field(repr=False)
    """For each edge (ascending by source, then target) how many tasks it stands for."""

    @staticmethod
    def of(
        graph: TaskGraph, *, mirror: bool = False, strict: EventGraph | None = None
    ) -> EventGraph:
        """The event graph of a task graph; its columns are made when they are asked for, in time
        linear in tasks but for one sort of edges.

        `strict` is the one without `mirror`, whose columns serve where no event is outside.
        """
        return _GraphEvents(graph, mirror=mirror, strict=strict)

    @property
    def num_nodes(self) -> int:
        return self.num_local + len(self.outside_keys)

    @property
    def num_tasks(self) -> int:
        return len(self.dependent_nodes)

    @cached_property
    def outside_events(self) -> tuple[ids.EventId, ...]:
        """Events that tasks name but this file does not hold."""
        return tuple(
            ids.EventId(key >> ids.EVENT_RANK_SHIFT, key & ids.EVENT_INDEX_MASK, nvshmem=False)
            for key in self.outside_keys.tolist()
        )

    @property
    def num_edges(self) -> int:
        return len(self.edge_sources)

    @cached_property
    def successors(self) -> Csr:
        """For each node the events triggered by tasks that wait on it."""
        return Csr.from_sorted(self.edge_sources, self.edge_targets, self.num_nodes)

    @cached_property
    def predecessors(self) -> Csr:
        """For each node the events that its triggering tasks wait on."""
        return Csr.from_edges(self.edge_targets, self.edge_sources, self.num_nodes)

    @cached_property
    def waiting_tasks(self) -> Csr:
        """For each node the tasks that wait on it."""
        return Csr.group(self.dependent_nodes, self.num_nodes)

    @cached_property
    def triggering_tasks(self) -> Csr:
        """For each node the tasks that trigger it."""
        return Csr.group(self.trigger_nodes, self.num_nodes)

    def tasks_waiting_on(self, node: int) -> IntArray:
        """A row of `waiting_tasks`."""
        return self._row("waiting_tasks", "dependent", node)

    def tasks_triggering(self, node: int) -> IntArray:
        """A row of `triggering_tasks`."""
        return self._row("triggering_tasks", "trigger", node)

    def tasks_of(self, side: Side, nodes: IntArray) -> IntArray:
        """Tasks, ascending, that wait on or trigger any of some nodes."""
        wanted = np.zeros(self.num_nodes + 1, dtype=np.bool_)  # node -1 picks the last
        wanted[nodes[nodes >= 0]] = True
        owners = self.dependent_nodes if side == "dependent" else self.trigger_nodes
        return np.flatnonzero(wanted[owners])

    def num_tasks_of(self, side: Side) -> IntArray:
        """For each node how many tasks wait on it, or trigger it."""
        nodes = self.dependent_nodes if side == "dependent" else self.trigger_nodes
        return np.bincount(nodes[nodes >= 0], minlength=self.num_nodes)

    def tasks_along(self, following: IntArray) -> IntArray:
        """Tasks, ascending, that lead from a node n to `following[n]`; its last is of no node."""
        return np.flatnonzero(following[self.dependent_nodes] == self.trigger_nodes)

    def dependents_of(self, task_ids: IntArray) -> IntArray:
        """`dependent_nodes` of some tasks."""
        return self.dependent_nodes[task_ids]

    def triggers_of(self, task_ids: IntArray) -> IntArray:
        """`trigger_nodes` of some tasks."""
        return self.trigger_nodes[task_ids]

    def are_null(self, task_ids: IntArray) -> npt.NDArray[np.bool_]:
        """`null_tasks` of some tasks."""
        return self.null_tasks[task_ids]

    def _row(self, name: str, side: Side, node: int) -> IntArray:
        # Looking for one node's tasks takes a hundredth of the time of grouping all tasks
        if name not in self.__dict__ and self._num_scans[name] < MAX_SCANS:
            self._num_scans[name] += 1
            return self._scan(side, node)
        rows: Csr = getattr(self, name)
        return rows.row(node)

    def _scan(self, side: Side, node: int) -> IntArray:
        owners = self.dependent_nodes if side == "dependent" else self.trigger_nodes
        return np.flatnonzero(owners == node)

    @cached_property
    def _num_scans(self) -> Counter[str]:
        return Counter()

    def outside(self, node: int) -> ids.EventId | None:
        """The event of another rank that a node stands for; None for one of this graph."""
        return None if node < self.num_local else self.outside_events[node - self.num_local]

    def reachable(self, nodes: IntArray, *, backward: bool = False) -> npt.NDArray[np.bool_]:
        """For each node whether a path leads to it (`backward`: from it), the starts included."""
        adjacency = self.predecessors if backward else self.successors
        seen = np.zeros(self.num_nodes, dtype=np.bool_)
        frontier = distinct(nodes)
        while len(frontier):
            seen[frontier] = True
            following = adjacency.gather(frontier)
            frontier = distinct(following[~seen[following]])
        return seen

    def precedes(self, task_id: int, other_id: int) -> bool:
        """Whether `task_id` is complete before `other_id` may start."""
        start, goal = int(self.trigger_nodes[task_id]), int(self.dependent_nodes[other_id])
        if start < 0 or goal < 0:
            return False
        return bool(self.reachable(np.array([start]))[goal])


class _GraphEvents(EventGraph):
    """The events of a graph: what a question does not need is not computed.

    One task's events and one event's tasks are told by the ids in the graph.
    """

    _graph: TaskGraph
    _strict: EventGraph | None

    def __init__(self, graph: TaskGraph, *, mirror: bool, strict: EventGraph | None) -> None:
        object.__setattr__(self, "mirror", mirror)
        object.__setattr__(self, "_strict", strict)
        object.__setattr__(self, "num_local", graph.num_events)
        object.__setattr__(self, "_graph", graph)

    @cached_property
    def runs(self) -> _Runs:
        """Tasks that follow one another and share both events, as one: there are far fewer."""
        strict = self._strict
        if isinstance(strict, _GraphEvents):
            runs = strict.runs
            if not len(runs.outside_keys):
                return runs
            table = self._mirrored
            if table is not None:
                none = np.empty(0, dtype=np.uint64)
                return _Runs(runs.starts, table[runs.dependent], table[runs.trigger], none)
        return _Runs.of(self._graph, mirror=self.mirror)

    @cached_property
    def _found(self) -> tuple[IntArray, IntArray]:
        """Nodes that tasks wait on, and nodes that they trigger."""
        strict, runs = self._strict, self.runs
        if isinstance(strict, _GraphEvents) and strict.runs is runs:
            return strict.dependent_nodes, strict.trigger_nodes
        sizes = np.diff(runs.starts, append=self._graph.num_tasks)
        found = np.repeat(runs.dependent, sizes), np.repeat(runs.trigger, sizes)
        for nodes in found:
            nodes.flags.writeable = False
        return found

    @cached_property
    def _edges(self) -> tuple[IntArray, IntArray, IntArray]:
        strict, runs = self._strict, self.runs
        if isinstance(strict, _GraphEvents):
            columns = strict.edge_sources, strict.edge_targets, strict.edge_num_tasks
            if strict.runs is runs:
                return columns
            table = self._mirrored
            if table is not None:
                return _merged(table[columns[0]], table[columns[1]], columns[2])
        sizes = np.diff(runs.starts, append=self._graph.num_tasks)
        both = (runs.dependent >= 0) & (runs.trigger >= 0)
        return _merged(runs.dependent[both], runs.trigger[both], sizes[both])

    @cached_property
    def _mirrored(self) -> IntArray | None:
        """With `mirror`, for each node of the strict graph the node here, and last a -1 for none;
        None where they have to be found anew.
        """
        strict = self._strict
        if strict is None:
            return None
        indices = (strict.outside_keys & np.uint64(ids.EVENT_INDEX_MASK)).astype(np.int64)
        if (indices >= self.num_local).any():
            return None
        return np.concatenate((np.arange(self.num_local), indices, (-1,)))

    @property
    def num_tasks(self) -> int:
        return self._graph.num_tasks

    @property
    def num_nodes(self) -> int:
        return self.num_local + (len(self.outside_keys) if self._has_outside else 0)

    @cached_property
    def _has_outside(self) -> bool:
        """Whether tasks name events that are not of this graph; told without finding nodes."""
        if "runs" in self.__dict__:
            return len(self.outside_keys) > 0
        # Through other ranks only an index tells; within this one any id may be of another
        first = self.num_local if self.mirror else 0
        for name in ("dependent_events", "trigger_events"):
            for _, event_ids in self._graph.tasks.event_parts(name, first, ids.EVENT_INDEX_MASK):
                halves = event_ids.view(np.uint32)
                away = halves[_INDEX_HALF::2] >= self.num_local
                if not self.mirror:
                    ranks = halves[1 - _INDEX_HALF :: 2] & np.uint32(ids.EVENT_RANK_MASK)
                    away |= ranks != self._graph.rank
                if (event_ids[away] != np.uint64(ids.EVENT_INVALID_ID)).any():
                    return True
        return False

    @property
    def dependent_nodes(self) -> IntArray:
        return self._found[0]

    @property
    def trigger_nodes(self) -> IntArray:
        return self._found[1]

    @property
    def outside_keys(self) -> npt.NDArray[np.uint64]:
        return self.runs.outside_keys

    @property
    def null_tasks(self) -> npt.NDArray[np.bool_]:
        return self._graph.tasks.is_null

    @property
    def edge_sources(self) -> IntArray:
        return self._edges[0]

    @property
    def edge_targets(self) -> IntArray:
        return self._edges[1]

    @property
    def edge_num_tasks(self) -> IntArray:
        return self._edges[2]

    def dependents_of(self, task_ids: IntArray) -> IntArray:
        return self._nodes_of("dependent", task_ids)

    def triggers_of(self, task_ids: IntArray) -> IntArray:
        return self._nodes_of("trigger", task_ids)

    def _nodes_of(self, side: Side, task_ids: IntArray) -> IntArray:
        if "_found" not in self.__dict__:
            event_ids = self._graph.tasks.values(f"{side}_events", task_ids)
            nodes, away = self._local_nodes(event_ids)
            nodes[away] = self._outside_nodes(event_ids[away]) if away.any() else -1
            nodes[self.are_null(task_ids)] = -1
            return nodes
        owners = self.dependent_nodes if side == "dependent" else self.trigger_nodes
        return owners[task_ids]

    def _outside_nodes(self, event_ids: npt.NDArray[np.uint64]) -> IntArray:
        """Nodes of events that are not of this graph."""
        keys = self.outside_keys
        order = np.argsort(keys)
        places = np.searchsorted(keys, event_ids & _KEY_MASK, sorter=order)
        found: IntArray = self.num_local + order[places]
        return found

    def num_tasks_of(self, side: Side) -> IntArray:
        nodes = self.runs.dependent if side == "dependent" else self.runs.trigger
        sizes = np.diff(self.runs.starts, append=self._graph.num_tasks)
        named = nodes >= 0
        # Sums of integers that floats hold exactly
        found = np.bincount(nodes[named], weights=sizes[named], minlength=self.num_nodes)
        return found.astype(np.int64)

    def tasks_along(self, following: IntArray) -> IntArray:
        runs = self.runs
        found = np.flatnonzero(following[runs.dependent] == runs.trigger)
        stops = np.append(runs.starts, self._graph.num_tasks)[found + 1]
        return expand_ranges(runs.starts[found], stops - runs.starts[found])

    def _scan(self, side: Side, node: int) -> IntArray:
        if "_found" in self.__dict__ or node >= self.num_local:
            return super()._scan(side, node)
        return self._naming(side, node, node, lambda indices: indices == node)

    def tasks_of(self, side: Side, nodes: IntArray) -> IntArray:
        if "_found" in self.__dict__ or (len(nodes) and nodes.max() >= self.num_local):
            return super().tasks_of(side, nodes)
        nodes = nodes[nodes >= 0]
        if not len(nodes):
            return nodes
        wanted = np.zeros(self.num_local + 1, dtype=np.bool_)
        wanted[nodes] = True
        return self._naming(
            side,
            int(nodes.min()),
            int(nodes.max()),
            lambda indices: wanted.take(indices, mode="clip"),
        )

    def _naming(
        self,
        side: Side,
        first: int,
        last: int,
        is_named: Callable[[npt.NDArray[np.uint32]], npt.NDArray[np.bool_]],
    ) -> IntArray:
        """Tasks, ascending, that are not null and name an event of this graph by an index, from
        `first` to `last`, of which `is_named` holds.
        """
        found = [np.empty(0, dtype=np.int64)]
        for start, event_ids in self._graph.tasks.event_parts(f"{side}_events", first, last):
            # The half of each id that holds the index, with nothing made of it
            indices = event_ids.view(np.uint32)[_INDEX_HALF::2]
            places = np.flatnonzero(is_named(indices))
            if not len(places):
                continue
            nodes, away = self._local_nodes(event_ids[places])
            task_ids = places + start
            found.append(task_ids[(nodes >= 0) & ~away & ~self.are_null(task_ids)])
        return np.concatenate(found)

    def _local_nodes(
        self, event_ids: npt.NDArray[np.uint64]
    ) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Nodes of event ids, and which of them are not of this graph, so that the node is not
        right.
        """
        nodes = ids.event_indices(event_ids)
        away = nodes >= self.num_local
        if not self.mirror:
            away |= (nodes >= 0) & (ids.event_ranks(event_ids) != self._graph.rank)
        return nodes, away

    def are_null(self, task_ids: IntArray) -> npt.NDArray[np.bool_]:
        null: npt.NDArray[np.bool_] = np.equal(
            self._graph.tasks.values("task_types", task_ids), NULL_TASK_TYPE
        )
        return null


def _merged(
    sources: IntArray, targets: IntArray, num_tasks: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Distinct edges in ascending order, with the tasks of all that are the same."""
    if not len(sources):
        return sources, targets, num_tasks
    span = int(targets.max()) + 1
    keys = sources * span + targets  # nodes are fewer than 2^31: each has an event or a task
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    keys = keys[starts]
    return keys // span, keys % span, np.add.reduceat(num_tasks[order], starts)


@dataclass(frozen=True, eq=False)
class _Runs:
    """Runs of tasks with the same two events: where each begins, and its two nodes."""

    starts: IntArray
    dependent: IntArray
    trigger: IntArray
    outside_keys: npt.NDArray[np.uint64]
    """Keys of the events that are not of this graph."""

    @classmethod
    def of(cls, graph: TaskGraph, *, mirror: bool) -> _Runs:
        tasks = graph.tasks
        dependent, trigger = tasks.dependent_events, tasks.trigger_events
        starts = run_starts(dependent, trigger, tasks.is_null)
        columns = dependent[starts], trigger[starts]
        (waits, triggers), outside_keys = _nodes(graph, columns, mirror=mirror)
        null = tasks.is_null[starts]
        waits[null] = triggers[null] = -1
        return cls(starts, waits, triggers, outside_keys)


def _nodes(
    graph: TaskGraph, columns: tuple[npt.NDArray[np.uint64], ...], *, mirror: bool
) -> tuple[list[IntArray], npt.NDArray[np.uint64]]:
    """Nodes of the event ids in each column, and the keys of the events not of this graph."""
    found: list[IntArray] = []
    away: list[npt.NDArray[np.bool_]] = []
    outside = np.empty(0, dtype=np.uint64)
    for event_ids in columns:
        nodes = ids.event_indices(event_ids)
        elsewhere = nodes >= graph.num_events
        if not mirror:
            elsewhere |= (nodes >= 0) & (ids.event_ranks(event_ids) != graph.rank)
        keys = distinct(event_ids[elsewhere] & _KEY_MASK)
        outside = np.concatenate((outside, keys[~np.isin(keys, outside)]))
        found.append(nodes)
        away.append(elsewhere)
    if len(outside):
        order = np.argsort(outside)
        for event_ids, nodes, elsewhere in zip(columns, found, away, strict=True):
            places = np.searchsorted(outside, event_ids[elsewhere] & _KEY_MASK, sorter=order)
            nodes[elsewhere] = graph.num_events + order[places]
    return found, outside
