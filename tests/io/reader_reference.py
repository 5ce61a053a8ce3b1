"""The plain way to read a graph: the whole text through the standard library, value by value.

What the reader's paths are compared with. `reference` raises ValueError for whatever the reader
must refuse.
"""

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
    TaskColumns,
    TaskGraph,
)
from mpkgraph.model.ids import EVENT_INVALID_ID

INT32 = (-(1 << 31), (1 << 31) - 1)
INT64 = (-(1 << 63), (1 << 63) - 1)
COUNT = (0, INT64[1])
UINT64 = (0, (1 << 64) - 1)
RANGES = {
    "task_type": (0, INT32[1]),
    "variant_id": INT64,
    "dependent_event": UINT64,
    "trigger_event": UINT64,
    "request_id": INT32,
    "kv_idx": INT32,
    "merge_task_offset": INT32,
    "expert_offset": INT32,
    "task_offset": INT32,
    "event_type": INT32,
    "first_task_id": UINT64,
    "last_task_id": UINT64,
    "num_triggers": COUNT,
    "data_type": INT32,
    "offset": COUNT,
}
COLUMNS = {name: f"{name}s" for name in (*TASK_SCALARS, *EVENT_KEYS)} | {
    "num_triggers": "num_triggers"
}
NULL_TASK = dict.fromkeys(TASK_SCALARS, -1) | {
    "task_type": NULL_TASK_TYPE,
    "variant_id": 0,
    "dependent_event": EVENT_INVALID_ID,
    "trigger_event": EVENT_INVALID_ID,
}


def reference(text: bytes) -> dict[str, Any]:
    """The graph as plain lists. Raises ValueError."""
    decoded = text.removeprefix(b"\xef\xbb\xbf").decode()
    try:
        doc = json.loads(decoded, object_pairs_hook=_object, parse_constant=_refuse)
        json.dumps(doc, ensure_ascii=False, allow_nan=False).encode()  # refuses lone surrogates
        need(_numbers_fit(doc))
    except RecursionError:  # in which of them differs from Python to Python
        raise ValueError("too deep") from None
    need(type(doc) is dict and type(doc.get("all_tasks")) is list)
    need(type(doc.get("all_events")) is list)
    tasks = [_task(task) for task in doc["all_tasks"]]
    events = [_record(event, EVENT_KEYS, EVENT_KEYS) for event in doc["all_events"]]
    first = doc.get("first_tasks")
    need(first is None or type(first) is list)
    first = [_integer(x, COUNT) for x in first or []]
    need(all(x < len(tasks) for x in first))
    need(
        all(
            event[0][field] <= len(tasks)
            for event in events
            for field in ("first_task_id", "last_task_id")
        )
    )
    rank = 0
    if len(tasks) > 1 and tasks[1][0]["trigger_event"] != EVENT_INVALID_ID:
        rank = tasks[1][0]["trigger_event"] >> 32 & 0xFFFF
    for task in tasks:
        for field in ("trigger_event", "dependent_event"):
            event_id = task[0][field]
            if event_id != EVENT_INVALID_ID and event_id >> 32 & 0xFFFF == rank:
                need(event_id & 0xFFFFFFFF < len(events))
    extras = {k: v for k, v in doc.items() if k not in {"all_tasks", "all_events", "first_tasks"}}
    need(all(_depth(value) <= 64 for value in extras.values()))
    return {"tasks": tasks, "events": events, "first_tasks": first, "rank": rank, "extras": extras}


def as_lists(graph: TaskGraph) -> dict[str, Any]:
    """A TaskGraph in the form of `reference`."""
    events = [
        (
            {name: int(getattr(graph.events, COLUMNS[name])[i]) for name in EVENT_KEYS},
            {key: field.get(i) for key, field in graph.events.extras.items() if field.has(i)},
        )
        for i in range(graph.num_events)
    ]
    return {
        "tasks": tasks_as_lists(graph.tasks, list(graph.layouts)),
        "events": events,
        "first_tasks": graph.first_tasks.tolist(),
        "rank": graph.rank,
        "extras": dict(graph.extras),
    }


def tasks_as_lists(tasks: TaskColumns, layouts: list[Any]) -> list[Any]:
    scalars = {name: getattr(tasks, COLUMNS[name]).tolist() for name in TASK_SCALARS}
    starts = tasks.slot_starts.tolist()
    slot_layouts, offsets = tasks.slot_layouts.tolist(), tasks.slot_offsets.tolist()
    num_inputs = tasks.num_inputs.tolist()
    assert starts[0] == 0
    assert starts[-1] == len(offsets)
    assert np.all(np.diff(tasks.slot_starts) >= 0)
    result = []
    for i in range(len(tasks)):
        slots = []
        for j in range(starts[i], starts[i + 1]):
            x = layouts[slot_layouts[j]]
            slots.append((x.base_ptr, x.data_type, x.dims, x.strides, offsets[j], dict(x.extra)))
        extras = {key: field.get(i) for key, field in tasks.extras.items() if field.has(i)}
        scalar = {name: column[i] for name, column in scalars.items()}
        result.append((scalar, extras, slots[: num_inputs[i]], slots[num_inputs[i] :]))
    return result


def need(condition: bool) -> None:
    if not condition:
        raise ValueError


def _refuse(_: str) -> Any:
    raise ValueError


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    need(len(result) == len(pairs))
    return result


def _integer(value: Any, limits: tuple[int, int]) -> int:
    need(type(value) is int and limits[0] <= value <= limits[1])
    return int(value)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 1
    return 1 + max(map(_depth, value), default=0)


def _numbers_fit(value: Any) -> bool:
    if isinstance(value, int):
        return INT64[0] <= value <= UINT64[1]
    if isinstance(value, dict):
        return all(map(_numbers_fit, value.values()))
    return not isinstance(value, list) or all(map(_numbers_fit, value))


def _record(doc: Any, integers: tuple[str, ...], keys: tuple[str, ...]) -> Any:
    need(type(doc) is dict and all(key in doc for key in keys))
    extras = {key: value for key, value in doc.items() if key not in keys}
    need(all(_depth(value) <= 64 for value in extras.values()))
    return {name: _integer(doc[name], RANGES[name]) for name in integers}, extras


def _task(doc: Any) -> Any:
    if doc is None:
        return dict(NULL_TASK), {}, [], []
    scalars, extras = _record(doc, TASK_SCALARS, TASK_KEYS)
    return scalars, extras, _slots(doc["inputs"]), _slots(doc["outputs"])


def _slots(value: Any) -> list[Any]:
    need(value is None or (type(value) is list and len(value) <= 255))
    return [_slot(slot) for slot in value or []]


def _slot(doc: Any) -> Any:
    integers, extras = _record(doc, ("data_type", "offset"), SLOT_KEYS)
    need(type(doc["base_ptr"]) is str)
    for side in ("dims", "strides"):
        need(type(doc[side]) is list)
    dims = tuple(_integer(x, COUNT) for x in doc["dims"])
    strides = tuple(_integer(x, INT64) for x in doc["strides"])
    need(len(dims) == len(strides))
    return doc["base_ptr"], integers["data_type"], dims, strides, integers["offset"], extras
