"""Details of tasks, events, operators and tensors as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter, cell, count, size

if TYPE_CHECKING:
    from mpkgraph.analysis.event_detail import EventDetail
    from mpkgraph.analysis.groups import TaskGroup
    from mpkgraph.analysis.operator_detail import OperatorDetail, OperatorLink
    from mpkgraph.analysis.table import Table
    from mpkgraph.analysis.task_detail import MetadataField, SlotDetail, TaskDetail
    from mpkgraph.analysis.tensor_detail import TensorDetail, TensorUse

MAX_GROUPS = 12
"""Operators named in one line; more are counted."""
AXES = "xyz"
SLOT_CELLS = ("type", "tile", "elements", "bytes", "size", "strides")


def task_text(out: TextWriter, task: TaskDetail) -> None:
    """One task: operator, metadata, tiles, and both sides of its events."""
    out.heading(f"task {task.task_id}", task.task_type_name)
    if task.is_null:
        out.paragraph("null in the file: the generator lost this task (see docs, the file format)")
        return
    out.fields(
        [
            ("type", f"{task.task_type_name} ({task.task_type})"),
            ("variant_id", task.variant_id),
            ("operator", _operator_of(task)),
            ("grid position", _grid_position(task)),
            ("level", None if task.level < 0 else task.level),
            ("first task", "yes (listed in first_tasks)" if task.is_first_task else None),
            ("metadata", _metadata(task.metadata)),
            *unknown_fields(task.extras),
        ]
    )
    event_side(out, "waits on", task.dependent_event, task.waits_on, triggered=True)
    event_side(out, "triggers", task.trigger_event, task.triggers, triggered=False)
    slot_table(out, "inputs", task.inputs)
    slot_table(out, "outputs", task.outputs)


def event_text(out: TextWriter, event: EventDetail) -> None:
    """One event: its range, who triggers it and who waits on it."""
    out.heading(f"event {event.event_index}", event.event_type_name or f"of rank {event.rank}")
    gated = None
    if event.first_task_id is not None and event.last_task_id is not None:
        gated = f"[{event.first_task_id}, {event.last_task_id})"
    out.fields(
        [
            ("type", None if event.event_type is None else _typed(event)),
            ("event id", event.event_id),
            ("rank", event.rank),
            ("counted through", "NVSHMEM" if event.nvshmem else None),
            ("tasks it gates", gated),
            ("num_triggers", event.num_triggers),
            ("level", event.level if event.level is not None and event.level >= 0 else None),
            ("triggered by", groups_text(event.triggered_by) or "no task of this rank"),
            ("triggered from elsewhere", _elsewhere(event.triggering_elsewhere)),
            ("waiting", groups_text(event.waiting) or "no task of this rank"),
            ("waiting elsewhere", _elsewhere(event.waiting_elsewhere)),
            *unknown_fields(event.extras),
        ]
    )
    missing = _missing_triggers(event)
    if missing:
        out.paragraph(missing, fg="yellow")


def operator_text(out: TextWriter, operator: OperatorDetail) -> None:
    """One operator: grid, slots with their splits, events and neighbours."""
    out.heading(f"operator {operator.index}  {operator.name}", operator.task_type_name)
    missing = operator.num_missing_tasks
    out.fields(
        [
            ("type", f"{operator.task_type_name} ({operator.task_type})"),
            ("layer", operator.layer_method),
            ("registered as", operator.register_name),
            ("known from", _ORIGINS.get(operator.origin, operator.origin)),
            ("variant_id", ", ".join(map(str, operator.variant_ids))),
            ("grid_dim", f"({', '.join(map(str, operator.grid_dim))})"),
            ("subtasks", operator.num_subtasks if operator.num_subtasks > 1 else None),
            ("tasks", f"{count(operator.num_tasks, 'task')}: {_ranges(operator.task_ranges)}"),
            ("missing tasks", f"{missing} (not in the file)" if missing else None),
            ("levels", _levels(operator.first_level, operator.last_level)),
            ("metadata", _metadata_rule(operator.metadata)),
            ("events in", _counted_ranges(operator.num_events_in, operator.events_in)),
            ("events out", _counted_ranges(operator.num_events_out, operator.events_out)),
            ("events of other ranks", operator.num_remote_events_out or None),
            ("bytes read", _bytes(operator.bytes_read)),
            ("bytes written", _bytes(operator.bytes_written)),
        ]
    )
    slots = operator.slots
    if slots:
        out.heading("slots")
        out.table(
            {
                "slot": _slot_names(slots),
                "tensor": [slot.name for slot in slots],
                "type": [slot.data_type_name for slot in slots],
                "whole": [
                    extents(slot.tensor_dims, slot.known_dims, exact=operator.origin == "recorded")
                    for slot in slots
                ],
                "input_map": [input_map(slot.input_map, slot.known_map) for slot in slots],
                "tile": [cell(slot.tile_dims) for slot in slots],
                "tiles": [slot.num_tiles for slot in slots],
                "bytes": [_bytes(slot.tile_bytes) or "?" for slot in slots],
            }
        )
    _link_table(out, "waits on", operator.producers)
    _link_table(out, "waited on by", operator.consumers)
    if operator.ambiguities:
        out.heading("not told by the tasks")
        for sentence in operator.ambiguities:
            out.paragraph(sentence)


def tensor_text(out: TextWriter, tensor: TensorDetail) -> None:
    """One tensor: how slots see it, and its writers and readers in order."""
    out.heading(f"tensor {tensor.name}")
    out.fields(
        [
            ("bytes spanned", _bytes(tensor.num_bytes)),
            ("first task", tensor.first_task_id),
            ("last task", tensor.last_task_id),
            *(
                (
                    "seen as",
                    (
                        f"{view.data_type_name} {extents(view.dims, view.known_dims)}, "
                        f"strides {cell(view.strides)}"
                    ),
                )
                for view in tensor.views
            ),
        ]
    )
    _use_table(out, "written by", tensor.writers)
    _use_table(out, "read by", tensor.readers)


def table_text(out: TextWriter, table: Table) -> None:
    """A listing; columns without any value are left out, and tasks have the columns people read."""
    out.heading(table.name, count(table.num_rows, "row"))
    columns = table.to_columns()
    readable = _READABLE.get(table.name)
    if readable is not None:
        columns = readable(columns)
    columns = {
        name: values
        for name, values in columns.items()
        if any(value is not None and value != "" for value in values)
    }
    if table.num_rows:
        out.table(columns)


def _readable_tasks(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        "task": columns["task_id"],
        **({"hops": columns["hops"]} if "hops" in columns else {}),
        "type": columns["task_type_name"],
        "variant": columns["variant_id"],
        "operator": [
            None if index is None else f"{index} {name}"
            for index, name in zip(columns["operator"], columns["operator_name"], strict=True)
        ],
        "grid": [
            None if x is None else f"({x}, {y}, {z})"
            for x, y, z in zip(columns["grid_x"], columns["grid_y"], columns["grid_z"], strict=True)
        ],
        "level": columns["level"],
        "waits on": _events(columns, "dependent"),
        "triggers": _events(columns, "trigger"),
        **{name: values for name, values in columns.items() if name in _TASK_TENSORS},
    }


def _events(columns: dict[str, list[Any]], side: str) -> list[Any]:
    """Event indices; with their rank where the tasks name events of several."""
    indices, ranks = columns[f"{side}_event_index"], columns[f"{side}_event_rank"]
    if len({rank for rank in ranks if rank is not None}) < 2:
        return indices
    return [
        None if index is None else f"{index} of rank {rank}"
        for index, rank in zip(indices, ranks, strict=True)
    ]


def _readable_operators(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        "operator": columns["operator"],
        "name": columns["name"],
        "layer": columns["layer_method"],
        "grid": [f"({', '.join(map(str, grid))})" for grid in columns["grid_dim"]],
        "tasks": columns["num_tasks"],
        "ids": [
            f"{first}-{last}"
            for first, last in zip(columns["first_task_id"], columns["last_task_id"], strict=True)
        ],
        "ev in": columns["num_events_in"],
        "ev out": columns["num_events_out"],
        "level": [
            _levels(first, last)
            for first, last in zip(columns["first_level"], columns["last_level"], strict=True)
        ],
        "read": [_bytes(number) for number in columns["bytes_read"]],
        "written": [_bytes(number) for number in columns["bytes_written"]],
        "inputs": columns["inputs"],
        "outputs": columns["outputs"],
    }


_TASK_TENSORS = ("inputs", "outputs")
_READABLE = {"tasks": _readable_tasks, "operators": _readable_operators}


def input_map(axes: Sequence[int], known: Sequence[bool]) -> str:
    """Which tensor dim each grid axis splits; `?` where the tasks do not tell.

    >>> input_map((1, -1, -1), (True, True, False))
    'x→1'
    >>> input_map((-1, -1, -1), (True, False, True))
    '-'
    """
    parts = [
        f"{axis}→{dim}{'' if sure else '?'}"
        for axis, dim, sure in zip(AXES, axes, known, strict=True)
        if dim >= 0
    ]
    return " ".join(parts) or "-"


def extents(dims: Sequence[int], known: Sequence[bool], *, exact: bool = False) -> str:
    """Extents of a tensor; `≥` before one that is only a lower bound.

    >>> extents((8, 4096), (False, True))
    '≥8x4096'
    """
    if not dims:
        return "-"
    return "x".join(
        f"{'' if sure or exact else '≥'}{dim}" for dim, sure in zip(dims, known, strict=True)
    )


def unknown_fields(extras: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fields that this version does not know, their values as JSON."""
    import orjson

    return [(printable(key), orjson.dumps(value).decode()) for key, value in extras.items()]


