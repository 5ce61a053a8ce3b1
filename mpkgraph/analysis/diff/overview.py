"""Both graphs as one: operators side by side, and the edges that either side has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mpkgraph.analysis.diff.changes import OperatorChange, OperatorRef, TensorChange
from mpkgraph.analysis.diff.labels import ref_of
from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass

Presence = Literal["both", "left", "right"]


@dataclass(frozen=True)
class Row:
    """An operator of one side or both, in the order of the program."""

    left: OperatorRef | None
    right: OperatorRef | None
    kind: str
    """Kind of the operator in the catalog."""
    change: int | None
    """Which of the result's operator changes it is one of; None where it differs in nothing."""
    is_first: bool = False
    """Whether it is the one that the change is told of."""
    tensors: bool = False
    """Whether a tensor of it differs."""

    @property
    def presence(self) -> Presence:
        if self.left is None:
            return "right"
        return "both" if self.right is not None else "left"


@dataclass(frozen=True)
class RowEdge:
    """`head` waits for `tail` (both are numbers of rows)."""

    tail: int
    head: int
    presence: Presence
    is_remote: bool


@dataclass(frozen=True)
class Overview:
    """All operators of both sides."""

    rows: tuple[Row, ...]
    edges: tuple[RowEdge, ...]


def overview_of(
    left: Side,
    right: Side,
    matching: Matching,
    changes: Sequence[OperatorChange],
    tensors: Sequence[TensorChange],
) -> Overview:
    """The rows in the left's order; what only the right has stands behind what it comes after."""
    sides = (left, right)
    differing = {name for x in tensors for name in x.names or (x.left_name,)}
    of_change: tuple[dict[int, int], dict[int, int]] = ({}, {})
    first: tuple[set[int], set[int]] = (set(), set())
    for number, change in enumerate(changes):
        for place, members in enumerate(change.members):
            for side in (0, 1):
                of_change[side].update(dict.fromkeys(members[side], number))
                if place == 0:
                    first[side].update(members[side])
    partner = matching.right_of
    back = {y: x for x, y in partner.items()}
    order = sorted(range(len(left.operators)), key=left.program_order.__getitem__)
    # What the right adds, by the matched operator that it follows there
    added: dict[int, list[int]] = {}
    last = -1
    for index in sorted(range(len(right.operators)), key=right.program_order.__getitem__):
        if index in back:
            last = back[index]
        else:
            added.setdefault(last, []).append(index)
    rows: list[Row] = []
    numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def add(one: int | None, other: int | None) -> None:
        side, index = (0, one) if one is not None else (1, other or 0)
        for which, x in ((0, one), (1, other)):
            if x is not None:
                numbers[which][x] = len(rows)
        task_type = sides[side].operators[index].task_type
        rows.append(
            Row(
                left=None if one is None else ref_of(left, one),
                right=None if other is None else ref_of(right, other),
                kind=sides[side].catalog.task_type_row(task_type).kind,
                change=of_change[side].get(index),
                is_first=index in first[side],
                tensors=one is not None
                and any(x.name in differing for x in left.operators[one].slots),
            )
        )

    for index in (-1, *order):
        if index >= 0:
            add(index, partner.get(index))
        for other in added.get(index, ()):
            add(None, other)
    return Overview(tuple(rows), _edges(sides, numbers))


def _edges(
    sides: tuple[Side, Side], numbers: tuple[dict[int, int], dict[int, int]]
) -> tuple[RowEdge, ...]:
    found: tuple[dict[tuple[int, int], bool], dict[tuple[int, int], bool]] = ({}, {})
    for side, mine, edges in zip(sides, numbers, found, strict=True):
        columns = side.edges
        for tail, head, remote in zip(
            columns.producers.tolist(),
            columns.consumers.tolist(),
            columns.is_remote.tolist(),
            strict=True,
        ):
            edges[mine[tail], mine[head]] = remote
    result = []
    for pair in sorted(found[0].keys() | found[1].keys()):
        presence: Presence = "both"
        if pair not in found[1]:
            presence = "left"
        elif pair not in found[0]:
            presence = "right"
        remote = found[0].get(pair, False) or found[1].get(pair, False)
        result.append(RowEdge(*pair, presence, remote))
    return tuple(result)
