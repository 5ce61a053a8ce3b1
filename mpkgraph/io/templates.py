"""Records without their varying digits: each distinct one is parsed once, by a real parser.

A record of a real graph is, its varying integers apart, byte-identical to hundreds of others. A
*hole* is such an integer; a *template* is a record's text between its holes. A record is accepted
when its template was: with marker integers in the holes a JSON parser read it, the strict checks
passed, and every marker came out in an integer field that may vary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from mpkgraph.io import fields
from mpkgraph.io.columns import (
    EVENT_DTYPES,
    TASK_DTYPES,
    Column,
    EventPiece,
    ExtraTable,
    LayoutTable,
    TaskPiece,
)
from mpkgraph.io.fields import UINT64_MAX, BadRecordError, Range
from mpkgraph.io.markers import ScalarRow, SlotRow, TextLayout, marked, scalar_row, slot_rows
from mpkgraph.io.records import PlainTask, plain_task
from mpkgraph.io.skeletons import Skeletons
from mpkgraph.io.words import IrregularError, Numbers
from mpkgraph.model.graph import EVENT_KEYS, TASK_SCALARS

MAX_TEMPLATE_BYTES = 1 << 19
"""Text of templates that is kept. Real models have 260 to 1,441 of 1 to 2 KiB, few of which come
again once others have come."""

TASK_HOLES = (
    "dependent_event",
    "trigger_event",
    "variant_id",
    "request_id",
    "kv_idx",
    "merge_task_offset",
    "expert_offset",
    "task_offset",
    "offset",
)
EVENT_HOLES = EVENT_KEYS


Codes = npt.NDArray[np.int64]
"""Numbers of templates, one a record; as wide as numpy's positions, so that none is converted."""


class OutOfRangeError(Exception):
    """A number in a hole that its field can't hold."""

    def __init__(self, record: int, problem: str) -> None:
        super().__init__(problem)
        self.record = record
        """Position among the records of the batch."""
        self.problem = problem


class _Rows:
    """A table of integers that grows by rows and is read by columns."""

    def __init__(self, width: int) -> None:
        self._columns = np.empty((width, 0), np.int64)
        self._new: list[Sequence[int]] = []

    def __len__(self) -> int:
        return self._columns.shape[1] + len(self._new)

    def add(self, row: Sequence[int]) -> None:
        self._new.append(row)

    def columns(self) -> npt.NDArray[np.int64]:
        """One contiguous row for each column of the table."""
        if self._new:
            new = np.array(self._new, np.int64).T
            self._columns = np.concatenate((self._columns, new), axis=1)
            self._new = []
        return self._columns


