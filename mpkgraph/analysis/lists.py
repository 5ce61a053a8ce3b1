"""Listings of tasks, slots, events, operators and tensors as tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import IntArray, expand_ranges, unique_pairs
from mpkgraph.analysis.operator_list import operator_list
from mpkgraph.analysis.table import Column, Table
from mpkgraph.model import ids
from mpkgraph.model.distinct import numbered
from mpkgraph.model.operator import OperatorSet

__all__ = ["event_list", "grid_positions", "operator_list", "slot_list", "task_list"]


def task_list(context: GraphContext, task_ids: IntArray | None = None) -> Table:
    """One row a task: all tasks or those given, in the order given."""
    graph, tasks = context.graph, context.graph.tasks
    chosen = _all_or(task_ids, graph.num_tasks)
    owners = context.operators.task_operators[chosen]
    positions = grid_positions(context.operators)[chosen]
    waits, triggers = tasks.dependent_events[chosen], tasks.trigger_events[chosen]
    null = tasks.is_null[chosen]
    levels = context.levels.task_levels[chosen]
    num_slots = tasks.slot_starts[chosen + 1] - tasks.slot_starts[chosen]
    num_inputs = tasks.num_inputs[chosen].astype(np.int64)
    unowned = owners < 0
    return Table(
        "tasks",
        {
            "task_id": Column(chosen, "position in all_tasks"),
            "task_type": Column(tasks.task_types[chosen], "number of the task type", null),
            "task_type_name": Column(
                _named(tasks.task_types[chosen], context.catalog.task_type_name),
                "name of the task type; null for a task that the file holds as null",
            ),
            "variant_id": Column(tasks.variant_ids[chosen], "generated kernel call", null),
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
            "request_id": Column(tasks.request_ids[chosen], "view of the metadata", null),
            "kv_idx": Column(tasks.kv_idxs[chosen], "view of the metadata", null),
            "merge_task_offset": Column(
                tasks.merge_task_offsets[chosen], "view of the metadata", null
            ),
            "expert_offset": Column(tasks.expert_offsets[chosen], "view of the metadata", null),
            "task_offset": Column(tasks.task_offsets[chosen], "view of the metadata", null),
            "num_inputs": Column(num_inputs, "declared inputs", null),
            "num_outputs": Column(num_slots - num_inputs, "declared outputs", null),
        },
    )


def slot_list(context: GraphContext, task_ids: IntArray | None = None) -> Table:
    """One row a tensor slot of the tasks: the tile that it names."""
    graph, tasks = context.graph, context.graph.tasks
    chosen = _all_or(task_ids, graph.num_tasks)
    starts = tasks.slot_starts[chosen]
    sizes = tasks.slot_starts[chosen + 1] - starts
    places = expand_ranges(starts, sizes)
    owners = np.repeat(chosen, sizes)
    position = places - np.repeat(starts, sizes)
    codes = tasks.slot_layouts[places]
    offsets = tasks.slot_offsets[places]
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
            "is_output": Column(
                position >= tasks.num_inputs[owners], "whether it is declared as an output"
            ),
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
    events, here = context.graph.events, context.events
    chosen = _all_or(event_indices, context.graph.num_events)
    levels = context.levels.event_levels[chosen]
    triggered = here.triggering_tasks.sizes()[chosen]
    everywhere = context.all_ranks.triggering_tasks.sizes()[chosen]
    names = context.operator_names

    def operators_of(nodes: IntArray) -> list[str | None]:
        """Operators of each event's tasks as `index name`, joined."""
        owner = context.operators.task_operators
        own = (nodes >= 0) & (owner >= 0)
        event, operator, _ = unique_pairs(nodes[own], owner[own])
        texts: dict[int, list[str]] = {}
        for node, index in zip(event.tolist(), operator.tolist(), strict=True):
            texts.setdefault(node, []).append(f"{index} {names[index]}")
        return ["; ".join(texts[node]) if node in texts else None for node in chosen.tolist()]

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
            "num_waiting": Column(
                here.waiting_tasks.sizes()[chosen], "tasks of this rank that wait on it"
            ),
            "level": Column(
                levels, "tasks on the longest chain that ends by triggering it", levels < 0
            ),
            "producers": Column(operators_of(here.trigger_nodes), "operators that trigger it"),
            "consumers": Column(operators_of(here.dependent_nodes), "operators that wait on it"),
        },
    )


def grid_positions(operators: OperatorSet) -> npt.NDArray[np.int32]:
    """(num_tasks, 3): grid point of every task; -1 for tasks of no operator."""
    positions = np.full((operators.num_tasks, 3), -1, dtype=np.int32)
    for operator in operators:
        if operator.grid_positions is not None:
            positions[operator.task_ids] = operator.grid_positions
            continue
        _, ny, nz = operator.grid_dim
        point = np.arange(operator.num_tasks) // operator.num_subtasks
        positions[operator.task_ids, 0] = point // (ny * nz)
        positions[operator.task_ids, 1] = point // nz % ny
        positions[operator.task_ids, 2] = point % nz
    return positions


def _all_or(chosen: IntArray | None, count: int) -> IntArray:
    return np.arange(count, dtype=np.int64) if chosen is None else chosen


def _named(codes: npt.NDArray[np.integer], name: Callable[[int], object]) -> list[object]:
    """A value for each code, computed once for each distinct one."""
    found, inverse = numbered(codes)
    values = [name(code) for code in found.tolist()]
    return [values[i] for i in inverse.tolist()]
