"""What the slots of each tensor add up to, as columns over tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray, unique_pairs
from mpkgraph.analysis.layout_extents import LayoutExtents
from mpkgraph.catalog import Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import SlotLayout, TaskColumns
from mpkgraph.model.operator import Operator
from mpkgraph.model.tile import MAX_ADDRESS

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext

_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class TensorTotals:
    """For each of `graph.tensors` (rows) what all slots together say."""

    first_bytes: IntArray
    end_bytes: IntArray
    """`[first_byte, end_byte)` spans all tiles; end_byte -1 where no type has a known size."""
    first_task_ids: IntArray
    """-1 where no slot names the tensor (nor do the following columns then)."""
    last_task_ids: IntArray
    num_writers: IntArray
    """Operators that declare it as an output."""
    num_readers: IntArray
    """Operators that declare it as an input."""
    num_reads: IntArray
    """Slots of tasks."""
    num_writes: IntArray

    @classmethod
    def of(cls, context: GraphContext) -> TensorTotals:
        """In time linear in slots but for a sort of operators by tensor."""
        graph, tasks = context.graph, context.graph.tasks
        uses = LayoutUses(context.catalog)
        uses.add(0, tasks, graph.layouts)
        count = len(graph.tensors)
        # Of a layout that no slot has -1; the last row is for those and for null slots
        slot_tensors = graph.layout_tensors[tasks.slot_layouts]
        owners = context.operators.task_operators[tasks.slot_tasks].astype(np.int64)
        counted = (slot_tensors >= 0) & (owners >= 0)

        def num_operators(mask: npt.NDArray[np.bool_]) -> IntArray:
            used, _, _ = unique_pairs(slot_tensors[mask], owners[mask])
            return np.bincount(used, minlength=count)

        outputs = tasks.slot_is_output
        return uses.totals(
            graph.layout_tensors,
            count,
            num_operators(counted & outputs),
            num_operators(counted & ~outputs),
        )

    def __len__(self) -> int:
        return len(self.first_bytes)


TOTALS = tuple(column.name for column in fields(TensorTotals))
"""Names of the columns."""


class LayoutUses:
    """What the slots of each layout add up to, from tasks in batches."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._extents = LayoutExtents.of((), catalog)
        self._columns = np.empty((6, 0), dtype=np.int64)
        self._num_slots = 0

    def add(self, first_task_id: int, tasks: TaskColumns, layouts: Sequence[SlotLayout]) -> None:
        """Tasks that follow those of the call before; `layouts` may have grown since."""
        num_known = self._columns.shape[1]
        if len(layouts) > num_known:
            self._extents = self._extents.extended(layouts[num_known:], self._catalog)
            fresh = np.array([[_INT64.max, -1, _INT64.max, -1, 0, 0]]).T
            fresh = np.repeat(fresh, len(layouts) - num_known, axis=1)
            self._columns = np.concatenate((self._columns, fresh), axis=1)
        lowest, ends, first_tasks, last_tasks, num_reads, num_writes = self._columns
        codes, offsets = tasks.slot_layouts, tasks.slot_offsets
        if not len(codes):
            return
        task_ids, outputs = _owners(tasks)
        task_ids += first_task_id
        # Of repeated places the last assignment stays
        last_tasks[codes] = task_ids
        fresh_first = np.full(len(first_tasks), _INT64.max)
        fresh_first[codes[::-1]] = task_ids[::-1]
        np.minimum(first_tasks, fresh_first, out=first_tasks)
        writes = np.bincount(codes[outputs], minlength=len(layouts))
        num_writes += writes
        num_reads += np.bincount(codes, minlength=len(layouts)) - writes
        if int(offsets.max()) >= MAX_ADDRESS:
            placed = self._extents.placed(codes, offsets)
            codes, offsets = codes[placed], offsets[placed]
        np.minimum.at(lowest, codes, offsets)
        np.maximum.at(ends, codes, offsets)

    def first_uses(self) -> IntArray:
        """Layouts by their first task; those of one task in the order of their numbers."""
        order: IntArray = np.argsort(self._columns[2], kind="stable")
        return order

    def totals(
        self, layout_tensors: IntArray, count: int, num_writers: IntArray, num_readers: IntArray
    ) -> TensorTotals:
        """Of `count` tensors; `layout_tensors` gives the tensor of each layout, -1 for none."""
        lowest, ends, first_tasks, last_tasks, num_reads, num_writes = self._columns
        extents = self._extents
        named = layout_tensors >= 0
        used = named & (last_tasks >= 0)
        sized = used & (ends >= 0) & (extents.num_bytes >= 0)
        first_bytes = np.full(count, _INT64.max)
        end_bytes = np.full(count, -1, dtype=np.int64)
        np.minimum.at(first_bytes, layout_tensors[sized], (lowest + extents.lowest)[sized])
        np.maximum.at(end_bytes, layout_tensors[sized], (ends + extents.end)[sized])
        firsts, lasts = np.full(count, _INT64.max), np.full(count, -1, dtype=np.int64)
        np.minimum.at(firsts, layout_tensors[used], first_tasks[used])
        np.maximum.at(lasts, layout_tensors[used], last_tasks[used])
        sums = np.zeros((2, count), dtype=np.int64)
        for row, column in enumerate((num_reads, num_writes)):
            np.add.at(sums[row], layout_tensors[named], column[named])
        return TensorTotals(
            first_bytes=np.where(end_bytes < 0, 0, first_bytes),
            end_bytes=end_bytes,
            first_task_ids=np.where(lasts < 0, -1, firsts),
            last_task_ids=lasts,
            num_writers=num_writers,
            num_readers=num_readers,
            num_reads=sums[0],
            num_writes=sums[1],
        )


