"""A block of text as bytes and as words, for whole columns of positions at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.io.window import MARGIN, SLACK
from mpkgraph.io.words import WORD_BYTES, Bytes, Numbers, Positions

AHEAD = SLACK
"""Zero bytes after a text that was loaded."""
MASK_BYTES = 1 << 16
"""Text that is searched at a time: what is told of it stays in the processor's nearest cache."""
_COLON = ord(":")


class BlockText:
    """A block of text with a margin before it: loaded into a buffer that is used again, or where it
    lies. Positions count from the text's start.
    """

    def __init__(self, capacity: int = 0) -> None:
        self._mask = np.empty(MASK_BYTES, np.bool_)
        self._allocate(capacity)
        self.length = 0

    def _allocate(self, capacity: int) -> None:
        self._use(bytearray(MARGIN + ((capacity + 7) & ~7) + AHEAD), MARGIN)

    def _use(self, buffer: bytearray, start: int) -> None:
        self.buffer = buffer
        self.start = start
        """Where in the buffer the text begins; MARGIN or more."""
        self._all = np.frombuffer(buffer, np.uint8)

    def load(self, data: bytes | bytearray, start: int, length: int, after: bytes = b"") -> None:
        """Takes over `data[start:start + length]` and puts `after` after it."""
        self.length = length + len(after)
        if MARGIN + self.length + AHEAD > len(self.buffer):
            self._allocate(self.length)
        text = self.at(0)
        text[:length] = np.frombuffer(data, np.uint8, length, start)
        text[length : self.length] = np.frombuffer(after, np.uint8)
        text[self.length : self.length + AHEAD] = 0

    def lie_in(self, buffer: bytearray, start: int, length: int) -> None:
        """Makes `buffer[start:start + length]` the text; MARGIN bytes or more are before it."""
        if buffer is not self.buffer:
            self._use(buffer, start)
        self.start = start
        self.length = length

    def at(self, shift: int) -> Bytes:
        """The text as seen from `shift` bytes on (or before): `at(k)[i]` is its byte i + k."""
        return self._all[self.start + shift :]

    def words(self, shift: int) -> Numbers:
        """Eight bytes from each position on, seen from `shift` bytes on (or before)."""
        first = self.start + shift
        count = len(self.buffer) - (WORD_BYTES - 1) - first
        words: Numbers = np.ndarray((count,), "<u8", self.buffer, first, strides=(1,))
        return words

    def slice(self, start: int, stop: int) -> bytes:
        return bytes(self.buffer[self.start + start : self.start + stop])

    def colons(self) -> Positions:
        """Where colons are."""
        text = self.at(0)[: self.length]
        pieces: list[Positions] = []
        for begin in range(0, self.length, MASK_BYTES):
            piece = text[begin : begin + MASK_BYTES]
            found = np.equal(piece, _COLON, out=self._mask[: len(piece)]).nonzero()[0]
            found += begin
            pieces.append(found)
        return np.concatenate(pieces) if pieces else np.empty(0, np.int64)

    def equal(self, at: Positions, text: bytes) -> npt.NDArray[np.bool_]:
        """Whether `text` stands at each position (of which some may lie up to MARGIN before)."""
        size = len(text)
        count = len(self.buffer) - size + 1
        pieces: npt.NDArray[np.void] = np.ndarray((count,), f"V{size}", self.buffer, strides=(1,))
        there = pieces[at + self.start].tobytes()
        if there == text * len(at):
            return np.ones(len(at), np.bool_)
        result: npt.NDArray[np.bool_] = (
            np.frombuffer(there, np.uint8).reshape(-1, size) == np.frombuffer(text, np.uint8)
        ).all(axis=1)
        return result
