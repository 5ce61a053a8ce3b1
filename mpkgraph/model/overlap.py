"""Which tiles of one tensor meet which: columns of offsets against columns of offsets.

All tiles of an operator's slot share a layout, so an operator is a `TileLayout` and a column of
byte offsets. Whether two tiles meet depends on the layouts and the difference of their offsets
only; results equal those of `Tile.shared_bytes` for each pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import TooLargeError
from mpkgraph.frozen import dataclass
from mpkgraph.model import byteset, intersect
from mpkgraph.model.byteset import IntArray, Levels, expand
from mpkgraph.model.tile import MAX_ADDRESS, TileError, TileLayout

BoolArray = npt.NDArray[np.bool_]

MAX_PAIRS = 1 << 26
"""Most pairs returned by one call: 1 GiB of indices."""
CANDIDATES = 1 << 22
"""Pairs tested at once."""


def shared_bytes(
    layout_a: TileLayout,
    offsets_a: npt.ArrayLike,
    layout_b: TileLayout,
    offsets_b: npt.ArrayLike,
) -> IntArray:
    """Bytes that tiles share, elementwise; offsets broadcast against each other as in numpy.

    Raises TileError when an element size is unknown or an offset is beyond 2**60 bytes.

    >>> columns = TileLayout((8, 64), (4096, 1), 2)
    >>> shared_bytes(columns, 0, columns, [0, 64, 128, 8192]).tolist()
    [1024, 512, 0, 896]
    """
    starts_a, starts_b = _starts(layout_a, offsets_a), _starts(layout_b, offsets_b)
    return intersect.shared_bytes(layout_a.levels, layout_b.levels, starts_b - starts_a)


def overlap_matrix(
    layout_a: TileLayout,
    offsets_a: npt.ArrayLike,
    layout_b: TileLayout,
    offsets_b: npt.ArrayLike,
) -> BoolArray:
    """(len(offsets_a), len(offsets_b)): whether tile i of the first meets tile j of the second.

    >>> rows, half = TileLayout((1, 64), (64, 1), 2), TileLayout((4, 32), (64, 1), 2)
    >>> overlap_matrix(rows, [0, 128], half, [128, 192]).tolist()
    [[False, False], [True, True]]
    """
    starts_a, groups_a = np.unique(_starts(layout_a, offsets_a), return_inverse=True)
    starts_b, groups_b = np.unique(_starts(layout_b, offsets_b), return_inverse=True)
    met = np.empty((len(starts_a), len(starts_b)), dtype=np.bool_)
    rows = max(1, CANDIDATES // max(len(starts_b), 1))
    for start in range(0, len(starts_a), rows):
        deltas = starts_b - starts_a[start : start + rows, None]
        met[start : start + rows] = (
            intersect.shared_bytes(layout_a.levels, layout_b.levels, deltas) > 0
        )
    matrix: BoolArray = met[groups_a.ravel()[:, None], groups_b.ravel()]
    return matrix


def overlapping_pairs(
    layout_a: TileLayout,
    offsets_a: npt.ArrayLike,
    layout_b: TileLayout,
    offsets_b: npt.ArrayLike,
) -> tuple[IntArray, IntArray]:
    """Indices (i, j) of the tiles that meet, in ascending order of i, then j.

    Work and memory follow the pairs that are near each other, not their product. Raises
    TooLargeError beyond `MAX_PAIRS` pairs, TileError as `shared_bytes`.

    >>> columns = TileLayout((8, 64), (4096, 1), 2)
    >>> left, right = overlapping_pairs(columns, [0, 128, 256], columns, [64, 256])
    >>> left.tolist(), right.tolist()
    ([0, 1, 2], [0, 0, 1])
    """
    group_a = _Group.of(layout_a, offsets_a)
    group_b = _Group.of(layout_b, offsets_b)
    found_a, found_b, total = [], [], 0
    for left, right in _unique_pairs(layout_a.levels, group_a, layout_b.levels, group_b):
        total += int((group_a.counts[left] * group_b.counts[right]).sum())
        if total > MAX_PAIRS:
            raise TooLargeError(
                f"more than {MAX_PAIRS:,} pairs of tiles overlap",
                remedy="Ask about fewer tiles at a time, or with `any_overlap`.",
            )
        found_a.append(left)
        found_b.append(right)
    empty = np.zeros(0, np.int64)
    left = np.concatenate([empty, *found_a])
    right = np.concatenate([empty, *found_b])
    left, right = _expand(group_a, left, group_b, right)
    order = np.lexsort((right, left))
    return left[order], right[order]


def self_overlapping_pairs(layout: TileLayout, offsets: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Indices (i, j), i < j, of tiles of one column that meet each other.

    >>> rows = TileLayout((1, 64), (64, 1), 2)
    >>> [x.tolist() for x in self_overlapping_pairs(rows, [0, 128, 0])]
    [[0], [2]]
    """
    left, right = overlapping_pairs(layout, offsets, layout, offsets)
    once = left < right
    return left[once], right[once]


