"""The fast path: blocks of records of one text layout, split at their separator into templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.io.columns import EventPiece, TaskPiece
from mpkgraph.io.holes import IrregularError, Numbers, Positions, find_holes, key_ends, read_holes
from mpkgraph.io.records import Place
from mpkgraph.io.scan import find_value_end, skip_space
from mpkgraph.io.templates import EventTemplates, OutOfRangeError, TaskTemplates
from mpkgraph.io.window import SLACK, Window

MISS_SHARE = 4
"""A block of which more than 1 / MISS_SHARE of the records are new goes the general way: making a
template costs some 20 times what parsing a record does."""
MIN_RECORDS_FOR_SHARE = 64
"""Small blocks may be all new."""
MAX_BACK_OFF = 64
"""Blocks that go the general way, at most, before templates are tried again."""
MAX_LAYOUT_BLANKS = 16
"""Blanks on one side of a colon, at most; others are no layout that a program writes."""
CACHED_BLOCKS = 4
"""Text, in blocks, kept to recognise records at once. A real graph has a few hundred to some
thousand texts of 1 to 2 KiB, and few of them at the same time."""

_Pieces = TypeVar("_Pieces", TaskPiece, EventPiece)
_Block = tuple[npt.NDArray[np.int32], Numbers, int, npt.NDArray[np.int64]]
"""Templates and numbers of a block's records, its byte offset, and the distances from
each record to the next."""
_HEAD = re.compile(rb'\{[ \t\r\n]*"([A-Za-z_0-9\\]+)"([ \t\r\n]*):([ \t\r\n]*)')
_KEY = re.compile(rb'"((?:[^"\\]|\\.)+)"[ \t\r\n]*:')
_BETWEEN = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class TextLayout:
    """What all records of an array look like around their fields."""

    head: bytes
    """From the record's `{` to its first value."""
    tail: bytes
    """From its last value to its `}`."""
    separator: bytes
    """A tail, what is between two records, and a head."""
    blanks_before: int
    blanks_after: int
    hole_ends: npt.NDArray[np.bool_]
    """Table over bytes: whether a key of a hole ends with it, as it is spelled here."""


def learn_layout(window: Window, hole_keys: tuple[str, ...]) -> TextLayout | None:
    """The layout of the next two records; None when they have none in common."""
    if skip_space(window) != ord("{"):
        return None
    length = find_value_end(window)
    if length < 0:
        return None
    data, start, stop = window.data, window.start, window.stop
    head = _HEAD.match(data, start, stop)
    between = _BETWEEN.match(data, start + length, stop)
    if head is None or between is None:
        return None
    second = _HEAD.match(data, between.end(), stop)
    if second is None or second[0] != head[0] or second.end() == stop:
        return None
    # the text before the closing brace ends with the last value
    record = bytes(data[start : start + length])
    last = len(record[:-1].rstrip(b" \t\r\n"))
    tail = record[last:]
    before, after = len(head[2]), len(head[3])
    if max(before, after) > MAX_LAYOUT_BLANKS or last < len(head[0]):
        return None
    separator = tail + between[0] + head[0]
    return TextLayout(head[0], tail, separator, before, after, _hole_ends(record, hole_keys))


