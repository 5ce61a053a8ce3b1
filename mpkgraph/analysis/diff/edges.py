"""Events between operators, on both sides: how many, with how many triggers, for how many tasks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpkgraph.analysis.csr import Csr, IntArray, expand_ranges, unique_pairs
from mpkgraph.analysis.diff.changes import Edge
from mpkgraph.analysis.diff.side import Side
from mpkgraph.catalog import EVENT_END_OF_TASK_GRAPH
from mpkgraph.model.ids import event_ranks

END = -1
"""Stands for the end of the graph as a consumer."""

EdgeKey = tuple[int, int, bool]
"""Producer, consumer (operators), and whether the events are those of another rank."""


def find_edges(side: Side) -> Mapping[EdgeKey, Edge]:
    """All edges between operators, those to the end of the graph included.

    The triggers of an edge to the end are those that it needs beyond the tasks that trigger it: 0.
    An event of another rank stands for the one of the same index here: ranks of one pipeline have
    the same graph.
    """
    graph, events = side.graph, side.view.all_ranks
    owner = side.task_operators
    remote = event_ranks(graph.tasks.trigger_events) != graph.rank
    num_triggers = np.zeros(events.num_nodes, dtype=np.int64)
    num_triggers[: graph.num_events] = graph.events.num_triggers
    # Every last operator triggers the end: what it needs beyond its triggers says whether it fits
    ends = np.flatnonzero(graph.events.event_types == EVENT_END_OF_TASK_GRAPH)
    made_by_all = np.bincount(
        events.trigger_nodes[events.trigger_nodes >= 0], minlength=events.num_nodes
    )
    num_triggers[ends] -= made_by_all[ends]
    waits = (owner >= 0) & (events.dependent_nodes >= 0)
    wait_event, waited_by, num_waits = unique_pairs(events.dependent_nodes[waits], owner[waits])
    # The end is waited on by nobody: one more consumer, numbered after the operators
    last = len(side.operators)
    wait_event = np.concatenate((wait_event, ends))
    waited_by = np.concatenate((waited_by, np.full(len(ends), last)))
    num_waits = np.concatenate((num_waits, np.zeros(len(ends), dtype=np.int64)))
    consumers = Csr.group(wait_event, events.num_nodes)
    found: dict[EdgeKey, Edge] = {}
    for is_remote in (False, True):
        made = (remote == is_remote) & (owner >= 0) & (events.trigger_nodes >= 0)
        node, by, count = unique_pairs(events.trigger_nodes[made], owner[made])
        sizes = consumers.sizes()[node]
        left = np.repeat(np.arange(len(node)), sizes)
        right = consumers.targets[expand_ranges(consumers.starts[node], sizes)]
        for key, edge in _grouped(
            by[left], waited_by[right], count[left], num_waits[right], num_triggers[node[left]]
        ):
            producer, consumer = key
            found[producer, END if consumer == last else consumer, is_remote] = edge
    return found


def _grouped(
    producers: IntArray, consumers: IntArray, made: IntArray, waiting: IntArray, triggers: IntArray
) -> list[tuple[tuple[int, int], Edge]]:
    if not len(producers):
        return []
    order = np.lexsort((consumers, producers))
    rows = [x[order] for x in (producers, consumers, made, waiting, triggers)]
    starts = np.flatnonzero(
        np.concatenate(([True], (rows[0][1:] != rows[0][:-1]) | (rows[1][1:] != rows[1][:-1])))
    )
    counts = np.diff(np.append(starts, len(order)))
    columns = (
        rows[0][starts],
        rows[1][starts],
        counts,
        np.add.reduceat(rows[2], starts),
        np.add.reduceat(rows[3], starts),
        np.minimum.reduceat(rows[4], starts),
        np.maximum.reduceat(rows[4], starts),
    )
    return [
        ((producer, consumer), Edge(events, triggering, waits, (low, high)))
        for producer, consumer, events, triggering, waits, low, high in zip(
            *(x.tolist() for x in columns), strict=True
        )
    ]
