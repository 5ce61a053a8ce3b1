"""64-bit hashes of columns. A sum of hashes is the hash of a multiset: order does not count.

Hashes only propose: what is said to be equal has been compared value by value (`correspondence`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.io.digest import text_digest

HashArray = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def mixed(values: npt.NDArray[Any]) -> HashArray:
    """Each integer scattered over 64 bits (the finalizer of splitmix64).

    >>> int(mixed(np.array([1]))[0]) != int(mixed(np.array([2]))[0])
    True
    """
    hashes: HashArray = values.astype(np.uint64) + _GOLDEN
    hashes ^= hashes >> np.uint64(30)
    hashes *= _FIRST
    hashes ^= hashes >> np.uint64(27)
    hashes *= _SECOND
    hashes ^= hashes >> np.uint64(31)
    return hashes


def combined(*columns: npt.NDArray[Any]) -> HashArray:
    """One hash a row; the order of the columns counts."""
    total = mixed(columns[0])
    for column in columns[1:]:
        total = mixed(total ^ column.astype(np.uint64))
    return total


def mix_numbers(*numbers: int) -> int:
    """`combined` for a single row of Python integers.

    >>> mix_numbers(1, 2) != mix_numbers(2, 1)
    True
    """
    total = 0
    for number in numbers:
        total = _mix(total ^ (number & _MASK))
    return total


def hash_value(value: object) -> int:
    """A hash of a value with a stable `repr`: the same in every run."""
    return int(text_digest(repr(value).encode("utf-8", "surrogatepass"))[:16], 16)


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & _MASK
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


def sums_by(owners: npt.NDArray[np.integer], hashes: HashArray, count: int) -> HashArray:
    """For each of `count` owners the sum of its rows' hashes, modulo 2**64; negative: nobody's."""
    totals = np.zeros(count, dtype=np.uint64)
    mine = owners >= 0
    order = np.argsort(owners[mine], kind="stable")
    ordered = owners[mine][order]
    if not len(ordered):
        return totals
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    totals[ordered[starts]] = np.add.reduceat(hashes[mine][order], starts)
    return totals
