"""Paths between two tasks: a shortest one, or all of them up to a limit, and how many there are."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import Csr, IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.ranges import check_id
from mpkgraph.analysis.structure import chain_json
from mpkgraph.analysis.table import MAX_JSON_INTEGER
from mpkgraph.model.distinct import distinct

Path = tuple[int, ...]
"""Task, event, task, ..., task; an event is a node of the event graph."""

MAX_DIGITS = 40
"""Larger numbers of paths are told as a power of ten; models reach thousands of digits."""


@dataclass(frozen=True)
class Paths:
    """Paths from one task to another. Without any, `target` does not wait for `source`."""

    source: int
    target: int
    num_paths: int | None
    """Number of all paths, however large; None when a cycle on the way makes it infinite."""
    paths: tuple[Path, ...]
    """By length, then events, then tasks, as many as were asked for. Where a cycle is on the way
    only a shortest path."""
    across_ranks: bool
    """Whether an event of another rank stands for the one of its index here: no path stays on
    this rank, and these are paths of all ranks together."""
    reverse: bool
    """Whether there is no path, but one from `target` to `source`."""

    @property
    def is_complete(self) -> bool:
        """Whether `paths` are all there are."""
        return self.num_paths == len(self.paths)

    @property
    def num_paths_text(self) -> str:
        """The number in words that fit a line: `12`, `about 10^1371`, `infinitely many`."""
        if self.num_paths is None:
            return "infinitely many"
        digits = int(self.num_paths.bit_length() * math.log10(2)) + 1
        return str(self.num_paths) if digits <= MAX_DIGITS else f"about 10^{digits - 1}"

    def to_json(self) -> dict[str, Any]:
        large = self.num_paths is None or self.num_paths > MAX_JSON_INTEGER
        return {
            "source": self.source,
            "target": self.target,
            "num_paths": self.num_paths_text if large else self.num_paths,
            "is_complete": self.is_complete,
            "across_ranks": self.across_ranks,
            "reverse": self.reverse,
            "paths": [chain_json(path) for path in self.paths],
        }


def find_paths(context: GraphContext, source: int, target: int, *, limit: int = 1) -> Paths:
    """Paths from task `source` to task `target`: the first `limit` of them.

    Time grows with the graph and with the paths asked for, never with the number that there are.
    Raises SelectionError when there is no such task.
    """
    for task in (source, target):
        check_id(task, context.graph.num_tasks, "task")
    between = _Between.of(context.events, source, target)
    across_ranks = between is None and context.all_ranks is not context.events
    if across_ranks:
        between = _Between.of(context.all_ranks, source, target)
    return Paths(
        source=source,
        target=target,
        num_paths=0 if between is None else between.count(),
        paths=() if between is None else tuple(itertools.islice(between.paths(), limit)),
        across_ranks=between is not None and across_ranks,
        reverse=between is None and context.events.precedes(target, source),
    )


@dataclass(frozen=True)
class _Between:
    """The events on some path between two tasks, with the edges among them.

    Everything kept leads to the target, so a search never runs into a dead end.
    """

    events: EventGraph
    source: int
    target: int
    first: int
    last: int
    successors: dict[int, list[tuple[int, int]]]
    """For each event the next ones with the number of tasks in between."""
    to_last: dict[int, int]
    """Fewest edges to the last event."""

    @classmethod
    def of(cls, events: EventGraph, source: int, target: int) -> _Between | None:
        """None when there is no path."""
        first, last = int(events.trigger_nodes[source]), int(events.dependent_nodes[target])
        if source == target or first < 0 or last < 0:
            return None
        ahead = events.reachable(np.array([first]))
        if not ahead[last]:
            return None
        kept = ahead & events.reachable(np.array([last]), backward=True)
        edges = kept[events.edge_sources] & kept[events.edge_targets]
        sources, targets = events.edge_sources[edges], events.edge_targets[edges]
        successors: dict[int, list[tuple[int, int]]] = {}
        for edge_source, edge_target, num_tasks in zip(
            sources.tolist(), targets.tolist(), events.edge_num_tasks[edges].tolist(), strict=True
        ):
            successors.setdefault(edge_source, []).append((edge_target, num_tasks))
        backward = Csr.from_edges(targets, sources, events.num_nodes)
        to_last = _distances(backward, last)
        for following in successors.values():
            following.sort(key=lambda item: (to_last[item[0]], item[0]))
        return cls(events, source, target, first, last, successors, to_last)

    def count(self) -> int | None:
        """Number of paths; None when there is a cycle."""
        order = self._topological_order()
        if order is None:
            return None
        ways = dict.fromkeys(order, 0)
        ways[self.first] = 1
        for node in order:
            for following, num_tasks in self.successors.get(node, ()):
                ways[following] += ways[node] * num_tasks
        return ways[self.last]

    def paths(self) -> Iterator[Path]:
        """All paths by length, events and tasks; only one shortest where there is a cycle."""
        event_paths = self._event_paths()
        if self._topological_order() is None:
            shortest = next(event_paths)
            yield next(self._with_tasks(shortest))
            return
        for event_path in event_paths:
            yield from self._with_tasks(event_path)

    def _event_paths(self) -> Iterator[tuple[int, ...]]:
        """Best first, by length and then events: each step pops a beginning of a next path.

        A beginning puts only its first continuation on the heap, and that its next sibling, so
        the heap grows by at most two entries a step.
        """
        start: tuple[int, ...] = (self.first,)
        heap = [(self.to_last[self.first], start, 0)]
        while heap:
            _, path, place = heapq.heappop(heap)
            if len(path) > 1:
                self._push(heap, path[:-1], place + 1)
            if path[-1] == self.last:
                yield path
            self._push(heap, path, 0)

    def _push(
        self, heap: list[tuple[int, tuple[int, ...], int]], path: tuple[int, ...], place: int
    ) -> None:
        following = self.successors.get(path[-1], ())
        if place < len(following):
            node = following[place][0]
            heapq.heappush(heap, (len(path) + self.to_last[node], (*path, node), place))

    def _with_tasks(self, event_path: tuple[int, ...]) -> Iterator[Path]:
        """The paths through these events, by task ids; made one after the other."""
        choices = [self._tasks_between(*edge) for edge in itertools.pairwise(event_path)]
        for tasks in itertools.product(*choices):
            inner = itertools.chain.from_iterable(zip(event_path, tasks, strict=False))
            yield (self.source, *inner, self.last, self.target)

    def _tasks_between(self, here: int, there: int) -> list[int]:
        waiting = self.events.waiting_tasks.row(here)
        found: list[int] = waiting[self.events.trigger_nodes[waiting] == there].tolist()
        return found

    def _topological_order(self) -> list[int] | None:
        """The events, each after those that lead to it; None when there is a cycle."""
        pending = dict.fromkeys(self.to_last, 0)
        for following in self.successors.values():
            for node, _ in following:
                pending[node] += 1
        ready = [node for node, count in pending.items() if not count]
        order = []
        while ready:
            node = ready.pop()
            order.append(node)
            for following_node, _ in self.successors.get(node, ()):
                pending[following_node] -= 1
                if not pending[following_node]:
                    ready.append(following_node)
        return order if len(order) == len(pending) else None


def _distances(backward: Csr, last: int) -> dict[int, int]:
    """Fewest edges from each event to `last`."""
    distances = {last: 0}
    frontier: IntArray = np.array([last])
    steps = 0
    while len(frontier):
        steps += 1
        reached = distinct(backward.gather(frontier)).tolist()
        fresh = [node for node in reached if node not in distances]
        distances.update(dict.fromkeys(fresh, steps))
        frontier = np.array(fresh, dtype=np.int64)
    return distances
