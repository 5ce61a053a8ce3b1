"""A graph from a parsed JSON document and back, value by value: what the fast code must equal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from mpkgraph.model.graph import (
    EVENT_KEYS,
    NULL_TASK_TYPE,
    SLOT_KEYS,
    TASK_KEYS,
    TASK_SCALARS,
    EventColumns,
    ExtraField,
    SlotLayout,
    TaskColumns,
    TaskGraph,
)
from mpkgraph.model.ids import EVENT_INVALID_ID

NULL_TASK = dict.fromkeys(TASK_SCALARS, -1) | {
    "task_type": NULL_TASK_TYPE,
    "variant_id": 0,
    "dependent_event": EVENT_INVALID_ID,
    "trigger_event": EVENT_INVALID_ID,
}
TOP_KEYS = ("all_events", "all_tasks", "first_tasks")


def graph_from_document(document: dict[str, Any], rank: int = 0) -> TaskGraph:
    """The graph of what `json.loads` returned."""
    layouts: list[SlotLayout] = []
    positions: dict[str, int] = {}
    starts, num_inputs, slot_layouts, slot_offsets = [0], [], [], []
    tasks = document["all_tasks"] or []
    for task in tasks:
        inputs, outputs = ((task or {}).get(key) or [] for key in ("inputs", "outputs"))
        for slot in inputs + outputs:
            layout = _layout(slot)
            # By text: what an extra holds need not be hashable, and 1 is not 1.0.
            slot_layouts.append(positions.setdefault(_strict(layout), len(layouts)))
            if slot_layouts[-1] == len(layouts):
                layouts.append(layout)
            slot_offsets.append(slot["offset"])
        num_inputs.append(len(inputs))
        starts.append(len(slot_layouts))
    scalars = {key: [(task or NULL_TASK)[key] for task in tasks] for key in TASK_SCALARS}
    events = document["all_events"] or []
    return TaskGraph(
        tasks=TaskColumns(
            task_types=np.array(scalars["task_type"], np.int32),
            variant_ids=np.array(scalars["variant_id"], np.int64),
            dependent_events=np.array(scalars["dependent_event"], np.uint64),
            trigger_events=np.array(scalars["trigger_event"], np.uint64),
            request_ids=np.array(scalars["request_id"], np.int32),
            kv_idxs=np.array(scalars["kv_idx"], np.int32),
            merge_task_offsets=np.array(scalars["merge_task_offset"], np.int32),
            expert_offsets=np.array(scalars["expert_offset"], np.int32),
            task_offsets=np.array(scalars["task_offset"], np.int32),
            num_inputs=np.array(num_inputs, np.uint8),
            slot_starts=np.array(starts, np.int64),
            slot_layouts=np.array(slot_layouts, np.int32),
            slot_offsets=np.array(slot_offsets, np.int64),
            extras=_extras(tasks, TASK_KEYS),
        ),
        events=EventColumns(
            event_types=np.array([event["event_type"] for event in events], np.int32),
            first_task_ids=np.array([event["first_task_id"] for event in events], np.uint64),
            last_task_ids=np.array([event["last_task_id"] for event in events], np.uint64),
            num_triggers=np.array([event["num_triggers"] for event in events], np.int64),
            extras=_extras(events, EVENT_KEYS),
        ),
        first_tasks=np.array(document["first_tasks"] or [], np.int64),
        layouts=tuple(layouts),
        rank=rank,
        extras={key: document[key] for key in document if key not in TOP_KEYS},
    )


def document_from_graph(graph: TaskGraph) -> dict[str, Any]:
    """What `json.loads` would return for the graph's file, empty arrays as Mirage writes them."""
    tasks, events = graph.tasks, graph.events
    all_tasks: list[Any] = []
    for task in range(graph.num_tasks):
        if tasks.task_types[task] == NULL_TASK_TYPE:
            all_tasks.append(None)
            continue
        record = {key: int(getattr(tasks, _column(key))[task]) for key in TASK_SCALARS}
        for key, slots in (("inputs", graph.inputs(task)), ("outputs", graph.outputs(task))):
            record[key] = [
                {
                    "base_ptr": slot.base_ptr,
                    "data_type": slot.data_type,
                    "dims": list(slot.dims),
                    "offset": slot.offset,
                    "strides": list(slot.strides),
                    **dict(slot.layout.extra),
                }
                for slot in slots
            ] or None
        all_tasks.append(record | _extra_of(tasks.extras, task))
    all_events = [
        {key: int(getattr(events, _column(key))[event]) for key in EVENT_KEYS}
        | _extra_of(events.extras, event)
        for event in range(graph.num_events)
    ]
    return {
        "all_events": all_events or None,
        "all_tasks": all_tasks or None,
        "first_tasks": graph.first_tasks.tolist() or None,
        **graph.extras,
    }


def assert_same_graph(left: TaskGraph, right: TaskGraph) -> None:
    """Equal in every column, its type included, and every field; `source` is left out.

    Layouts may be numbered differently: slots are compared by what they mean.
    """
    for columns in ("tasks", "events"):
        one, other = getattr(left, columns), getattr(right, columns)
        assert one.extras.keys() == other.extras.keys()
        for name, value in vars(one).items():
            if isinstance(value, np.ndarray) and name in type(one).__dataclass_fields__:
                twin = getattr(other, name)
                assert value.dtype == twin.dtype, name
                assert not value.flags.writeable, name
                assert not twin.flags.writeable, name
                if name != "slot_layouts":
                    assert np.array_equal(value, twin), name
    assert left.first_tasks.dtype == right.first_tasks.dtype
    assert left.rank == right.rank
    # Text tells 1 from 1.0 and from True, which == does not.
    assert _text(document_from_graph(left)) == _text(document_from_graph(right))


def _text(document: Any) -> str:
    return json.dumps(document, sort_keys=True)


def _strict(layout: SlotLayout) -> str:
    return _text([layout.base_ptr, layout.data_type, layout.dims, layout.strides, layout.extra])


def _column(key: str) -> str:
    return "num_triggers" if key == "num_triggers" else f"{key}s"


def _layout(slot: dict[str, Any]) -> SlotLayout:
    return SlotLayout(
        base_ptr=slot["base_ptr"],
        data_type=slot["data_type"],
        dims=tuple(slot["dims"]),
        strides=tuple(slot["strides"]),
        extra=tuple((key, slot[key]) for key in sorted(slot) if key not in SLOT_KEYS),
    )


def _extras(records: list[Any], known: tuple[str, ...]) -> dict[str, ExtraField]:
    keys = sorted({key for record in records for key in record or () if key not in known})
    found = {}
    for key in keys:
        texts: dict[str, int] = {}
        values: list[Any] = []
        codes = []
        for record in records:
            if key not in (record or ()):
                codes.append(-1)
                continue
            codes.append(texts.setdefault(_text(record[key]), len(values)))
            if codes[-1] == len(values):
                values.append(record[key])
        found[key] = ExtraField(tuple(values), np.array(codes, np.int32))
    return found


def _extra_of(extras: Any, record: int) -> dict[str, Any]:
    return {key: field.get(record) for key, field in extras.items() if field.has(record)}
