"""A task graph as a networkx DiGraph: tasks and events, or operators and tensors.

Nodes are integers (networkx is twice as fast with them as with tuples); what a node is, its
attributes say. All attributes are int, str or bool, so that every writer of networkx takes them;
what is not known is absent, never None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import SelectionError
from mpkgraph.model import ids
from mpkgraph.model.graph import Int64Column, TaskGraph, UInt64Column
from mpkgraph.model.operator import OperatorSet
from mpkgraph.views.operator_network import operator_network

if TYPE_CHECKING:
    import networkx as nx

_EVENT_KEY = np.uint64((ids.EVENT_RANK_MASK << ids.EVENT_RANK_SHIFT) | ids.EVENT_INDEX_MASK)
"""Rank and index: the NVSHMEM tag says how an event is counted, not which event it is."""


@dataclass(frozen=True)
class NodeNumbers:
    """Which node is which: tasks, then the events of the file, then events of other files.

    Node `t` is task t; node `num_tasks + e` is event e; `num_tasks + num_events + i` is
    `outside_events[i]`: an event that tasks name and this file does not hold, because another
    rank owns it or because its index is past the end.
    """

    num_tasks: int
    num_events: int
    rank: int
    outside_events: tuple[ids.EventId, ...]
    """By rank, then index; without the NVSHMEM tag."""

    @classmethod
    def of(cls, graph: TaskGraph) -> NodeNumbers:
        used = np.concatenate([graph.tasks.dependent_events, graph.tasks.trigger_events])
        used = used[~np.tile(graph.tasks.is_null, 2)]
        keys = np.unique(used[_is_outside(used, graph)] & _EVENT_KEY)
        events = (ids.decode_event_id(key) for key in keys.tolist())
        outside = tuple(event for event in events if event is not None)
        return cls(graph.num_tasks, graph.num_events, graph.rank, outside)

    @property
    def num_nodes(self) -> int:
        return self.num_tasks + self.num_events + len(self.outside_events)

    def task_node(self, task_id: int) -> int:
        """Node of a task. Raises SelectionError when the graph does not have it."""
        if not 0 <= task_id < self.num_tasks:
            raise SelectionError(
                f"there is no task {task_id}", remedy=f"Tasks are 0 to {self.num_tasks - 1}."
            )
        return task_id

    def event_node(self, event_index: int, rank: int | None = None) -> int:
        """Node of an event, of this rank unless `rank` says otherwise.

        Raises SelectionError when the graph neither holds the event nor has a task that names it.
        """
        rank = self.rank if rank is None else rank
        if rank == self.rank and 0 <= event_index < self.num_events:
            return self.num_tasks + event_index
        position = self._outside_positions.get((rank, event_index))
        if position is None:
            raise SelectionError(
                f"there is no event {event_index} of rank {rank}",
                remedy=f"Events of rank {self.rank} are 0 to {self.num_events - 1}.",
            )
        return self.num_tasks + self.num_events + position

    def task_id(self, node: int) -> int | None:
        """The task that a node is; None for an event."""
        self._check(node)
        return node if node < self.num_tasks else None

    def event(self, node: int) -> ids.EventId | None:
        """The event that a node is, without the NVSHMEM tag; None for a task."""
        self._check(node)
        if node < self.num_tasks:
            return None
        index = node - self.num_tasks
        if index < self.num_events:
            return ids.EventId(self.rank, index, nvshmem=False)
        return self.outside_events[index - self.num_events]

    def event_nodes(self, event_ids: UInt64Column) -> Int64Column:
        """Node of each encoded event id; -1 for "no event".

        Raises SelectionError for an event that the graph neither holds nor has a task name.
        """
        nodes = ids.event_indices(event_ids)
        away = _is_outside_of(event_ids, self.rank, self.num_events)
        nodes[nodes >= 0] += self.num_tasks
        if away.any():
            keys, inverse = np.unique(event_ids[away] & _EVENT_KEY, return_inverse=True)
            events = (ids.decode_event_id(key) for key in keys.tolist())
            found = [self.event_node(x.event_index, x.rank) for x in events if x is not None]
            nodes[away] = np.array(found, np.int64)[inverse.ravel()]
        return nodes

    @cached_property
    def _outside_positions(self) -> dict[tuple[int, int], int]:
        return {(e.rank, e.event_index): i for i, e in enumerate(self.outside_events)}

    def _check(self, node: int) -> None:
        if not 0 <= node < self.num_nodes:
            raise SelectionError(
                f"there is no node {node}", remedy=f"Nodes are 0 to {self.num_nodes - 1}."
            )


def to_networkx(
    graph: TaskGraph,
    *,
    operators: OperatorSet | None = None,
    kind: Literal["tasks", "operators"] = "tasks",
    catalog: Catalog = DEFAULT,
    event_edges: bool = False,
) -> nx.DiGraph:
    """The graph for networkx's algorithms and writers.

    ``kind="tasks"``: dependent event -> task -> trigger event, so that task a precedes task b
    iff a path leads from a to b. Nodes as `NodeNumbers` says.

    - all nodes: ``kind`` ("task" or "event"), ``type_number`` and ``type_name`` (of the task or
      event type), ``rank``
    - tasks: ``task_id``, ``variant_id``, ``is_null`` (the file holds `null`; no edges),
      ``is_first`` (in first_tasks), ``num_inputs``, ``num_outputs``; with `operators`, where
      the task has one, ``operator`` (its index) and ``grid_x``, ``grid_y``, ``grid_z``
    - events: ``event_index``, ``is_outside`` (not of this file), ``num_triggers``,
      ``first_task_id``, ``last_task_id``; an outside event has no type, triggers and range
    - edges: ``kind`` ("waits" from event to task, "triggers" from task to event) and
      ``is_nvshmem`` (the task names the event with the NVSHMEM tag)
    - the graph: ``kind``, ``rank``, ``num_tasks``, ``num_events``

    ``kind="operators"``: operator -> tensor that it writes, tensor -> operator that reads it, as
    the slots declare. `operators` are recovered from the tasks when not given. Nodes are the
    operators by index, then the tensors in the order of `graph.tensors`.

    - operators: ``kind`` "operator", ``operator``, ``type_number``, ``type_name``,
      ``layer_kind``, ``num_tasks``, ``first_task_id``, ``grid_x``, ``grid_y``, ``grid_z``
    - tensors: ``kind`` "tensor", ``name``
    - edges: ``kind`` ("reads" or "writes"), ``num_tiles`` and ``tile_bytes`` (sums over the
      operator's tasks; no ``tile_bytes`` where an element type has no known size)
    - with `event_edges` also operator -> operator: ``kind`` "orders", ``num_events`` and
      ``num_remote_events`` (as `mpkgraph.analysis.structure.operator_edges` counts them)
    """
    if kind == "operators":
        return operator_network(graph, operators, catalog, event_edges=event_edges)
    return _task_network(graph, operators, catalog)


def node_numbers(graph: TaskGraph) -> NodeNumbers:
    """Which node of `to_networkx(graph)` is which task or event."""
    return NodeNumbers.of(graph)


def _is_outside(event_ids: UInt64Column, graph: TaskGraph) -> Any:
    return _is_outside_of(event_ids, graph.rank, graph.num_events)


def _is_outside_of(event_ids: UInt64Column, rank: int, num_events: int) -> Any:
    indices = ids.event_indices(event_ids)
    return (indices >= 0) & ((indices >= num_events) | (ids.event_ranks(event_ids) != rank))


def _task_network(graph: TaskGraph, operators: OperatorSet | None, catalog: Catalog) -> nx.DiGraph:
    import networkx as nx

    numbers = NodeNumbers.of(graph)
    network = nx.DiGraph(
        kind="tasks", rank=graph.rank, num_tasks=graph.num_tasks, num_events=graph.num_events
    )
    network.add_nodes_from(enumerate(_task_attributes(graph, catalog)))
    network.add_nodes_from(enumerate(_event_attributes(graph, numbers, catalog), graph.num_tasks))
    if operators is not None:
        _add_operators(network, operators)
    tasks = graph.tasks
    for event_ids, edge in ((tasks.dependent_events, "waits"), (tasks.trigger_events, "triggers")):
        here = np.flatnonzero(~tasks.is_null & (event_ids != np.uint64(ids.EVENT_INVALID_ID)))
        events = numbers.event_nodes(event_ids[here])
        tagged = ids.event_is_nvshmem(event_ids[here])
        for is_nvshmem in (False, True):
            rows = tagged == is_nvshmem
            ends = (events[rows].tolist(), here[rows].tolist())
            sources, targets = ends if edge == "waits" else reversed(ends)
            pairs = zip(sources, targets, strict=True)
            network.add_edges_from(pairs, kind=edge, is_nvshmem=is_nvshmem)
    return network


def _task_attributes(graph: TaskGraph, catalog: Catalog) -> Iterator[dict[str, Any]]:
    tasks = graph.tasks
    first = np.zeros(graph.num_tasks, dtype=np.bool_)
    listed = graph.first_tasks
    first[listed[(listed >= 0) & (listed < graph.num_tasks)]] = True
    types = tasks.task_types.tolist()
    names = {value: catalog.task_type_name(value) for value in set(types)}
    num_inputs = tasks.num_inputs.astype(np.int64)
    columns = zip(
        types,
        tasks.variant_ids.tolist(),
        tasks.is_null.tolist(),
        first.tolist(),
        num_inputs.tolist(),
        (np.diff(tasks.slot_starts) - num_inputs).tolist(),
        strict=True,
    )
    rank = graph.rank
    for task_id, (number, variant, null, is_first, inputs, outputs) in enumerate(columns):
        yield {
            "kind": "task",
            "task_id": task_id,
            "rank": rank,
            "type_number": number,
            "type_name": names[number],
            "variant_id": variant,
            "is_null": null,
            "is_first": is_first,
            "num_inputs": inputs,
            "num_outputs": outputs,
        }


def _event_attributes(
    graph: TaskGraph, numbers: NodeNumbers, catalog: Catalog
) -> Iterator[dict[str, Any]]:
    events = graph.events
    columns = zip(
        events.event_types.tolist(),
        events.num_triggers.tolist(),
        events.first_task_ids.tolist(),
        events.last_task_ids.tolist(),
        strict=True,
    )
    for index, (number, triggers, first, last) in enumerate(columns):
        yield {
            "kind": "event",
            "event_index": index,
            "rank": graph.rank,
            "is_outside": False,
            "type_number": number,
            "type_name": catalog.event_type_name(number),
            "num_triggers": triggers,
            "first_task_id": first,
            "last_task_id": last,
        }
    for event in numbers.outside_events:
        yield {
            "kind": "event",
            "event_index": event.event_index,
            "rank": event.rank,
            "is_outside": True,
        }


def _add_operators(network: nx.DiGraph, operators: OperatorSet) -> None:
    nodes = network.nodes
    for operator in operators:
        index = operator.index
        for position, task_id in enumerate(operator.task_ids.tolist()):
            x, y, z = operator.grid_position(position)
            nodes[task_id].update(operator=index, grid_x=x, grid_y=y, grid_z=z)
