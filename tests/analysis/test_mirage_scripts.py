"""What Mirage's parse_task_graph.py and display_task_graph.py answer, told by us, on real graphs.

The facts are taken here straight from the parsed JSON, independently of the columns.
"""

from __future__ import annotations

import functools
import json
from collections import Counter

import numpy as np
import pytest

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.event_detail import event_detail
from mpkgraph.analysis.lists import event_list, slot_list, task_list
from mpkgraph.analysis.summary import summarise
from mpkgraph.analysis.task_detail import task_detail
from tests import goldens, loaded

NO_EVENT = 4294967294
"""Low 32 bits of the id of no event: `display_task_graph.py` draws it as the base event."""

# The scope groups the tests of a golden, so that each is read once.
on_goldens = pytest.mark.parametrize(
    "golden", goldens.graphs(max_bytes=2_500_000, one_target=True), ids=str, scope="module"
)

METADATA = ("request_id", "task_offset", "expert_offset", "kv_idx", "merge_task_offset")
ELEMENT_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "int32": 4, "int64": 8, "float8": 1}


@functools.lru_cache(maxsize=1)
def raw_and_context(golden):
    """(raw JSON, our context) of a golden; the tests run golden by golden."""
    context = GraphContext(loaded.graph(golden), loaded.recovered(golden))
    return json.loads(golden.graph_bytes()), context


@on_goldens
def test_counts_and_types(golden):
    raw, context = raw_and_context(golden)
    tasks = [x for x in raw["all_tasks"] if x is not None]
    summary = summarise(context.graph, context.operators).to_json()
    assert summary["num_events"] == len(raw["all_events"])
    assert summary["num_tasks"] == len(raw["all_tasks"])
    assert summary["num_first_tasks"] == len(raw["first_tasks"] or [])
    types, events = context.catalog.task_types, context.catalog.event_types
    found = dict(summary["task_types"])
    assert found.pop("null", 0) == len(raw["all_tasks"]) - len(tasks) == summary["num_null_tasks"]
    expected = Counter(x["task_type"] for x in tasks)
    assert list(found.items()) == [(types[value], expected[value]) for value in sorted(expected)]
    expected = Counter(x["event_type"] for x in raw["all_events"])
    assert list(summary["event_types"].items()) == [
        (events[value], expected[value]) for value in sorted(expected)
    ]


@on_goldens
def test_fields_of_every_task_and_slot(golden):
    raw, context = raw_and_context(golden)
    rows = task_list(context).to_columns()
    for number, task in enumerate(raw["all_tasks"]):
        if task is None:
            assert rows["task_type_name"][number] == "null"
            assert rows["trigger_event"][number] is None
            continue
        for key in ("task_type", "variant_id", "trigger_event", "dependent_event", *METADATA):
            assert rows[key][number] == task[key], (number, key)
        assert rows["num_inputs"][number] == len(task["inputs"] or [])
        assert rows["num_outputs"][number] == len(task["outputs"] or [])
    slots = iter(slot_list(context).rows())
    names = tuple(slot_list(context).columns)
    for number, task in enumerate(raw["all_tasks"]):
        for is_output, key in ((False, "inputs"), (True, "outputs")):
            for slot in (task or {}).get(key) or []:
                row = dict(zip(names, next(slots), strict=True))
                assert (row["task_id"], row["is_output"]) == (number, is_output)
                assert row["tensor"] == slot["base_ptr"]
                assert row["offset"] == slot["offset"]
                assert row["dims"] == tuple(slot["dims"])
                assert row["strides"] == tuple(slot["strides"])
                if row["data_type"] != "none":
                    size = ELEMENT_BYTES[row["data_type"]]
                    assert row["offset_elems"] == slot["offset"] / size
    assert next(slots, None) is None


@on_goldens
def test_one_task_at_a_time(golden):
    raw, context = raw_and_context(golden)
    generator = np.random.default_rng(3)
    chosen = {0, 1, *generator.integers(0, len(raw["all_tasks"]), 12).tolist()}
    for number in sorted(chosen):
        detail, task = task_detail(context, number), raw["all_tasks"][number]
        assert detail.is_null == (task is None)
        if task is None:
            continue
        assert detail.task_type_name == context.catalog.task_types[task["task_type"]]
        assert detail.variant_id == task["variant_id"]
        assert (detail.trigger_event, detail.dependent_event) == (
            task["trigger_event"],
            task["dependent_event"],
        )
        assert {x.name: x.value for x in detail.metadata} == {key: task[key] for key in METADATA}
        for ours, theirs in (
            (detail.inputs, task["inputs"] or []),
            (detail.outputs, task["outputs"] or []),
        ):
            assert [(x.tensor, x.data_type, x.dims, x.offset) for x in ours] == [
                (x["base_ptr"], x["data_type"], tuple(x["dims"]), x["offset"]) for x in theirs
            ]
            for slot in ours:
                if slot.element_bytes:
                    assert slot.offset_elems == slot.offset // slot.element_bytes


@on_goldens
def test_every_event(golden):
    raw, context = raw_and_context(golden)
    rows = event_list(context).to_columns()
    for index, event in enumerate(raw["all_events"]):
        for key in ("event_type", "num_triggers", "first_task_id", "last_task_id"):
            assert rows[key][index] == event[key]
    for index in {0, 1, len(raw["all_events"]) - 1, len(raw["all_events"]) // 2}:
        detail = event_detail(context, index)
        assert detail.to_json()["num_triggers"] == raw["all_events"][index]["num_triggers"]
        assert detail.event_type_name == context.catalog.event_types[detail.event_type]


@on_goldens
def test_edges_of_the_drawing(golden):
    """The script draws event -> task -> event by the low 32 bits of the ids."""
    raw, context = raw_and_context(golden)
    expected = [
        (task["dependent_event"] & 0xFFFFFFFF, number, task["trigger_event"] & 0xFFFFFFFF)
        for number, task in enumerate(raw["all_tasks"])
        if task is not None
    ]
    rows = task_list(context).to_columns()
    found = [
        (NO_EVENT if waits is None else waits, number, NO_EVENT if made is None else made)
        for number, waits, made, kind in zip(
            rows["task_id"],
            rows["dependent_event_index"],
            rows["trigger_event_index"],
            rows["task_type"],
            strict=True,
        )
        if kind is not None
    ]
    assert found == expected
    # The same from the side of events.
    local = context.all_ranks
    for index in range(len(raw["all_events"])):
        assert local.waiting_tasks.row(index).tolist() == [t for e, t, _ in expected if e == index]
        assert local.triggering_tasks.row(index).tolist() == [
            t for _, t, e in expected if e == index
        ]
