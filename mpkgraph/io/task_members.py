"""Columns of tasks from their members: for texts whose keys come in any order.

A text is read if there is nothing unusual in it; all else is left to the general path, errors too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import orjson

from mpkgraph.io import fields
from mpkgraph.io.block_text import BlockText
from mpkgraph.io.columns import MAX_SIDE_SLOTS, TASK_DTYPES, LayoutTable, TaskPiece
from mpkgraph.io.fields import BadRecordError, Range
from mpkgraph.io.interning import Codes, CodeTable, TextTable
from mpkgraph.io.members import SLOT_TEXTS, KeyKinds, Members
from mpkgraph.io.squeeze import Squeezer, plain
from mpkgraph.io.words import IrregularError, Numbers, Positions
from mpkgraph.model.graph import TASK_SCALARS

_TEXT_BITS, _TYPE_BITS = 16, 16
"""The codes of three texts and a data type make one key of 64 bits."""
MAX_TEXTS = 1 << _TEXT_BITS
"""Known ones; real graphs have some thousands."""
_TASK_RANGES = tuple(fields.TASK_RANGES[name] for name in TASK_SCALARS)
_SLOT_RANGES = (Range(0, (1 << _TYPE_BITS) - 1), fields.OFFSET_RANGE)


class TaskMembers:
    """Reads texts of tasks; remembers the layouts of slots."""

    def __init__(self, layouts: LayoutTable) -> None:
        self._layouts = layouts
        self._squeezer = Squeezer()
        self._text = BlockText(1)
        self._key_kinds = KeyKinds()
        self._texts = TextTable()
        self._codes = CodeTable()

    def piece(self, text: bytes) -> TaskPiece:
        """Columns of the tasks in `text`, the elements of a JSON array without its brackets.

        Raises IrregularError for what the general path has to read or to refuse.
        """
        text = plain(text)
        squeezed = self._squeezer.squeeze(text)
        members = Members(squeezed, self._text, self._key_kinds)
        counts, firsts = members.sides()
        if members.any_null and squeezed.count(b"null") != text.count(b"null"):
            raise IrregularError  # blanks were in one
        if counts.max() > MAX_SIDE_SLOTS:
            raise IrregularError
        numbers, negative = members.integers()
        split = members.num_tasks * len(TASK_SCALARS)
        scalars = _signed(numbers[:split], negative[:split], _TASK_RANGES)
        types, offsets = _signed(numbers[split:], negative[split:], _SLOT_RANGES)
        # slots stand in the order of the text, in which outputs may come first
        order = _runs(firsts.ravel(), counts.ravel())
        return TaskPiece(
            scalars={
                name: column.astype(TASK_DTYPES[name])
                for name, column in zip(TASK_SCALARS, scalars, strict=True)
            },
            num_inputs=counts[:, 0].astype(np.uint8),
            num_slots=counts.sum(axis=1),
            slot_layouts=self._layout_codes(members, types, order).astype(np.int32),
            slot_offsets=offsets[order],
        )

    def _layout_codes(self, members: Members, types: Codes, order: Positions) -> Codes:
        """Layouts of slots in `order`, of which new ones are added to the table."""
        rows = members.rows(SLOT_TEXTS[0], SLOT_TEXTS[-1])
        starts, ends = members.starts[rows], members.ends[rows]
        texts = self._texts.codes(members.text, starts, ends - starts)
        if self._texts.num_codes > MAX_TEXTS:
            self._texts.clear()
            self._codes.clear()
            raise IrregularError
        keys = types.view(np.uint64)
        for codes in texts.reshape(len(SLOT_TEXTS), -1).view(np.uint64):
            keys = keys << _SHIFT
            keys |= codes

        def new(position: int) -> int:
            slot = int(order[position])
            doc = {"data_type": int(types[slot]), "offset": 0}
            for key, row in zip(SLOT_TEXTS, range(slot, len(rows), len(types)), strict=True):
                doc[key] = orjson.loads(members.text.slice(int(starts[row]), int(ends[row])))
            found = fields.check_slot(doc, "slot")
            return self._layouts.code(found.base_ptr, found.data_type, found.dims, found.strides)

        try:
            return self._codes.codes(keys[order], new)
        except (orjson.JSONDecodeError, BadRecordError):
            raise IrregularError from None


_SHIFT = np.array(_TEXT_BITS, np.uint64)


def _signed(
    numbers: Numbers, negative: npt.NDArray[np.bool_], ranges: Sequence[Range]
) -> npt.NDArray[np.int64]:
    """The numbers with their signs, a row for each range; ids above int64 keep their bits.

    Raises IrregularError for one out of its range, or the very lowest of it.
    """
    shape = (len(ranges), -1)
    if len(numbers):
        highest = np.array([x.high for x in ranges], np.uint64)
        unsigned = np.array([x.low == 0 for x in ranges])
        if (numbers.reshape(shape).max(axis=1) > highest).any():
            raise IrregularError
        if (negative.reshape(shape).any(axis=1) & unsigned).any():
            raise IrregularError
    signed = numbers.view(np.int64)
    sign = -negative.astype(np.int64)
    signed ^= sign
    signed -= sign
    return signed.reshape(len(ranges), len(signed) // len(ranges))


def _runs(firsts: Positions, counts: Positions) -> Positions:
    """`first, first + 1, ...` for each of `firsts`, `counts` of them, one after the other."""
    ends = np.cumsum(counts)
    places = np.repeat(firsts - (ends - counts), counts)
    places += np.arange(len(places))
    return places
