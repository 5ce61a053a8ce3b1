"""Whole columns of integers or short texts to codes: equal ones get the same code, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpkgraph.io.block_text import BlockText
from mpkgraph.io.words import FIRST_BYTES, WORD_BYTES, IrregularError, Numbers, Positions, word

Codes = npt.NDArray[np.int64]

TABLE_BITS = 16
MAX_KNOWN = 1 << 16
"""Keys in a table before it is emptied, to bound its memory."""
MAX_TEXT_BYTES = 1 << 10
"""Each eight bytes are a round of looking up, however few texts are as long."""
_DROPPED = word(64 - TABLE_BITS)
_SPREAD = word(0x9E3779B97F4A7C15)
"""Odd; the upper bits of a product with it depend on all bits of the other factor."""


class CodeTable:
    """Codes of 64-bit keys, as long as there are not too many.

    All are in a dictionary; those met last are also at places computed from the keys, so that whole
    columns are looked up at once.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._known: dict[int, int] = {}
        self._keys = np.zeros(1 << TABLE_BITS, np.uint64)
        self._keys[0] = 1  # not 0, whose place this is
        self._codes = np.zeros(1 << TABLE_BITS, np.int64)

    def codes(self, keys: Numbers, new: Callable[[int], int]) -> Codes:
        """The code of each key. `new` gives that of an unknown one, told where it comes first; it
        is called in that order.
        """
        if len(self._known) > MAX_KNOWN:
            self.clear()
        places = keys * _SPREAD
        places >>= _DROPPED
        at = places.view(np.int64)
        codes = self._codes[at]
        found = self._keys[at] == keys
        if np.count_nonzero(found) < len(keys):
            missed = (~found).nonzero()[0]
            rest, first, inverse = np.unique(keys[missed], return_index=True, return_inverse=True)
            first = missed[first]
            codes_of_rest = np.empty(len(rest), np.int64)
            for i in first.argsort().tolist():
                key, position = int(rest[i]), int(first[i])
                code = self._known.get(key)
                if code is None:
                    code = self._known[key] = new(position)
                codes_of_rest[i] = code
            codes[missed] = codes_of_rest[inverse]
            self._keys[at[first]] = rest
            self._codes[at[first]] = codes_of_rest
        return codes


class TextTable:
    """Codes of texts, from their words of eight bytes: each word leads from a code to the next."""

    def __init__(self) -> None:
        self._words = CodeTable()
        self._pairs = CodeTable()
        self.clear()

    def clear(self) -> None:
        self._words.clear()
        self._pairs.clear()
        self.num_codes = 0

    def _new(self, _: int) -> int:
        # one count for both tables, so that a first word's code is never that of a longer text
        self.num_codes += 1
        return self.num_codes - 1

    def codes(self, text: BlockText, starts: Positions, lengths: Positions) -> Codes:
        """The code of each piece of `text`, which holds no NUL.

        Raises IrregularError for a piece that is longer than MAX_TEXT_BYTES.
        """
        if len(lengths) and lengths.max() > MAX_TEXT_BYTES:
            raise IrregularError
        codes = self._words.codes(_first_bytes(text.words(0)[starts], lengths), self._new)
        rows = (lengths > WORD_BYTES).nonzero()[0]
        done = WORD_BYTES
        while len(rows):
            left = lengths[rows] - done
            pieces = _first_bytes(text.words(done)[starts[rows]], left)
            pairs = (codes[rows] << 32) | self._words.codes(pieces, self._new)
            codes[rows] = self._pairs.codes(pairs.view(np.uint64), self._new)
            rows = rows.compress(left > WORD_BYTES)
            done += WORD_BYTES
        return codes


def _first_bytes(words: Numbers, lengths: Positions) -> Numbers:
    return words & FIRST_BYTES.take(lengths, mode="clip")
