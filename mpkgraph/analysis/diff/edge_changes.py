"""Events between operators that differ, and whether a change of operators explains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.diff.changes import Edge, EdgeChange
from mpkgraph.analysis.diff.correspondence import Correspondence
from mpkgraph.analysis.diff.edges import END, EdgeKey, find_edges
from mpkgraph.analysis.diff.labels import label_of
from mpkgraph.analysis.diff.operator_changes import End, OperatorComparer
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model import ids
from mpkgraph.model.graph import UInt64Column

END_OF_GRAPH = "end of graph"
WIRING = "other events to wait on or trigger"
OWNERS = "events of another rank"
Edges = Mapping[EdgeKey, Edge]


class EdgeComparer:
    """Compares the events between matched operators.

    `touched` are operators that differ by themselves: a difference at or beside one of them follows
    from that.
    """

    def __init__(self, operators: OperatorComparer, touched: set[End]) -> None:
        self.operators = operators
        self.left, self.right = operators.left, operators.right
        self.tasks: Correspondence = operators.tasks
        self.touched = touched
        self.partner = {**operators.matching.right_of, END: END}
        self.back = {y: x for x, y in self.partner.items()}

    def changes(self) -> list[EdgeChange]:
        """Differences in number, triggers and tasks of the events, in the left's order."""
        lefts, rights = find_edges(self.left), find_edges(self.right)
        beside = self._beside(lefts, rights)
        found: list[tuple[tuple[int, int], set[End], EdgeChange]] = []
        for one, other in self._differing(lefts, rights):
            change = self._change(one, other, lefts, rights)
            ends: set[End] = set()
            for side, key in (("left", one), ("right", other)):
                ends |= {(side, x) for x in (key or ())[:2] if x != END}
            near = ends.union(*(beside.get(x, ()) for x in ends))
            change = replace(change, because=not self.touched.isdisjoint(near))
            place = self.operators.place(change.producer_left, change.producer_right)
            found.append((place, near, change))
        changes = _explained(sorted(found, key=lambda x: x[0]))
        return changes + self._rewired(changes)

    def _differing(
        self, lefts: Edges, rights: Edges
    ) -> list[tuple[EdgeKey | None, EdgeKey | None]]:
        found: list[tuple[EdgeKey | None, EdgeKey | None]] = []
        met = set()
        for key, edge in lefts.items():
            producer, consumer = self.partner.get(key[0]), self.partner.get(key[1])
            if producer is None or consumer is None:
                found.append((key, None))
                continue
            image = (producer, consumer, key[2])
            met.add(image)
            if image not in rights:
                found.append((key, None))
            elif rights[image] != edge:
                found.append((key, image))
        found += [(None, key) for key in rights if key not in met]
        return found

    def _change(
        self, one: EdgeKey | None, other: EdgeKey | None, lefts: Edges, rights: Edges
    ) -> EdgeChange:
        left = one[:2] if one is not None else None
        right = other[:2] if other is not None else None
        if left is None and right is not None:
            lefts_of = [self.back.get(x) for x in right]
            rights_of: list[int | None] = [*right]
        else:
            lefts_of = [*(left or ())]
            rights_of = [self.partner.get(x) for x in left or ()]
        labels = [self._label(a, b) for a, b in zip(lefts_of, rights_of, strict=True)]
        known = [[None if x == END else x for x in ends] for ends in (lefts_of, rights_of)]
        return EdgeChange(
            producer=labels[0],
            consumer=labels[1],
            producer_left=known[0][0],
            producer_right=known[1][0],
            consumer_left=known[0][1],
            consumer_right=known[1][1],
            left=None if one is None else lefts[one],
            right=None if other is None else rights[other],
            is_remote=bool((one or other or (0, 0, False))[2]),
            because=False,
        )

    def _label(self, left: int | None, right: int | None) -> str:
        if END in {left, right}:
            return END_OF_GRAPH
        if left is not None:
            return label_of(self.left, left)
        return "" if right is None else label_of(self.right, right)

    def _beside(self, lefts: Edges, rights: Edges) -> dict[End, set[End]]:
        """By operator of a side those that share events with it, on either side."""
        found: dict[End, set[End]] = {}
        for name, edges in (("left", lefts), ("right", rights)):
            for producer, consumer, _ in edges:
                if consumer != END:
                    found.setdefault((name, producer), set()).add((name, consumer))
                    found.setdefault((name, consumer), set()).add((name, producer))
        for one, other in self.operators.matching.pairs:
            both = found.get(("left", one), set()) | found.get(("right", other), set())
            both |= {("left", one), ("right", other)}
            found["left", one] = found["right", other] = both
        return found

    def _rewired(self, changes: Sequence[EdgeChange]) -> list[EdgeChange]:
        """Operators whose tasks wait on or trigger other events, though the numbers agree."""
        seen = {x.producer_left for x in changes} | {x.consumer_left for x in changes}
        found = []
        explained = bool(changes) or bool(self.touched)
        for counts, what in (
            (num_rewired(self.left, self.right, self.tasks), WIRING),
            (num_elsewhere(self.left, self.right, self.tasks), OWNERS),
        ):
            is_remote = what == OWNERS
            for index in np.flatnonzero(counts).tolist():
                if not is_remote and (index in seen or ("left", index) in self.touched):
                    continue
                found.append(
                    EdgeChange(
                        producer=label_of(self.left, index),
                        consumer="",
                        producer_left=index,
                        producer_right=self.partner.get(index),
                        consumer_left=None,
                        consumer_right=None,
                        left=None,
                        right=None,
                        is_remote=is_remote,
                        because=("left", index) in self.touched if is_remote else explained,
                        what=_tasks(int(counts[index]), what),
                    )
                )
        return found


