"""Tensors as a table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mpkgraph.analysis.context import MAX_LONE_TENSORS, GraphContext
from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.extents import Extent, ViewKey
from mpkgraph.analysis.table import Column, Table


def tensor_list(context: GraphContext, positions: IntArray | None = None) -> Table:
    """One row a tensor, in order of first appearance; `positions` index `graph.tensors`."""
    graph = context.graph
    chosen = np.arange(len(graph.tensors)) if positions is None else positions
    totals = context.tensor_totals
    found = _extents(context, [graph.tensors[i] for i in chosen.tolist()])
    views: dict[str, ViewKey] = {}
    for key in found:
        views.setdefault(key.base_ptr, key)
    keys = [views[graph.tensors[i]] for i in chosen.tolist()]
    extents = [found[key] for key in keys]
    unsized = totals.end_bytes[chosen] < 0
    unused = totals.first_task_ids[chosen] < 0
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
                (totals.end_bytes - totals.first_bytes)[chosen],
                "bytes spanned by all tiles",
                unsized,
            ),
            "num_writers": Column(totals.num_writers[chosen], "operators with it as an output"),
            "num_readers": Column(totals.num_readers[chosen], "operators with it as an input"),
            "num_writes": Column(totals.num_writes[chosen], "output slots of tasks"),
            "num_reads": Column(totals.num_reads[chosen], "input slots of tasks"),
            "first_task_id": Column(totals.first_task_ids[chosen], "first use", unused),
            "last_task_id": Column(totals.last_task_ids[chosen], "last use", unused),
        },
    )


def _extents(context: GraphContext, names: list[str]) -> Mapping[ViewKey, Extent]:
    """Extents of at least these tensors; few are found without all operators."""
    if len(names) > MAX_LONE_TENSORS:
        return context.tensor_extents
    return {key: extent for name in names for key, extent in context.extents_of(name).items()}
