"""JSON text without what does not matter: blanks between tokens, escapes of plain characters.

All with numpy on whole blocks of text: masks of bytes, packed to bits where they are combined.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.io.words import WORD_BYTES, Bytes, IrregularError

_Mask = npt.NDArray[np.bool_]
_Bits = npt.NDArray[np.uint64]

_QUOTE, _SPACE, _BACKSLASH, _TILDE, _NEWLINE, _RETURN, _TAB, _MINUS, _NINE = b'" \\~\n\r\t-9'
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
        self._plain = self._offsets

    def _allocate(self, capacity: int) -> None:
        self._kept = np.empty(capacity, np.bool_)
        self._mask = np.empty(capacity, np.bool_)
        self._offsets = np.empty(capacity, np.uint8)

    def squeeze(self, data: Bytes) -> Bytes:
        r"""The text without blanks between tokens and with plain characters in place of `\u00XX`.

        The result is valid JSON just if the text is, and has the same value, but for `null` that
        may have been parted by blanks. Raises IrregularError for what takes a parser: other
        escapes, blanks in strings or inside a number, control characters.
        """
        if len(data) > len(self._kept):
            self._allocate(len(data))
        if self._count(data, _BACKSLASH):
            data = self._without_escapes(data)
        self._plain = data
        return self._without_blanks(data)

    def count(self, word: bytes) -> int:
        """How often a word is in the text that was squeezed last, but for its escapes."""
        return self._plain.tobytes().count(word)

    def _without_blanks(self, data: Bytes) -> Bytes:
        kept = np.greater(data, _SPACE, out=self._kept[: len(data)])
        num_blanks = len(data) - int(np.count_nonzero(kept))
        if not num_blanks:
            return data
        for blank in (_SPACE, _NEWLINE, _RETURN, _TAB):
            num_blanks -= self._count(data, blank)
            if not num_blanks:
                break
        else:
            raise IrregularError  # other control characters
        if np.count_nonzero(self._inside_strings(data) & ~_packed(kept)):
            raise IrregularError
        squeezed: Bytes = data[kept]
        # Where blanks parted two numbers, there is one less now.
        if self._count_numbers(squeezed) != self._count_numbers(data):
            raise IrregularError
        return squeezed

    def _without_escapes(self, data: Bytes) -> Bytes:
        at = (data == _BACKSLASH).nonzero()[0]
        if at[-1] + len(_ESCAPE) + 2 >= len(data):
            raise IrregularError
        for i, byte in enumerate(_ESCAPE, 1):
            if np.count_nonzero(data.take(at + i) != byte):
                raise IrregularError
        high, low = (_HEX_DIGITS.take(data.take(at + i)) for i in (4, 5))
        characters = high * 16 + low
        plain = (characters >= _SPACE) & (characters <= _TILDE) & (high < 16) & (low < 16)
        plain &= (characters != _QUOTE) & (characters != _BACKSLASH)
        inside = self._inside_strings(data).view(np.uint8).take(at >> 3) >> (at & 7).astype(
            np.uint8
        )
        if np.count_nonzero(plain & (inside & 1).view(np.bool_)) != len(at):
            raise IrregularError
        data = data.copy()
        data[at] = characters
        kept = self._kept[: len(data)]
        kept[:] = True
        for i in range(1, 1 + len(_ESCAPE) + 2):
            kept[at + i] = False
        unescaped: Bytes = data[kept]
        return unescaped

    def _inside_strings(self, data: Bytes) -> _Bits:
        """A bit for each byte, set from a string's first quote to before its last; quotes that are
        escaped there must not be. Raises IrregularError when a string does not end.
        """
        bits = _packed(np.equal(data, _QUOTE, out=self._mask[: len(data)]))
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

    def _count(self, data: Bytes, byte: int) -> int:
        return int(np.count_nonzero(np.equal(data, byte, out=self._mask[: len(data)])))

    def _count_numbers(self, data: Bytes) -> int:
        """Runs of digits, `-` and `.`, but for the text's first byte."""
        offsets = np.subtract(data, _MINUS, out=self._offsets[: len(data)])
        mask = np.less_equal(offsets, _NUMBER_RANGE, out=self._mask[: len(data)])
        starts = np.greater(mask[1:], mask[:-1], out=offsets[1:].view(np.bool_))
        return int(np.count_nonzero(starts))


def _packed(mask: _Mask) -> _Bits:
    """A bit for each byte, and zeros up to a whole word."""
    bits = np.packbits(mask, bitorder="little")
    if len(bits) % WORD_BYTES:
        bits = np.append(bits, np.zeros(-len(bits) % WORD_BYTES, np.uint8))
    return bits.view("<u8")
