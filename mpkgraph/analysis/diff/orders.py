"""Which operators come before which, on both sides: orders that are lost, new or reversed."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.diff.matching import Matching
from mpkgraph.analysis.diff.side import Side, closed_bits
from mpkgraph.frozen import dataclass

MAX_PAIRS = 1 << 12
"""Most pairs of operators that are listed; the rest is counted."""


@dataclass(frozen=True)
class Orders:
    """Bit sets by pair of matched operators (in the left's order): the pairs that come after."""

    pairs: tuple[tuple[int, int], ...]
    left: tuple[int, ...]
    right: tuple[int, ...]

    @classmethod
    def of(cls, left: Side, right: Side, matching: Matching) -> Orders:
        """From the events between operators, closed over those without a partner too."""
        order = left.program_order
        pairs = tuple(sorted(matching.pairs, key=lambda x: order[x[0]]))
        numbers = [{pair[side]: i for i, pair in enumerate(pairs)} for side in (0, 1)]
        closed = [_closed(side, bits) for side, bits in zip((left, right), numbers, strict=True)]
        return cls(
            pairs,
            tuple(closed[0][x] for x, _ in pairs),
            tuple(closed[1][x] for _, x in pairs),
        )

    @property
    def num_lost(self) -> int:
        """Ordered pairs that only the left has."""
        return sum((x & ~y).bit_count() for x, y in zip(self.left, self.right, strict=True))

    @property
    def num_new(self) -> int:
        return sum((y & ~x).bit_count() for x, y in zip(self.left, self.right, strict=True))

    def lost(self) -> list[tuple[int, int]]:
        """Lost orders from which the others follow: nothing lost lies between."""
        return _minimal(self.left, self.right)

    def new(self) -> list[tuple[int, int]]:
        return _minimal(self.right, self.left)

    def reversed(self) -> list[tuple[int, int]]:
        """Pairs that the left orders one way and the right the other."""
        return [
            (number, other)
            for number, after in enumerate(self.left)
            for other in _bits(after & ~self.right[number])
            if self.right[other] >> number & 1 and not self.left[other] >> number & 1
        ]


def _closed(side: Side, numbers: dict[int, int]) -> list[int]:
    """By operator the bits of all matched ones that come after it. Edges back are left out."""
    after: list[list[int]] = [[] for _ in side.operators]
    edges = side.edges
    for tail, head in zip(edges.producers.tolist(), edges.consumers.tolist(), strict=True):
        if tail != head:
            after[tail].append(head)
    own = [1 << numbers[x] if x in numbers else 0 for x in range(len(after))]
    return closed_bits(after, own)


def _minimal(have: tuple[int, ...], lack: tuple[int, ...]) -> list[tuple[int, int]]:
    missing = [x & ~y for x, y in zip(have, lack, strict=True)]
    before: dict[int, int] = {}
    found = []
    for number, all_missing in enumerate(missing):
        rest = all_missing
        while rest:
            # What comes first in the order that is there has nothing missing in between
            other = _first(rest, have)
            rest &= ~(1 << other) & ~have[other]
            found.append((number, other))
    for _, other in found:
        if other not in before:
            before[other] = sum(1 << i for i, x in enumerate(missing) if x >> other & 1)
    return [(x, y) for x, y in found if not have[x] & before[y]][:MAX_PAIRS]


def _first(bits: int, have: tuple[int, ...]) -> int:
    """A member that none of the others comes before."""
    candidate = (bits & -bits).bit_length() - 1
    for other in _bits(bits):
        if have[other] >> candidate & 1:
            candidate = other
    return candidate


def _bits(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
