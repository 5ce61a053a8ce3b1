"""Which task and which event of the right is which of the left, given matched operators.

Within an operator tasks are known by their tiles and metadata. Where several have the same, the
event that they wait on tells (operators are taken in order, so the event is known by then), then
the one that they trigger, then what stands around both.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray, unique_pairs
from mpkgraph.analysis.diff.hashing import HashArray, combined, mixed, sums_by
from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import numbered
from mpkgraph.model.graph import TaskGraph

_ROUNDS = 3
"""How far around a task it is looked for what tells it from its like."""


@dataclass(frozen=True)
class Correspondence:
    """By task (and event) of the left its partner on the right; -1 for none. No two share one."""

    tasks: IntArray
    events: IntArray
    num_exact: int = 0
    """Tasks that were paired by equal tiles and metadata."""
    left_of_task: IntArray = field(default_factory=lambda: np.empty(0, np.int64), repr=False)
    left_of_event: IntArray = field(default_factory=lambda: np.empty(0, np.int64), repr=False)


def find_correspondence(left: Side, right: Side, matching: Matching) -> Correspondence:
    """Tasks and events in pairs, as many as the matched operators give."""
    return _Finder(left, right).run(matching)


class _Finder:
    def __init__(self, left: Side, right: Side) -> None:
        self.sides = (left, right)
        self.own = tuple(combined(x.hashes.tiles, x.hashes.metadata) for x in self.sides)
        events = [_events_of_tasks(x.graph) for x in self.sides]
        self.waits, self.fires, sizes = zip(*events, strict=True)
        self.around = tuple(map(_around, self.own, self.waits, self.fires, sizes))
        self.partner = np.full(left.graph.num_tasks, -1, dtype=np.int64)
        # Events that were paired have one number on both sides
        # (the last place is that of no event, whose index is -1)
        self.numbers = tuple(np.full(size + 1, -1, dtype=np.int64) for size in sizes)
        self.num_events = 0
        self.num_exact = 0

    def run(self, matching: Matching) -> Correspondence:
        self._fixed()
        order = sorted(matching.pairs, key=lambda x: self.sides[0].program_order[x[0]])
        for one, other in order:
            self._operator(one, other)
        events = np.full(self.sides[0].graph.num_events, -1, dtype=np.int64)
        of_number = np.full(self.num_events, -1, dtype=np.int64)
        rights = self.numbers[1][: self.sides[1].graph.num_events]
        of_number[rights[rights >= 0]] = np.flatnonzero(rights >= 0)
        lefts = self.numbers[0][: len(events)]
        events[lefts >= 0] = of_number[lefts[lefts >= 0]]
        return Correspondence(
            self.partner,
            events,
            self.num_exact,
            _inverse(self.partner, self.sides[1].graph.num_tasks),
            _inverse(events, self.sides[1].graph.num_events),
        )

    def _fixed(self) -> None:
        """The two fixed tasks and events, and the end: known by what they are."""
        graphs = [x.graph for x in self.sides]
        count = min(ids.NUM_FIXED_TASKS, *(x.num_tasks for x in graphs))
        for task in range(count):
            if graphs[0].tasks.task_types[task] == graphs[1].tasks.task_types[task]:
                self.partner[task] = task
        for event_type in _single_types(graphs[0]) & _single_types(graphs[1]):
            self._pair_events(
                np.flatnonzero(graphs[0].events.event_types == event_type),
                np.flatnonzero(graphs[1].events.event_types == event_type),
            )
        null = [np.flatnonzero(x.tasks.is_null) for x in graphs]
        size = min(map(len, null))
        self.partner[null[0][:size]] = null[1][:size]

    def _operator(self, one: int, other: int) -> None:
        lefts = self.sides[0].operators[one].task_ids
        rights = self.sides[1].operators[other].task_ids
        orders = [self._order(0, lefts), self._order(1, rights)]
        lefts, rights = lefts[orders[0]], rights[orders[1]]
        keys = [self.own[0][lefts], self.own[1][rights]]
        if len(lefts) == len(rights) and (keys[0] == keys[1]).all():
            self.num_exact += len(lefts)
            self._pair(lefts, rights)
            return
        places = [_with_rank(x) for x in keys]
        at_left, at_right = _common(*places)
        self.num_exact += len(at_left)
        self._pair(lefts[at_left], rights[at_right])
        self._pair_rest(one, other, np.delete(lefts, at_left), np.delete(rights, at_right))

    def _pair_rest(self, one: int, other: int, lefts: IntArray, rights: IntArray) -> None:
        """Tasks without an equal: by place in the grid, else by where they write."""
        operators = self.sides[0].operators[one], self.sides[1].operators[other]
        if operators[0].num_tasks == operators[1].num_tasks:
            places = [
                np.flatnonzero(np.isin(operator.task_ids, rest))
                for operator, rest in zip(operators, (lefts, rights), strict=True)
            ]
            both = np.intersect1d(places[0], places[1], assume_unique=True)
            self._pair(operators[0].task_ids[both], operators[1].task_ids[both])
            rest = [np.setdiff1d(x, both) for x in places]
            size = min(map(len, rest))
            self._pair(operators[0].task_ids[rest[0][:size]], operators[1].task_ids[rest[1][:size]])
            return
        keys = [
            _with_rank(_output_places(side.graph, tasks))
            for side, tasks in zip(self.sides, (lefts, rights), strict=True)
        ]
        at_left, at_right = _common(*keys)
        self._pair(lefts[at_left], rights[at_right])

    def _order(self, side: int, tasks: IntArray) -> IntArray:
        numbers = self.numbers[side]
        waits, fires = self.waits[side][tasks], self.fires[side][tasks]
        return np.lexsort(
            (
                tasks,
                fires,
                waits,
                self.around[side][tasks],
                numbers[fires],
                numbers[waits],
                self.own[side][tasks],
            )
        )

    def _pair(self, lefts: IntArray, rights: IntArray) -> None:
        self.partner[lefts] = rights
        for columns in (self.waits, self.fires):
            self._pair_events(columns[0][lefts], columns[1][rights])

    def _pair_events(self, lefts: IntArray, rights: IntArray) -> None:
        """Pairs events that face each other in most tasks, unless one has a partner already."""
        free = (lefts >= 0) & (rights >= 0)
        free &= (self.numbers[0][lefts] < 0) & (self.numbers[1][rights] < 0)
        if not free.any():
            return
        ones, others, counts = unique_pairs(lefts[free], rights[free])
        if len(ones) > 1:
            order = np.argsort(-counts, kind="stable")
            ones, others = ones[order], others[order]
            # An event's first row is the one with most tasks
            first = _is_first(ones) & _is_first(others)
            ones, others = ones[first], others[first]
        fresh = np.arange(self.num_events, self.num_events + len(ones))
        self.numbers[0][ones] = fresh
        self.numbers[1][others] = fresh
        self.num_events += len(ones)


def _single_types(graph: TaskGraph) -> set[int]:
    types, counts = np.unique(graph.events.event_types, return_counts=True)
    return set(types[counts == 1].tolist())


def _events_of_tasks(graph: TaskGraph) -> tuple[IntArray, IntArray, int]:
    """By task the events that it waits on and triggers, and how many numbers there are.

    Another rank's events may have any index: those beyond the graph's own are numbered from there.
    """
    tasks = graph.tasks
    indices = np.concatenate((tasks.dependent_indices, tasks.trigger_indices))
    beyond = indices >= graph.num_events
    far, places = numbered(indices[beyond])
    indices[beyond] = graph.num_events + places
    waits, fires = np.split(indices, 2)
    return waits, fires, graph.num_events + len(far)


def _around(own: HashArray, waits: IntArray, fires: IntArray, size: int) -> HashArray:
    """By task what stands around the events that it waits on and triggers."""
    labels = own
    for _ in range(_ROUNDS):
        events = sums_by(waits, mixed(labels), size) + mixed(sums_by(fires, mixed(~labels), size))
        padded = np.append(events, np.uint64(0))
        labels = combined(own, padded[waits], padded[fires])
    return labels


def _with_rank(keys: HashArray) -> HashArray:
    """Sorted keys, made different where they repeat: by how often each came before."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.zeros(len(keys), dtype=np.int64)
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts[changes] = changes
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[order] = np.arange(len(keys)) - np.maximum.accumulate(starts)
    return combined(keys, ranks)


def _output_places(graph: TaskGraph, tasks: IntArray) -> HashArray:
    columns = graph.tasks
    first = columns.slot_starts[tasks] + columns.num_inputs[tasks]
    has_output = first < columns.slot_starts[tasks + 1]
    offsets = np.zeros(len(tasks), dtype=np.int64)
    offsets[has_output] = columns.slot_offsets[first[has_output]]
    return mixed(offsets)


def _common(left: HashArray, right: HashArray) -> tuple[IntArray, IntArray]:
    """Positions of the values that both have; each has its values once."""
    _, at_left, at_right = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    return at_left.astype(np.int64), at_right.astype(np.int64)


def _is_first(values: IntArray) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(values), dtype=np.bool_)
    found[np.unique(values, return_index=True)[1]] = True
    return found


def _inverse(partners: IntArray, size: int) -> IntArray:
    found = np.full(size, -1, dtype=np.int64)
    known = np.flatnonzero(partners >= 0)
    found[partners[known]] = known
    return found
