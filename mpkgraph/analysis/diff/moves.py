"""Operators that come at another place: their order against others, or what they read, differs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.names import TensorNames, pair_slots
from mpkgraph.analysis.diff.orders import Orders
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass

Pair = tuple[int, int]
NOBODY = -1


@dataclass(frozen=True)
class Rebound:
    """A slot that reads what another operator wrote, though neither of them has moved."""

    pair: Pair
    slot: int
    source: int
    now: int
    """Who wrote it on the left (`source`), and on the right; `NOBODY` for none."""
    follows: bool = False
    """Whether it is because one of the writers writes another tensor than before."""


def find_moved(
    left: Side, right: Side, matching: Matching, names: TensorNames, orders: Orders
) -> tuple[list[Pair], list[Rebound]]:
    """The fewest operators whose move explains every order that is reversed and every input that
    another operator writes now; and the inputs that no move explains.

    An operator that only stands elsewhere in the file, independent of what it passed, has not
    moved.
    """
    loose = _out_of_order(left, right, matching)
    partner = matching.right_of
    back = {y: x for x, y in matching.pairs}
    conflicts: list[list[int]] = []
    for one, other in orders.reversed():
        conflicts.append([orders.pairs[one][0], orders.pairs[other][0]])
    rebound = []

    def writers(source: int, now: int) -> list[Pair]:
        pairs = []
        if source != NOBODY:
            pairs.append((source, partner[source]))
        if now != NOBODY:
            pairs.append((back[now], now))
        return pairs

    for one, other in matching.pairs:
        pairs, _, _ = pair_slots(left.operators[one], right.operators[other])
        for a, b in pairs:
            source, now = left.sources[one][a.position], right.sources[other][b.position]
            if a.is_output or not names.is_same(a, b):
                continue
            known = source in partner or source == NOBODY, now in back or now == NOBODY
            if not all(known) or partner.get(source, NOBODY) == now:
                continue
            if source >= 0 and right.is_last_writer(partner[source], other, b.base_ptrs):
                continue
            if any(_writes_elsewhere(left, right, x, names) for x in writers(source, now)):
                rebound.append(Rebound((one, other), a.position, source, now, follows=True))
                continue
            rebound.append(Rebound((one, other), a.position, source, now))
            conflicts.append([x for x in (one, source, back.get(now, NOBODY)) if x >= 0])
    chosen = _cover([[x for x in group if x in loose] for group in conflicts])
    unexplained = [
        x for x in rebound if chosen.isdisjoint((x.pair[0], x.source, back.get(x.now, NOBODY)))
    ]
    return sorted((x, partner[x]) for x in chosen), unexplained


def _writes_elsewhere(left: Side, right: Side, pair: Pair, names: TensorNames) -> bool:
    """Whether an operator has another tensor in an output."""
    pairs, _, _ = pair_slots(left.operators[pair[0]], right.operators[pair[1]])
    return any(a.is_output and not names.is_same(a, b) for a, b in pairs)


def _cover(groups: Iterable[list[int]]) -> set[int]:
    """Few members that together meet every group: greedily, the one in most groups first."""
    left = [set(x) for x in groups if x]
    chosen: set[int] = set()
    while left:
        counts: dict[int, int] = {}
        for group in left:
            for member in group:
                counts[member] = counts.get(member, 0) + 1
        best = min(counts, key=lambda x: (-counts[x], x))
        chosen.add(best)
        left = [x for x in left if best not in x]
    return chosen


def _out_of_order(left: Side, right: Side, matching: Matching) -> set[int]:
    """Left operators outside one longest run that both programs have in the same order."""
    pairs = sorted(matching.pairs, key=lambda x: left.program_order[x[0]])
    places = [right.program_order[x] for _, x in pairs]
    ends: list[int] = []
    at: list[int] = []
    before = [-1] * len(places)
    for position, place in enumerate(places):
        length = bisect_left(ends, place)
        if length == len(ends):
            ends.append(place)
            at.append(position)
        else:
            ends[length], at[length] = place, position
        before[position] = at[length - 1] if length else -1
    kept = set()
    position = at[-1] if at else -1
    while position >= 0:
        kept.add(position)
        position = before[position]
    return {pairs[x][0] for x in range(len(pairs)) if x not in kept}
