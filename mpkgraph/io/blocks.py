"""The fast path: blocks of records of one text layout, split at their separator into templates."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import repeat
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.io.back_off import BackOff
from mpkgraph.io.block_text import BlockText
from mpkgraph.io.columns import EventPiece, TaskPiece
from mpkgraph.io.holes import OTHER_DIGIT, HoleText, is_one_of, key_ends
from mpkgraph.io.markers import TextLayout
from mpkgraph.io.records import Place
from mpkgraph.io.scan import find_value_end, skip_space
from mpkgraph.io.templates import Codes, EventTemplates, OutOfRangeError, TaskTemplates
from mpkgraph.io.window import MARGIN, Window
from mpkgraph.io.words import IrregularError, Numbers, Positions

MISS_SHARE = 4
"""A block of which more than 1 / MISS_SHARE of the records are new goes the general way: making a
template costs some 20 times what parsing a record does."""
MIN_RECORDS_FOR_SHARE = 64
"""Small blocks may be all new."""
MIN_NEW = 12
"""New templates that a block may have even when many blocks before were of no use."""
MAX_LAYOUT_BLANKS = 16
"""Blanks on one side of a colon, at most; others are no layout that a program writes."""
MAX_RECENT = 256
"""Lengths for which the last text is kept, to recognise records of the next block at once."""

_Pieces = TypeVar("_Pieces", TaskPiece, EventPiece)
_Block = tuple[Codes, Numbers, int, npt.NDArray[np.int64]]
"""Templates and numbers of a block's records, its byte offset, and the distances from
each record to the next."""
_BRACE = ord("{")
_HEAD = re.compile(rb'\{[ \t\r\n]*"([A-Za-z_0-9\\]+)"([ \t\r\n]*):([ \t\r\n]*)')
_KEY = re.compile(rb'"((?:[^"\\]|\\.)+)"[ \t\r\n]*:')
_BETWEEN = re.compile(rb"[ \t\r\n]*,[ \t\r\n]*")


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
    if len(separator) > MARGIN:
        return None
    return TextLayout(
        head=head[0],
        tail=tail,
        separator=separator,
        brace=len(head[0]) - after - 1,
        blanks_before=before,
        blanks_after=after,
        hole_ends=_hole_ends(record, hole_keys),
    )


def _hole_ends(record: bytes, hole_keys: tuple[str, ...]) -> bytes:
    """Last bytes of the keys of holes: keys may be escaped, in full or in part."""
    ends = set(key_ends(hole_keys))
    if b"\\" in record:
        spellings = _KEY.findall(record)
        try:
            keys = orjson.loads(b"[%b]" % b",".join(b'"%b"' % key for key in spellings))
        except orjson.JSONDecodeError:
            keys = [None] * len(spellings)
        ends |= {x[-1] for key, x in zip(keys, spellings, strict=True) if key in hole_keys}
    return bytes(sorted(ends))


def _record_starts(text: BlockText, colons: Positions, layout: TextLayout) -> Positions:
    """Where the first values of records begin, and the end of the text; a separator ends it.

    Raises IrregularError when separators overlap.
    """
    # A head ends with a colon and blanks, and a `{` stands where it begins; the text's own is first
    heads = colons.compress(text.at(-layout.brace).take(colons) == _BRACE)
    starts = heads + (1 + layout.blanks_after)
    others = starts[1:]
    found = others.compress(text.equal(others - len(layout.separator), layout.separator))
    result: Positions = np.concatenate((starts[:1], found))
    if np.count_nonzero(result[1:] - result[:-1] < len(layout.separator)):
        raise IrregularError
    return result


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
        # The last text of each length: comparing costs a tenth of hashing.
        self._recent: dict[int, tuple[bytes, int]] = {}
        self._text = HoleText()
        self._pending: list[_Block] = []
        self._num_pending = 0
        self._first_pending = 0
        self._back_off = BackOff()

    def step(self, first_record: int) -> int:
        """Reads the records of a block, of which `first_record` is the first; returns how many.

        0 when the block has to be read the general way; nothing is consumed then.
        """
        if not self._back_off.is_due():
            return 0
        window = self.window
        if 2 * len(window) < window.block_bytes:
            window.fill()
        if skip_space(window) != ord("{"):
            return 0
        try:
            count = self._block(first_record)
        except IrregularError:
            self._text.restore()
            self._back_off.failed()
            self.layout = None
            return 0
        if count:
            self._back_off.succeeded()
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
        end += len(layout.separator)
        # more of FIRST_DIGIT would count as holes without numbers
        if window.data.find(OTHER_DIGIT, start, end) >= 0:
            raise IrregularError
        text = self._text
        text.lie_in(window.data, start, end - start)
        colons = text.colons()
        ends = text.at(-2 - layout.blanks_before).take(colons)
        ends_of_holes = colons.compress(is_one_of(ends, layout.hole_ends))
        # the fewer, the faster; a head's key often is that of a hole
        starts = _record_starts(text, ends_of_holes if layout.begins_with_hole else colons, layout)
        # the last colon is of the head of a record that is not in this block
        in_records = ends_of_holes[:-1] if layout.begins_with_hole else ends_of_holes
        holes = text.find_holes(in_records, layout.blanks_before, layout.blanks_after)
        numbers = text.read_holes(holes)
        lengths = starts[1:] - starts[:-1]
        codes = self._codes(starts[:-1], lengths)
        if self.templates.num_holes(codes) != len(numbers):
            raise IrregularError
        text.keep_blanks()
        if not self._pending:
            self._first_pending = first_record
        self._pending.append((codes, numbers, window.offset, lengths))
        self._num_pending += len(codes)
        # the separator ends with the next record's head
        window.start = end - len(head)
        if self._num_pending >= self._batch_records:
            self.flush()
        return len(codes)

    def _codes(self, starts: Positions, lengths: npt.NDArray[np.int64]) -> Codes:
        """Each record's template; a record is text from its start over `lengths` bytes."""
        startswith = self._text.buffer.startswith
        recent = self._recent
        max_new = max(len(starts), MIN_RECORDS_FOR_SHARE) // MISS_SHARE // self._back_off.length
        max_templates = len(self.templates) + max(max_new, MIN_NEW)
        firsts, counts = self._rows(starts, lengths)
        lengths = lengths[firsts]
        # Records of one length are often of one text, whatever stands between them.
        order = lengths.argsort(kind="stable")
        places: list[int] = (starts[firsts[order]] + self._text.start).tolist()
        in_order: npt.NDArray[np.int64] = lengths[order]
        cuts = [0, *((in_order[1:] != in_order[:-1]).nonzero()[0] + 1).tolist(), len(places)]
        sizes: list[int] = in_order[cuts[:-1]].tolist()
        # Codes of known texts; -1, -2, ... for texts that are looked up below.
        codes: list[int] = []
        met: list[tuple[int, bytes]] = []
        for size, low, high in zip(sizes, cuts[:-1], cuts[1:], strict=True):
            text, code = recent.get(size, (b"", 0))
            group = places[low:high]
            if text and all(map(startswith, repeat(text), group)):
                codes += [code] * len(group)
                continue
            for place in group:
                if not text or not startswith(text, place):
                    text = bytes(self._text.buffer[place : place + size])
                    met.append((place, text))
                    code = -len(met)
                codes.append(code)
            recent[size] = (text, code)
        result = np.empty(len(codes), np.int64)
        result[order] = codes
        if met:
            self._look_up(met, max_templates, result)
        return np.repeat(result, counts)

    def _rows(
        self, starts: Positions, lengths: npt.NDArray[np.int64]
    ) -> tuple[Positions, npt.NDArray[np.int64]]:
        """Rows of equal records: the first of each, and how many they are.

        Records of one length in a row are compared with the one before them, all in one call.
        """
        cuts = (lengths[1:] != lengths[:-1]).nonzero()[0] + 1
        firsts = np.concatenate((np.zeros(1, np.int64), cuts))
        counts = np.concatenate((cuts, np.array([len(lengths)]))) - firsts
        longer = (counts > 1).nonzero()[0]
        at = firsts[longer]
        places: list[int] = (starts[at] + self._text.start).tolist()
        pitches: list[int] = lengths[at].tolist()
        sizes: list[int] = ((counts[longer] - 1) * lengths[at]).tolist()
        startswith = self._text.buffer.startswith
        with memoryview(self._text.buffer) as view:
            for place, pitch, size in zip(places, pitches, sizes, strict=True):
                if not startswith(view[place : place + size], place + pitch):
                    return np.arange(len(lengths)), np.ones(len(lengths), np.int64)
        return firsts, counts

    def _look_up(self, met: list[tuple[int, bytes]], max_templates: int, codes: Codes) -> None:
        """Puts the codes of texts in place of -1, -2, ...; in the order of the records, so that
        what is new is numbered by first use.
        """
        looked_up = np.empty(len(met), np.int64)
        recent, self._recent = self._recent, {}  # empty if a look-up fails: it has such numbers
        for number in sorted(range(len(met)), key=met.__getitem__):
            looked_up[number] = self._code(met[number][1])
            if len(self.templates) > max_templates:
                raise IrregularError
        self._recent = recent
        for size, (text, code) in self._recent.items():
            if code < 0:
                self._recent[size] = (text, int(looked_up[-1 - code]))
        unknown = codes < 0
        codes[unknown] = looked_up[-1 - codes[unknown]]

    def _code(self, text: bytes) -> int:
        """The template of a record in which digits are blanked, with the separator after it."""
        layout = self.layout
        assert layout is not None
        return self.templates.code(text.replace(OTHER_DIGIT, b""), layout)

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
            self._recent.clear()
        elif len(self._recent) > MAX_RECENT:
            self._recent.clear()

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