def _hole_ends(record: bytes, hole_keys: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Last bytes of the keys of holes: keys may be escaped, in full or in part."""
    ends = key_ends(hole_keys)
    if b"\\" in record:
        try:
            keys = orjson.loads(b"[%b]" % b",".join(b'"%b"' % key for key in _KEY.findall(record)))
        except orjson.JSONDecodeError:
            return ends
        for key, spelled in zip(keys, _KEY.findall(record), strict=True):
            if key in hole_keys:
                ends[spelled[-1]] = True
    return ends


class BlockReader(Generic[_Pieces]):
    """Reads blocks through templates and hands over columns of some thousand records at a time."""

    def __init__(
        self,
        window: Window,
        kind: str,
        templates: TaskTemplates | EventTemplates,
        hole_keys: tuple[str, ...],
        emit: Callable[[_Pieces], None],
        batch_records: int,
    ) -> None:
        self.window = window
        self.kind = kind
        self.templates = templates
        self.layout: TextLayout | None = None
        self._hole_keys = hole_keys
        self._emit: Callable[[Any], None] = emit
        self._batch_records = batch_records
        self._cache: dict[bytes, int] = {}
        self._cached_bytes = 0
        # The last record of each length: comparing costs a tenth of hashing.
        self._recent: dict[int, tuple[bytes, int]] = {}
        self._text = np.zeros(2 * window.block_bytes, np.uint8)
        self._pending: list[_Block] = []
        self._num_pending = 0
        self._first_pending = 0
        self._back_off = 1
        self._blocks_to_skip = 0

    def step(self, first_record: int) -> int:
        """Reads the records of a block, of which `first_record` is the first; returns how many.

        0 when the block has to be read the general way; nothing is consumed then.
        """
        if self._blocks_to_skip:
            self._blocks_to_skip -= 1
            return 0
        window = self.window
        if 2 * len(window) < window.block_bytes:
            window.fill()
        if skip_space(window) != ord("{"):
            return 0
        try:
            count = self._block(first_record)
        except IrregularError:
            self._blocks_to_skip = self._back_off - 1
            self._back_off = min(2 * self._back_off, MAX_BACK_OFF)
            self.layout = None
            return 0
        if count:
            self._back_off = 1
        return count

    def _block(self, first_record: int) -> int:
        window = self.window
        if self.layout is None:
            self.layout = learn_layout(window, self._hole_keys)
            if self.layout is None:
                raise IrregularError
        layout = self.layout
        start = window.start
        head = layout.head
        if not window.data.startswith(head, start, window.stop):
            raise IrregularError
        end = window.data.rfind(layout.separator, start, window.stop)
        if end < 0:
            return 0
        length = end - start
        # A copy, so that messages can show what was there; spare bytes for looking ahead.
        if len(self._text) < length + SLACK:
            self._text = np.zeros(length + SLACK, np.uint8)
        text = self._text[: length + SLACK]
        text[length:] = 0
        text[:length] = np.frombuffer(window.data, np.uint8, length, start)
        holes = find_holes(text, layout.hole_ends, layout.blanks_before, layout.blanks_after)
        numbers = read_holes(text, holes)
        records = text[len(head) : length].tobytes().split(layout.separator)
        codes, lengths = self._codes(records, holes, numbers)
        if self.templates.num_holes(codes) != len(numbers):
            raise IrregularError
        if not self._pending:
            self._first_pending = first_record
        pitches = lengths + len(layout.separator)
        self._pending.append((codes, numbers, window.offset, pitches))
        self._num_pending += len(records)
        # the separator ends with the next record's head
        window.start = end + len(layout.separator) - len(head)
        if self._num_pending >= self._batch_records:
            self.flush()
        return len(records)

    def _codes(
        self, records: list[bytes], holes: Positions, numbers: Numbers
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Each record's template, and its length."""
        codes: list[int] = []
        new: dict[bytes, int] = {}
        recent = self._recent
        for i, record in enumerate(records):
            size = len(record)
            known = recent.get(size)
            if known is None or known[0] != record:
                code = self._cache.get(record)
                if code is None:
                    code = -1 - new.setdefault(record, i)
                known = recent[size] = (record, code)
            codes.append(known[1])
        lengths = np.fromiter(map(len, records), np.int64, len(records))
        result = np.array(codes, np.int32)
        if new:
            recent.clear()
            self._learn(new, len(records), lengths, holes, numbers)
            learned = np.zeros(len(records), np.int32)
            learned[list(new.values())] = [self._cache[record] for record in new]
            result = np.where(result < 0, learned.take(-1 - np.minimum(result, -1)), result)
        return result, lengths

    def _learn(
        self,
        new: dict[bytes, int],
        num_records: int,
        lengths: npt.NDArray[np.int64],
        holes: Positions,
        numbers: Numbers,
    ) -> None:
        """Makes templates of new records, given with their positions in the block."""
        layout = self.layout
        assert layout is not None
        if len(new) * MISS_SHARE > max(num_records, MIN_RECORDS_FOR_SHARE):
            raise IrregularError
        # where the record's text begins in the block's
        offsets = np.cumsum(lengths + len(layout.separator))
        offsets += len(layout.head) - len(layout.separator)
        offsets -= lengths
        bounds = np.searchsorted(holes, np.stack((offsets, offsets + lengths))).tolist()
        for record, i in new.items():
            low, high = bounds[0][i], bounds[1][i]
            starts: list[int] = (holes[low:high] - offsets[i]).tolist()
            ends: list[int] = [
                start + len(str(number))
                for start, number in zip(starts, numbers[low:high].tolist(), strict=True)
            ]
            parts = tuple(
                [
                    record[begin:end]
                    for begin, end in zip([0, *ends], [*starts, len(record)], strict=True)
                ]
            )
            self._cache[record] = self.templates.code(parts, layout.head, layout.tail)
            self._cached_bytes += len(record)

    def flush(self) -> None:
        """Hands over what is pending. Raises GraphReadError for a number that does not fit."""
        pending: list[_Block] = self._pending
        first = self._first_pending
        self._pending, self._num_pending = [], 0
        if not pending:
            return
        codes = np.concatenate([item[0] for item in pending])
        numbers = np.concatenate([*(item[1] for item in pending), np.zeros(1, np.uint64)])
        try:
            piece = self.templates.piece(codes, numbers)
        except OutOfRangeError as error:
            raise self._located(pending, first, error) from None
        self._emit(piece)
        if self.templates.is_stale:
            self.templates.clear()
            self._forget()
        elif self._cached_bytes > CACHED_BLOCKS * self.window.block_bytes:
            self._forget()

    def _forget(self) -> None:
        self._cache.clear()
        self._recent.clear()
        self._cached_bytes = 0

    def _located(
        self,
        pending: list[_Block],
        first: int,
        error: OutOfRangeError,
    ) -> GraphReadError:
        index = error.record
        for codes, _, offset, pitches in pending:
            if index < len(codes):
                place = Place(self.window.source.name, self.kind, first, offset)
                return place.error(error.record, int(pitches[:index].sum()), error.problem)
            index -= len(codes)
        raise AssertionError("a number out of range in no block")
