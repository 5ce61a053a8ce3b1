"""The columns of a page: tasks, slots and events in the order in which they are drawn.

Tasks are put in the order of operators and grid positions, so that what repeats in a graph repeats
in the columns, and a column compresses to next to nothing. 64-bit numbers are split into their low
and high 32 bits, so that a browser never holds one as a double.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import expand_ranges
from mpkgraph.analysis.page.layout import grid_places
from mpkgraph.model.graph import ExtraField

Order = Literal["task", "slot", "event", "row"]
_LOW: Final = np.uint64(0xFFFFFFFF)
_HIGH: Final = np.uint64(32)


@dataclass(frozen=True)
class PageColumn:
    """One column: little-endian int32, uint32 or float64 in the page."""

    name: str
    values: npt.NDArray[Any]


@dataclass(frozen=True)
class TaskOrder:
    """Tasks in the order of the page: operator by operator in grid order, then those of none."""

    task_ids: npt.NDArray[np.int64]
    slots: npt.NDArray[np.int64]
    """Positions in the graph's slot columns: slot 0 of an operator's tasks, then slot 1, ..."""
    cells: npt.NDArray[np.int64]
    """Place of each task in its operator's grid; 0 for a task of none."""

    @classmethod
    def of(cls, context: GraphContext) -> TaskOrder:
        tasks, operators = context.graph.tasks, context.operators
        rest = np.flatnonzero(operators.task_operators < 0)
        order = np.concatenate([*(x.task_ids for x in operators), rest]).astype(np.int64)
        starts, sizes = tasks.slot_starts[:-1], np.diff(tasks.slot_starts)
        slots = [(starts[x.task_ids] + np.arange(len(x.slots))[:, None]).ravel() for x in operators]
        slots.append(expand_ranges(starts[rest], sizes[rest]))
        cells = [grid_places(x) for x in operators]
        cells.append(np.zeros(len(rest), dtype=np.int64))
        return cls(order, np.concatenate(slots), np.concatenate(cells))


def graph_columns(context: GraphContext, order: TaskOrder) -> list[PageColumn]:
    """All columns of tasks, slots and events that the page shows."""
    graph, tasks, events = context.graph, context.graph.tasks, context.graph.events
    ids, slots = order.task_ids, order.slots
    columns = [
        PageColumn("task_id", ids),
        PageColumn("cell", order.cells),
        PageColumn("task_type", tasks.task_types[ids]),
        *wide("variant_id", tasks.variant_ids[ids]),
        *wide("dependent_event", tasks.dependent_events[ids]),
        *wide("trigger_event", tasks.trigger_events[ids]),
        PageColumn("request_id", tasks.request_ids[ids]),
        PageColumn("kv_idx", tasks.kv_idxs[ids]),
        PageColumn("merge_task_offset", tasks.merge_task_offsets[ids]),
        PageColumn("expert_offset", tasks.expert_offsets[ids]),
        PageColumn("task_offset", tasks.task_offsets[ids]),
        PageColumn("num_inputs", tasks.num_inputs[ids].astype(np.int64)),
        PageColumn("num_slots", np.diff(tasks.slot_starts)[ids]),
        PageColumn("level", context.levels.task_levels[ids]),
        PageColumn("slot_layout", tasks.slot_layouts[slots]),
        *wide("slot_offset", tasks.slot_offsets[slots]),
        PageColumn("event_type", events.event_types),
        *wide("first_task_id", events.first_task_ids),
        *wide("last_task_id", events.last_task_ids),
        *wide("num_triggers", events.num_triggers),
        PageColumn("event_level", context.levels.event_levels[: graph.num_events]),
    ]
    for kind, extras, rows in (("task", tasks.extras, ids), ("event", events.extras, None)):
        columns += [
            PageColumn(f"{kind}.{i}", field.codes if rows is None else field.codes[rows])
            for i, (_, field) in enumerate(sorted(extras.items()))
        ]
    return columns


def extra_tables(extras: Mapping[str, ExtraField]) -> list[dict[str, Any]]:
    """Names and values of unknown fields; their codes are columns."""
    return [{"name": name, "values": list(field.values)} for name, field in sorted(extras.items())]


def wide(name: str, values: npt.NDArray[Any]) -> list[PageColumn]:
    """A 64-bit column as two of 32 bits, `.lo` and `.hi`.

    >>> [x.values.tolist() for x in wide("id", np.array([-1, 7], dtype=np.int64))]
    [[4294967295, 7], [4294967295, 0]]
    """
    bits = np.ascontiguousarray(values).view(np.uint64)
    return [PageColumn(f"{name}.lo", bits & _LOW), PageColumn(f"{name}.hi", bits >> _HIGH)]
