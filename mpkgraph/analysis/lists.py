"""Listings of tasks, slots, events, operators and tensors as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import Csr, IntArray, expand_ranges, unique_pairs
from mpkgraph.analysis.event_graph import EventGraph, Side
from mpkgraph.analysis.operator_list import operator_list
from mpkgraph.analysis.table import Column, Table
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import numbered
from mpkgraph.model.graph import NULL_TASK_TYPE
from mpkgraph.model.operator import OperatorSet

__all__ = ["event_list", "grid_positions", "operator_list", "slot_list", "task_list"]


def task_list(context: GraphContext, task_ids: IntArray | None = None) -> Table:
    """One row a task: all tasks or those given, in the order given."""
    graph, tasks = context.graph, context.graph.tasks
    chosen = _all_or(task_ids, graph.num_tasks)

    def column(name: str) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = (
            getattr(tasks, name) if task_ids is None else tasks.values(name, chosen)
        )
        return values

    owners = context.operators.owners(chosen)
    positions = grid_positions(context.operators, chosen, owners)
    types = column("task_types")
    waits, triggers = column("dependent_events"), column("trigger_events")
    null = types == NULL_TASK_TYPE
    levels = context.levels.of_tasks(chosen)
    num_slots = tasks.slot_counts(chosen)
    num_inputs = column("num_inputs").astype(np.int64)
    unowned = owners < 0
    return Table(
        "tasks",
        {
            "task_id": Column(chosen, "position in all_tasks"),
            "task_type": Column(types, "number of the task type", null),
            "task_type_name": Column(
                _named(types, context.catalog.task_type_name),
                "name of the task type; null for a task that the file holds as null",
            ),
            "variant_id": Column(column("variant_ids"), "generated kernel call", null),
            "operator": Column(owners, "index of the operator", unowned),
            "operator_name": Column(
                _named(owners, lambda i: context.operator_names[i] if i >= 0 else None),
                "name of the operator",
            ),
            "grid_x": Column(positions[:, 0], "grid point of the operator", unowned),
            "grid_y": Column(positions[:, 1], "grid point of the operator", unowned),
            "grid_z": Column(positions[:, 2], "grid point of the operator", unowned),
            "level": Column(levels, "tasks on the longest chain before it", levels < 0),
            "dependent_event": Column(waits, "64-bit id of the event it waits on", null),
            "dependent_event_index": Column(
                ids.event_indices(waits), "its index", ids.event_indices(waits) < 0
            ),
            "dependent_event_rank": Column(
                ids.event_ranks(waits), "rank that owns it", ids.event_ranks(waits) < 0
            ),
            "trigger_event": Column(triggers, "64-bit id of the event it triggers", null),
            "trigger_event_index": Column(
                ids.event_indices(triggers), "its index", ids.event_indices(triggers) < 0
            ),
            "trigger_event_rank": Column(
                ids.event_ranks(triggers), "rank that owns it", ids.event_ranks(triggers) < 0
            ),
            "request_id": Column(column("request_ids"), "view of the metadata", null),
            "kv_idx": Column(column("kv_idxs"), "view of the metadata", null),
            "merge_task_offset": Column(column("merge_task_offsets"), "view of the metadata", null),
            "expert_offset": Column(column("expert_offsets"), "view of the metadata", null),
            "task_offset": Column(column("task_offsets"), "view of the metadata", null),
            "num_inputs": Column(num_inputs, "declared inputs", null),
            "num_outputs": Column(num_slots - num_inputs, "declared outputs", null),
        },
    )


def slot_list(context: GraphContext, task_ids: IntArray | None = None) -> Table:
    """One row a tensor slot of the tasks: the tile that it names."""
    graph, tasks = context.graph, context.graph.tasks
    chosen = _all_or(task_ids, graph.num_tasks)
    starts = tasks.slot_starts[chosen]
    sizes = tasks.slot_counts(chosen)
    places = expand_ranges(starts, sizes)
    owners = np.repeat(chosen, sizes)
    position = places - np.repeat(starts, sizes)
    codes = tasks.values("slot_layouts", places)
    offsets = tasks.values("slot_offsets", places)
    num_inputs = np.repeat(tasks.values("num_inputs", chosen), sizes)
    layouts, extents = graph.layouts, context.layout_extents
    element = np.array(
        [context.catalog.data_type_size(layout.data_type) or 0 for layout in layouts],
        dtype=np.int64,
    )
    element_bytes = element[codes]
    uneven = (element_bytes == 0) | (offsets % np.maximum(element_bytes, 1) != 0)
    num_bytes = extents.num_bytes[codes]
    unknown = ~extents.placed(codes, offsets)
    return Table(
        "slots",
        {
            "task_id": Column(owners, "task"),
            "position": Column(position, "position among its slots, inputs first"),
            "is_output": Column(position >= num_inputs, "whether it is declared as an output"),
            "tensor": Column(_named(codes, lambda i: layouts[i].base_ptr), "base_ptr"),
            "data_type": Column(
                _named(codes, lambda i: context.catalog.data_type_name(layouts[i].data_type)),
                "element type",
            ),
            "dims": Column(_named(codes, lambda i: layouts[i].dims), "of the tile, in elements"),
            "strides": Column(
                _named(codes, lambda i: layouts[i].strides), "of the tensor, in elements"
            ),
            "offset": Column(offsets, "bytes from the tensor's base"),
            "offset_elems": Column(
                offsets // np.maximum(element_bytes, 1), "elements from the tensor's base", uneven
            ),
            "first_byte": Column(
                offsets + extents.lowest[codes], "lowest byte of the tile", unknown
            ),
            "end_byte": Column(
                offsets + extents.end[codes], "past the highest byte of the tile", unknown
            ),
            "num_bytes": Column(num_bytes, "distinct bytes of the tile", unknown),
        },
    )


def event_list(context: GraphContext, event_indices: IntArray | None = None) -> Table:
    """One row an event of this graph."""
    events = context.graph.events
    chosen = _all_or(event_indices, context.graph.num_events)
    levels = context.levels.event_levels[chosen]
    here = _EventTasks.of(context, context.events, "trigger", event_indices)
    anywhere = _EventTasks.of(context, context.all_ranks, "trigger", event_indices)
    waiting = _EventTasks.of(context, context.events, "dependent", event_indices)
    triggered, everywhere = here.sizes(chosen), anywhere.sizes(chosen)
    return Table(
        "events",
        {
            "event_index": Column(chosen, "position in all_events"),
            "event_type": Column(events.event_types[chosen], "number of the event type"),
            "event_type_name": Column(
                _named(events.event_types[chosen], context.catalog.event_type_name),
                "name of the event type",
            ),
            "first_task_id": Column(events.first_task_ids[chosen], "start of the range it gates"),
            "last_task_id": Column(events.last_task_ids[chosen], "past the end of that range"),
            "num_triggers": Column(events.num_triggers[chosen], "triggers that complete it"),
            "num_triggering": Column(triggered, "tasks of this rank that trigger it"),
            "num_triggering_elsewhere": Column(
                everywhere - triggered,
                "tasks here that trigger the event of this index on other ranks",
            ),
            "num_waiting": Column(waiting.sizes(chosen), "tasks of this rank that wait on it"),
            "level": Column(
                levels, "tasks on the longest chain that ends by triggering it", levels < 0
            ),
            "producers": Column(here.operators(context, chosen), "operators that trigger it"),
            "consumers": Column(waiting.operators(context, chosen), "operators that wait on it"),
        },
    )


@dataclass(frozen=True)
class _EventTasks:
    """Tasks of some events, and the node of each."""

    num_nodes: int
    nodes: IntArray
    task_ids: IntArray | None
    """None for all tasks of the graph."""

    @classmethod
    def of(
        cls, context: GraphContext, events: EventGraph, side: Side, chosen: IntArray | None
    ) -> _EventTasks:
        """Of some events, few of which may be had without all tasks; None for all events."""
        if chosen is None:
            nodes = events.dependent_nodes if side == "dependent" else events.trigger_nodes
            return cls(context.graph.num_events, nodes, None)
        task_ids = events.tasks_of(side, chosen)
        of_tasks = events.dependents_of if side == "dependent" else events.triggers_of
        return cls(context.graph.num_events, of_tasks(task_ids), task_ids)

    def sizes(self, chosen: IntArray) -> IntArray:
        """How many tasks each event has."""
        local = self.nodes[(self.nodes >= 0) & (self.nodes < self.num_nodes)]
        counts: IntArray = np.bincount(local, minlength=self.num_nodes)[chosen]
        return counts

    def operators(self, context: GraphContext, chosen: IntArray) -> list[str | None]:
        """Operators of each event's tasks as `index name`, joined."""
        operators, names = context.operators, context.operator_names
        owner = (
            operators.task_operators if self.task_ids is None else operators.owners(self.task_ids)
        )
        own = (self.nodes >= 0) & (owner >= 0)
        event, operator, _ = unique_pairs(self.nodes[own], owner[own])
        texts: dict[int, list[str]] = {}
        for node, index in zip(event.tolist(), operator.tolist(), strict=True):
            texts.setdefault(node, []).append(f"{index} {names[index]}")
        return ["; ".join(texts[node]) if node in texts else None for node in chosen.tolist()]


