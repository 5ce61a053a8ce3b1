"""Differences of a graph as a whole: null tasks, first tasks, events, fields Mirage lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.diff.changes import Change
from mpkgraph.analysis.diff.correspondence import Correspondence
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model.graph import ExtraField, TaskGraph
from mpkgraph.model.ids import NUM_FIXED_TASKS


def whole_changes(
    left: Side, right: Side, pairs: Correspondence, *, explained: bool
) -> list[Change]:
    """What no operator shows. With `explained`, numbers that any change moves are left out."""
    one, other = left.graph, right.graph
    found = []
    if one.num_null_tasks != other.num_null_tasks:
        found.append(Change("fields", "null tasks", one.num_null_tasks, other.num_null_tasks))
    odd = [_odd_first_tasks(x) for x in (one, other)]
    if odd[0] != odd[1]:
        found.append(Change.between("fields", "first_tasks that do not fit", odd))
    tasks = np.flatnonzero(pairs.tasks >= 0)
    events = np.flatnonzero(pairs.events >= 0)
    found += _extras("all_tasks", one.tasks.extras, other.tasks.extras, tasks, pairs.tasks[tasks])
    found += _extras(
        "all_events", one.events.extras, other.events.extras, events, pairs.events[events]
    )
    found += _slot_extras(left, right, tasks, pairs)
    for key in sorted(one.extras.keys() | other.extras.keys()):
        values = [x.extras.get(key) for x in (one, other)]
        if (key in one.extras) != (key in other.extras) or _dumped(values[0]) != _dumped(values[1]):
            found.append(Change.between("fields", key, values))
    if not explained:
        found += _events(one, other, events, pairs.events[events])
    return found


def _odd_first_tasks(graph: TaskGraph) -> int:
    """Tasks that are first and wait on something, or the other way round."""
    waiting = graph.tasks.dependent_indices[NUM_FIXED_TASKS:] >= 0
    idle = np.flatnonzero(~waiting & ~graph.tasks.is_null[NUM_FIXED_TASKS:]) + NUM_FIXED_TASKS
    return (
        len(np.setxor1d(idle, graph.first_tasks))
        + len(graph.first_tasks)
        - len(np.unique(graph.first_tasks))
    )


def _events(one: TaskGraph, other: TaskGraph, lefts: IntArray, rights: IntArray) -> list[Change]:
    found = []
    if one.num_events != other.num_events:
        found.append(Change("events", "number of events", one.num_events, other.num_events))
    columns = (
        ("event_type", one.events.event_types, other.events.event_types),
        ("num_triggers", one.events.num_triggers, other.events.num_triggers),
        (
            "task range",
            (one.events.last_task_ids - one.events.first_task_ids).astype(np.int64),
            (other.events.last_task_ids - other.events.first_task_ids).astype(np.int64),
        ),
    )
    for name, a, b in columns:
        differ = a[lefts] != b[rights]
        if differ.any():
            first = int(np.flatnonzero(differ)[0])
            values = int(a[lefts[first]]), int(b[rights[first]])
            found.append(
                Change.between(
                    "events",
                    _of_events(name, lefts[differ].tolist()),
                    values,
                )
            )
    return found


def _of_events(name: str, events: list[int]) -> str:
    if len(events) == 1:
        return f"{name} of event {events[0]}"
    return f"{name} of {len(events)} events, event {events[0]} first"


def _extras(
    where: str,
    one: Mapping[str, ExtraField],
    other: Mapping[str, ExtraField],
    lefts: IntArray,
    rights: IntArray,
) -> list[Change]:
    found = []
    for key in sorted(one.keys() | other.keys()):
        numbers: dict[bytes, int] = {}
        codes = [
            _codes(x.get(key), places, numbers) for x, places in ((one, lefts), (other, rights))
        ]
        differ = codes[0] != codes[1]
        if differ.any():
            first = int(np.flatnonzero(differ)[0])
            values = [
                _value(x.get(key), int(places[first]))
                for x, places in ((one, lefts), (other, rights))
            ]
            found.append(
                Change.between("fields", f"{where}: {key}", values, num_tasks=int(differ.sum()))
            )
    return found


def _codes(field: ExtraField | None, places: IntArray, numbers: dict[bytes, int]) -> IntArray:
    """By record the number of its value, the same on both sides; -1 for none."""
    if field is None:
        return np.full(len(places), -1, dtype=np.int64)
    own = [numbers.setdefault(_dumped(x), len(numbers)) for x in field.values]
    return np.array([*own, -1], dtype=np.int64)[field.codes[places]]


def _value(field: ExtraField | None, place: int) -> Any:
    return None if field is None or not field.has(place) else field.get(place)


def _slot_extras(left: Side, right: Side, tasks: IntArray, pairs: Correspondence) -> list[Change]:
    numbers: dict[object, int] = {}
    codes = [
        np.array(
            [numbers.setdefault(_dumped(x.extra), len(numbers)) for x in side.graph.layouts],
            dtype=np.int64,
        )
        for side in (left, right)
    ]
    if len(numbers) < 2:
        return []
    sums = []
    for side, code, ids in zip((left, right), codes, (tasks, pairs.tasks[tasks]), strict=True):
        columns = side.graph.tasks
        totals = np.zeros(columns.num_slots + 1, dtype=np.int64)
        np.cumsum(code[columns.slot_layouts] + 1, out=totals[1:])
        sums.append(totals[columns.slot_starts[ids + 1]] - totals[columns.slot_starts[ids]])
    differ = int((sums[0] != sums[1]).sum())
    return [Change("fields", "slots", None, None, num_tasks=differ)] if differ else []


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):
        return repr(value).encode()
