"""The general path: any JSON text of some records, through orjson, to columns.

Whole batches are checked at once with operations that run in C; a batch in which anything is out
of the ordinary goes record by record through `fields`, which also words the errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter, le
from typing import Any, TypeVar

import numpy as np
import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.io import fields
from mpkgraph.io.columns import (
    EVENT_DTYPES,
    MAX_SIDE_SLOTS,
    TASK_DTYPES,
    Column,
    EventPiece,
    ExtraTable,
    LayoutTable,
    TaskPiece,
    extra_codes,
)
from mpkgraph.io.fields import BadRecordError, EventRecord, Range, TaskRecord
from mpkgraph.io.scan import Scanner, count_keys
from mpkgraph.model.graph import (
    EVENT_KEYS,
    NULL_TASK_TYPE,
    SLOT_KEYS,
    TASK_KEYS,
    TASK_SCALARS,
)
from mpkgraph.model.ids import EVENT_INVALID_ID

_Record = TypeVar("_Record", TaskRecord, EventRecord)

_SCALARS_OF_TASK = itemgetter(*TASK_SCALARS)
_SCALARS_OF_EVENT = itemgetter(*EVENT_KEYS)
_LAYOUT_OF_SLOT = itemgetter("base_ptr", "data_type", "dims", "strides")
_OFFSET_OF_SLOT = itemgetter("offset")
_INT = {int}
_LOWEST = [fields.TASK_RANGES[name].low for name in TASK_SCALARS]
_HIGHEST = [fields.TASK_RANGES[name].high for name in TASK_SCALARS]
_COLON = 58
_NULL_TASK = TaskRecord(
    scalars=tuple(
        {
            "task_type": NULL_TASK_TYPE,
            "variant_id": 0,
            "dependent_event": EVENT_INVALID_ID,
            "trigger_event": EVENT_INVALID_ID,
        }.get(name, -1)
        for name in TASK_SCALARS
    ),
    inputs=[],
    outputs=[],
    extras={},
)
"""What a `null` in place of a task reads as."""


TOO_DEEP = "nested too deep for a task graph"


class _UnusualError(Exception):
    """A batch that has to go record by record."""


class Place:
    """Where a batch lies: what its errors say."""

    __slots__ = ("first", "kind", "name", "offset")

    def __init__(self, name: str, kind: str, first: int, offset: int) -> None:
        self.name = name
        self.kind = kind
        """ "task" or "event" """
        self.first = first
        """Number of the batch's first record."""
        self.offset = offset
        """Byte offset in the text of the batch's first byte."""

    def error(
        self, index: int, offset: int, problem: str, remedy: str | None = None
    ) -> GraphReadError:
        return GraphReadError(
            f"{self.kind} {self.first + index}: {problem}",
            where=f"{self.name}, byte {self.offset + offset}",
            remedy=remedy or "The graph is damaged or was edited: generate it again.",
        )