def groups_text(groups: Sequence[TaskGroup]) -> str:
    """Tasks by operator, in one line."""
    shown = [str(group) for group in groups[:MAX_GROUPS]]
    left = len(groups) - len(shown)
    return "; ".join([*shown, *([f"{left} more operators"] if left else [])])


_ORIGINS = {
    "recorded": "the record (exact)",
    "recovered": "the tasks alone (see 'not told by the tasks')",
}


def _operator_of(task: TaskDetail) -> str | None:
    if task.operator is None:
        return None
    layer = f", {task.layer_method}" if task.layer_method else ""
    return f"{task.operator} {task.operator_name}{layer}"


def _grid_position(task: TaskDetail) -> str | None:
    if task.grid_position is None or task.grid_dim is None:
        return None
    subtask = "" if task.subtask is None else f", subtask {task.subtask}"
    position, grid = (", ".join(map(str, point)) for point in (task.grid_position, task.grid_dim))
    return f"({position}) of ({grid}){subtask}"


def _metadata(fields: Sequence[MetadataField]) -> str:
    parts = []
    for field in fields:
        holds = f" [{coordinate(field.holds)}]" if field.holds else ""
        parts.append(f"{field.name} {field.value}{holds}")
    return ", ".join(parts)


def _metadata_rule(rule: Sequence[tuple[str, str]]) -> str | None:
    return ", ".join(f"{name} = {coordinate(holds)}" for name, holds in rule) or None


