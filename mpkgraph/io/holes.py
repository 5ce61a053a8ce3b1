"""Integers that vary from record to record: found, read and blanked for a whole block at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.io.block_text import BlockText
from mpkgraph.io.words import (
    HIGH,
    TO_HIGH,
    ZEROS,
    Bytes,
    IrregularError,
    Numbers,
    Positions,
    add_up,
    each,
    word,
)

FIRST_DIGIT, OTHER_DIGIT = b"\x01", b"\x02"
"""What a hole's digits become; no JSON text has these bytes, so a text that does is irregular."""
_QUOTE, _MINUS, _ZERO, _ONE = b'"-01'
_LOW7, _ONES = each(0x7F), each(1)
_FIRST_BLANKS, _OTHER_BLANKS = word(0x0202020202020201), each(2)
_1, _3, _7, _8, _56 = map(word, (1, 3, 7, 8, 56))
_LOWEST_BYTE = word(0xFF)
_POWERS = np.array([10**k for k in range(9)], np.uint64)
_MAX_HEAD, _MAX_TAIL = divmod((1 << 64) - 1, 10**4)
"""Of a number of 20 digits: the first 16, and the others when those are equal."""


def key_ends(keys: tuple[str, ...]) -> bytes:
    """The bytes with which `keys` end, each once."""
    return bytes(sorted({ord(key[-1]) for key in keys}))


def is_one_of(column: Bytes, values: bytes) -> npt.NDArray[np.bool_]:
    """Which of a column's bytes are among a few; comparing takes a tenth of a look-up."""
    found: npt.NDArray[np.bool_] = column == np.uint8(values[0])
    for value in values[1:]:
        found |= column == np.uint8(value)
    return found


class HoleText(BlockText):
    """Text in which digits may be blanked, and restored."""

    def __init__(self, capacity: int = 0) -> None:
        super().__init__(capacity)
        self._blanked: list[tuple[Positions, Numbers]] = []

    def keep_blanks(self) -> None:
        """Makes `restore` leave what is blanked now."""
        self._blanked.clear()

    def restore(self) -> None:
        """Puts the digits back that were blanked since `keep_blanks`."""
        words = self.words(0)
        while self._blanked:
            at, before = self._blanked.pop()
            words[at] = before

    def find_holes(self, colons: Positions, before: int, after: int) -> Positions:
        """Where the digits begin of integers that follow some of `colons`.

        `before` and `after` are the numbers of blanks around the colon. A sign stays outside; a
        lone -1 (no value) is no hole. Too many holes cost speed, never correctness: each is checked
        to be an integer field when its template is made.
        """
        first = self.at(1 + after).take(colons)
        digits = first - np.uint8(_ZERO) < 10
        digits &= self.at(-1 - before).take(colons) == _QUOTE
        negative = (first == _MINUS).nonzero()[0]
        holes = colons + (1 + after)
        if len(negative):
            starts = holes[negative] + 1
            text = self.at(0)
            leading = text.take(starts)
            lone_one = (leading == _ONE) & (text.take(starts + 1) - np.uint8(_ZERO) >= 10)
            digits[negative] = (leading - np.uint8(_ZERO) < 10) & ~lone_one
            holes[negative] = starts
        # most are digits: an index is faster than `compress` then
        found: Positions = holes[digits]
        return found

    def read_holes(self, holes: Positions) -> Numbers:
        """The numbers at `holes`; their digits are blanked.

        Raises IrregularError for a leading zero or a number beyond 64 bits.
        """
        numbers, widths, leading = self._read_eight(holes, _FIRST_BLANKS)
        if np.count_nonzero(leading & (widths > _1)):
            raise IrregularError
        rows = (widths == _8).nonzero()[0]
        for digits in (8, 16):
            if not len(rows):
                break
            # where no digit follows: 0 of width 0, which changes nothing
            at = holes.take(rows) + digits
            values, more, _ = self._read_eight(at, _OTHER_BLANKS)
            so_far = numbers.take(rows)
            if digits == 16 and np.count_nonzero(_is_too_large(so_far, values, more)):
                raise IrregularError
            numbers[rows] = so_far * _POWERS.take(more.view(np.int64)) + values
            rows = rows.compress(more == _8)
        return numbers

    def _read_eight(
        self, at: Positions, blanks: Numbers
    ) -> tuple[Numbers, Numbers, npt.NDArray[np.bool_]]:
        """Values and widths of the digits in the eight bytes from each position on, and whether
        the first is 0; widths of 0 where the first is no digit.
        """
        all_words = self.words(0)
        words: Numbers = all_words[at].astype(np.uint64, copy=False)
        digits = words ^ ZEROS
        # the high bit of each byte that is no digit, then of the first one alone
        other = digits & _LOW7
        other += TO_HIGH
        other |= digits
        other &= HIGH
        other &= ~other + _1
        # ones in all bytes before it; in all eight when all are digits
        other >>= _7
        other -= _1
        self._blanked.append((at, words))
        all_words[at] = words ^ ((words ^ blanks) & other)
        widths = ((other & _ONES) * _ONES) >> _56
        leading = (digits & _LOWEST_BYTE) == 0
        # moved up so that the last digit is in the last byte
        digits <<= (_8 - widths) << _3
        return add_up(digits), widths, leading


def _is_too_large(head: Numbers, tail: Numbers, width: Numbers) -> npt.NDArray[np.bool_]:
    """Whether 16 digits `head` and `width` digits `tail` are beyond 64 bits."""
    twenty = (head > _MAX_HEAD) | ((head == _MAX_HEAD) & (tail > _MAX_TAIL))
    result: npt.NDArray[np.bool_] = (width > 4) | ((width == 4) & twenty)
    return result