def parse_json(text: bytes) -> Any:
    """Parses strictly: valid UTF-8, no NaN, no trailing text. Raises BadRecordError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise json_problem(text, error) from None


class JsonProblemError(BadRecordError):
    """Text that is not JSON; `position` is that of the first bad byte."""

    position = 0


def json_problem(text: bytes, error: orjson.JSONDecodeError) -> JsonProblemError:
    """What a parser says about a text, in our words and with the position in bytes."""
    position = 0
    remedy = None
    try:
        decoded = text.decode()
    except UnicodeDecodeError as undecodable:
        position = undecodable.start
        problem = f"not UTF-8 (byte 0x{text[position]:02x})"
        remedy = "Convert the file to UTF-8, or generate it again."
    else:
        position = len(decoded[: error.pos].encode())
        problem = f"not valid JSON: {error.msg.split(': line ')[0]}"
        if "depth" in error.msg or "recursion" in error.msg.lower():
            problem = TOO_DEEP
    result = JsonProblemError(problem, remedy)
    result.position = position
    return result


def tasks_of_text(
    text: bytes, docs: list[Any], layouts: LayoutTable, extras: ExtraTable, place: Place
) -> TaskPiece:
    """Columns of the tasks in `text`, the elements of a JSON array without its brackets.

    `docs` is what `parse_batch` made of it. Raises GraphReadError, naming the task and the byte.
    """
    try:
        unknown = _unknown_at_once(docs)
        piece, num_keys = _tasks_at_once(docs, layouts)
        if _has_no_duplicates(text, num_keys + sum(map(fields.count_nested_keys, unknown))):
            piece.extras = extra_codes(extras, unknown, len(docs))
            return piece
    except (_UnusualError, BadRecordError, KeyError, TypeError, ValueError, OverflowError):
        pass
    records = _one_by_one(text, docs, fields.check_task, _NULL_TASK, place)
    return _piece_of_tasks(records, layouts, extras)


def events_of_text(text: bytes, docs: list[Any], extras: ExtraTable, place: Place) -> EventPiece:
    """Columns of the events in `text`; otherwise as `tasks_of_text`."""
    try:
        scalars = _scalars_at_once(docs, EVENT_KEYS, _SCALARS_OF_EVENT, fields.EVENT_RANGES)
        if _has_no_duplicates(text, len(EVENT_KEYS) * len(docs)):
            return EventPiece(scalars)
    except (_UnusualError, BadRecordError, KeyError, TypeError, ValueError, OverflowError):
        pass
    records = _one_by_one(text, docs, fields.check_event, None, place)
    scalars = _columns_of(records, EVENT_KEYS, EVENT_DTYPES)
    codes = extra_codes(extras, (record.extras for record in records), len(records))
    return EventPiece(scalars, codes)


def parse_batch(text: bytes, place: Place) -> list[Any]:
    """The elements in `text`, parsed. Raises GraphReadError, naming the record and the byte."""
    try:
        docs = orjson.loads(b"[%b]" % text)
    except orjson.JSONDecodeError as error:
        problem = json_problem(b"[%b]" % text, error)
        position = max(problem.position - 1, 0)
        # the number of the record is that of the elements that end before the bad byte
        index = len(element_spans(text[:position], closed=True))
        raise place.error(index, position, problem.problem, problem.remedy) from None
    except RecursionError:
        raise place.error(0, 0, TOO_DEEP) from None
    assert type(docs) is list
    return docs


def _has_no_duplicates(text: bytes, num_keys: int) -> bool:
    # Every key has a colon, so equality is proof; colons inside strings are counted out if need be.
    colons = np.count_nonzero(np.frombuffer(text, np.uint8) == _COLON)
    return bool(colons == num_keys) or count_keys(text) == num_keys


def _scalars_at_once(
    docs: Sequence[Any],
    names: Sequence[str],
    getter: Callable[[Any], tuple[Any, ...]],
    ranges: dict[str, Range] | Any,
) -> dict[str, Column]:
    if set(map(type, docs)) != {dict}:
        raise _UnusualError
    rows = list(map(getter, docs))
    if set(map(type, chain.from_iterable(rows))) != _INT:
        raise _UnusualError
    scalars = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        allowed = ranges[name]
        if min(values) < allowed.low or max(values) > allowed.high:
            raise _UnusualError
        scalars[name] = np.array(values, TASK_DTYPES.get(name) or EVENT_DTYPES[name])
    return scalars


def _unknown_at_once(docs: list[Any]) -> list[dict[str, Any]]:
    """Fields of tasks that this version does not know; none at all for the usual batch."""
    if set(map(type, docs)) != {dict}:
        raise _UnusualError
    if set(map(len, docs)) == {len(TASK_KEYS)}:
        return []
    unknown = [fields.unknown_fields(doc, TASK_KEYS) for doc in docs]
    if any(map(fields.has_huge_number, unknown)):
        raise _UnusualError
    return unknown


def _tasks_at_once(docs: list[Any], layouts: LayoutTable) -> tuple[TaskPiece, int]:
    """Columns of tasks that hold no less than they must, and how many known keys they have."""
    scalars = _scalars_at_once(docs, TASK_SCALARS, _SCALARS_OF_TASK, fields.TASK_RANGES)
    inputs = [doc["inputs"] or () for doc in docs]
    outputs = [doc["outputs"] or () for doc in docs]
    sides = list(chain.from_iterable(zip(inputs, outputs, strict=True)))
    # `or ()` lets false, 0 and "" pass for null: the record path tells them apart
    raw_types = set(map(type, [doc["inputs"] for doc in docs]))
    raw_types.update(map(type, [doc["outputs"] for doc in docs]))
    if not raw_types <= {list, type(None)}:
        raise _UnusualError
    counts = np.fromiter(map(len, sides), np.int64, len(sides)).reshape(-1, 2)
    if counts.size and counts.max() > MAX_SIDE_SLOTS:
        raise _UnusualError
    codes, offsets = _slots_at_once(list(chain.from_iterable(sides)), layouts)
    piece = TaskPiece(
        scalars=scalars,
        num_inputs=counts[:, 0].astype(np.uint8),
        num_slots=counts.sum(1),
        slot_layouts=codes,
        slot_offsets=offsets,
    )
    return piece, len(TASK_KEYS) * len(docs) + len(SLOT_KEYS) * len(codes)


def _slots_at_once(slots: list[Any], layouts: LayoutTable) -> tuple[Column, Column]:
    codes, offsets = _slot_codes(slots, layouts)
    return np.array(codes, np.int32), np.array(offsets, np.int64)


def _slot_codes(slots: list[Any], layouts: LayoutTable) -> tuple[list[Any], Sequence[int]]:
    """Layouts and offsets of slots of the usual form. Raises _UnusualError or the like."""
    if not slots:
        return [], []
    if set(map(type, slots)) != {dict} or set(map(len, slots)) != {len(SLOT_KEYS)}:
        raise _UnusualError
    offsets = list(map(_OFFSET_OF_SLOT, slots))
    if set(map(type, offsets)) != _INT or min(offsets) < 0 or max(offsets) > fields.INT64_MAX:
        raise _UnusualError
    # One text a slot: quicker to make and to look up than nested tuples, and it tells 1, 1.0 and
    # true apart, so that a text that is known needs no more checks.
    texts = list(map(orjson.dumps, map(_LAYOUT_OF_SLOT, slots)))
    known = layouts.codes_of_text
    codes = list(map(known.get, texts))
    if None in codes:
        for i, code in enumerate(codes):
            if code is None:
                if texts[i] not in known:
                    slot = fields.check_slot(slots[i], "slot")
                    # a copy: the parser's own bytes keep the room that they were written in
                    known[bytes(memoryview(texts[i]))] = layouts.code(
                        slot.base_ptr, slot.data_type, slot.dims, slot.strides, slot.extra
                    )
                codes[i] = known[texts[i]]
    return codes, offsets


@dataclass(slots=True)
class PlainTask:
    """A task's fields, its slots as codes of layouts and offsets."""

    scalars: tuple[int, ...]
    """In the order of TASK_SCALARS."""
    num_inputs: int
    layouts: list[int]
    offsets: Sequence[int]
    extras: Mapping[str, Any] = field(default_factory=dict)


