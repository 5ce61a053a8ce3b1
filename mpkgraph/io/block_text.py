"""A block of text as bytes and as words, for whole columns of positions at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.io.words import WORD_BYTES, Bytes, Numbers, Positions

MARGIN = 256
"""Zero bytes before a block's text, so that a look back from any byte stays in the buffer."""
AHEAD = 32
"""Zero bytes after it."""
_COLON = ord(":")


class BlockText:
    """A block of text between margins, in a buffer that is used again. Positions count from the
    text's start.
    """

    def __init__(self, capacity: int) -> None:
        self._allocate(capacity)
        self.length = 0

    def _allocate(self, capacity: int) -> None:
        self.capacity = (capacity + 7) & ~7
        self.buffer = bytearray(MARGIN + self.capacity + AHEAD)
        """The text begins at MARGIN."""
        self._all = np.frombuffer(self.buffer, np.uint8)
        self._mask = np.empty(self.capacity, np.bool_)

    def load(self, data: bytes | bytearray, start: int, length: int, after: bytes = b"") -> None:
        """Takes over `data[start:start + length]` and puts `after` after it."""
        self.length = length + len(after)
        if self.length > self.capacity:
            self._allocate(self.length)
        text = self.at(0)
        text[:length] = np.frombuffer(data, np.uint8, length, start)
        text[length : self.length] = np.frombuffer(after, np.uint8)
        text[self.length : self.length + AHEAD] = 0

    def at(self, shift: int) -> Bytes:
        """The text as seen from `shift` bytes on (or before): `at(k)[i]` is its byte i + k."""
        return self._all[MARGIN + shift :]

    def words(self, shift: int) -> Numbers:
        """Eight bytes from each position on, seen from `shift` bytes on (or before)."""
        count = self.capacity + AHEAD - (WORD_BYTES - 1) - shift
        words: Numbers = np.ndarray((count,), "<u8", self.buffer, MARGIN + shift, strides=(1,))
        return words

    def slice(self, start: int, stop: int) -> bytes:
        return bytes(self.buffer[MARGIN + start : MARGIN + stop])

    def colons(self) -> Positions:
        """Where colons are."""
        text = self.at(0)[: self.length]
        found: Positions = np.equal(text, _COLON, out=self._mask[: self.length]).nonzero()[0]
        return found

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
