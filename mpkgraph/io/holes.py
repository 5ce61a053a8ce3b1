"""Integers that vary from record to record: found, read and blanked for a whole block at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

_QUOTE, _COLON, _MINUS, _ZERO, _ONE = b'":-01'
_MAX_DIGITS = 20
_LAST_DIGIT_LIMIT = np.uint64(((1 << 64) - 1) // 10)


class IrregularError(Exception):
    """Text that the fast path leaves to the general one."""


def key_ends(keys: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Table over bytes: whether one of `keys` ends with it."""
    table = np.zeros(256, np.bool_)
    table[[ord(key[-1]) for key in keys]] = True
    return table


def find_holes(text: Bytes, ends: npt.NDArray[np.bool_], before: int, after: int) -> Positions:
    """Where the digits begin of integers whose key ends with one of `ends`.

    `before` and `after` are the numbers of blanks around the colon. A sign stays outside; a lone
    -1 (no value) is no hole. Too many holes cost speed, never correctness: each is checked to be
    an integer field when its template is made. `text` ends with `before + after + 4` spare bytes.
    """
    colons: Positions = (text == _COLON).nonzero()[0]
    colons = colons.compress(ends.take(text.take(colons - (2 + before))))
    holes = colons + (1 + after)
    first = text.take(holes)
    digits = first - np.uint8(_ZERO) < 10
    digits &= text.take(colons - (1 + before)) == _QUOTE
    negative = np.flatnonzero(first == _MINUS)
    if len(negative):
        starts = holes[negative] + 1
        leading = text.take(starts)
        lone_one = (leading == _ONE) & (text.take(starts + 1) - np.uint8(_ZERO) >= 10)
        digits[negative] = (leading - np.uint8(_ZERO) < 10) & ~lone_one
        holes[negative] = starts
    found: Positions = holes.compress(digits)
    return found


def read_holes(text: Bytes, holes: Positions) -> Numbers:
    """The numbers at `holes`; their digits in `text` become zeros.

    Raises IrregularError for a leading zero or a number beyond 64 bits.
    """
    numbers: Numbers = (text.take(holes) - np.uint8(_ZERO)).astype(np.uint64)
    text[holes] = _ZERO
    rows: Positions | None = None  # of `numbers` that have more digits; None for all
    at = holes + 1
    for digit in range(1, _MAX_DIGITS + 1):
        values = text.take(at) - np.uint8(_ZERO)
        more = (values < 10).nonzero()[0]
        if not len(more):
            return numbers
        if len(more) < len(at):
            at = at.take(more)
            values = values.take(more)
            rows = more if rows is None else rows.take(more)
        text[at] = _ZERO
        so_far = numbers if rows is None else numbers.take(rows)
        if digit == 1 and not so_far.all():
            raise IrregularError
        if digit >= _MAX_DIGITS - 1 and (
            digit == _MAX_DIGITS
            or bool(
                (
                    (so_far > _LAST_DIGIT_LIMIT) | ((so_far == _LAST_DIGIT_LIMIT) & (values > 5))
                ).any()
            )
        ):
            raise IrregularError
        longer = so_far * np.uint64(10)
        longer += values
        if rows is None:
            numbers = longer
        else:
            numbers[rows] = longer
        at = at + 1
    raise IrregularError