def _tasks(number: int, what: str) -> str:
    return f"{number} task has {what}" if number == 1 else f"{number} tasks have {what}"


def num_elsewhere(left: Side, right: Side, pairs: Correspondence) -> np.ndarray:
    """By left operator how many tasks name an event of another rank than their partners do, or one
    that is counted otherwise. Ranks are told from that of the graph.
    """
    tasks = np.flatnonzero(pairs.tasks >= 0)
    images = pairs.tasks[tasks]
    wrong = np.zeros(len(tasks), dtype=np.bool_)
    for name in ("dependent_events", "trigger_events"):
        mine = getattr(left.graph.tasks, name)[tasks]
        theirs = getattr(right.graph.tasks, name)[images]
        both = (mine != np.uint64(ids.EVENT_INVALID_ID)) & (
            theirs != np.uint64(ids.EVENT_INVALID_ID)
        )
        wrong |= both & (_owner(mine, left.graph.rank) != _owner(theirs, right.graph.rank))
        wrong |= both & (ids.event_is_nvshmem(mine) != ids.event_is_nvshmem(theirs))
    owners = left.task_operators[tasks]
    return np.bincount(owners[wrong & (owners >= 0)], minlength=len(left.operators))


def _owner(event_ids: UInt64Column, rank: int) -> IntArray:
    """Which of the other ranks owns an event, counted without this one; -1 for this one."""
    ranks = ids.event_ranks(event_ids)
    found: IntArray = np.where(ranks == rank, -1, ranks - (ranks > rank))
    return found


def num_rewired(left: Side, right: Side, pairs: Correspondence) -> np.ndarray:
    """By left operator how many tasks wait on or trigger another event than their partners."""
    one, other = left.graph.tasks, right.graph.tasks
    partner = np.append(pairs.events, -1)
    tasks = np.flatnonzero(pairs.tasks >= 0)
    images = pairs.tasks[tasks]
    wrong = np.zeros(len(tasks), dtype=np.bool_)
    for mine, theirs in (
        (one.dependent_indices[tasks], other.dependent_indices[images]),
        (one.trigger_indices[tasks], other.trigger_indices[images]),
    ):
        # An index beyond the events stands for itself
        inside = mine < len(pairs.events)
        wrong |= np.where(inside, partner[np.where(inside, mine, -1)], mine) != theirs
    owners = left.task_operators[tasks]
    return np.bincount(owners[wrong & (owners >= 0)], minlength=len(left.operators))


def _explained(found: Sequence[tuple[tuple[int, int], set[End], EdgeChange]]) -> list[EdgeChange]:
    """The changes, where one that comes or goes because of an operator explains those beside it.

    An operator that gets or loses a producer is emitted as a join or no longer is, which regroups
    its other events.
    """
    because = [x.because for _, _, x in found]
    while True:
        ends = {
            end
            for known, (_, _, x) in zip(because, found, strict=True)
            if known and (x.left is None or x.right is None)
            for end in _ends(x)
        }
        now = [
            known or not ends.isdisjoint(near)
            for known, (_, near, _) in zip(because, found, strict=True)
        ]
        if now == because:
            break
        because = now
    return [replace(x, because=known) for known, (_, _, x) in zip(because, found, strict=True)]


def _ends(change: EdgeChange) -> list[End]:
    sides = (
        ("left", change.producer_left),
        ("left", change.consumer_left),
        ("right", change.producer_right),
        ("right", change.consumer_right),
    )
    return [(side, index) for side, index in sides if index is not None]
