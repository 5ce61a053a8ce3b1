"""A sliding window over a byte source: what is unread lies in one buffer that is reused."""

from __future__ import annotations

from typing import Protocol

from mpkgraph.errors import GraphReadError

MAX_RECORD_BYTES = 1 << 24
"""Longest record or unknown field that is read. Real tasks have 1 to 2 KiB; the limit bounds
memory whatever the input."""
MARGIN = 256
"""Bytes kept before the text, of any value, so that scans may look back."""
SLACK = 32
"""Zero bytes kept after the text, so that scans may look a few bytes ahead."""


class TextSource(Protocol):
    """Where a window reads from."""

    name: str

    def readinto(self, view: memoryview) -> int:
        """Fills `view` as far as bytes are at hand; 0 at the end."""
        ...


class Window:
    """Unread bytes are `data[start:stop]`; `data[0]` would be byte `origin` of the text. At least
    MARGIN bytes come before them.
    """

    def __init__(self, source: TextSource, block_bytes: int) -> None:
        self.source = source
        self.block_bytes = block_bytes
        self.data = bytearray(MARGIN + block_bytes + block_bytes // 2 + SLACK)
        self.origin = -MARGIN
        self.start = self.stop = MARGIN
        self.ended = False
        self._limit: int | None = None

    @property
    def offset(self) -> int:
        """Byte offset in the text of the next unread byte."""
        return self.origin + self.start

    def __len__(self) -> int:
        return self.stop - self.start

    def fill(self) -> bool:
        """Adds up to a block of bytes. False when there are none left.

        Positions in `data` may move; relative to `start` they stay.
        """
        if self.ended:
            return False
        self._make_room()
        before = self.stop
        until = before + self.block_bytes
        if self._limit is not None:
            until = min(until, self._limit - self.origin)
        with memoryview(self.data) as view:
            while self.stop < until:
                count = self.source.readinto(view[self.stop : until])
                if not count:
                    break
                self.stop += count
        self.ended = self.stop < before + self.block_bytes
        self.data[self.stop : self.stop + SLACK] = bytes(SLACK)
        return self.stop > before

    def set_limit(self, limit: int | None) -> None:
        """Lets the text end at byte `limit` for now, or at its own end again."""
        self._limit = limit
        if limit is None:
            self.ended = False

    def restart(self, offset: int) -> None:
        """Goes on at byte `offset` of the text, where the source stands now."""
        self.origin = offset - MARGIN
        self.start = self.stop = MARGIN
        self.ended = False
        self._limit = None

    def _make_room(self) -> None:
        """Moves what is unread to the front: the fewer bytes are in use, the more of them are in
        the processor's caches.
        """
        count = len(self)
        if count > MAX_RECORD_BYTES:
            raise GraphReadError(
                f"a single record or field is longer than {MAX_RECORD_BYTES >> 20} MiB",
                where=self.where(),
                remedy="This is no task graph that Mirage writes; check what the file is.",
            )
        unread = self.data[self.start : self.stop]
        room = MARGIN + count + self.block_bytes + SLACK
        if room > len(self.data):
            self.data = bytearray(room + count)
        self.data[MARGIN : MARGIN + count] = unread
        self.origin += self.start - MARGIN
        self.start, self.stop = MARGIN, MARGIN + count

    def where(self, offset: int | None = None) -> str:
        """File and byte offset, for messages."""
        return f"{self.source.name}, byte {self.offset if offset is None else offset}"
