"""The table of all operators tells of each what its own description tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.operator_detail import operator_detail
from mpkgraph.analysis.operator_list import operator_list
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.io.reader import read_graph
from mpkgraph.model.operator import OperatorSet
from tests import goldens, loaded

EXAMPLE = Path(__file__).parents[2] / "examples" / "decoder" / "task_graph_rank0.json"
UNSIZED = Catalog("other", DEFAULT.task_types, DEFAULT.event_types, {941: "DT_MINE"})
"""Without the sizes of most data types."""


@pytest.mark.parametrize("catalog", [DEFAULT, UNSIZED], ids=["sized", "unsized"])
@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=1_000_000, one_target=True), ids=str)
def test_rows_are_the_operators_details(golden, catalog):
    context = GraphContext(loaded.graph(golden), loaded.recovered(golden), catalog)
    every_other = np.arange(len(context.operators), dtype=np.int64)[::-2]
    for indices in (None, every_other):
        table = operator_list(context, indices)
        chosen = range(len(context.operators)) if indices is None else indices.tolist()
        rows = list(zip(*table.to_columns().values(), strict=True))
        assert len(rows) == len(chosen)
        for row, index in zip(rows, chosen, strict=True):
            detail = operator_detail(context, index)
            assert row == (
                index,
                detail.name,
                detail.layer_method,
                detail.task_type,
                detail.task_type_name,
                detail.kind,
                detail.origin,
                detail.variant_ids,
                detail.grid_dim,
                detail.num_subtasks,
                detail.num_tasks,
                detail.task_ranges[0][0],
                detail.task_ranges[-1][1],
                " ".join(slot.name for slot in detail.slots if not slot.is_output),
                " ".join(slot.name for slot in detail.slots if slot.is_output),
                detail.num_events_in,
                detail.num_events_out + detail.num_remote_events_out,
                detail.first_level,
                detail.last_level,
                detail.bytes_read,
                detail.bytes_written,
            )


def test_no_operators():
    graph = read_graph(EXAMPLE)
    table = operator_list(GraphContext(graph, OperatorSet((), graph.num_tasks)))
    assert table.num_rows == 0
