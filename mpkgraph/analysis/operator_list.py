"""Operators as a table."""

from __future__ import annotations

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.operator_totals import UNKNOWN
from mpkgraph.analysis.table import Column, Table


def operator_list(context: GraphContext, indices: IntArray | None = None) -> Table:
    """One row an operator, in order of emission."""
    count = len(context.operators)
    chosen = np.arange(count, dtype=np.int64) if indices is None else indices
    operators = [context.operators[index] for index in chosen.tolist()]
    totals = context.operator_totals
    num_tasks = totals.num_tasks[chosen]
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
            "num_tasks": Column(num_tasks, "tasks in the file"),
            "first_task_id": Column(totals.first_task_ids[chosen], "lowest id", num_tasks == 0),
            "last_task_id": Column(totals.last_task_ids[chosen], "highest id", num_tasks == 0),
            "inputs": Column(
                [" ".join(slot.name for slot in x.inputs) for x in operators],
                "tensors of the declared inputs",
            ),
            "outputs": Column(
                [" ".join(slot.name for slot in x.outputs) for x in operators],
                "tensors of the declared outputs",
            ),
            "num_events_in": Column(totals.num_events_in[chosen], "events waited on"),
            "num_events_out": Column(
                totals.num_events_out[chosen],
                "events triggered, those of other ranks included",
            ),
            "first_level": Column(totals.first_levels[chosen], "lowest level"),
            "last_level": Column(totals.last_levels[chosen], "highest level"),
            "bytes_read": Column(
                _known(totals.bytes_read[chosen]), "sum of the input tiles' bytes over tasks"
            ),
            "bytes_written": Column(
                _known(totals.bytes_written[chosen]), "sum of the output tiles' bytes over tasks"
            ),
        },
    )


def _known(values: IntArray) -> list[int | None]:
    return [None if value == UNKNOWN else value for value in values.tolist()]


def _ints(values: list[int]) -> IntArray:
    return np.array(values, dtype=np.int64)