def plain_task(text: bytes, doc: Any, layouts: LayoutTable) -> PlainTask | None:
    """A task from its text and what a parser made of it; None when anything in it is unusual."""
    try:
        scalars = _SCALARS_OF_TASK(doc)
        inputs, outputs = doc["inputs"], doc["outputs"]
        inputs = [] if inputs is None else inputs
        outputs = [] if outputs is None else outputs
        if not (
            len(doc) == len(TASK_KEYS)
            and type(inputs) is type(outputs) is list
            and max(len(inputs), len(outputs)) <= MAX_SIDE_SLOTS
            and set(map(type, scalars)) == _INT
            and all(map(le, _LOWEST, scalars))
            and all(map(le, scalars, _HIGHEST))
            # every key has a colon, so that none can be there twice
            and text.count(b":") == len(TASK_KEYS) + len(SLOT_KEYS) * (len(inputs) + len(outputs))
        ):
            return None
        codes, offsets = _slot_codes(inputs + outputs, layouts)
    except (_UnusualError, BadRecordError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return PlainTask(scalars, len(inputs), codes, offsets)


def _one_by_one(
    text: bytes,
    docs: list[Any],
    check: Callable[[Any], _Record],
    null: _Record | None,
    place: Place,
) -> list[_Record]:
    """Strict records. Raises GraphReadError for the first bad one."""
    records: list[_Record] = []
    num_keys = 0
    for i, doc in enumerate(docs):
        if doc is None and null is not None:
            records.append(null)
            continue
        try:
            records.append(check(doc))
        except BadRecordError as error:
            start, stop = element_spans(text)[i]
            problem = _exact_problem(text[start:stop], doc, check) or error
            raise place.error(i, start, problem.problem, problem.remedy) from None
        num_keys += fields.count_nested_keys(doc)
        if fields.has_huge_number(doc):
            start, stop = element_spans(text)[i]
            try:
                fields.check_integers_exact(text[start:stop])
            except BadRecordError as error:
                raise place.error(i, start, error.problem, error.remedy) from None
    if not _has_no_duplicates(text, num_keys):
        spans = element_spans(text)
        for i, (start, stop) in enumerate(spans[: len(docs)]):
            try:
                key = fields.duplicate_key(text[start:stop])
            except BadRecordError as error:
                raise place.error(i, start, error.problem, error.remedy) from None
            if key is not None:
                raise place.error(i, start, f"the key {key!r} appears twice in one object")
    return records


def _exact_problem(
    text: bytes, doc: Any, check: Callable[[Any], TaskRecord | EventRecord]
) -> BadRecordError | None:
    """What is wrong with a record that holds integers which the parser made floats of: with their
    digits.
    """
    if not fields.has_huge_number(doc):
        return None
    try:
        check(fields.exact(text))
    except BadRecordError as error:
        return error
    except (ValueError, RecursionError):
        pass
    return None


def element_spans(text: bytes, *, closed: bool = False) -> list[tuple[int, int]]:
    """Start and stop of each object or null in a text of elements; for error messages.

    With `closed` those objects alone that end in the text.
    """
    spans: list[tuple[int, int]] = []
    data = np.frombuffer(text, np.uint8)
    brackets, depths = Scanner().feed(data)
    start = 0
    for close in brackets[depths == 0].tolist():
        opening = text.find(b"{", start)
        before = text[start : opening if 0 <= opening < close else close]
        at = start
        for _ in range(before.count(b"null")):
            at = text.index(b"null", at)
            spans.append((at, at + 4))
            at += 4
        spans.append((opening, close + 1))
        start = close + 1
    at = start
    unclosed = text.find(b"{", start)
    while (at := text.find(b"null", at, unclosed if unclosed >= 0 else len(text))) >= 0:
        spans.append((at, at + 4))
        at += 4
    if not closed:
        # Elements that are neither objects nor null are errors; any place will do for them.
        spans.extend([(start, len(text))] * (text.count(b",") + 1))
    return spans


def _columns_of(
    records: Sequence[TaskRecord] | Sequence[EventRecord],
    names: Sequence[str],
    dtypes: Any,
) -> dict[str, Column]:
    columns = zip(*(record.scalars for record in records), strict=True)
    return {
        name: np.array(values, dtypes[name]) for name, values in zip(names, columns, strict=True)
    }


def _piece_of_tasks(
    records: list[TaskRecord], layouts: LayoutTable, extras: ExtraTable
) -> TaskPiece:
    slots = [slot for record in records for slot in (*record.inputs, *record.outputs)]
    codes = [
        layouts.code(slot.base_ptr, slot.data_type, slot.dims, slot.strides, slot.extra)
        for slot in slots
    ]
    return TaskPiece(
        scalars=_columns_of(records, TASK_SCALARS, TASK_DTYPES),
        num_inputs=np.array([len(record.inputs) for record in records], np.uint8),
        num_slots=np.array(
            [len(record.inputs) + len(record.outputs) for record in records], np.int64
        ),
        slot_layouts=np.array(codes, np.int32),
        slot_offsets=np.array([slot.offset for slot in slots], np.int64),
        extras=extra_codes(extras, (record.extras for record in records), len(records)),
    )
