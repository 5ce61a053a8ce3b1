"""Sets of bytes that strided tiles touch, as nested arithmetic progressions.

A tile's bytes are the sums `k0 * b0 + k1 * b1 + ...` with `0 <= ki < ni`: one level `(ni, bi)` a
dim, and the bytes of an element as level `(element_bytes, 1)`. Minkowski sums commute, so levels
may be sorted and merged freely (`normalize`). When each stride is at least the extent of the
levels below it the set is *nested*: no two index vectors meet and blocks do not interleave. The
few sets that are not nested are listed run by run.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mpkgraph.errors import TooLargeError

IntArray = npt.NDArray[np.int64]
Level = tuple[int, int]
Levels = tuple[Level, ...]
"""(count, stride in bytes) by ascending stride; the first is a run, of stride 1. () is empty."""
Runs = tuple[IntArray, IntArray]
"""Starts and stops of byte runs: sorted, disjoint, not touching."""

MAX_RUNS = 1 << 23
"""Longest list of runs that is ever made: 128 MiB of starts and stops."""


def normalize(dims: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, Levels]:
    """The lowest byte and the levels of a strided box; `dims` and `strides` in bytes.

    Dims of size 1 and stride 0 drop out, negative strides count from the other end, and a stride
    that is a multiple of another one within its reach joins it: aliasing of that kind vanishes.

    >>> normalize((8, 512, 2), (128, 2, 1))  # rows of 1024 bytes, 128 bytes apart
    (0, ((1920, 1),))
    """
    if 0 in dims:
        return 0, ()
    lowest = 0
    counts: dict[int, int] = {1: 1}
    for count, stride in zip(dims, strides, strict=True):
        if stride < 0:
            lowest += (count - 1) * stride
        if stride:
            counts[abs(stride)] = counts.get(abs(stride), 1) + count - 1
    return lowest, _merge(counts)


def _merge(counts: dict[int, int]) -> Levels:
    merged = True
    while merged:
        merged = False
        for fine in sorted(counts):
            for coarse in sorted(counts):
                ratio, rest = divmod(coarse, fine)
                if coarse > fine and not rest and ratio <= counts[fine]:
                    counts[fine] += ratio * (counts.pop(coarse) - 1)
                    merged = True
                    break
            if merged:
                break
    return tuple((counts[s], s) for s in sorted(counts) if s == 1 or counts[s] > 1)


def extent_bytes(levels: Levels) -> int:
    """Bytes from the lowest to past the highest; 0 for the empty set."""
    return 1 + sum((count - 1) * stride for count, stride in levels) if levels else 0


def is_nested(levels: Levels) -> bool:
    """Whether each stride is at least the extent of the levels below it."""
    return all(stride >= extent_bytes(levels[:i]) for i, (_, stride) in enumerate(levels))


def num_bytes(levels: Levels) -> int:
    """Distinct bytes. Raises TooLargeError for a set that has to be listed and is too large."""
    if not levels:
        return 0
    if is_nested(levels):
        return math.prod(count for count, _ in levels)
    starts, stops = byte_runs(levels)
    return int((stops - starts).sum())


def byte_runs(levels: Levels) -> Runs:
    """All runs of consecutive bytes. Raises TooLargeError beyond `MAX_RUNS`."""
    if not levels:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.zeros(1, np.int64)
    stops = np.full(1, levels[0][0], np.int64)
    for count, stride in levels[1:]:
        if stride >= int(stops[-1]):
            _check_runs(len(starts) * count)
            shifts = np.arange(count, dtype=np.int64)[:, None] * stride
            starts, stops = _join((shifts + starts).ravel(), (shifts + stops).ravel())
            continue
        # Interleaved: double the copies, so that the list never outgrows its final length twice.
        copies = 1
        while copies < count:
            step = min(copies, count - copies)
            _check_runs(2 * len(starts))
            starts, stops = _join(
                np.concatenate([starts, starts + step * stride]),
                np.concatenate([stops, stops + step * stride]),
            )
            copies += step
    return starts, stops


def _join(starts: IntArray, stops: IntArray) -> Runs:
    """The union of runs given in any order."""
    if np.any(starts[1:] <= stops[:-1]):
        order = np.argsort(starts, kind="stable")
        starts, stops = starts[order], np.maximum.accumulate(stops[order])
        first = np.ones(len(starts), dtype=bool)
        first[1:] = starts[1:] > stops[:-1]
        last = np.append(first[1:], np.True_)
        starts, stops = starts[first], stops[last]
    return starts, stops


def _check_runs(count: int) -> None:
    if count > MAX_RUNS:
        raise TooLargeError(
            f"a tile falls into {count:,} runs of bytes, and at most {MAX_RUNS:,} are listed",
            remedy="Its strides are irregular; ask about a part of it.",
        )


def expand(counts: IntArray) -> tuple[IntArray, IntArray]:
    """For `counts[i]` items of each row i, one after the other: row, and position in the row."""
    rows = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return rows, np.arange(len(rows), dtype=np.int64) - (np.cumsum(counts) - counts)[rows]
