"""Columns that grow while a graph is read, and the tables that slots and unknown fields go to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from mpkgraph.errors import GraphReadError
from mpkgraph.io.narrow_column import NarrowColumn
from mpkgraph.model.graph import EventColumns, ExtraField, SlotLayout, TaskColumns

Column = npt.NDArray[Any]

GROWTH = 1.125
"""Columns grow by an eighth: `realloc` moves pages, not bytes, so that growing often is cheap and
little memory lies idle."""
MIN_CAPACITY = 1024
MAX_EXTRA_KEYS = 256
"""Different unknown fields; each is a column."""
MAX_IDLE_VALUES = 4096
"""Values of unknown fields that are kept from one batch of a stream to the next."""


class GrowingColumn:
    """One column, appended to in pieces, given out without a copy."""

    __slots__ = ("_data", "_length")

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._data: Column = np.empty(0, dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def extend(self, piece: Column, growth: float = GROWTH) -> None:
        """Appends; values are known to fit the column."""
        self.room(len(piece), growth)[:] = piece

    def room(self, count: int, growth: float = GROWTH) -> Column:
        """Room for `count` more values, to be written to before the next call."""
        start, stop = self._length, self._length + count
        if stop > len(self._data):
            capacity = max(stop, int(len(self._data) * growth), MIN_CAPACITY)
            # refcheck: views of it are never kept across calls
            self._data.resize(capacity, refcheck=False)
        self._length = stop
        return self._data[start:stop]

    def trim(self) -> None:
        """Gives back the room that is left; for a column that has all its values."""
        self._data.resize(self._length, refcheck=False)

    def view(self) -> Column:
        """What is there, until the next call of another method."""
        return self._data[: self._length]

    def take(self) -> Column:
        """The column; it is empty afterwards."""
        self.trim()
        data = self._data
        self._data = np.empty(0, data.dtype)
        self._length = 0
        return data


class LayoutTable:
    """Slot layouts, each once, in order of first use."""

    def __init__(self) -> None:
        self.layouts: list[SlotLayout] = []
        self.codes: dict[Any, int] = {}
        self.codes_of_text: dict[bytes, int] = {}
        """By the JSON text of (base_ptr, data_type, dims, strides), which tells 1 from 1.0."""

    def code(
        self,
        base_ptr: str,
        data_type: int,
        dims: tuple[int, ...],
        strides: tuple[int, ...],
        extra: tuple[tuple[str, Any], ...] = (),
    ) -> int:
        """Position of the layout in the table; values are known to be of the right types."""
        key: Any = (base_ptr, data_type, dims, strides)
        if extra:
            key = (*key, canonical(extra))
        code = self.codes.get(key)
        if code is None:
            code = self.codes[key] = len(self.layouts)
            self.layouts.append(SlotLayout(base_ptr, data_type, dims, strides, extra))
        return code


def canonical(value: Any) -> bytes:
    """Text that equal JSON values share, to intern values that can't be hashed."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class ExtraTable:
    """Fields that this version does not know: per key the distinct values and a code a record."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.generation = 0
        """Grows when codes handed out before have lost their meaning."""
        self._codes: dict[tuple[str, bytes], int] = {}
        self._values: dict[str, list[Any]] = {}
        self._pieces: dict[str, list[tuple[int, npt.NDArray[np.int32]]]] = {}

    def code(self, key: str, value: Any) -> int:
        place = (key, canonical(value))
        code = self._codes.get(place)
        if code is None:
            values = self._values.setdefault(key, [])
            if len(self._values) > MAX_EXTRA_KEYS:
                raise GraphReadError(
                    f"{self.kind}s have more than {MAX_EXTRA_KEYS} different unknown fields",
                    remedy="This is no task graph that Mirage writes; check what the file is.",
                )
            code = self._codes[place] = len(values)
            values.append(value)
        return code

    def add(self, key: str, first_record: int, codes: npt.NDArray[np.int32]) -> None:
        """Codes of consecutive records, -1 where a record lacks the field."""
        self._pieces.setdefault(key, []).append((first_record, codes))

    def take(self, num_records: int) -> dict[str, ExtraField]:
        """The fields in key order, for all records added so far; none are left afterwards."""
        result = {}
        for key in sorted(self._pieces):
            codes = np.full(num_records, -1, np.int32)
            for first, piece in self._pieces[key]:
                codes[first : first + len(piece)] = piece
            result[key] = ExtraField(tuple(self._values[key]), codes)
        self._pieces = {}
        if len(self._codes) > MAX_IDLE_VALUES:
            self._codes, self._values = {}, {}
            self.generation += 1
        return result


TASK_DTYPES: Mapping[str, npt.DTypeLike] = {
    "task_type": np.int32,
    "variant_id": np.int64,
    "dependent_event": np.uint64,
    "trigger_event": np.uint64,
    "request_id": np.int32,
    "kv_idx": np.int32,
    "merge_task_offset": np.int32,
    "expert_offset": np.int32,
    "task_offset": np.int32,
}
EVENT_DTYPES: Mapping[str, npt.DTypeLike] = {
    "event_type": np.int32,
    "first_task_id": np.uint64,
    "last_task_id": np.uint64,
    "num_triggers": np.int64,
}
_EVENT_COLUMNS: Mapping[str, str] = {
    "event_type": "event_types",
    "first_task_id": "first_task_ids",
    "last_task_id": "last_task_ids",
    "num_triggers": "num_triggers",
}
MAX_SIDE_SLOTS = 255
"""Inputs of a task that `num_inputs` can count; outputs are held to the same."""


_SLOT_COLUMNS = ("slot_layouts", "slot_offsets")


@dataclass
class TaskPiece:
    """Columns of some consecutive tasks, before they are appended."""

    scalars: Mapping[str, Column]
    num_inputs: Column
    num_slots: Column
    slot_layouts: Column
    slot_offsets: Column
    extras: Mapping[str, npt.NDArray[np.int32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.num_inputs)


@dataclass
class EventPiece:
    """Columns of some consecutive events, before they are appended."""

    scalars: Mapping[str, Column]
    extras: Mapping[str, npt.NDArray[np.int32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.scalars.values())))


class TaskColumnsBuilder:
    """All tasks read so far, or since the last `take`."""

    def __init__(self, extras: ExtraTable) -> None:
        self.extras = extras
        self.growth = GROWTH
        """Less where the rest of the file is known to hold less."""
        self._scalars = {name: GrowingColumn(dtype) for name, dtype in TASK_DTYPES.items()}
        self._num_inputs = GrowingColumn(np.uint8)
        self._slot_starts = GrowingColumn(np.int64)
        self._slot_layouts = GrowingColumn(np.int32)
        self._slot_offsets = GrowingColumn(np.int64)

    def __len__(self) -> int:
        return len(self._num_inputs)

    @property
    def num_slots(self) -> int:
        return len(self._slot_layouts)

    def append(self, piece: TaskPiece) -> None:
        first = len(self)
        for key, codes in piece.extras.items():
            self.extras.add(key, first, codes)
        growth = self.growth
        for name, column in self._scalars.items():
            column.extend(piece.scalars[name], growth)
        starts = self._slot_starts.room(len(piece), growth)
        np.cumsum(piece.num_slots, out=starts)
        starts -= piece.num_slots
        starts += self.num_slots
        self._num_inputs.extend(piece.num_inputs, growth)
        self._slot_layouts.extend(piece.slot_layouts, growth)
        self._slot_offsets.extend(piece.slot_offsets, growth)

    def pieces(self) -> dict[str, Column]:
        """All columns by name; `slot_starts` lacks its last entry."""
        return {name: column.view() for name, column in self._all()}

    def rooms(self, num_tasks: int, num_slots: int) -> dict[str, Column]:
        """Room in all columns for more tasks, to be filled with such `pieces`."""
        return {
            name: column.room(num_slots if name in _SLOT_COLUMNS else num_tasks, growth=1.0)
            for name, column in self._all()
        }

    def _all(self) -> list[tuple[str, GrowingColumn]]:
        return [
            *self._scalars.items(),
            ("num_inputs", self._num_inputs),
            ("slot_starts", self._slot_starts),
            ("slot_layouts", self._slot_layouts),
            ("slot_offsets", self._slot_offsets),
        ]

    def take(self) -> TaskColumns:
        """The columns; none are left afterwards."""
        num_tasks, num_slots = len(self), self.num_slots
        self._slot_starts.room(1, growth=1.0)[:] = num_slots
        scalars = {name: column.take() for name, column in self._scalars.items()}
        return TaskColumns(
            task_types=scalars["task_type"],
            variant_ids=scalars["variant_id"],
            dependent_events=scalars["dependent_event"],
            trigger_events=scalars["trigger_event"],
            request_ids=scalars["request_id"],
            kv_idxs=scalars["kv_idx"],
            merge_task_offsets=scalars["merge_task_offset"],
            expert_offsets=scalars["expert_offset"],
            task_offsets=scalars["task_offset"],
            num_inputs=self._num_inputs.take(),
            slot_starts=self._slot_starts.take(),
            slot_layouts=self._slot_layouts.take(),
            slot_offsets=self._slot_offsets.take(),
            extras=self.extras.take(num_tasks),
        )


class EventColumnsBuilder:
    """All events read so far; narrow, because a stream holds them all."""

    def __init__(self, extras: ExtraTable) -> None:
        self.extras = extras
        self._scalars = {name: NarrowColumn(dtype) for name, dtype in EVENT_DTYPES.items()}

    def __len__(self) -> int:
        return len(self._scalars["event_type"])

    def append(self, piece: EventPiece) -> None:
        first = len(self)
        for key, codes in piece.extras.items():
            self.extras.add(key, first, codes)
        for name, column in self._scalars.items():
            column.extend(piece.scalars[name])

    def take(self) -> EventColumns:
        """The columns; none are left afterwards."""
        num_events = len(self)
        scalars = {_EVENT_COLUMNS[name]: column.take() for name, column in self._scalars.items()}
        return EventColumns(**scalars, extras=self.extras.take(num_events))

    def take_narrow(self) -> NarrowEvents:
        """As `take`, with columns that are made when they are asked for."""
        narrow, self._scalars = self._scalars, {}
        extras = self.extras.take(len(narrow["event_type"]))
        return NarrowEvents.of(narrow, extras)


class NarrowEvents(EventColumns):
    """Events in little memory: each column is widened anew when it is asked for."""

    _narrow: Mapping[str, NarrowColumn]

    @classmethod
    def of(
        cls, columns: Mapping[str, NarrowColumn], extras: Mapping[str, ExtraField]
    ) -> NarrowEvents:
        """`columns` by the names of the wire."""
        events = cls.__new__(cls)
        narrow = {_EVENT_COLUMNS[name]: column for name, column in columns.items()}
        events.__dict__.update(extras=extras, _narrow=narrow)
        return events

    def __len__(self) -> int:
        return len(self._narrow["event_types"])

    def __getattr__(self, name: str) -> Any:
        narrow = self.__dict__.get("_narrow", {}).get(name)
        if narrow is None:
            raise AttributeError(name)
        column: Column = narrow.widened()
        column.flags.writeable = False
        return column


def extra_codes(
    table: ExtraTable, records: Iterable[Mapping[str, Any]], num_records: int
) -> dict[str, npt.NDArray[np.int32]]:
    """Codes of the unknown fields of consecutive records, given as mappings of those alone."""
    columns: dict[str, npt.NDArray[np.int32]] = {}
    for i, record in enumerate(records):
        for key, value in record.items():
            if key not in columns:
                columns[key] = np.full(num_records, -1, np.int32)
            columns[key][i] = table.code(key, value)
    return columns
