"""What both graphs cost: tasks, events, bytes, depth."""

from __future__ import annotations

import numpy as np

from mpkgraph.analysis.diff.result import Cost
from mpkgraph.analysis.diff.side import Side


def compare_costs(left: Side, right: Side) -> tuple[Cost, ...]:
    """Numbers of both sides, those that are equal too."""
    columns = [_costs(left), _costs(right)]
    return tuple(
        Cost(name, columns[0][name][0], columns[1][name][0], unit)
        for name, (_, unit) in columns[0].items()
    )


def _costs(side: Side) -> dict[str, tuple[int | None, str]]:
    graph = side.graph
    tasks = graph.tasks
    sizes = side.view.layout_extents.num_bytes
    by_slot = sizes[tasks.slot_layouts] if len(sizes) else np.empty(0, dtype=np.int64)
    outputs = tasks.slot_is_output
    is_known = not (by_slot < 0).any()
    levels = side.view.levels
    return {
        "tasks": (graph.num_tasks, ""),
        "operators": (len(side.operators), ""),
        "events": (graph.num_events, ""),
        "tensors": (len(graph.tensors), ""),
        "read": (int(by_slot[~outputs].sum()) if is_known else None, "bytes"),
        "written": (int(by_slot[outputs].sum()) if is_known else None, "bytes"),
        "depth": (levels.depth, "tasks"),
        "width": (levels.width, "tasks"),
    }