def coordinate(holds: str) -> str:
    return "grid position counted x first" if holds == "linear" else f"grid {holds}"


def event_side(
    out: TextWriter, label: str, event_id: int, event: EventDetail | None, *, triggered: bool
) -> None:
    out.heading(label)
    if event is None:
        nothing = "waits on nothing: it may start at once" if triggered else "triggers nothing"
        out.paragraph(f"{nothing} (event id {event_id})")
        return
    kind = event.event_type_name or f"an event of rank {event.rank}"
    tag = ", NVSHMEM" if event.nvshmem else ""
    out.fields(
        [
            ("event", f"{event.event_index}  {kind}{tag}  (id {event_id})"),
            ("num_triggers", event.num_triggers),
            ("triggered by", groups_text(event.triggered_by) or None),
            ("triggered from elsewhere", _elsewhere(event.triggering_elsewhere)),
            ("waiting", (groups_text(event.waiting) or "no task") if not triggered else None),
            ("waiting elsewhere", _elsewhere(event.waiting_elsewhere) if not triggered else None),
        ]
    )


def _elsewhere(groups: Sequence[TaskGroup]) -> str | None:
    text = groups_text(groups)
    return f"counterparts on other ranks of {text}" if text else None


def slot_table(out: TextWriter, label: str, slots: Sequence[SlotDetail]) -> None:
    if not slots:
        return
    out.heading(label)
    out.table(
        {
            "slot": [slot.position for slot in slots],
            "tensor": [slot.tensor for slot in slots],
            **dict(zip(SLOT_CELLS, zip(*map(slot_cells, slots), strict=True), strict=True)),
            **_slot_extras(slots),
        }
    )


