"""Repeated runs in a sequence: the equal layers of a model, to be told once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.summary_result import Repeat

__all__ = ["MAX_PERIOD", "Repeat", "find_repeats"]

MAX_PERIOD = 4096
"""Longest pattern looked for; a model layer has some twenty operators."""


def find_repeats(
    items: Sequence[Hashable], layers: Sequence[int | None] | None = None
) -> tuple[Repeat, ...]:
    """Runs of a repeated pattern, apart and in order; those that spare most items come first.

    Where `layers` gives numbers of model layers, a run starts at the first item of one if it can.

    >>> find_repeats("abcdcdcde")
    (Repeat(first=2, period=2, count=3, layers=None),)
    """
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(item, len(numbers)) for item in items], dtype=np.int64)
    known = list(layers) if layers is not None else [None] * len(items)
    found: list[Repeat] = []
    pending = [(0, len(codes))]
    while pending:
        start, stop = pending.pop()
        best = _best_run(codes[start:stop])
        if best is None:
            continue
        first, period, length = best
        repeat = _aligned(start + first, period, length, known)
        found.append(repeat)
        pending += [(start, repeat.first), (repeat.end, stop)]
    return tuple(sorted(found, key=lambda repeat: repeat.first))


def _best_run(codes: IntArray) -> tuple[int, int, int] | None:
    """(first, period, length) of the run that spares most items; the shortest period of several.

    A pattern of one item counts from three in a row on: two lines are not worth a fold.
    """
    best, most_spared = None, 1
    for period in range(1, min(len(codes) // 2, MAX_PERIOD) + 1):
        if len(codes) - period <= most_spared:
            break
        equal = np.concatenate(([False], codes[period:] == codes[:-period], [False]))
        edges = np.flatnonzero(equal[1:] != equal[:-1])
        starts, lengths = edges[::2], edges[1::2] - edges[::2] + period
        spared = (lengths // period - 1) * period
        if len(spared) and spared.max() > most_spared:
            place = int(spared.argmax())
            best, most_spared = (
                (int(starts[place]), period, int(lengths[place])),
                int(spared[place]),
            )
    return best


def _aligned(first: int, period: int, length: int, layers: Sequence[int | None]) -> Repeat:
    """The run, begun at the first item of a model layer if two repetitions are left then."""
    shift = 0
    for candidate in range(min(period, length - 2 * period + 1)):
        if _starts_layer(first + candidate, layers):
            shift = candidate
            break
    first += shift
    count = (length - shift) // period
    numbers = [layer for layer in layers[first : first + period * count] if layer is not None]
    return Repeat(first, period, count, (min(numbers), max(numbers)) if numbers else None)


def _starts_layer(item: int, layers: Sequence[int | None]) -> bool:
    before = next((layer for layer in reversed(layers[:item]) if layer is not None), None)
    return layers[item] is not None and layers[item] != before
