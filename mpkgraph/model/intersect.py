"""What two sets of bytes share, exactly, for any number of relative offsets at once.

Nested sets (`mpkgraph.model.byteset`) are descended together. Where their top strides agree, a
block of one meets at most two blocks of the other; where one is a multiple of the other, the finer
set is regrouped into blocks of the coarser stride; else the blocks in reach are tried one by one.
Sets that are not nested are compared run by run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from mpkgraph.errors import TooLargeError
from mpkgraph.model.byteset import (
    IntArray,
    Levels,
    Runs,
    byte_runs,
    expand,
    extent_bytes,
    is_nested,
)

MAX_STEPS = 1 << 23
"""Most blocks of one tile that are held against another of unrelated strides."""
BATCH = 1 << 18
"""Relative offsets worked on at once: temporaries of 2 MiB stay near the cache."""


def shared_bytes(a: Levels, b: Levels, deltas: IntArray) -> IntArray:
    """Bytes common to `a` and to `b` moved up by each of `deltas` (any shape).

    Exact for all levels. Raises TooLargeError where that would take more than `MAX_STEPS` blocks
    or `MAX_RUNS` runs: strides that are not multiples of each other, over very many blocks.
    """
    result = np.zeros(deltas.size, np.int64)
    flat = deltas.ravel()
    if not a or not b:
        return result.reshape(deltas.shape)
    near = np.flatnonzero((flat < extent_bytes(a)) & (flat > -extent_bytes(b)))
    if is_nested(a) and is_nested(b):
        for start in range(0, len(near), BATCH):
            part = near[start : start + BATCH]
            result[part] = _shared_nested(a, b, flat[part])
    elif len(near):
        runs_a, runs_b = byte_runs(a), byte_runs(b)
        values, inverse = np.unique(flat[near], return_inverse=True)
        counts = [_shared_runs(runs_a, runs_b, delta) for delta in values.tolist()]
        result[near] = np.array(counts, np.int64)[inverse.ravel()]
    return result.reshape(deltas.shape)


def first_shared_byte(a: Levels, b: Levels, delta: int) -> int | None:
    """The lowest byte common to `a` and to `b` moved up by `delta`, from the start of `a`."""
    if not a or not b:
        return None
    if is_nested(a) and is_nested(b):
        return min((offset for offset, _ in shared_levels(a, b, delta)), default=None)
    starts, _ = shared_runs(byte_runs(a), byte_runs(b), delta)
    return int(starts[0]) if len(starts) else None


def shared_levels(a: Levels, b: Levels, delta: int) -> Iterator[tuple[int, Levels]]:
    """The intersection of two nested sets as disjoint (offset from the start of `a`, levels)."""
    if not a or not b:
        return
    if not -extent_bytes(b) < delta < extent_bytes(a):
        return
    if len(a) == len(b) == 1:
        low, high = max(0, delta), min(a[0][0], b[0][0] + delta)
        yield low, ((high - low, 1),)
        return
    top = max(a[-1][1], b[-1][1])
    cut_a, cut_b = _cut(a, top), _cut(b, top)
    if cut_a is None:
        for offset, levels in shared_levels(b, a, -delta):
            yield offset + delta, levels
    elif cut_b is not None:
        below_a, num_a = cut_a
        below_b, num_b = cut_b
        # Block k of `a` meets block l of `b` only where their difference is one of these two.
        first = (delta - extent_bytes(below_a)) // top + 1
        for step in (first, first + 1):
            low, high = max(0, step), min(num_a, num_b + step)
            if low < high:
                for offset, levels in shared_levels(below_a, below_b, delta - step * top):
                    level = ((high - low, top),) if high - low > 1 else ()
                    yield offset + low * top, levels + level
    elif top % b[-1][1] == 0:
        for offset, levels in _split(b, top):
            yield from shared_levels(a, levels, delta + offset)
    else:
        below_a, num_a = cut_a
        ks, counts = _block_range(below_a, num_a, b, top, np.array([delta], np.int64))
        blocks = np.arange(int(ks[0]), int(ks[0]) + int(counts[0]), dtype=np.int64)
        met = shared_bytes(below_a, b, delta - blocks * top) > 0
        for k in blocks[met].tolist():
            for offset, levels in shared_levels(below_a, b, delta - k * top):
                yield offset + k * top, levels


def _shared_nested(a: Levels, b: Levels, deltas: IntArray) -> IntArray:
    """`shared_bytes` of nested sets for a flat column of deltas."""
    if len(a) == len(b) == 1:
        shared: IntArray = np.minimum(a[0][0], b[0][0] + deltas) - np.maximum(0, deltas)
        return np.maximum(shared, 0)
    top = max(a[-1][1], b[-1][1])
    cut_a, cut_b = _cut(a, top), _cut(b, top)
    if cut_a is None:
        return _shared_nested(b, a, -deltas)
    below_a, num_a = cut_a
    if cut_b is not None:
        below_b, num_b = cut_b
        total = np.zeros(len(deltas), np.int64)
        first = (deltas - extent_bytes(below_a)) // top + 1
        for step in (first, first + 1):
            pairs = np.minimum(num_a, num_b + step) - np.maximum(0, step)
            rest = deltas - step * top
            near = np.flatnonzero((pairs > 0) & (rest > -extent_bytes(below_b)))
            if len(near):
                total[near] += pairs[near] * _shared_nested(below_a, below_b, rest[near])
        return total
    if top % b[-1][1] == 0:
        total = np.zeros(len(deltas), np.int64)
        for offset, levels in _split(b, top):
            total += _shared_nested(a, levels, deltas + offset)
        return total
    return _shared_blocks(below_a, num_a, b, top, deltas)


def _cut(levels: Levels, top: int) -> tuple[Levels, int] | None:
    """Levels as (a block of at most `top` bytes, number of such blocks `top` apart)."""
    if levels[-1][1] == top:
        return levels[:-1], levels[-1][0]
    return (levels, 1) if extent_bytes(levels) <= top else None


def _split(levels: Levels, top: int) -> list[tuple[int, Levels]]:
    """Levels that reach past `top`, a multiple of their last stride, as blocks `top` apart and
    the rest after them.
    """
    count, stride = levels[-1]
    per_block = top // stride
    blocks, rest = divmod(count, per_block)
    whole: Levels = (*levels[:-1], (per_block, stride))
    parts: list[tuple[int, Levels]] = [(0, (*whole, (blocks, top)) if blocks > 1 else whole)]
    if rest:
        after = (*levels[:-1], (rest, stride)) if rest > 1 or stride == 1 else levels[:-1]
        parts.append((blocks * top, after))
    return parts


def _block_range(
    below: Levels, count: int, other: Levels, top: int, deltas: IntArray
) -> tuple[IntArray, IntArray]:
    """For each delta the first block whose extent meets `other`, and how many do."""
    low = np.maximum(0, (deltas - extent_bytes(below)) // top + 1)
    high = np.minimum(count, -((-deltas - extent_bytes(other)) // top))
    counts = np.maximum(0, high - low)
    # A residue that the two never share rules all blocks out at once.
    common = math.gcd(top, *(stride for _, stride in (*below[1:], *other[1:])))
    run, other_run = below[0][0], other[0][0]
    if run + other_run <= common:
        residue = deltas % common
        counts[(residue >= run) & (residue + other_run <= common)] = 0
    largest = int(counts.max(initial=0))
    if largest > MAX_STEPS:
        raise TooLargeError(
            f"two tiles whose strides are not multiples of each other meet in {largest:,} blocks,"
            f" more than the {MAX_STEPS:,} that are compared",
            remedy="Ask about parts of the tiles.",
        )
    return low, counts


def _shared_blocks(
    below: Levels, count: int, other: Levels, top: int, deltas: IntArray
) -> IntArray:
    """Strides that do not divide: hold each block against the other set."""
    low, counts = _block_range(below, count, other, top, deltas)
    total = np.zeros(len(deltas), np.int64)
    ends = np.cumsum(counts)
    start = 0
    while start < len(deltas):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + BATCH, side="right")))
        rows, blocks = expand(counts[start:stop])
        rest = deltas[start:stop][rows] - (low[start:stop][rows] + blocks) * top
        np.add.at(total, rows + start, shared_bytes(below, other, rest))
        start = stop
    return total


def _shared_runs(a: Runs, b: Runs, delta: int) -> int:
    """Bytes common to two lists of runs: below each stop of one, less below each start."""
    starts, stops = a
    lows, highs = b[0] + delta, b[1] + delta
    before = np.concatenate([[0], np.cumsum(stops - starts)])

    def below(points: IntArray) -> IntArray:
        run = np.searchsorted(starts, points, side="right") - 1
        inside = np.minimum(points - starts[run], stops[run] - starts[run])
        counted: IntArray = np.where(run < 0, 0, before[run] + inside)
        return counted

    return int((below(highs) - below(lows)).sum())


def shared_runs(a: Runs, b: Runs, delta: int) -> Runs:
    """The runs common to two lists of runs, the second moved up by `delta`."""
    starts, stops = a
    lows, highs = b[0] + delta, b[1] + delta
    first = np.searchsorted(stops, lows, side="right")
    count = np.maximum(0, np.searchsorted(starts, highs, side="left") - first)
    right, position = expand(count)
    left = first[right] + position
    return np.maximum(starts[left], lows[right]), np.minimum(stops[left], highs[right])
