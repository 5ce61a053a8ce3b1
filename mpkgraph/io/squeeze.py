"""JSON text without what does not matter: blanks between tokens, escapes of plain characters.

All with numpy on whole blocks of text: masks of bytes, packed to bits where they are combined.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.io.words import WORD_BYTES, IrregularError

_Mask = npt.NDArray[np.bool_]
_Bits = npt.NDArray[np.uint64]

_QUOTE, _SPACE, _BACKSLASH, _TILDE, _MINUS, _NINE = b'" \\~-9'
_NUMBER_RANGE = np.uint8(_NINE - _MINUS)
_ESCAPE = b"u00"
"""What follows the backslash of an escaped character below 256, before two digits."""
_HEX_DIGITS = np.full(256, 16, np.uint8)
_HEX_DIGITS[list(b"0123456789abcdef")] = range(16)
_HEX_DIGITS[list(b"ABCDEF")] = range(10, 16)
_WORD_BITS = 8 * WORD_BYTES


class Squeezer:
    """Squeezes blocks of text. Its masks are used again: fresh memory would cost more than they."""

    def __init__(self) -> None:
        self._allocate(0)

    def _allocate(self, capacity: int) -> None:
        self._mask = np.empty(capacity, np.bool_)
        self._other_mask = np.empty(capacity, np.bool_)
        self._offsets = np.empty(capacity, np.uint8)

    def squeeze(self, text: bytes) -> bytes:
        """The text without blanks between tokens.

        It is valid JSON just if the text is, and has the same value, but for words (`null`) that
        blanks may have parted. Raises IrregularError for what takes a parser: blanks in strings or
        inside a number, control characters, escapes.
        """
        if b"\\" in text:
            raise IrregularError
        data = np.frombuffer(text, np.uint8)
        if len(data) > len(self._mask):
            self._allocate(len(data))
        no_blanks = np.greater(data, _SPACE, out=self._mask[: len(data)])
        num_others = int(np.count_nonzero(no_blanks))
        if num_others == len(data):
            return text
        squeezed = text.translate(None, b" \n\r\t")
        if len(squeezed) != num_others:
            raise IrregularError  # control characters
        bits_of_blanks = ~_packed(no_blanks)
        quotes = np.equal(data, _QUOTE, out=self._mask[: len(data)])
        if (_inside_strings(quotes) & bits_of_blanks).any():
            raise IrregularError
        # Where blanks parted two numbers, there is one less now.
        if self._count_numbers(text) != self._count_numbers(squeezed):
            raise IrregularError
        return squeezed

    def _count_numbers(self, text: bytes) -> int:
        """Runs of digits, `-` and `.`, but for one at the very start."""
        data = np.frombuffer(text, np.uint8)
        offsets = np.subtract(data, _MINUS, out=self._offsets[: len(data)])
        mask = np.less_equal(offsets, _NUMBER_RANGE, out=self._mask[: len(data)])
        starts = np.greater(mask[1:], mask[:-1], out=self._other_mask[: len(data) - 1])
        return int(np.count_nonzero(starts))


def plain(text: bytes) -> bytes:
    r"""The text with characters in place of `\u00XX`, of which all must be plain ones in strings.

    It is valid JSON just if the text is, and has the same value. Raises IrregularError for other
    escapes.
    """
    if b"\\" not in text:
        return text
    data = np.frombuffer(text, np.uint8).copy()
    at = (data == _BACKSLASH).nonzero()[0]
    if at[-1] + len(_ESCAPE) + 2 >= len(data):
        raise IrregularError
    for i, byte in enumerate(_ESCAPE, 1):
        if (data.take(at + i) != byte).any():
            raise IrregularError
    high, low = (_HEX_DIGITS.take(data.take(at + i)) for i in (4, 5))
    characters = high * 16 + low
    plain = (characters >= _SPACE) & (characters <= _TILDE) & (high < 16) & (low < 16)
    plain &= (characters != _QUOTE) & (characters != _BACKSLASH)
    bits = _inside_strings(data == _QUOTE)
    inside = bits.view(np.uint8).take(at >> 3) >> (at & 7).astype(np.uint8)
    if not plain.all() or not (inside & 1).all():
        raise IrregularError
    data[at] = characters
    kept = np.ones(len(data), np.bool_)
    for i in range(1, 1 + len(_ESCAPE) + 2):
        kept[at + i] = False
    unescaped: bytes = data[kept].tobytes()
    return unescaped


def _inside_strings(quotes: _Mask) -> _Bits:
    """A bit for each byte, set from a string's first quote to before its last; none is escaped.

    Raises IrregularError when a string does not end.
    """
    bits = _packed(quotes)
    for shift in (1, 2, 4, 8, 16, 32):
        bits ^= bits << np.uint64(shift)
    # now the parity of the quotes in a word up to each bit; those of words before are added
    odd = bits >> np.uint64(_WORD_BITS - 1)
    before = np.bitwise_xor.accumulate(odd)
    if before[-1]:
        raise IrregularError
    before ^= odd
    bits ^= np.negative(before)
    return bits


def _packed(mask: _Mask) -> _Bits:
    """A bit for each byte, and zeros up to a whole word."""
    bits = np.packbits(mask, bitorder="little")
    if len(bits) % WORD_BYTES:
        bits = np.append(bits, np.zeros(-len(bits) % WORD_BYTES, np.uint8))
    return bits.view("<u8")
