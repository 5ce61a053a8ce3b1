"""Paths between two tasks: a shortest one, or all of them up to a limit, and how many there are."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.ranges import check_id
from mpkgraph.analysis.reach import FAR, Reach, are_wide, reach_between
from mpkgraph.analysis.structure import chain_json
from mpkgraph.analysis.table import MAX_JSON_INTEGER
from mpkgraph.frozen import dataclass

Path = tuple[int, ...]
"""Task, event, task, ..., task; an event is a node of the event graph."""

NO_NODE = -2
"""Differs from every node of an event graph, and from -1, which stands for none."""
MAX_DIGITS = 40
"""Larger numbers of paths are told as a power of ten; models reach thousands of digits."""
MAX_EXACT = float(1 << 53)
"""Sums of integers are exact in a float up to here."""


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
    between = _Between.of(context, context.events, source, target)
    across_ranks = between is None and context.all_ranks is not context.events
    if across_ranks:
        between = _Between.of(context, context.all_ranks, source, target)
    return Paths(
        source=source,
        target=target,
        num_paths=0 if between is None else between.count(),
        paths=() if between is None else tuple(itertools.islice(between.paths(), limit)),
        across_ranks=between is not None and across_ranks,
        reverse=between is None and context.events.precedes(target, source),
    )


class _Between:
    """The events on some path between two tasks, with the edges among them.

    Everything kept leads to the target, so a search never runs into a dead end.
    """

    def __init__(self, events: EventGraph, source: int, target: int, reach: Reach) -> None:
        self.events = events
        self.source = source
        self.target = target
        self.first, self.last = reach.first, reach.last
        self._reach = reach
        self._to_last = reach.to_last
        self._ordered = reach.edges
        self._successors: dict[int, list[int]] = {}
        self._has_scanned = False

    @classmethod
    def of(
        cls, context: GraphContext, events: EventGraph, source: int, target: int
    ) -> _Between | None:
        """None when there is no path."""
        first = int(events.triggers_of(np.array([source]))[0])
        last = int(events.dependents_of(np.array([target]))[0])
        if source == target or first < 0 or last < 0:
            return None
        reach = reach_between(events, context.levels, first, last)
        return None if reach is None else cls(events, source, target, reach)

    def count(self) -> int | None:
        """Number of paths; None when there is a cycle."""
        edges = self._ordered
        if edges is None:
            return None
        columns = (self.events.edge_sources, self.events.edge_targets, self.events.edge_num_tasks)
        sources, targets, nums_tasks = (column[edges] for column in columns)
        layers = self._reach.layers
        if layers and are_wide(layers):
            found = self._count_by_layers(sources, targets, nums_tasks, layers)
            if found is not None:
                return found
        return self._count_by_edges(sources.tolist(), targets.tolist(), nums_tasks.tolist())

    def _count_by_layers(
        self, sources: IntArray, targets: IntArray, nums_tasks: IntArray, layers: list[int]
    ) -> int | None:
        """None where a number of ways between two joints is too large for it."""
        ways = np.zeros(self.events.num_nodes)
        ways[self.first] = 1
        total, joints = 1, set(self._reach.joints)
        for start, stop in itertools.pairwise(layers):
            here = sources[start:stop]
            if start in joints:
                before = float(ways[here[0]])
                if before > MAX_EXACT:
                    return None
                total *= int(before)
                ways[here[0]] = 1
            np.add.at(ways, targets[start:stop], ways[here] * nums_tasks[start:stop])
        # Numbers only grow on their way to a joint: what was rounded ends above the bound
        return None if ways[self.last] > MAX_EXACT else total * int(ways[self.last])

    def _count_by_edges(self, sources: list[int], targets: list[int], nums: list[int]) -> int:
        ways = [0] * self.events.num_nodes
        ways[self.first] = total = 1
        # Counting starts anew at each event that all paths pass: numbers stay small on the way
        cuts = [*self._reach.joints, len(sources)]
        for start, stop in itertools.pairwise(cuts):
            total *= ways[sources[start]]
            ways[sources[start]] = 1
            part = slice(start, stop)
            for here, there, num_tasks in zip(
                sources[part], targets[part], nums[part], strict=True
            ):
                ways[there] += ways[here] * num_tasks
        return total * ways[self.last]

    def paths(self) -> Iterator[Path]:
        """All paths by length, events and tasks; only one shortest where there is a cycle."""
        event_paths = self._event_paths()
        if self._ordered is None:
            shortest = next(event_paths)
            yield next(self._with_tasks(shortest))
            return
        for event_path in event_paths:
            yield from self._with_tasks(event_path)

    def _event_paths(self) -> Iterator[tuple[int, ...]]:
        """Best first, by length and then events.

        The heap holds beginnings of paths; each is followed to its end at once, and puts only the
        next sibling of each of its steps there, if another path is asked for.
        """
        start: tuple[int, ...] = (self.first,)
        heap = [(int(self._to_last[self.first]), start, 0)]
        while heap:
            _, beginning, place = heapq.heappop(heap)
            path = list(beginning)
            while path[-1] != self.last:
                # Nothing on the heap comes before the first continuation of what came first
                path.append(self._following(path[-1])[0])
            yield tuple(path)
            for length in range(max(len(beginning), 2), len(path) + 1):
                sibling = place + 1 if length == len(beginning) else 1
                self._push(heap, path[: length - 1], sibling)

    def _push(
        self, heap: list[tuple[int, tuple[int, ...], int]], path: list[int], place: int
    ) -> None:
        following = self._following(path[-1])
        if place < len(following):
            node = following[place]
            steps = len(path) + int(self._to_last[node])
            heapq.heappush(heap, (steps, (*path, node), place))

    def _following(self, node: int) -> list[int]:
        """The next events, the nearest to the last one first."""
        following = self._successors.get(node)
        if following is None:
            ascending = self.events.successors.row(node)
            steps = self._to_last[ascending]
            order = np.argsort(steps, kind="stable")[: np.count_nonzero(steps < FAR)]
            following = self._successors[node] = ascending[order].tolist()
        return following

    def _with_tasks(self, event_path: tuple[int, ...]) -> Iterator[Path]:
        """The paths through these events, by task ids; made one after the other."""
        choices = self._choices(event_path)
        for tasks in itertools.product(*choices):
            inner = itertools.chain.from_iterable(zip(event_path, tasks, strict=False))
            yield (self.source, *inner, self.last, self.target)

    def _choices(self, event_path: tuple[int, ...]) -> list[list[int]]:
        """For each step from an event to the next the tasks that take it."""
        if self._has_scanned:
            return [self._tasks_between(*edge) for edge in itertools.pairwise(event_path)]
        # For one path a look at all tasks takes less time than grouping them by event
        self._has_scanned = True
        following = np.full(self.events.num_nodes + 1, NO_NODE, dtype=np.int64)
        following[list(event_path[:-1])] = event_path[1:]
        found = self.events.tasks_along(following)
        steps = np.zeros(self.events.num_nodes, dtype=np.int64)
        steps[list(event_path[:-1])] = np.arange(len(event_path) - 1)
        of_tasks = steps[self.events.dependents_of(found)]
        tasks = found[np.argsort(of_tasks, kind="stable")].tolist()
        ends = np.cumsum(np.bincount(of_tasks, minlength=len(event_path) - 1)).tolist()
        return [tasks[start:end] for start, end in itertools.pairwise((0, *ends))]

    def _tasks_between(self, here: int, there: int) -> list[int]:
        waiting = self.events.waiting_tasks.row(here)
        found: list[int] = waiting[self.events.trigger_nodes[waiting] == there].tolist()
        return found
