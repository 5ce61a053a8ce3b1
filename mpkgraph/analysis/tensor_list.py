"""Listing of tensors: one pass over all slots, whatever the number of tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray, unique_pairs
from mpkgraph.analysis.extents import ViewKey
from mpkgraph.analysis.table import Column, Table


@dataclass(frozen=True)
class TensorTotals:
    """For each of `graph.tensors` (rows) what all slots together say."""

    first_byte: IntArray
    end_byte: IntArray
    """`[first_byte, end_byte)` spans all tiles; end_byte -1 where no type has a known size."""
    first_task_id: IntArray
    """-1 where no slot names the tensor (nor do the following columns then)."""
    last_task_id: IntArray
    num_writers: IntArray
    """Operators that declare it as an output."""
    num_readers: IntArray
    """Operators that declare it as an input."""
    num_reads: IntArray
    """Slots of tasks."""
    num_writes: IntArray


def tensor_totals(context: GraphContext) -> TensorTotals:
    """Totals of every tensor, in time linear in slots but for a sort of operators by tensor."""
    graph, tasks, extents = context.graph, context.graph.tasks, context.layout_extents
    count = len(graph.tensors)
    places = np.flatnonzero(graph.layout_tensors[tasks.slot_layouts] >= 0)
    layouts = tasks.slot_layouts[places]
    tensor = graph.layout_tensors[layouts]
    task_ids, outputs = tasks.slot_tasks[places], tasks.slot_is_output[places]
    first_byte = np.full(count, np.iinfo(np.int64).max)
    end_byte = np.full(count, -1, dtype=np.int64)
    offsets = tasks.slot_offsets[places]
    sized = extents.placed(layouts, offsets)
    offsets = offsets[sized]
    np.minimum.at(first_byte, tensor[sized], offsets + extents.lowest[layouts[sized]])
    np.maximum.at(end_byte, tensor[sized], offsets + extents.end[layouts[sized]])
    first_task = np.full(count, -1, dtype=np.int64)
    last_task = np.full(count, -1, dtype=np.int64)
    last_task[tensor] = task_ids  # of repeated positions the last assignment stays
    first_task[tensor[::-1]] = task_ids[::-1]
    owner = context.operators.task_operators[task_ids].astype(np.int64)
    owned = owner >= 0

    def num_operators(mask: npt.NDArray[np.bool_]) -> IntArray:
        used, _, _ = unique_pairs(tensor[mask & owned], owner[mask & owned])
        return np.bincount(used, minlength=count)

    return TensorTotals(
        first_byte=np.where(end_byte < 0, 0, first_byte),
        end_byte=end_byte,
        first_task_id=first_task,
        last_task_id=last_task,
        num_writers=num_operators(outputs),
        num_readers=num_operators(~outputs),
        num_reads=np.bincount(tensor[~outputs], minlength=count),
        num_writes=np.bincount(tensor[outputs], minlength=count),
    )


def tensor_list(context: GraphContext, positions: IntArray | None = None) -> Table:
    """One row a tensor, in order of first appearance; `positions` index `graph.tensors`."""
    graph = context.graph
    chosen = np.arange(len(graph.tensors)) if positions is None else positions
    totals = tensor_totals(context)
    views: dict[str, ViewKey] = {}
    for key in context.tensor_extents:
        views.setdefault(key.base_ptr, key)
    keys = [views[graph.tensors[i]] for i in chosen.tolist()]
    extents = [context.tensor_extents[key] for key in keys]
    unsized = totals.end_byte[chosen] < 0
    unused = totals.first_task_id[chosen] < 0
    return Table(
        "tensors",
        {
            "tensor": Column([graph.tensors[i] for i in chosen.tolist()], "base_ptr"),
            "data_type": Column(
                [context.catalog.data_type_name(key.data_type) for key in keys],
                "element type (where it is first used)",
            ),
            "dims": Column(
                [extent.dims for extent in extents],
                "whole extents in elements as far as operators tell",
            ),
            "dims_known": Column(
                np.array([all(extent.known) for extent in extents], dtype=np.bool_),
                "whether all of dims are certain, not lower bounds",
            ),
            "strides": Column([key.strides for key in keys], "in elements"),
            "num_bytes": Column(
                (totals.end_byte - totals.first_byte)[chosen], "bytes spanned by all tiles", unsized
            ),
            "num_writers": Column(totals.num_writers[chosen], "operators with it as an output"),
            "num_readers": Column(totals.num_readers[chosen], "operators with it as an input"),
            "num_writes": Column(totals.num_writes[chosen], "output slots of tasks"),
            "num_reads": Column(totals.num_reads[chosen], "input slots of tasks"),
            "first_task_id": Column(totals.first_task_id[chosen], "first use", unused),
            "last_task_id": Column(totals.last_task_id[chosen], "last use", unused),
        },
    )