class Templates:
    """The templates of one array of records; subclasses know the record's fields."""

    names: tuple[str, ...]
    """Of the integer fields."""
    ranges: Any
    dtypes: Any

    def __init__(self, extras: ExtraTable) -> None:
        self.extras = extras
        self.clear()

    def clear(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._num_bytes = 0
        self._num_holes = _Rows(1)
        self._scalars = _Rows(3 * len(self.names))
        self._extras: list[dict[str, int]] = []
        self._any_extras = False
        self._generation = self.extras.generation

    def __len__(self) -> int:
        return len(self._num_holes)

    @property
    def num_bytes(self) -> int:
        """Text that is kept."""
        return self._num_bytes

    @property
    def is_stale(self) -> bool:
        """Whether the tables should be cleared, between two batches."""
        is_full = self.num_bytes > MAX_TEMPLATE_BYTES
        return is_full or self._generation != self.extras.generation

    def code(self, text: bytes, layout: TextLayout) -> int:
        """Number of the template of a record, given from its head to the next record's, with
        FIRST_DIGIT for each hole. Raises IrregularError when it is none.
        """
        code = self._ids.get(text)
        if code is None:
            self._make(text[: -len(layout.separator)], layout)
            code = self._ids[text] = len(self._ids)
            self._num_bytes += len(text)
        return code

    def _make(self, text: bytes, layout: TextLayout) -> None:
        """Adds the template of a record that is not known, given without its head and tail. Raises
        IrregularError, and adds nothing then.
        """
        record, num_holes = marked(text, layout)
        try:
            self._add(record, orjson.loads(record), num_holes)
        except (orjson.JSONDecodeError, BadRecordError):
            raise IrregularError from None

    def _add(self, text: bytes, doc: Any, num_holes: int) -> None:
        """Adds a record's parsed text. Raises BadRecordError or IrregularError, and adds nothing
        then.
        """
        raise NotImplementedError

    def _add_row(self, scalars: ScalarRow, extras: Mapping[str, Any], num_holes: int) -> None:
        self._num_holes.add((num_holes,))
        self._scalars.add(scalars)
        self._extras.append({key: self.extras.code(key, value) for key, value in extras.items()})
        self._any_extras |= bool(extras)

    def num_holes(self, codes: Codes) -> int:
        """Holes of records with these templates, in all."""
        return int(self._num_holes.columns()[0][codes].sum())

    def _scalar_columns(
        self, codes: Codes, starts: npt.NDArray[np.int64], numbers: Numbers
    ) -> dict[str, Column]:
        table = self._scalars.columns()
        width = len(self.names)
        used = np.zeros(len(self), np.bool_)
        used[codes] = True
        columns: dict[str, Column] = {}
        for i, name in enumerate(self.names):
            holes, constants, signs = table[i], table[i + width], table[i + 2 * width]
            dtype = self.dtypes[name]
            with_hole = used & (holes >= 0)
            if not with_hole.any():
                columns[name] = constants.astype(dtype)[codes]
                continue
            hole = holes[codes]
            absent = hole < 0 if bool((used & (holes < 0)).any()) else None
            hole += starts
            if absent is not None:
                hole[absent] = len(numbers) - 1  # a spare zero
            values = numbers[hole]
            negative = signs[codes] < 0 if bool((with_hole & (signs < 0)).any()) else None
            _check_range(values, negative, self.ranges[name], name)
            column = values.view(np.int64)
            if negative is not None:
                np.negative(column, out=column, where=negative)
            if absent is not None:
                column += constants[codes]
            columns[name] = column.view(np.uint64) if dtype == np.uint64 else column.astype(dtype)
        return columns

    def _starts(self, codes: Codes) -> npt.NDArray[np.int64]:
        """Position of each record's first number."""
        counts = self._num_holes.columns()[0][codes]
        starts: npt.NDArray[np.int64] = np.cumsum(counts)
        starts -= counts
        return starts

    def _extra_columns(self, codes: Codes) -> dict[str, npt.NDArray[np.int32]]:
        if not self._any_extras:
            return {}
        columns = {}
        for key in sorted({key for extras in self._extras for key in extras}):
            column = np.array([extras.get(key, -1) for extras in self._extras], np.int32)
            column = column[codes]
            if (column >= 0).any():
                columns[key] = column
        return columns


def _check_text(text: bytes, doc: Any) -> None:
    if fields.has_huge_number(doc):
        raise IrregularError
    keys = fields.count_nested_keys(doc)
    if text.count(b":") != keys and fields.duplicate_key(text) is not None:
        raise IrregularError


def _check_range(
    values: Numbers, negative: npt.NDArray[np.bool_] | None, allowed: Range, field: str
) -> None:
    if allowed.high >= UINT64_MAX:
        return
    bad = values > np.uint64(allowed.high)
    if not bad.any():
        return
    if negative is not None:
        bad = np.where(negative, values > np.uint64(-allowed.low), bad)
    where = np.flatnonzero(bad)
    if len(where):
        at = int(where[0])
        value = int(values[at])
        if negative is not None and negative[at]:
            value = -value
        raise OutOfRangeError(
            at, f"{field} is {value}, out of the range {allowed.low} to {allowed.high}"
        )


class TaskTemplates(Templates):
    """Templates of tasks."""

    names = TASK_SCALARS
    ranges = fields.TASK_RANGES
    dtypes = TASK_DTYPES

    def __init__(self, layouts: LayoutTable, extras: ExtraTable) -> None:
        self.layouts = layouts
        super().__init__(extras)

    @property
    def num_bytes(self) -> int:
        return super().num_bytes + self._skeletons.num_bytes

    def clear(self) -> None:
        super().clear()
        self._sides = _Rows(3)  # inputs, slots, first slot in _slots
        self._slots = _Rows(3)  # as SlotRow
        self._skeletons = Skeletons(self.layouts)

    def _make(self, text: bytes, layout: TextLayout) -> None:
        known = self._skeletons.find(text, layout)
        if known is None:
            super()._make(text, layout)
        else:
            skeleton, slots = known
            self._add_task(skeleton.scalars, skeleton.num_inputs, slots, {}, skeleton.num_holes)

    def _add(self, text: bytes, doc: Any, num_holes: int) -> None:
        task = plain_task(text, doc, self.layouts) or self._any_task(text, doc)
        slots = slot_rows(task, num_holes)
        scalars = scalar_row(task.scalars, slots, num_holes)
        self._add_task(scalars, task.num_inputs, slots, task.extras, num_holes)

    def _add_task(
        self,
        scalars: ScalarRow,
        num_inputs: int,
        slots: Sequence[SlotRow],
        extras: Mapping[str, Any],
        num_holes: int,
    ) -> None:
        self._add_row(scalars, extras, num_holes)
        self._sides.add((num_inputs, len(slots), len(self._slots)))
        for slot in slots:
            self._slots.add(slot)

    def _any_task(self, text: bytes, doc: Any) -> PlainTask:
        task = fields.check_task(doc)
        _check_text(text, doc)
        slots = [*task.inputs, *task.outputs]
        code = self.layouts.code
        layouts = [code(x.base_ptr, x.data_type, x.dims, x.strides, x.extra) for x in slots]
        offsets = [x.offset for x in slots]
        return PlainTask(task.scalars, len(task.inputs), layouts, offsets, task.extras)

    def piece(self, codes: Codes, numbers: Numbers) -> TaskPiece:
        """Columns of tasks from their templates and numbers (and a spare zero at the end).

        Raises OutOfRangeError.
        """
        starts = self._starts(codes)
        scalars = self._scalar_columns(codes, starts, numbers)
        num_inputs, num_slots, first_slots = self._sides.columns()
        counts = num_slots[codes]
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        layouts, holes, constants = self._slots.columns()
        # Position in the table of every slot: its task's first slot, then one after the other.
        ends -= counts
        slots = np.repeat(first_slots[codes] - ends, counts)
        slots += np.arange(total)
        hole = holes[slots]
        absent = np.flatnonzero(hole < 0)
        hole += np.repeat(starts, counts)
        hole[absent] = len(numbers) - 1
        offsets = numbers[hole]
        try:
            _check_range(offsets, None, fields.OFFSET_RANGE, "offset of a slot")
        except OutOfRangeError as error:
            task = int(np.searchsorted(ends, error.record, side="right")) - 1
            raise OutOfRangeError(task, error.problem) from None
        signed = offsets.view(np.int64)
        signed[absent] = constants[slots.take(absent)]
        return TaskPiece(
            scalars=scalars,
            num_inputs=num_inputs.astype(np.uint8)[codes],
            num_slots=counts,
            slot_layouts=layouts.astype(np.int32)[slots],
            slot_offsets=signed,
            extras=self._extra_columns(codes),
        )


class EventTemplates(Templates):
    """Templates of events."""

    names = EVENT_KEYS
    ranges = fields.EVENT_RANGES
    dtypes = EVENT_DTYPES

    def _add(self, text: bytes, doc: Any, num_holes: int) -> None:
        event = fields.check_event(doc)
        _check_text(text, doc)
        self._add_row(scalar_row(event.scalars, (), num_holes), event.extras, num_holes)

    def piece(self, codes: Codes, numbers: Numbers) -> EventPiece:
        """As of tasks."""
        scalars = self._scalar_columns(codes, self._starts(codes), numbers)
        return EventPiece(scalars, self._extra_columns(codes))
