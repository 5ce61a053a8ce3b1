"""The order of tasks, kept on events: a task leads from its dependent to its trigger event.

Task a precedes task b iff b's dependent event is reachable from a's trigger event. Graphs have
far fewer events than tasks, so everything about order is computed here and then looked up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import Csr, IntArray, unique_pairs
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import TaskGraph

_KEY_MASK = np.uint64((ids.EVENT_RANK_MASK << ids.EVENT_RANK_SHIFT) | ids.EVENT_INDEX_MASK)
"""Rank and index: the NVSHMEM tag says how an event is counted, not which event it is."""
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

    @classmethod
    def of(cls, graph: TaskGraph, *, mirror: bool = False) -> EventGraph:
        """The event graph of a task graph, in time linear in tasks but for one sort of edges."""
        (dependent, trigger), outside_keys = _nodes(
            graph, (graph.tasks.dependent_events, graph.tasks.trigger_events), mirror=mirror
        )
        dependent[graph.tasks.is_null] = -1
        trigger[graph.tasks.is_null] = -1
        both = (dependent >= 0) & (trigger >= 0)
        sources, targets, counts = unique_pairs(dependent[both], trigger[both])
        return cls(
            num_local=graph.num_events,
            outside_keys=outside_keys,
            mirror=mirror,
            dependent_nodes=dependent,
            trigger_nodes=trigger,
            null_tasks=graph.tasks.is_null,
            edge_sources=sources,
            edge_targets=targets,
            edge_num_tasks=counts,
        )

    @property
    def num_nodes(self) -> int:
        return self.num_local + len(self.outside_keys)

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
        return self._row("waiting_tasks", self.dependent_nodes, node)

    def tasks_triggering(self, node: int) -> IntArray:
        """A row of `triggering_tasks`."""
        return self._row("triggering_tasks", self.trigger_nodes, node)

    def _row(self, name: str, owners: IntArray, node: int) -> IntArray:
        # Looking for one node's tasks takes a hundredth of the time of grouping all tasks
        if name not in self.__dict__ and self._num_scans[name] < MAX_SCANS:
            self._num_scans[name] += 1
            return np.flatnonzero(owners == node)
        rows: Csr = getattr(self, name)
        return rows.row(node)

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
