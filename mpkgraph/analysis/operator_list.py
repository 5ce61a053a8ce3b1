"""All operators as a table, in one pass over the columns of their tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray, counted, unique_pairs
from mpkgraph.analysis.table import Column, Table
from mpkgraph.model.operator import Operator


def operator_list(context: GraphContext, indices: IntArray | None = None) -> Table:
    """One row an operator, in order of emission."""
    count = len(context.operators)
    chosen = np.arange(count, dtype=np.int64) if indices is None else indices
    operators = [context.operators[index] for index in chosen.tolist()]
    tasks = _Tasks.of(operators)
    events = context.events
    waits, triggers = events.dependent_nodes[tasks.ids], events.trigger_nodes[tasks.ids]
    levels = context.levels.task_levels[tasks.ids]
    bytes_read, bytes_written = _bytes(context, tasks)
    catalog = context.catalog
    return Table(
        "operators",
        {
            "operator": Column(chosen, "index in order of emission"),
            "name": Column(
                [context.operator_names[index] for index in chosen.tolist()],
                "registered name, else task type's",
            ),
            "layer_method": Column([x.layer_method for x in operators], "when recorded"),
            "task_type": Column(_ints([x.task_type for x in operators]), "number"),
            "task_type_name": Column(
                [catalog.task_type_name(x.task_type) for x in operators], "name"
            ),
            "kind": Column(
                [catalog.task_type_row(x.task_type).kind for x in operators],
                "family of the task type",
            ),
            "origin": Column([x.origin for x in operators], "recorded or recovered"),
            "variant_ids": Column([x.variant_ids for x in operators], "generated kernel calls"),
            "grid_dim": Column([x.grid_dim for x in operators], "x, y, z"),
            "num_subtasks": Column(
                _ints([x.num_subtasks for x in operators]), "tasks a grid point"
            ),
            "num_tasks": Column(tasks.sizes, "tasks in the file"),
            "first_task_id": Column(tasks.lowest(tasks.ids), "lowest id", tasks.are_none),
            "last_task_id": Column(tasks.highest(tasks.ids), "highest id", tasks.are_none),
            "inputs": Column(
                [" ".join(slot.name for slot in x.inputs) for x in operators],
                "tensors of the declared inputs",
            ),
            "outputs": Column(
                [" ".join(slot.name for slot in x.outputs) for x in operators],
                "tensors of the declared outputs",
            ),
            "num_events_in": Column(
                tasks.num_distinct(waits, (waits >= 0) & (waits < events.num_local)),
                "events waited on",
            ),
            "num_events_out": Column(
                tasks.num_distinct(triggers, triggers >= 0),
                "events triggered, those of other ranks included",
            ),
            "first_level": Column(tasks.lowest(levels), "lowest level"),
            "last_level": Column(tasks.highest(levels), "highest level"),
            "bytes_read": Column(bytes_read, "sum of the input tiles' bytes over tasks"),
            "bytes_written": Column(bytes_written, "sum of the output tiles' bytes over tasks"),
        },
    )


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
        sizes = _ints([operator.num_tasks for operator in operators])
        parts = [np.empty(0, dtype=np.int64), *(operator.task_ids for operator in operators)]
        return cls(np.concatenate(parts), sizes, np.repeat(np.arange(len(sizes)), sizes))

    @property
    def are_none(self) -> npt.NDArray[np.bool_]:
        """Operators of which the file holds no task."""
        none: npt.NDArray[np.bool_] = self.sizes == 0
        return none

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
        some = ~self.are_none
        if some.any():
            starts = (np.cumsum(self.sizes) - self.sizes)[some]
            found[some] = fold.reduceat(values, starts)
        return found


def _bytes(context: GraphContext, tasks: _Tasks) -> tuple[list[int | None], list[int | None]]:
    """Bytes of the declared inputs and of the outputs of each operator; None where not known."""
    columns = context.graph.tasks
    firsts, ends = columns.slot_starts[tasks.ids], columns.slot_starts[tasks.ids + 1]
    middles = firsts + columns.num_inputs[tasks.ids]
    begin, end = int(firsts.min(initial=0)), int(ends.max(initial=0))
    layouts = columns.slot_layouts[begin:end]
    tile_bytes = context.layout_extents.num_bytes

    def totals(of_layout: IntArray) -> list[list[int]]:
        """For inputs and for outputs the sum over the tiles of each operator."""
        sums = np.zeros(len(layouts) + 1, dtype=np.int64)
        np.cumsum(of_layout[layouts], out=sums[1:])
        at_first, at_middle, at_end = (sums[x - begin] for x in (firsts, middles, ends))
        return [
            tasks.total(at_middle - at_first).tolist(),
            tasks.total(at_end - at_middle).tolist(),
        ]

    known: list[list[int]] = totals(np.maximum(tile_bytes, 0))
    if not (tile_bytes < 0).any():
        return [*known[0]], [*known[1]]
    unknown = totals((tile_bytes < 0).astype(np.int64))
    read, written = (
        [None if gaps else number for number, gaps in zip(*pair, strict=True)]
        for pair in zip(known, unknown, strict=True)
    )
    return read, written


def _ints(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
