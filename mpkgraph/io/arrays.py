"""Reading `all_tasks` and `all_events`: block after block, by the fastest path that will do."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.io.back_off import BackOff
from mpkgraph.io.blocks import BlockReader
from mpkgraph.io.records import Place, element_spans, json_problem, parse_batch
from mpkgraph.io.scan import Elements, guess_cut, skip_space, truncated
from mpkgraph.io.window import Window
from mpkgraph.io.words import IrregularError

PARSED_BYTES = 1 << 18
"""Text that is parsed at a time: what a parser makes of it is 10 to 30 times as large, and should
stay in the processor's caches."""
MIN_MEMBERS_BYTES = 1 << 14
"""Less text is read faster by a parser."""
MAX_WRONG_GUESSES = 3
"""A wrong guess costs a parse; after some, the text is not of the kind that can be guessed."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Garbage collection off: millions of fresh objects, none in a cycle, would be walked."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class RecordArray:
    """An array of records in a window whose `start` is just after its `[`."""

    def __init__(
        self,
        window: Window,
        kind: str,
        blocks: BlockReader[Any],
        add_text: Callable[[bytes, list[Any], Place], int],
        add_members: Callable[[bytes], int] | None = None,
    ) -> None:
        self.window = window
        self.kind = kind
        self.blocks = blocks
        self.num_records = 0
        self._add_text = add_text
        self._add_members = add_members
        self._wrong_guesses = 0
        self._members = BackOff()

    def steps(self) -> Generator[None, None, None]:
        """Reads some records at each step; `window.start` is after the `]` in the end."""
        while not self._step():
            yield
        self.blocks.flush()
        yield

    def steps_to_limit(self) -> Iterator[None]:
        """As `steps`, up to the window's limit; stops before it where no whole record is left."""
        while skip_space(self.window) >= 0:
            if not self._fast_step():
                try:
                    if self._general_step():
                        return
                except GraphReadError:
                    return
            yield
        self.blocks.flush()

    def _step(self) -> bool:
        """Reads a block; True at the end of the array."""
        return False if self._fast_step() else self._general_step()

    def _fast_step(self) -> bool:
        """Reads a block through templates; whether it could."""
        with collector_paused():
            count = self.blocks.step(self.num_records)
        self.num_records += count
        if not count:
            self.blocks.flush()
        return count > 0

    def _general_step(self) -> bool:
        """Reads whole records of any layout; True at the end of the array."""
        with collector_paused():
            if self._members_step() or self._guessed_step():
                return False
            return self._exact_step()

    def _members_step(self) -> bool:
        """Reads the records before a guessed cut member by member; whether it could."""
        if not self._members.is_due():
            return False
        return self._read_members(self._guessed_length(self.window.block_bytes))

    def _read_members(self, length: int) -> bool:
        window = self.window
        if self._add_members is None or length < MIN_MEMBERS_BYTES:
            return False
        try:
            count = self._add_members(bytes(window.data[window.start : window.start + length]))
        except IrregularError:
            self._members.failed()
            return False
        self._members.succeeded()
        self.num_records += count
        window.start += length + 1
        return True

    def _guessed_length(self, limit: int) -> int:
        """Length of a text of whole records in the next `limit` bytes, if a guess is right; 0 or
        less for none.

        Finding the cut by a scan of the whole text costs a fifth of the time.
        """
        window = self.window
        if len(window) < min(window.block_bytes, limit):
            window.fill()
        if self._wrong_guesses >= MAX_WRONG_GUESSES:
            return 0
        return guess_cut(window, limit)

    def _guessed_step(self) -> bool:
        """Reads the records before a guessed cut, if a parser confirms it; whether it did."""
        window = self.window
        length = self._guessed_length(PARSED_BYTES)
        if length <= 0:
            return False
        text = bytes(window.data[window.start : window.start + length])
        try:
            docs = orjson.loads(b"[%b]" % text)
        except orjson.JSONDecodeError:
            self._wrong_guesses += 1
            return False
        self._take(text, docs)
        return True

    def _exact_step(self) -> bool:
        window = self.window
        try:
            length, ended = Elements(window).next()
        except GraphReadError as error:
            raise self._broken(error) from None
        if self._members.is_due() and self._read_members(length):
            return ended
        text = bytes(window.data[window.start : window.start + length])
        place = self._place()
        if not text.strip() and not (ended and not self.num_records):
            raise place.error(0, length, "not valid JSON: an element is missing")
        self._take(text, parse_batch(text, place))
        return ended

    def _take(self, text: bytes, docs: list[Any]) -> None:
        """Consumes a text of records and the byte that follows it."""
        if docs:
            self.num_records += self._add_text(text, docs, self._place())
        self.window.start += len(text) + 1

    def _place(self) -> Place:
        return Place(self.window.source.name, self.kind, self.num_records, self.window.offset)

    def _broken(self, error: GraphReadError) -> GraphReadError:
        """What is wrong with a text in which no end of a record was found."""
        window = self.window
        text = bytes(window.data[window.start : window.stop])
        try:
            orjson.loads(b"[%b" % text)
        except orjson.JSONDecodeError as refused:
            problem = json_problem(b"[%b" % text, refused)
            position = problem.position - 1
            # At the very end it is the end that is wrong.
            if 0 <= position < len(text) - 1 and "end of data" not in refused.msg:
                index = len(element_spans(text[:position], closed=True))
                return self._place().error(index, position, problem.problem, problem.remedy)
        if not window.ended:
            return error
        within = f"{self.kind} {self.num_records}"
        return truncated(window, f"{within}; {self.num_records} {self.kind}s were read")
