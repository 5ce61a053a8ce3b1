"""Tasks and events within some hops of given tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.event_graph import EventGraph, Side
from mpkgraph.analysis.ranges import format_ranges, to_ranges
from mpkgraph.frozen import dataclass
from mpkgraph.model.distinct import distinct

Direction = Literal["up", "down", "both"]

MAX_SCANS = 16
"""Hops that are each found by a look at all tasks; for more, tasks are grouped by event first."""


@dataclass(frozen=True)
class Neighbourhood:
    """Tasks and events around the tasks given. A hop goes from a task through an event to a task.

    `hops[i]` is the number of hops to `task_ids[i]`: negative for what must be complete before
    one of the given tasks, positive for what waits for one, 0 for the given tasks themselves; of
    both ways the shorter, downwards where equal.
    """

    direction: Direction
    max_hops: int | None
    task_ids: IntArray = field(repr=False)
    hops: IntArray = field(repr=False)
    event_nodes: IntArray = field(repr=False)
    """Nodes of the event graph that lie between these tasks (below `num_local` an event index)."""

    def to_json(self) -> dict[str, Any]:
        return {
            "direction": self.direction,
            "max_hops": self.max_hops,
            "num_tasks": len(self.task_ids),
            "num_events": len(self.event_nodes),
            "task_ids": format_ranges(to_ranges(self.task_ids)),
            "event_nodes": format_ranges(to_ranges(self.event_nodes)),
            "tasks_by_hops": [
                {"hops": hop, "task_ids": format_ranges(to_ranges(self.task_ids[self.hops == hop]))}
                for hop in distinct(self.hops).tolist()
            ],
        }


def neighbourhood(
    events: EventGraph,
    task_ids: IntArray,
    *,
    max_hops: int | None = None,
    direction: Direction = "both",
) -> Neighbourhood:
    """Tasks within `max_hops` hops (None: all) of the tasks given.

    "up" is what must be complete before them, "down" what waits for them, "both" the two
    together; tasks beside them (another task that waits on the same event) are in neither.
    With an `events` that mirrors, hops lead through other ranks too.
    """
    unreached = np.iinfo(np.int64).max
    hops = np.full(events.num_tasks, unreached, dtype=np.int64)
    hops[task_ids] = 0
    between = np.zeros(events.num_nodes, dtype=np.bool_)
    if direction in ("down", "both"):
        found, distances = _spread(events, task_ids, "trigger", max_hops, between)
        hops[found] = distances
    if direction in ("up", "both"):
        found, distances = _spread(events, task_ids, "dependent", max_hops, between)
        nearer = distances < hops[found]
        hops[found[nearer]] = -distances[nearer]
    chosen = np.flatnonzero(hops != unreached)
    return Neighbourhood(
        direction=direction,
        max_hops=max_hops,
        task_ids=chosen,
        hops=hops[chosen],
        event_nodes=np.flatnonzero(between),
    )


def _spread(
    events: EventGraph,
    start: IntArray,
    ahead: Side,
    max_hops: int | None,
    between: npt.NDArray[np.bool_],
) -> tuple[IntArray, IntArray]:
    """Tasks reached over the events `ahead` of each, with their hops; marks the events passed that
    lead to a task.
    """
    tasks_of = _tasks_behind(events, ahead, max_hops)
    nodes_of = events.triggers_of if ahead == "trigger" else events.dependents_of
    seen_tasks = np.zeros(events.num_tasks, dtype=np.bool_)
    seen_tasks[start] = True
    seen_nodes = np.zeros(events.num_nodes, dtype=np.bool_)
    frontier, hop = start, 0
    found, distances = [], []
    while len(frontier) and (max_hops is None or hop < max_hops):
        hop += 1
        nodes = distinct(nodes_of(frontier))
        nodes = nodes[nodes >= 0]
        nodes = nodes[~seen_nodes[nodes]]
        seen_nodes[nodes] = True
        reached, passed = tasks_of(nodes)  # each task is of one event, so none comes twice
        between[passed] = True
        frontier = reached[~seen_tasks[reached]]
        seen_tasks[frontier] = True
        found.append(frontier)
        distances.append(np.full(len(frontier), hop, dtype=np.int64))
    if not found:
        return start[:0], start[:0]
    return np.concatenate(found), np.concatenate(distances)


def _tasks_behind(
    events: EventGraph, ahead: Side, max_hops: int | None
) -> Callable[[IntArray], tuple[IntArray, IntArray]]:
    """A function from some events to the tasks on their other side, and those events that have
    any.
    """
    behind: Side = "dependent" if ahead == "trigger" else "trigger"
    if max_hops is not None and max_hops <= MAX_SCANS:
        nodes_of = events.dependents_of if behind == "dependent" else events.triggers_of

        def scan(nodes: IntArray) -> tuple[IntArray, IntArray]:
            reached = events.tasks_of(behind, nodes)
            return reached, nodes_of(reached)

        return scan
    rows = events.waiting_tasks if behind == "dependent" else events.triggering_tasks

    def gather(nodes: IntArray) -> tuple[IntArray, IntArray]:
        return rows.gather(nodes), nodes[rows.starts[nodes + 1] > rows.starts[nodes]]

    return gather
