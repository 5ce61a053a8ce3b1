"""Tasks that differ in the names of their tensors only: the second has no need of a parser.

A model's layers have the same tasks on other tensors. A *skeleton* is a template without the names.
It is parsed once, with a number in place of each name, which says whose slot the name is. A name
is text of the slot's string and of nothing else when it has neither a quote nor a backslash.
"""

from __future__ import annotations

import orjson

from mpkgraph.frozen import dataclass
from mpkgraph.io.columns import LayoutTable
from mpkgraph.io.markers import ScalarRow, SlotRow, TextLayout, marked, scalar_row, slot_rows
from mpkgraph.io.records import plain_task
from mpkgraph.io.words import IrregularError

_KEY = b'"base_ptr"'
_Shape = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Data type, dims and strides."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What tasks that differ in names have in common."""

    scalars: ScalarRow
    num_inputs: int
    num_holes: int
    slots: list[tuple[int, int, int, int]]
    """Of each slot: which of the names in the text, which shape, hole and offset as SlotRow."""


class Skeletons:
    """The skeletons met so far."""

    def __init__(self, layouts: LayoutTable) -> None:
        self.layouts = layouts
        self.num_bytes = 0
        """Text that is kept."""
        self._known: dict[bytes, Skeleton | None] = {}
        self._shapes: dict[_Shape, int] = {}
        self._shape_list: list[_Shape] = []
        self._codes: dict[tuple[bytes, int], int] = {}

    def find(self, text: bytes, layout: TextLayout) -> tuple[Skeleton, list[SlotRow]] | None:
        """What a task is, given as to `marked`, and its slots; None for one to be parsed as it is.

        Layouts of slots are interned.
        """
        before_name = _KEY + layout.colon + b'"'
        first, *others = text.split(before_name)
        names, rests = [], [first]
        for other in others:
            name, quote, rest = other.partition(b'"')
            names.append(name)
            rests.append(quote + rest)
        key = before_name.join(rests) + layout.separator
        if key not in self._known:
            self._known[key] = self._parsed(rests, before_name, layout)
            self.num_bytes += len(key)
        skeleton = self._known[key]
        if skeleton is None:
            return None
        slots: list[SlotRow] = []
        for number, shape, hole, offset in skeleton.slots:
            code = self._codes.get((names[number], shape))
            if code is None:
                code = self._code(names[number], shape)
                if code is None:
                    return None
            slots.append((code, hole, offset))
        return skeleton, slots

    def _parsed(
        self, rests: list[bytes], before_name: bytes, layout: TextLayout
    ) -> Skeleton | None:
        numbered = [rests[0]]
        for number, rest in enumerate(rests[1:]):
            numbered += [before_name, b"%d" % number, rest]
        record, num_holes = marked(b"".join(numbered), layout)
        by_number = LayoutTable()
        try:
            task = plain_task(record, orjson.loads(record), by_number)
            if task is None:
                return None
            rows = slot_rows(task, num_holes)
            scalars = scalar_row(task.scalars, rows, num_holes)
        except (orjson.JSONDecodeError, IrregularError):
            return None
        if len(rows) != len(rests) - 1:
            return None  # so that all slots have numbers now
        slots = []
        for code, hole, offset in rows:
            slot = by_number.layouts[code]
            shape = (slot.data_type, slot.dims, slot.strides)
            slots.append((int(slot.base_ptr), self._shape(shape), hole, offset))
        return Skeleton(scalars, task.num_inputs, num_holes, slots)

    def _shape(self, shape: _Shape) -> int:
        number = self._shapes.setdefault(shape, len(self._shape_list))
        if number == len(self._shape_list):
            self._shape_list.append(shape)
        return number

    def _code(self, name: bytes, shape: int) -> int | None:
        """The layout of a slot; None for a name that takes a parser."""
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return None
        if "\\" in text or not text.isprintable():
            return None
        code = self._codes[name, shape] = self.layouts.code(text, *self._shape_list[shape])
        return code
