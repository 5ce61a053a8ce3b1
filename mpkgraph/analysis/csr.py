"""Adjacency in compressed rows: for each node the sorted nodes (or tasks) it leads to."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass

IntArray = npt.NDArray[np.int64]
_MAX_INT64 = np.iinfo(np.int64).max
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Csr:
    """Row `i` is `targets[starts[i] : starts[i + 1]]`, ascending."""

    starts: IntArray
    targets: npt.NDArray[Any]

    def __post_init__(self) -> None:
        self.starts.flags.writeable = False
        self.targets.flags.writeable = False

    @classmethod
    def group(cls, owners: npt.NDArray[np.integer], num_rows: int) -> Csr:
        """Positions of `owners` grouped by owner; a negative owner is nobody's.

        >>> Csr.group(np.array([1, 0, -1, 1]), 2).row(1).tolist()
        [0, 3]
        """
        positions = np.flatnonzero(owners >= 0)
        rows = owners[positions]
        order = np.argsort(rows, kind="stable")
        return cls(_starts(rows, num_rows), positions[order].astype(np.int64, copy=False))

    @classmethod
    def from_edges(cls, sources: IntArray, targets: IntArray, num_rows: int) -> Csr:
        """Rows of an edge list; repeated edges stay repeated."""
        order = np.lexsort((targets, sources))
        return cls(_starts(sources, num_rows), targets[order])

    @classmethod
    def from_sorted(
        cls,
        sources: npt.NDArray[np.integer],
        targets: npt.NDArray[np.integer],
        num_rows: int,
    ) -> Csr:
        """Rows of an edge list in ascending order; `targets` is kept, not copied."""
        return cls(_starts(sources, num_rows), targets)

    @property
    def num_rows(self) -> int:
        return len(self.starts) - 1

    def row(self, index: int) -> IntArray:
        return self.targets[self.starts[index] : self.starts[index + 1]]

    def gather(self, rows: IntArray) -> IntArray:
        """The rows given, one after the other."""
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (rows[1:] > rows[:-1]).all():
            return self.targets[self.starts[rows[0]] : self.starts[rows[-1] + 1]]
        return self.targets[self.gather_positions(rows)]

    def gather_positions(self, rows: IntArray) -> IntArray:
        """Positions in `targets` of the rows given, one row after the other."""
        starts = self.starts[rows]
        return expand_ranges(starts, self.starts[rows + 1] - starts)

    def sizes(self) -> IntArray:
        return np.diff(self.starts)


def expand_ranges(starts: IntArray, sizes: IntArray) -> IntArray:
    """The integers of the ranges [start, start + size), one range after the other.

    >>> expand_ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    total = int(sizes.sum())
    ends = np.cumsum(sizes)
    values: IntArray = np.arange(total, dtype=np.int64)
    values += np.repeat(starts - (ends - sizes), sizes)
    return values


def counted(
    values: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], IntArray]:
    """Distinct values, ascending, and how often each occurs.

    >>> [column.tolist() for column in counted(np.array([3, 1, 3]))]
    [[1, 3], [1, 2]]
    """
    # Ids in a graph come in long ascending runs, which this kind of sort merges
    ordered = np.sort(values, kind="stable")
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    return ordered[starts], np.diff(starts, append=len(ordered))


def unique_pairs(
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    counts: IntArray | None = None,
) -> tuple[IntArray, IntArray, IntArray]:
    """Distinct pairs in ascending order and how often each occurs, a pair given standing for
    `counts` of its kind. Values are not negative.
    """
    if not len(first):
        empty = np.empty(0, dtype=np.int64)
        return empty, empty, empty
    if counts is not None:
        order = np.lexsort((second, first))
        pairs = first[order], second[order]
        starts = run_starts(*pairs)
        left, right = (column[starts].astype(np.int64, copy=False) for column in pairs)
        return left, right, np.add.reduceat(counts[order], starts)
    span = int(second.max()) + 1
    if int(first.max()) >= _MAX_INT64 // span:
        values, codes = np.unique(second, return_inverse=True)
        left, right, found = unique_pairs(first, codes)
        return left, values[right].astype(np.int64), found
    # A plain sort of the pairs as numbers is several times faster than one that keeps positions
    keys, found = counted(first.astype(np.int64) * span + second)
    unique = keys.astype(np.int64, copy=False)
    return unique // span, unique % span, found


def run_starts(*columns: npt.NDArray[Any]) -> IntArray:
    """Where rows begin that differ from the row before.

    >>> run_starts(np.array([3, 3, 3, 1]), np.array([0, 0, 2, 2])).tolist()
    [0, 2, 3]
    """
    changes = np.zeros(len(columns[0]), dtype=np.bool_)
    changes[:1] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)


def _starts(rows: npt.NDArray[np.integer], num_rows: int) -> IntArray:
    starts = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
    return starts
