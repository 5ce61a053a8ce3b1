"""Numbers of blocks that divide a dim."""

from __future__ import annotations

MAX_SUGGESTED = 1 << 16
"""Blocks of an axis that are suggested; a file may name a dim that takes a day to factorise."""


def divisors_near(extent: int, size: int) -> tuple[int, ...]:
    """The nearest divisors of an extent below (or at) and above a size.

    The second is left out where there is none up to twice the size or `MAX_SUGGESTED`.

    >>> divisors_near(4096, 60), divisors_near(8, 16), divisors_near(2**31 - 1, 8)
    ((32, 64), (8,), (1,))
    """
    if extent <= 0:
        return (1,)
    below = min(size, extent)
    while extent % below:
        below -= 1
    most = min(extent, max(2 * size, MAX_SUGGESTED))
    above = next((n for n in range(size + 1, most + 1) if extent % n == 0), None)
    return (below,) if above is None else (below, above)