def any_overlap(
    layout_a: TileLayout,
    offsets_a: npt.ArrayLike,
    layout_b: TileLayout,
    offsets_b: npt.ArrayLike,
) -> bool:
    """Whether any tile of the first column meets any of the second."""
    group_a = _Group.of(layout_a, offsets_a)
    group_b = _Group.of(layout_b, offsets_b)
    pairs = _unique_pairs(layout_a.levels, group_a, layout_b.levels, group_b)
    return any(len(left) for left, _ in pairs)


@dataclass(frozen=True)
class _Group:
    """Offsets without repetition, ascending, and where each was."""

    starts: IntArray
    counts: IntArray
    members: IntArray
    """Positions of the first distinct offset, then of the second, ..."""
    firsts: IntArray

    @classmethod
    def of(cls, layout: TileLayout, offsets: npt.ArrayLike) -> _Group:
        column = _starts(layout, offsets)
        members = np.argsort(column, kind="stable")
        starts, firsts, counts = np.unique(column[members], return_index=True, return_counts=True)
        return cls(starts, counts.astype(np.int64), members, firsts.astype(np.int64))


def _starts(layout: TileLayout, offsets: npt.ArrayLike) -> IntArray:
    column = np.asarray(offsets, dtype=np.int64)
    if column.size and max(int(column.max()), -int(column.min())) >= MAX_ADDRESS:
        raise TileError("an offset is beyond 2**60 bytes")
    starts: IntArray = column + layout.lowest
    return starts


def _expand(
    group_a: _Group, left: IntArray, group_b: _Group, right: IntArray
) -> tuple[IntArray, IntArray]:
    """Pairs of distinct offsets as pairs of positions."""
    num_a, num_b = group_a.counts[left], group_b.counts[right]
    owner, position = expand(num_a * num_b)
    of_a, of_b = np.divmod(position, num_b[owner])
    return (
        group_a.members[group_a.firsts[left][owner] + of_a],
        group_b.members[group_b.firsts[right][owner] + of_b],
    )


def _unique_pairs(
    levels_a: Levels, group_a: _Group, levels_b: Levels, group_b: _Group
) -> Iterator[tuple[IntArray, IntArray]]:
    """Meeting pairs of distinct offsets, some candidates at a time."""
    if not levels_a or not levels_b or not len(group_a.starts) or not len(group_b.starts):
        return
    sieve = min(
        (
            _Sieve.of(levels_a, group_a.starts, levels_b, group_b.starts, modulus)
            for modulus in (0, *_moduli(levels_a, levels_b))
        ),
        key=lambda candidate: candidate.num_candidates,
    )
    for left, right in sieve.candidates():
        deltas = group_b.starts[right] - group_a.starts[left]
        met = intersect.shared_bytes(levels_a, levels_b, deltas) > 0
        yield left[met], right[met]


def _moduli(levels_a: Levels, levels_b: Levels) -> list[int]:
    """Strides modulo which both sets are single runs, if only of their lower levels."""
    strides = {stride for _, stride in levels_a + levels_b if stride > 1}
    return [
        modulus
        for modulus in strides
        if all(s < modulus or s % modulus == 0 for _, s in levels_a + levels_b)
    ]


@dataclass(frozen=True)
class _Sieve:
    """Pairs that may meet: modulo `modulus` (0: as they lie) their lower levels' extents do.

    Column tiles of a matrix all lie within each other's extents, yet modulo the stride of the
    rows they are as far apart as their columns.
    """

    order: IntArray
    """Positions of the second column by residue, as often as residues were repeated."""
    first: IntArray
    counts: IntArray
    """For each tile of the first column its candidates: `order[first : first + count]`."""

    @property
    def num_candidates(self) -> int:
        return int(self.counts.sum())

    @classmethod
    def of(
        cls,
        levels_a: Levels,
        starts_a: IntArray,
        levels_b: Levels,
        starts_b: IntArray,
        modulus: int,
    ) -> _Sieve:
        below = [
            byteset.extent_bytes(tuple(x for x in levels if not modulus or x[1] < modulus))
            for levels in (levels_a, levels_b)
        ]
        if modulus and sum(below) > modulus:
            everyone = np.arange(len(starts_b), dtype=np.int64)
            first = np.zeros(len(starts_a), np.int64)
            return cls(everyone, first, first + len(starts_b))
        if modulus:
            starts_a = starts_a % modulus
            residues = starts_b % modulus
            starts_b = np.concatenate([residues - modulus, residues, residues + modulus])
        order = np.argsort(starts_b, kind="stable")
        ordered = starts_b[order]
        first = np.searchsorted(ordered, starts_a - below[1], side="right")
        last = np.searchsorted(ordered, starts_a + below[0], side="left")
        if modulus:
            order = order % len(residues)
        return cls(order, first, np.maximum(last - first, 0))

    def candidates(self) -> Iterator[tuple[IntArray, IntArray]]:
        ends = np.cumsum(self.counts)
        start = 0
        while start < len(self.counts):
            done = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + CANDIDATES, side="right")))
            rows, position = expand(self.counts[start:stop])
            yield rows + start, self.order[self.first[start:stop][rows] + position]
            start = stop
