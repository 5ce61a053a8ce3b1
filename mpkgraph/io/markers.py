"""Marker integers in the holes of a record: where each comes out of a parser tells what it is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from mpkgraph.frozen import dataclass
from mpkgraph.io.fields import INT64_MAX
from mpkgraph.io.holes import FIRST_DIGIT
from mpkgraph.io.records import PlainTask
from mpkgraph.io.words import IrregularError

MARKER = 1_000_000_007
"""Hole j is tried as MARKER + j: in the range of every field, and no likely value."""

ScalarRow = list[int]
"""Of each integer field its hole or -1, then its value where it has no hole, then its sign."""
SlotRow = tuple[int, int, int]
"""Layout, hole or -1, and offset where it has no hole."""


@dataclass(frozen=True, slots=True)
class TextLayout:
    """What all records of an array look like around their fields."""

    head: bytes
    """From the record's `{` to its first value."""
    tail: bytes
    """From its last value to its `}`."""
    separator: bytes
    """A tail, what is between two records, and a head."""
    brace: int
    """Bytes from a record's `{` to its first colon."""
    blanks_before: int
    blanks_after: int
    hole_ends: bytes
    """The bytes with which keys of holes end, as they are spelled here."""

    @property
    def colon(self) -> bytes:
        """What is between a key and its value."""
        return self.head[len(self.head) - (self.blanks_before + 1 + self.blanks_after) :]

    @property
    def begins_with_hole(self) -> bool:
        """Whether the first key ends like one of a hole."""
        return self.head[self.brace - self.blanks_before - 2] in self.hole_ends


def marked(text: bytes, layout: TextLayout) -> tuple[bytes, int]:
    """A record with a marker in each of its holes, and their number."""
    parts = text.split(FIRST_DIGIT)
    num_holes = len(parts) - 1
    markers = [*map(b"%d".__mod__, range(MARKER, MARKER + num_holes)), layout.tail]
    return layout.head + b"".join(chain.from_iterable(zip(parts, markers, strict=True))), num_holes


def scalar_row(scalars: Sequence[int], slots: Sequence[SlotRow], num_holes: int) -> ScalarRow:
    """Fields of a checked record. Raises IrregularError unless each hole is in just one field: none
    in a string, a dim or an unknown field.
    """
    seen = [hole for _, hole, _ in slots if hole >= 0]
    holes = [-1] * len(scalars)
    signs = [1] * len(scalars)
    constants = list(scalars)
    for i, value in enumerate(scalars):
        hole = abs(value) - MARKER
        if 0 <= hole < num_holes:
            seen.append(hole)
            holes[i] = hole
            constants[i] = 0
            if value < 0:
                signs[i] = -1
        elif value > INT64_MAX:
            constants[i] = value - (1 << 64)  # ids above int64 keep their bits
    if len(seen) != num_holes or len(set(seen)) != num_holes:
        raise IrregularError
    return holes + constants + signs


def slot_rows(task: PlainTask, num_holes: int) -> list[SlotRow]:
    """Slots of a checked task."""
    rows: list[SlotRow] = []
    for layout, offset in zip(task.layouts, task.offsets, strict=True):
        hole = offset - MARKER
        rows.append((layout, hole, 0) if 0 <= hole < num_holes else (layout, -1, offset))
    return rows