def slot_cells(slot: SlotDetail) -> tuple[str, ...]:
    """What a line tells of a slot but its position and tensor, in the order of `SLOT_CELLS`."""
    placed = slot.first_byte is not None
    return (
        slot.data_type_name,
        cell(slot.dims),
        _box(slot),
        f"[{slot.first_byte}, {slot.end_byte})" if placed else "?",
        _bytes(slot.num_bytes) or "?",
        cell(slot.strides),
    )


def _slot_extras(slots: Sequence[SlotDetail]) -> dict[str, list[Any]]:
    names = dict.fromkeys(key for slot in slots for key in slot.extra)
    return {name: [slot.extra.get(name) for slot in slots] for name in names}


def _box(slot: SlotDetail) -> str:
    if slot.starts is None or slot.stops is None:
        return "?" if slot.dims else "-"
    return "[" + ", ".join(f"{a}:{b}" for a, b in zip(slot.starts, slot.stops, strict=True)) + "]"


def _slot_names(slots: Sequence[Any]) -> list[str]:
    inputs = sum(not slot.is_output for slot in slots)
    return [
        f"out{slot.position - inputs}" if slot.is_output else f"in{slot.position}" for slot in slots
    ]


def _link_table(out: TextWriter, label: str, links: Sequence[OperatorLink]) -> None:
    if not links:
        return
    out.heading(label)
    out.table(
        {
            "operator": [link.operator for link in links],
            "name": [link.name for link in links],
            "events": [link.num_events for link in links],
            "triggering tasks": [link.num_triggering for link in links],
            "waiting tasks": [link.num_waiting for link in links],
            "via": ["another rank" if link.is_remote else "" for link in links],
        }
    )


def _use_table(out: TextWriter, label: str, uses: Sequence[TensorUse]) -> None:
    out.heading(label)
    if not uses:
        out.paragraph("no declared slot")
        return
    out.table(
        {
            "operator": [use.operator for use in uses],
            "name": [use.name for use in uses],
            "slot": [use.position for use in uses],
            "tile": [cell(use.tile_dims) for use in uses],
            "tasks": [use.num_tasks for use in uses],
            "tiles": [use.num_tiles for use in uses],
            "bytes": [_bytes(use.tile_bytes) or "?" for use in uses],
            "span": [f"[{use.first_byte}, {use.end_byte})" for use in uses],
            "task ids": [f"{use.first_task_id}-{use.last_task_id}" for use in uses],
        }
    )


def _typed(event: EventDetail) -> str:
    return f"{event.event_type_name} ({event.event_type})"


def _missing_triggers(event: EventDetail) -> str | None:
    """A count that cannot complete, as far as this rank's file tells."""
    wanted = event.num_triggers
    if wanted is None or not event.triggered_by or event.triggering_elsewhere:
        return None
    if event.num_triggering < wanted:
        return (
            f"only {event.num_triggering} of {wanted} triggers have a task in this file: "
            "the event never completes"
        )
    return None


def _counted_ranges(number: int, ranges: Any) -> str:
    return f"{count(number, 'event')}: {_ranges(ranges)}" if number else "none"


def _ranges(ranges: Any) -> str:
    from mpkgraph.analysis.ranges import format_ranges

    return format_ranges(ranges)


def _levels(first: int, last: int) -> str | None:
    if last < 0:
        return None
    return str(first) if first == last else f"{first}-{last}"


def _bytes(number: int | None) -> str | None:
    return None if number is None else size(number)
