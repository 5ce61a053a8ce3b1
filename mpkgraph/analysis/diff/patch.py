"""A patch: what turns the left graph into the right one, byte for byte in canonical writing.

It says which task and event of the right is which of the left, and lists what does not follow from
that. So it is small where the difference is, and that it gives back the right graph proves that
nothing was overlooked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.diff.correspondence import Correspondence
from mpkgraph.analysis.diff.names import TensorNames
from mpkgraph.analysis.diff.prediction import PLAIN, Predictor
from mpkgraph.analysis.diff.runs import from_runs, to_runs
from mpkgraph.errors import GraphReadError
from mpkgraph.io.nlohmann import dump
from mpkgraph.io.writer import text_chunks
from mpkgraph.model.graph import (
    EventColumns,
    ExtraField,
    SlotLayout,
    TaskColumns,
    TaskGraph,
)

SCHEMA = "mpkgraph-patch/1"
MAX_TASKS = 1 << 26

Json = dict[str, Any]


def canonical_sha256(graph: TaskGraph) -> str:
    """Of the text that this graph is written as, whatever it was read from."""
    digest = hashlib.sha256()
    for chunk in text_chunks(graph):
        digest.update(chunk)
    return digest.hexdigest()


def make_patch(
    left: TaskGraph, right: TaskGraph, pairs: Correspondence, names: TensorNames
) -> Json:
    """The patch from left to right. Any pairs will do: good ones make it small."""
    tasks, events = _placed(pairs, right)
    predicted = Predictor(left, tasks, events)
    layouts, codes = _layouts(left, right, names)
    num_slots = np.diff(right.tasks.slot_starts)
    slot_layouts, slot_offsets = predicted.slots(num_slots)
    order = _by_position(num_slots)
    first, last = predicted.ranges(right.tasks.dependent_events)
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {
        name: (predicted.plain(name), getattr(right.tasks, name)) for name in PLAIN
    }
    columns |= {
        name: (predicted.event_ids(name), getattr(right.tasks, name))
        for name in ("dependent_events", "trigger_events")
    }
    columns |= {
        "num_slots": (predicted.num_slots(), num_slots),
        "slot_layouts": (slot_layouts[order], codes[right.tasks.slot_layouts][order]),
        "slot_offsets": (slot_offsets[order], right.tasks.slot_offsets[order]),
        "event_types": (predicted.event_types(), right.events.event_types),
        "first_task_ids": (first, right.events.first_task_ids),
        "last_task_ids": (last, right.events.last_task_ids),
        "num_triggers": (
            predicted.num_triggers(right.tasks.trigger_events),
            right.events.num_triggers,
        ),
    }
    edits = {name: _edit(*column) for name, column in columns.items()}
    first_tasks = predicted.first_tasks(
        right.tasks.dependent_events, right.tasks.task_types.astype(np.int64)
    )
    return {
        "left": {"sha256": canonical_sha256(left), "num_tasks": left.num_tasks},
        "right": {
            "sha256": canonical_sha256(right),
            "num_tasks": right.num_tasks,
            "num_events": right.num_events,
            "rank": right.rank,
        },
        "tasks": to_runs(tasks),
        "events": to_runs(events),
        "renamed": {
            x.base_ptr: names.right_of[x.base_ptr]
            for x in left.layouts
            if names.right_of.get(x.base_ptr, x.base_ptr) != x.base_ptr and not x.is_null
        },
        "layouts": layouts,
        "columns": {name: edit for name, edit in edits.items() if edit is not None},
        "first_tasks": None
        if np.array_equal(first_tasks, right.first_tasks)
        else to_runs(right.first_tasks),
        "task_fields": _extras(predicted, left.tasks.extras, right.tasks.extras, tasks),
        "event_fields": _extras(predicted, left.events.extras, right.events.extras, events),
        "fields": None if _text(left.extras) == _text(right.extras) else dict(right.extras),
    }


def apply_patch(patch: Mapping[str, Any], left: TaskGraph, where: str | None = None) -> TaskGraph:
    """The right graph. Raises GraphReadError for a patch of another graph, or a damaged one."""
    try:
        return _apply(patch, left, where)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise GraphReadError(
            f"is no patch that can be applied: {type(error).__name__}: {error}",
            where=where,
            remedy="Make it again with mpkgraph diff --patch",
        ) from error


def _apply(patch: Mapping[str, Any], left: TaskGraph, where: str | None) -> TaskGraph:
    wanted = patch["left"]["sha256"]
    found = canonical_sha256(left)
    if wanted != found:
        raise GraphReadError(
            f"is a patch of another graph (sha256 {wanted[:16]}..., here {found[:16]}... in "
            "canonical writing)",
            where=where,
            remedy="Give the graph that was the left of the diff",
        )
    tasks, events = from_runs(patch["tasks"]), from_runs(patch["events"])
    if len(tasks) != patch["right"]["num_tasks"] or len(events) != patch["right"]["num_events"]:
        raise ValueError("tasks or events are missing")
    predicted = Predictor(left, tasks, events)
    edits: Mapping[str, Any] = patch["columns"]

    def patched(name: str, column: np.ndarray, kind: type = np.int64) -> Any:
        return _patched(column, edits.get(name)).astype(kind)

    num_slots = patched("num_slots", predicted.num_slots())
    slot_columns = []
    order = _by_position(num_slots)
    for name, column in zip(
        ("slot_layouts", "slot_offsets"), predicted.slots(num_slots), strict=True
    ):
        slot_columns.append(np.empty_like(column))
        slot_columns[-1][order] = patched(name, column[order])
    waits, fires = (
        patched(name, predicted.event_ids(name).view(np.int64)).view(np.uint64)
        for name in ("dependent_events", "trigger_events")
    )
    plain = {
        name: patched(name, predicted.plain(name), getattr(left.tasks, name).dtype.type)
        for name in PLAIN
    }
    first, last = predicted.ranges(waits)
    right = TaskGraph(
        tasks=TaskColumns(
            dependent_events=waits,
            trigger_events=fires,
            slot_starts=np.concatenate(([0], np.cumsum(num_slots))).astype(np.int64),
            slot_layouts=slot_columns[0].astype(np.int32),
            slot_offsets=slot_columns[1],
            extras=_patched_extras(predicted, left.tasks.extras, patch["task_fields"], tasks),
            **plain,
        ),
        events=EventColumns(
            event_types=patched("event_types", predicted.event_types(), np.int32),
            first_task_ids=patched("first_task_ids", first).view(np.uint64),
            last_task_ids=patched("last_task_ids", last).view(np.uint64),
            num_triggers=patched("num_triggers", predicted.num_triggers(fires)),
            extras=_patched_extras(predicted, left.events.extras, patch["event_fields"], events),
        ),
        first_tasks=predicted.first_tasks(waits, plain["task_types"].astype(np.int64))
        if patch["first_tasks"] is None
        else from_runs(patch["first_tasks"]),
        layouts=_patched_layouts(left, patch),
        rank=patch["right"]["rank"],
        extras=left.extras if patch["fields"] is None else patch["fields"],
    )
    if canonical_sha256(right) != patch["right"]["sha256"]:
        raise ValueError("what comes out is not the graph that it was made for")
    return right


def _text(fields: Mapping[str, Any]) -> bytes:
    """What is written of top-level fields: 1 and true are not the same."""
    return dump(dict(fields), 0)


def _placed(pairs: Correspondence, right: TaskGraph) -> tuple[IntArray, IntArray]:
    """By right task and event the left one."""
    return pairs.left_of_task[: right.num_tasks], pairs.left_of_event[: right.num_events]


def _edit(predicted: np.ndarray, actual: np.ndarray) -> list[Any] | None:
    """Positions and values where a prediction is wrong; None where it is right throughout."""
    values = actual.view(np.int64) if actual.dtype == np.uint64 else actual.astype(np.int64)
    guess = predicted.view(np.int64) if predicted.dtype == np.uint64 else predicted
    wrong = np.flatnonzero(values != guess)
    return [to_runs(wrong), to_runs(values[wrong])] if len(wrong) else None


def _patched(column: np.ndarray, edit: Sequence[Any] | None) -> IntArray:
    found = column.astype(np.int64)
    if edit is not None:
        places, values = from_runs(edit[0]), from_runs(edit[1])
        found[places] = values
    return found


def _by_position(num_slots: IntArray) -> IntArray:
    """Slots by position in their tasks: the first of all tasks, then the second, and so on.

    What one position holds runs on from task to task.
    """
    starts = np.cumsum(num_slots) - num_slots
    position = np.arange(int(num_slots.sum())) - np.repeat(starts, num_slots)
    return np.argsort(position, kind="stable")


def _layouts(left: TaskGraph, right: TaskGraph, names: TensorNames) -> tuple[list[Json], IntArray]:
    """Layouts that the left lacks, and for each of the right its number among both."""
    known = {_renamed(x, names.right_of): i for i, x in reversed(list(enumerate(left.layouts)))}
    fresh: list[Json] = []
    codes = np.zeros(len(right.layouts), dtype=np.int64)
    for i, layout in enumerate(right.layouts):
        place = _find(known, layout)
        if place is None:
            place = len(left.layouts) + len(fresh)
            fresh.append(
                {
                    "base_ptr": layout.base_ptr,
                    "data_type": layout.data_type,
                    "dims": list(layout.dims),
                    "strides": list(layout.strides),
                    "extra": [list(x) for x in layout.extra],
                }
            )
        codes[i] = place
    return fresh, codes


def _renamed(layout: SlotLayout, names: Mapping[str, str]) -> Any:
    name = layout.base_ptr if layout.is_null else names.get(layout.base_ptr, layout.base_ptr)
    return _key(layout, name)


def _find(known: Mapping[Any, int], layout: SlotLayout) -> int | None:
    return known.get(_key(layout, layout.base_ptr))


def _key(layout: SlotLayout, name: str) -> Any:
    # An unknown field may hold a list: its text tells as well
    return (name, layout.data_type, layout.dims, layout.strides, repr(layout.extra))


def _patched_layouts(left: TaskGraph, patch: Mapping[str, Any]) -> tuple[SlotLayout, ...]:
    names: Mapping[str, str] = patch["renamed"]
    carried = (
        x
        if x.is_null or x.base_ptr not in names
        else SlotLayout(names[x.base_ptr], x.data_type, x.dims, x.strides, x.extra)
        for x in left.layouts
    )
    fresh = (
        SlotLayout(
            x["base_ptr"],
            x["data_type"],
            tuple(x["dims"]),
            tuple(x["strides"]),
            tuple((key, value) for key, value in x["extra"]),
        )
        for x in patch["layouts"]
    )
    return (*carried, *fresh)


def _extras(
    predicted: Predictor,
    left: Mapping[str, ExtraField],
    right: Mapping[str, ExtraField],
    partners: IntArray,
) -> Json:
    """By field of the right the values that the left lacks, and where its codes differ."""
    found: Json = {}
    for key, field in right.items():
        values = list(left[key].values) if key in left else []
        numbers = {repr(x): i for i, x in reversed(list(enumerate(values)))}
        codes = [numbers.setdefault(repr(x), len(numbers)) for x in field.values]
        fresh = [x for x in field.values if numbers[repr(x)] >= len(values)]
        # Values that repeat would shift the numbers of those that follow
        order = sorted({numbers[repr(x)]: x for x in fresh}.items())
        shift = {number: len(values) + i for i, (number, _) in enumerate(order)}
        codes = [shift.get(x, x) for x in codes]
        actual = np.array([*codes, -1], dtype=np.int64)[field.codes]
        found[key] = {
            "values": [x for _, x in order],
            "codes": _edit(predicted.extras(left, key, partners), actual),
        }
    return found


def _patched_extras(
    predicted: Predictor, left: Mapping[str, ExtraField], fields: Json, partners: IntArray
) -> dict[str, ExtraField]:
    found = {}
    for key, edit in fields.items():
        values = (*(left[key].values if key in left else ()), *edit["values"])
        codes = _patched(predicted.extras(left, key, partners), edit["codes"])
        found[key] = ExtraField(values, codes.astype(np.int32))
    return found
