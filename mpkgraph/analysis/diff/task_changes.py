"""Differences between paired tasks that no fact of their operators explains."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.diff.changes import Change
from mpkgraph.analysis.diff.correspondence import Correspondence
from mpkgraph.analysis.diff.names import TensorNames
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model.graph import SlotLayout
from mpkgraph.model.operator import Operator

_METADATA = {
    "request_id": "request_ids",
    "kv_idx": "kv_idxs",
    "merge_task_offset": "merge_task_offsets",
    "expert_offset": "expert_offsets",
    "task_offset": "task_offsets",
}
_Numbering = Callable[[int, SlotLayout], int]
_WIDE = ("expert_offset", "task_offset")
"""Views of the bytes that request_id and kv_idx are halves of."""


class TaskComparer:
    """Compares the tasks of matched operators, slot by slot."""

    def __init__(self, left: Side, right: Side, tasks: Correspondence, names: TensorNames) -> None:
        self.sides = (left, right)
        self.tasks = tasks
        self.names = names

    def compare(self, one: Operator, other: Operator) -> list[Change]:
        """Tiles, metadata and tensors of single tasks that differ."""
        lefts = one.task_ids[self.tasks.tasks[one.task_ids] >= 0]
        rights = self.tasks.tasks[lefts]
        found = []
        if len(lefts) < one.num_tasks or len(lefts) < other.num_tasks:
            found.append(Change("tiles", "tasks", one.num_tasks, other.num_tasks))
        found += self._kinds(lefts, rights)
        return found + self._slots(one, lefts, rights) + self._metadata(lefts, rights)

    def _kinds(self, lefts: IntArray, rights: IntArray) -> list[Change]:
        """Tasks of another type, or with other slots."""
        left, right = (x.graph.tasks for x in self.sides)
        found = []
        types = left.task_types[lefts], right.task_types[rights]
        differ = types[0] != types[1]
        if differ.any():
            first = int(np.flatnonzero(differ)[0])
            names = [
                side.catalog.task_type_name(int(x[first]))
                for side, x in zip(self.sides, types, strict=True)
            ]
            count = int(differ.sum())
            found.append(Change.between("type", "task_type", names, num_tasks=count))
        inputs = left.num_inputs[lefts], right.num_inputs[rights]
        sizes = (
            np.diff(left.slot_starts)[lefts],
            np.diff(right.slot_starts)[rights],
        )
        differ = (inputs[0] != inputs[1]) | (sizes[0] != sizes[1])
        if differ.any():
            first = int(np.flatnonzero(differ)[0])
            slots = [
                f"{int(a[first])} in, {int(b[first]) - int(a[first])} out"
                for a, b in zip(inputs, sizes, strict=True)
            ]
            count = int(differ.sum())
            found.append(Change.between("type", "slots", slots, num_tasks=count))
        return found

    def _slots(self, one: Operator, lefts: IntArray, rights: IntArray) -> list[Change]:
        columns = [x.graph.tasks for x in self.sides]
        starts = columns[0].slot_starts[lefts], columns[1].slot_starts[rights]
        sizes = [
            tasks.slot_starts[x + 1] - tasks.slot_starts[x]
            for tasks, x in zip(columns, (lefts, rights), strict=True)
        ]
        same = sizes[0] == sizes[1]
        found = []
        for position in range(int(sizes[0][same].min()) if same.any() else 0):
            places = starts[0][same] + position, starts[1][same] + position
            layouts = [x.slot_layouts[p] for x, p in zip(columns, places, strict=True)]
            offsets = [x.slot_offsets[p] for x, p in zip(columns, places, strict=True)]
            slot = one.slots[position]
            for aspect, what, codes in (
                ("tiles", "tile", self._shapes),
                ("base", "tensor", self._bases),
            ):
                differ = codes[0][layouts[0]] != codes[1][layouts[1]]
                if differ.any():
                    first = int(np.flatnonzero(differ)[0])
                    shown = self._shown(what, int(layouts[0][first]), int(layouts[1][first]))
                    found.append(
                        Change.between(aspect, what, shown, position, slot.name, int(differ.sum()))
                    )
            moved = offsets[0] != offsets[1]
            if moved.any():
                first = int(np.flatnonzero(moved)[0])
                values = [int(x[first]) for x in offsets]
                found.append(
                    Change.between("tiles", "offset", values, position, slot.name, int(moved.sum()))
                )
        return found

    def _metadata(self, lefts: IntArray, rights: IntArray) -> list[Change]:
        found = []
        for name, column in _METADATA.items():
            values = [
                getattr(side.graph.tasks, column)[x]
                for side, x in zip(self.sides, (lefts, rights), strict=True)
            ]
            differ = values[0] != values[1]
            if differ.any():
                first = int(np.flatnonzero(differ)[0])
                shown = [int(x[first]) for x in values]
                found.append(Change.between("metadata", name, shown, num_tasks=int(differ.sum())))
        halves = [x for x in found if x.what not in _WIDE]
        return halves or found[:1]

    def _shown(self, what: str, left: int, right: int) -> list[Any]:
        """What differs between two layouts."""
        one, other = self.sides[0].graph.layouts[left], self.sides[1].graph.layouts[right]
        if what == "tensor":
            return [one.base_ptr, other.base_ptr]
        facts = [
            {
                "dims": list(x.dims),
                "strides": list(x.strides),
                "type": side.catalog.data_type_name(x.data_type),
            }
            for side, x in zip(self.sides, (one, other), strict=True)
        ]
        differing = [key for key in facts[0] if facts[0][key] != facts[1][key]]
        return [{key: x[key] for key in differing} for x in facts]

    @cached_property
    def _shapes(self) -> tuple[IntArray, IntArray]:
        """By layout a number for its type, dims and strides, the same on both sides."""
        numbers: dict[object, int] = {}
        return self._codes(lambda _, x: numbers.setdefault(_shape(x), len(numbers)))

    @cached_property
    def _bases(self) -> tuple[IntArray, IntArray]:
        """By layout a number for its tensor; -1 on the left for one that the right lacks."""
        numbers: dict[str, int] = {}

        def number(side: int, layout: SlotLayout) -> int:
            if layout.is_null:
                return -2
            name: str | None = layout.base_ptr
            if side == 0:
                name = self.names.right_of.get(layout.base_ptr)
            return -1 if name is None else numbers.setdefault(name, len(numbers))

        return self._codes(number)

    def _codes(self, number: _Numbering) -> tuple[IntArray, IntArray]:
        left, right = (
            np.array([number(i, x) for x in side.graph.layouts], dtype=np.int64)
            for i, side in enumerate(self.sides)
        )
        return left, right


def _shape(layout: SlotLayout) -> tuple[object, ...]:
    return (layout.is_null, layout.data_type, layout.dims, layout.strides)