class TensorStream:
    """Totals of all tensors from tasks and recovered operators that come by."""

    def __init__(self, catalog: Catalog) -> None:
        self._uses = LayoutUses(catalog)
        self._num_writers: Counter[str] = Counter()
        self._num_readers: Counter[str] = Counter()

    def add_tasks(
        self, first_task_id: int, tasks: TaskColumns, layouts: Sequence[SlotLayout]
    ) -> None:
        self._uses.add(first_task_id, tasks, layouts)

    def add_operators(self, operators: Iterable[Operator]) -> None:
        """Operators of which each slot names the tensors that its tasks see."""
        for operator in operators:
            for counts, slots in (
                (self._num_writers, operator.outputs),
                (self._num_readers, operator.inputs),
            ):
                counts.update({name for slot in slots for name in slot.base_ptrs})

    def totals(self, layouts: Sequence[SlotLayout]) -> TensorTotals | None:
        """Rows in the order of `TaskGraph.tensors`. None when that is not known: when layouts are
        not numbered by first use.
        """
        order = self._uses.first_uses()
        if (order[1:] < order[:-1]).any():
            return None
        names = dict.fromkeys(x.base_ptr for x in layouts if not x.is_null)
        places = {name: place for place, name in enumerate(names)}
        layout_tensors = np.array(
            [-1 if x.is_null else places[x.base_ptr] for x in layouts], dtype=np.int64
        )
        writers, readers = (
            np.array([counts[name] for name in names], dtype=np.int64)
            for counts in (self._num_writers, self._num_readers)
        )
        return self._uses.totals(layout_tensors, len(names), writers, readers)


def _owners(tasks: TaskColumns) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """For each slot the place of its task, and whether it is an output."""
    counts = np.diff(tasks.slot_starts)
    owners = np.repeat(np.arange(len(tasks), dtype=np.int64), counts)
    middles = tasks.slot_starts[:-1] + tasks.num_inputs
    outputs: npt.NDArray[np.bool_] = np.arange(tasks.num_slots) >= middles[owners]
    return owners, outputs
