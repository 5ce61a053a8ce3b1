"""What the tasks of each operator add up to, as columns over operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray, counted, unique_pairs
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext

UNKNOWN = -1


@dataclass(frozen=True)
class OperatorTotals:
    """One row an operator."""

    num_tasks: IntArray
    first_task_ids: IntArray
    """Lowest id; -1 for an operator of which the file holds no task. Likewise what follows."""
    last_task_ids: IntArray
    num_events_in: IntArray
    """Events of this rank on which its tasks wait."""
    num_events_out: IntArray
    """Events that its tasks trigger, those of other ranks included."""
    first_levels: IntArray
    last_levels: IntArray
    bytes_read: IntArray
    """Sum of the input tiles' bytes over tasks; -1 where not known."""
    bytes_written: IntArray
    """Likewise of the output tiles."""

    @classmethod
    def of(cls, context: GraphContext) -> OperatorTotals:
        """In one pass over the columns of all tasks."""
        tasks = _Tasks.of(list(context.operators))
        events = context.events
        waits, triggers = events.dependents_of(tasks.ids), events.triggers_of(tasks.ids)
        levels = context.levels.of_tasks(tasks.ids)
        bytes_read, bytes_written = _bytes(context, tasks)
        return cls(
            num_tasks=tasks.sizes,
            first_task_ids=tasks.lowest(tasks.ids),
            last_task_ids=tasks.highest(tasks.ids),
            num_events_in=tasks.num_distinct(waits, (waits >= 0) & (waits < events.num_local)),
            num_events_out=tasks.num_distinct(triggers, triggers >= 0),
            first_levels=tasks.lowest(levels),
            last_levels=tasks.highest(levels),
            bytes_read=bytes_read,
            bytes_written=bytes_written,
        )

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[int]]) -> OperatorTotals:
        """From rows of all the fields, in their order."""
        columns = np.array(rows, dtype=np.int64).reshape(-1, len(TOTALS)).T
        return cls(*(np.ascontiguousarray(column) for column in columns))

    def __len__(self) -> int:
        return len(self.num_tasks)


TOTALS = tuple(column.name for column in fields(OperatorTotals))
"""Names of the columns."""


@dataclass(frozen=True)
class _Tasks:
    """Tasks of some operators, one operator after the other."""

    ids: IntArray
    sizes: IntArray
    """Tasks of each operator."""
    rows: IntArray
    """For each task the position of its operator."""

    @classmethod
    def of(cls, operators: list[Operator]) -> _Tasks:
        sizes = np.array([operator.num_tasks for operator in operators], dtype=np.int64)
        parts = [np.empty(0, dtype=np.int64), *(operator.task_ids for operator in operators)]
        return cls(np.concatenate(parts), sizes, np.repeat(np.arange(len(sizes)), sizes))

    def lowest(self, values: IntArray) -> IntArray:
        """For each operator the lowest of its tasks' values; -1 without tasks."""
        return self._folded(np.minimum, values)

    def highest(self, values: IntArray) -> IntArray:
        return self._folded(np.maximum, values)

    def num_distinct(self, values: IntArray, counts: npt.NDArray[np.bool_]) -> IntArray:
        """For each operator how many different values its tasks have, of those that count."""
        rows, _, _ = unique_pairs(self.rows[counts], values[counts])
        found = np.zeros(len(self.sizes), dtype=np.int64)
        present, numbers = counted(rows)
        found[present] = numbers
        return found

    def total(self, values: IntArray) -> IntArray:
        """For each operator the sum of its tasks' values."""
        ends = np.cumsum(self.sizes)
        sums: IntArray = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(values)))
        totals: IntArray = sums[ends] - sums[ends - self.sizes]
        return totals

    def _folded(self, fold: np.ufunc, values: IntArray) -> IntArray:
        found = np.full(len(self.sizes), -1, dtype=np.int64)
        some = self.sizes > 0
        if some.any():
            starts = (np.cumsum(self.sizes) - self.sizes)[some]
            found[some] = fold.reduceat(values, starts)
        return found


def _bytes(context: GraphContext, tasks: _Tasks) -> tuple[IntArray, IntArray]:
    """Bytes of the declared inputs and of the outputs of each operator; -1 where not known."""
    columns = context.graph.tasks
    firsts, ends = columns.slot_starts[tasks.ids], columns.slot_starts[tasks.ids + 1]
    middles = firsts + columns.num_inputs[tasks.ids]
    begin, end = int(firsts.min(initial=0)), int(ends.max(initial=0))
    layouts = columns.slot_layouts[begin:end]
    tile_bytes = context.layout_extents.num_bytes

    def totals(of_layout: IntArray) -> tuple[IntArray, IntArray]:
        """For inputs and for outputs the sum over the tiles of each operator."""
        sums = np.zeros(len(layouts) + 1, dtype=np.int64)
        np.cumsum(of_layout[layouts], out=sums[1:])
        at_first, at_middle, at_end = (sums[x - begin] for x in (firsts, middles, ends))
        return tasks.total(at_middle - at_first), tasks.total(at_end - at_middle)

    known = totals(np.maximum(tile_bytes, 0))
    if (tile_bytes < 0).any():
        for column, gaps in zip(known, totals((tile_bytes < 0).astype(np.int64)), strict=True):
            column[gaps > 0] = UNKNOWN
    return known