def grid_positions(
    operators: OperatorSet,
    task_ids: IntArray | None = None,
    owners: npt.NDArray[np.int32] | None = None,
) -> npt.NDArray[np.int32]:
    """(number of tasks, 3): grid point of every task, or of those given with the operator of each;
    -1 for tasks of no operator.
    """
    if task_ids is None or owners is None:
        task_ids = np.arange(operators.num_tasks, dtype=np.int64)
        owners = operators.task_operators
    positions = np.full((len(task_ids), 3), -1, dtype=np.int32)
    rows = Csr.group(owners, len(operators))
    for index in np.flatnonzero(rows.sizes()).tolist():
        chosen, operator = rows.row(index), operators[index]
        wanted, own = task_ids[chosen], operator.task_ids
        if len(wanted) == len(own) and (wanted == own).all():
            place = np.arange(len(own))
        else:
            order = np.argsort(own, kind="stable")
            place = order[np.searchsorted(own, wanted, sorter=order)]
        if operator.grid_positions is not None:
            positions[chosen] = operator.grid_positions[place]
            continue
        _, ny, nz = operator.grid_dim
        point = place // operator.num_subtasks
        positions[chosen, 0] = point // (ny * nz)
        positions[chosen, 1] = point // nz % ny
        positions[chosen, 2] = point % nz
    return positions


def _all_or(chosen: IntArray | None, count: int) -> IntArray:
    return np.arange(count, dtype=np.int64) if chosen is None else chosen


def _named(codes: npt.NDArray[np.integer], name: Callable[[int], object]) -> list[object]:
    """A value for each code, computed once for each distinct one."""
    found, inverse = numbered(codes)
    values = [name(code) for code in found.tolist()]
    return [values[i] for i in inverse.tolist()]
