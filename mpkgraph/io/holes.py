"""Integers that vary from record to record: found, read and blanked for a whole block at once.

Digits are read eight at a time: eight bytes of text are one 64-bit word, and arithmetic on columns
of words takes the place of a loop over digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]

FIRST_DIGIT, OTHER_DIGIT = b"\x01", b"\x02"
"""What a hole's digits become; no JSON text has these bytes, so a text that does is irregular."""
MARGIN = 256
"""Zero bytes before a block's text, so that a look back from any byte stays in the buffer."""
AHEAD = 32
"""Zero bytes after it."""
_QUOTE, _COLON, _MINUS, _ZERO, _ONE = b'":-01'


def _word(value: int) -> Numbers:
    """A constant; an array without dimensions costs less than a number of numpy's."""
    return np.array(value, np.uint64)


def _each(byte: int) -> Numbers:
    """A word of eight equal bytes."""
    return _word(byte * 0x0101010101010101)


_ZEROS, _LOW7, _HIGH, _ONES = _each(_ZERO), _each(0x7F), _each(0x80), _each(1)
_TO_HIGH = _each(0x80 - 10)
"""Added to a byte below 128, sets its high bit if it is 10 or more."""
_FIRST_BLANKS, _OTHER_BLANKS = _word(0x0202020202020201), _each(2)
_POSITION = _word(0x0001020304050607)
"""Times a word with the lowest bit of byte k set: k in the highest byte."""
_1, _3, _7, _8, _16, _32, _56 = map(_word, (1, 3, 7, 8, 16, 32, 56))
_LOWEST_BYTE = _word(0xFF)
_PAIRS, _FOURS = _word(0x00FF00FF00FF00FF), _word(0x0000FFFF0000FFFF)
_BY_10, _BY_100, _BY_10000 = (
    _word(10 * (1 << 8) + 1),
    _word(100 * (1 << 16) + 1),
    _word(10000 * (1 << 32) + 1),
)
_POWERS = np.array([10**k for k in range(9)], np.uint64)
_MAX_HEAD, _MAX_TAIL = divmod((1 << 64) - 1, 10**4)
"""Of a number of 20 digits: the first 16, and the others when those are equal."""


class IrregularError(Exception):
    """Text that the fast path leaves to the general one."""


def key_ends(keys: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Table over bytes: whether one of `keys` ends with it."""
    table = np.zeros(256, np.bool_)
    table[[ord(key[-1]) for key in keys]] = True
    return table


class BlockText:
    """A copy of a block of text in which digits may be blanked. Positions count from its start."""

    def __init__(self, capacity: int) -> None:
        self._allocate(capacity)
        self.length = 0

    def _allocate(self, capacity: int) -> None:
        self.capacity = (capacity + 7) & ~7
        self.buffer = bytearray(MARGIN + self.capacity + AHEAD)
        """The text begins at MARGIN."""
        self._all = np.frombuffer(self.buffer, np.uint8)
        self._mask = np.empty(self.capacity, np.bool_)
        count = self.capacity + AHEAD - 7
        self._words: npt.NDArray[np.uint64] = np.ndarray(
            (count,), "<u8", self.buffer, MARGIN, strides=(1,)
        )
        """The eight bytes from each position on."""

    def load(self, data: bytearray, start: int, length: int) -> None:
        """Takes over `data[start:start + length]`."""
        if length > self.capacity:
            self._allocate(length)
        self.length = length
        text = self.at(0)
        text[:length] = np.frombuffer(data, np.uint8, length, start)
        text[length : length + AHEAD] = 0

    def at(self, shift: int) -> Bytes:
        """The text as seen from `shift` bytes on (or before): `at(k)[i]` is its byte i + k."""
        return self._all[MARGIN + shift :]

    def colons(self) -> Positions:
        """Where colons are."""
        count = (self.length + 7) & ~7
        mask = np.equal(self.at(0)[:count], _COLON, out=self._mask[:count])
        words: npt.NDArray[np.uint64] = mask.view("<u8")
        at = np.not_equal(words, 0).nonzero()[0]
        found = words.take(at)
        if np.count_nonzero(found & (found - _1)):
            return mask.nonzero()[0]  # two in one word
        found *= _POSITION
        found >>= _56
        at <<= 3
        at += found.view(np.int64)
        return at

    def equal(self, at: Positions, text: bytes) -> npt.NDArray[np.bool_]:
        """Whether `text` stands at each position (of which some may lie up to MARGIN before)."""
        size = len(text)
        count = len(self.buffer) - size + 1
        pieces: npt.NDArray[np.void] = np.ndarray((count,), f"V{size}", self.buffer, strides=(1,))
        there = pieces[at + MARGIN].tobytes()
        if there == text * len(at):
            return np.ones(len(at), np.bool_)
        result: npt.NDArray[np.bool_] = (
            np.frombuffer(there, np.uint8).reshape(-1, size) == np.frombuffer(text, np.uint8)
        ).all(axis=1)
        return result

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
        found: Positions = holes.compress(digits)
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
            at = holes.take(rows) + digits
            rows = rows.compress(self.at(0).take(at) - np.uint8(_ZERO) < 10)
            if not len(rows):
                break
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
        the first is 0; the first byte is known to be a digit.
        """
        words: Numbers = self._words[at].astype(np.uint64, copy=False)
        digits = words ^ _ZEROS
        # the high bit of each byte that is no digit, then of the first one alone
        other = digits & _LOW7
        other += _TO_HIGH
        other |= digits
        other &= _HIGH
        other &= ~other + _1
        # ones in all bytes before it; in all eight when all are digits
        other >>= _7
        other -= _1
        self._words[at] = words ^ ((words ^ blanks) & other)
        widths = ((other & _ONES) * _ONES) >> _56
        leading = (digits & _LOWEST_BYTE) == 0
        # moved up so that the last digit is in the last byte, then pairs, fours and eights of them
        digits <<= (_8 - widths) << _3
        digits *= _BY_10
        digits >>= _8
        digits &= _PAIRS
        digits *= _BY_100
        digits >>= _16
        digits &= _FOURS
        digits *= _BY_10000
        digits >>= _32
        return digits, widths, leading


def _is_too_large(head: Numbers, tail: Numbers, width: Numbers) -> npt.NDArray[np.bool_]:
    """Whether 16 digits `head` and `width` digits `tail` are beyond 64 bits."""
    twenty = (head > _MAX_HEAD) | ((head == _MAX_HEAD) & (tail > _MAX_TAIL))
    result: npt.NDArray[np.bool_] = (width > 4) | ((width == 4) & twenty)
    return result
