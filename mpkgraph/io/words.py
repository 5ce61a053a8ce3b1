"""Columns of 64-bit words, each of which is eight bytes of text: constants and digits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

WORD_BYTES = 8


class IrregularError(Exception):
    """Text that a fast path leaves to the general one."""


def word(value: int) -> Numbers:
    """A constant; an array without dimensions costs less than a number of numpy's."""
    return np.array(value, np.uint64)


def each(byte: int) -> Numbers:
    """A word of eight equal bytes."""
    return word(byte * 0x0101010101010101)


ZEROS, HIGH = each(ord("0")), each(0x80)
TO_HIGH = each(0x80 - 10)
"""Added to a byte below 128, sets its high bit if it is 10 or more."""
FIRST_BYTES = np.array([(1 << 8 * k) - 1 for k in range(WORD_BYTES + 1)], np.uint64)
"""Masks for the first k bytes of a word."""
LAST_BYTES = np.array([(1 << 64) - (1 << 64 - 8 * k) for k in range(WORD_BYTES + 1)], np.uint64)
"""Masks for the last k bytes."""
_8, _16, _32 = map(word, (8, 16, 32))
_PAIRS, _FOURS = word(0x00FF00FF00FF00FF), word(0x0000FFFF0000FFFF)
_BY_10, _BY_100, _BY_10000 = (
    word(10 * (1 << 8) + 1),
    word(100 * (1 << 16) + 1),
    word(10000 * (1 << 32) + 1),
)


def add_up(digits: Numbers) -> Numbers:
    """The numbers of eight digits each, the last digit in a word's last byte; in place."""
    # pairs, fours, eights
    digits *= _BY_10
    digits >>= _8
    digits &= _PAIRS
    digits *= _BY_100
    digits >>= _16
    digits &= _FOURS
    digits *= _BY_10000
    digits >>= _32
    return digits
