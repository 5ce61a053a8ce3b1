"""Integer columns as short lists: single numbers, and runs `[first, count, step]`.

Numbers are 64 bits; sums wrap around, so that unsigned ids go through unharmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray

MIN_RUN = 4
"""A shorter run is written number by number."""
MAX_COUNT = 1 << 28
"""Numbers that a column may have: a run is expanded on trust."""


def to_runs(values: np.ndarray) -> list[Any]:
    """The column as a list.

    >>> to_runs(np.array([5, 5, 5, 5, 7, 1, 2, 3, 4]))
    [[5, 4], 7, [1, 4, 1]]
    """
    numbers = np.ascontiguousarray(values)
    numbers = numbers.view(np.int64) if numbers.dtype == np.uint64 else numbers.astype(np.int64)
    if len(numbers) < MIN_RUN:
        plain: list[Any] = numbers.tolist()
        return plain
    with np.errstate(over="ignore"):
        steps = numbers[1:] - numbers[:-1]
    # Each stretch of equal steps, from its first number to its last
    changes = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    starts = np.concatenate(([0], changes))
    stops = np.concatenate((changes, [len(steps)]))
    long = stops - starts >= MIN_RUN - 1
    found: list[Any] = []
    done = 0
    for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        first = max(start, done)
        if stop + 1 - first < MIN_RUN:
            continue
        found += numbers[done:first].tolist()
        run = [int(numbers[first]), stop + 1 - first]
        found.append([*run, int(steps[start])] if steps[start] else run)
        done = stop + 1
    found += numbers[done:].tolist()
    return found


def from_runs(runs: Sequence[Any]) -> IntArray:
    """What `to_runs` was given, as signed 64 bits. Raises ValueError for what is no such list."""
    parts: list[IntArray] = []
    plain: list[int] = []
    total = 0
    for item in runs:
        if isinstance(item, int):
            plain.append(item)
            continue
        if not isinstance(item, list) or not 2 <= len(item) <= 3:
            raise ValueError(f"no run: {item!r}")
        if plain:
            parts.append(np.array(plain, dtype=np.int64))
            plain = []
        first, count, step = (*item, 0)[:3]
        total += count
        if not 0 <= count <= MAX_COUNT or total > MAX_COUNT:
            raise ValueError(f"a run of {count} numbers")
        with np.errstate(over="ignore"):
            parts.append(np.int64(first) + np.int64(step) * np.arange(count, dtype=np.int64))
    parts.append(np.array(plain, dtype=np.int64))
    return np.concatenate(parts)
