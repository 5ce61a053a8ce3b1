"""Many integers of a text at once: arithmetic on words takes the place of a loop over digits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.io.block_text import BlockText
from mpkgraph.io.words import (
    HIGH,
    LAST_BYTES,
    TO_HIGH,
    WORD_BYTES,
    ZEROS,
    IrregularError,
    Numbers,
    Positions,
    add_up,
    word,
)

_MAX_DIGITS = 20
_MINUS, _ZERO = b"-0"
_TEN_8, _TEN_16 = word(10**8), word(10**16)
_MAX_HIGH, _MAX_LOW = divmod((1 << 64) - 1, 10**16)


def read_integers(
    text: BlockText, starts: Positions, ends: Positions
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """The integers between `starts` and `ends` without their signs, and whether they have one.

    Raises IrregularError for what is no integer in JSON or has more than 64 bits.
    """
    data = text.at(0)
    negative = data.take(starts) == _MINUS
    first = starts + negative
    widths = ends - first
    if len(widths) and not 0 < widths.min() <= widths.max() <= _MAX_DIGITS:
        raise IrregularError
    numbers = _read_eight(text, 0, ends, widths)
    rows = (widths > WORD_BYTES).nonzero()[0]
    if len(rows):
        numbers[rows] = _read_long(text, ends[rows], widths[rows], numbers[rows])
    leading = data.take(first) == _ZERO
    # a leading zero, -0
    if np.count_nonzero(leading & ((widths > 1) | negative)):
        raise IrregularError
    return numbers, negative


def _read_eight(text: BlockText, done: int, ends: Positions, widths: Positions) -> Numbers:
    """Up to eight digits of each number but for the last `done`."""
    digits = text.words(-done - WORD_BYTES)[ends] ^ ZEROS
    digits &= LAST_BYTES.take(widths - done, mode="clip")
    if np.count_nonzero(((digits + TO_HIGH) | digits) & HIGH):
        raise IrregularError
    return add_up(digits)


def _read_long(text: BlockText, ends: Positions, widths: Positions, low: Numbers) -> Numbers:
    """Numbers of more than eight digits, of which `low` are the last eight."""
    numbers = low + _TEN_8 * _read_eight(text, WORD_BYTES, ends, widths)
    rows = (widths > 2 * WORD_BYTES).nonzero()[0]
    if len(rows):
        ends, widths = ends[rows], widths[rows]
        high = _read_eight(text, 2 * WORD_BYTES, ends, widths)
        rest = numbers[rows]
        if np.count_nonzero((high > _MAX_HIGH) | ((high == _MAX_HIGH) & (rest > _MAX_LOW))):
            raise IrregularError
        numbers[rows] = rest + _TEN_16 * high
    return numbers
