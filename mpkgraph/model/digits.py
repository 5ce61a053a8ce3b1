"""Tiles as boxes in the digits of an address.

The strides that occur, each a multiple of the one before, are the bases of a mixed radix system in
which a tile is a range of each digit. Where a range runs past the radix of its digit the tile is
cut; levels whose stride is no base are taken index by index.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import TooLargeError
from mpkgraph.frozen import dataclass
from mpkgraph.model import byteset
from mpkgraph.model.byteset import IntArray, Levels
from mpkgraph.model.tile import MAX_ADDRESS, TileError, TileLayout

MAX_BOXES = 1 << 22
"""Most boxes that tiles may fall into: 350 MB of edges at five digits."""


@dataclass(frozen=True)
class Group:
    """Tiles of one layout without repetition, and how many tiles each stands for."""

    levels: Levels
    starts: IntArray
    weights: IntArray

    @classmethod
    def of(cls, layout: TileLayout, offsets: npt.ArrayLike) -> Group:
        column = np.asarray(offsets, dtype=np.int64).ravel()
        if column.size and max(int(column.max()), -int(column.min())) >= MAX_ADDRESS:
            raise TileError("an offset is beyond 2**60 bytes")
        starts, weights = np.unique(column + layout.lowest, return_counts=True)
        return cls(layout.levels, starts, weights.astype(np.int64))

    def boxes(self, bases: tuple[int, ...]) -> Boxes:
        """The tiles as disjoint boxes of the digits of `bases`."""
        if not self.levels or not len(self.starts):
            return Boxes.concatenate([], len(bases))
        if not byteset.is_nested(self.levels):
            return self._run_boxes(bases)
        starts, weights = self.starts, self.weights
        counts = dict.fromkeys(bases, 1)
        for count, stride in self.levels:
            if stride in counts:
                counts[stride] = count
                continue
            _check_boxes(len(starts) * count)
            copies = np.arange(count, dtype=np.int64)[:, None] * stride
            starts, weights = (starts + copies).ravel(), np.tile(weights, count)
        widths = [np.full(len(starts), counts[base], np.int64) for base in bases]
        return _digit_boxes(bases, starts, widths, weights)

    def _run_boxes(self, bases: tuple[int, ...]) -> Boxes:
        firsts, stops = byteset.byte_runs(self.levels)
        _check_boxes(len(firsts) * len(self.starts))
        starts = (self.starts[:, None] + firsts).ravel()
        widths = [np.ones(len(starts), np.int64) for _ in bases]
        widths[0] = np.tile(stops - firsts, len(self.starts))
        return _digit_boxes(bases, starts, widths, np.repeat(self.weights, len(firsts)))


@dataclass(frozen=True)
class Boxes:
    """Rows are boxes, columns digits; `weights` is the number of tiles a box stands for."""

    starts: IntArray
    stops: IntArray
    weights: IntArray

    @classmethod
    def concatenate(cls, parts: list[Boxes], num_digits: int) -> Boxes:
        empty = np.zeros((0, num_digits), np.int64)
        return cls(
            np.concatenate([empty, *(part.starts for part in parts)]),
            np.concatenate([empty, *(part.stops for part in parts)]),
            np.concatenate([empty[:, 0], *(part.weights for part in parts)]),
        )

    def clip(self, digit: int, low: int, high: int) -> Boxes:
        """The parts of the boxes in a range of one digit."""
        inside = (self.starts[:, digit] < high) & (self.stops[:, digit] > low)
        starts, stops = self.starts[inside], self.stops[inside]
        np.clip(starts[:, digit], low, high, out=starts[:, digit])
        np.clip(stops[:, digit], low, high, out=stops[:, digit])
        return Boxes(starts, stops, self.weights[inside])


def _check_boxes(count: int) -> None:
    if count > MAX_BOXES:
        raise TooLargeError(
            f"tiles fall into {count:,} pieces, more than the {MAX_BOXES:,} that are counted",
            remedy="Their strides are not multiples of each other; ask about fewer tiles.",
        )


def choose_bases(groups: list[Group]) -> tuple[int, ...]:
    """The strides to be digits: of all chains of multiples the one that saves most copies."""
    gains = {1: 0}
    for group in groups:
        if byteset.is_nested(group.levels):
            for count, stride in group.levels:
                gains[stride] = gains.get(stride, 0) + len(group.starts) * (count - 1)
    best: dict[int, tuple[int, tuple[int, ...]]] = {}
    for stride in sorted(gains):
        below = [best[s] for s in best if stride % s == 0]
        gain, chain = max(below, default=(0, ()))
        best[stride] = (gain + gains[stride], (*chain, stride))
    return max(best.values())[1]


def _digit_boxes(
    bases: tuple[int, ...], starts: IntArray, widths: list[IntArray], weights: IntArray
) -> Boxes:
    """Tiles of `widths[i]` steps of `bases[i]` from each start, cut where a digit carries over.

    A range of a digit that passes its radix is a head, whole turns and a tail, each with another
    carry into the digit above; most tiles have one of the three.
    """
    digits: list[IntArray] = []
    rest = starts
    for base in reversed(bases):
        digit, rest = np.divmod(rest, base)
        digits.append(digit)
    digits.reverse()
    none = np.zeros(len(starts), np.int64)
    members = np.arange(len(starts), dtype=np.int64)
    branches: list[tuple[IntArray, list[IntArray], list[IntArray], IntArray, IntArray]]
    branches = [(members, [], [], none, none + 1)]
    for i, base in enumerate(bases):
        cut: list[tuple[IntArray, list[IntArray], list[IntArray], IntArray, IntArray]] = []
        for tiles, lows, highs, carry, carries in branches:
            low = digits[i][tiles] + carry
            high = low + widths[i][tiles] + carries - 1
            if i == len(bases) - 1:
                cut.append((tiles, [*lows, low], [*highs, high], carry, carries))
                continue
            for keep, first, last, turn, turns in _turns(low, high, bases[i + 1] // base):
                lows_kept = [*(x[keep] for x in lows), first]
                highs_kept = [*(x[keep] for x in highs), last]
                cut.append((tiles[keep], lows_kept, highs_kept, turn, turns))
        branches = cut
        _check_boxes(sum(len(branch[0]) for branch in branches))
    return Boxes.concatenate(
        [
            Boxes(np.stack(lows, axis=1), np.stack(highs, axis=1), weights[tiles])
            for tiles, lows, highs, _, _ in branches
        ],
        len(bases),
    )


def _turns(
    low: IntArray, high: IntArray, radix: int
) -> list[tuple[IntArray, IntArray, IntArray, IntArray, IntArray]]:
    """Ranges of a digit modulo its radix: (rows, first, last, carry, number of carries) a part."""
    head, tail = low // radix, (high - 1) // radix
    single = (head == tail) & ((low % radix != 0) | (high % radix != 0))
    has_head = ~single & (low % radix != 0)
    has_tail = ~single & (high % radix != 0)
    first_whole, last_whole = head + has_head, tail - has_tail
    has_whole = ~single & (first_whole <= last_whole)
    none, one = np.zeros_like(low), np.ones_like(low)
    full = one * radix
    parts = (
        (single, low - head * radix, high - head * radix, head, one),
        (has_head, low - head * radix, full, head, one),
        (has_whole, none, full, first_whole, last_whole - first_whole + 1),
        (has_tail, none, high - tail * radix, tail, one),
    )
    return [
        (keep, first[keep], last[keep], turn[keep], turns[keep])
        for chosen, first, last, turn, turns in parts
        for keep in (np.flatnonzero(chosen),)
        if len(keep)
    ]
