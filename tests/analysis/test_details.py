"""One task, event, operator and tensor, on graphs small enough to know by heart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.event_detail import event_by_id, event_detail
from mpkgraph.analysis.extents import Extent, TensorExtents, ViewKey
from mpkgraph.analysis.lists import event_list, operator_list, slot_list, task_list
from mpkgraph.analysis.operator_detail import operator_detail
from mpkgraph.analysis.table import Column, Table, json_integer
from mpkgraph.analysis.task_detail import task_detail
from mpkgraph.analysis.tensor_detail import tensor_detail
from mpkgraph.analysis.tensor_list import tensor_list
from mpkgraph.errors import SelectionError
from mpkgraph.model.graph import SlotLayout
from mpkgraph.model.ids import EVENT_INVALID_ID, EventId
from mpkgraph.model.operator import OperatorSet
from mpkgraph.views.operators import recover_operators
from tests import strategies
from tests.analysis import graphs
from tests.analysis.graphs import slot, task
from tests.naive import graph_from_document

RMS_NORM, LINEAR, MOE_W13 = 119, 120, 161
BF16, FP4, UNKNOWN_TYPE = 941, 920, 999


@pytest.fixture(scope="module")
def context():
    """x [4, 8] -> norm, one task a row -> h [4, 8]; h x w [16, 8] -> linear in 2 columns -> y."""
    norms = [
        task(
            None,
            2,
            task_type=RMS_NORM,
            inputs=[slot("x", (1, 8), (8, 1), 16 * row), slot("g", (8,), (1,))],
            outputs=[slot("h", (1, 8), (8, 1), 16 * row)],
            request_id=row,
            kv_idx=65535,
            expert_offset=row - 65536,
            task_offset=row - 65536,
        )
        for row in range(4)
    ]
    linears = [
        task(
            2,
            3,
            task_type=LINEAR,
            inputs=[
                slot("h", (4, 8), (8, 1)),
                slot("w", (8, 8), (8, 1), 128 * column),
                slot("nullptr", (), (), data_type=UNKNOWN_TYPE),
            ],
            outputs=[slot("y", (4, 8), (16, 1), 16 * column)],
            request_id=column,
        )
        for column in range(2)
    ]
    graph = graphs.graph_of([*norms, *linears], 4)
    return GraphContext(graph, recover_operators(graph))


def test_task_with_everything(context):
    detail = task_detail(context, 7)
    assert (detail.task_type_name, detail.kind) == ("TASK_LINEAR", "linear")
    assert (detail.operator, detail.operator_name) == (1, "linear")
    assert detail.grid_dim == (2, 1, 1)
    assert detail.grid_position == (1, 0, 0)
    assert detail.level == 1
    assert not detail.is_first_task
    h, w, nothing = detail.inputs
    (y,) = detail.outputs
    assert (w.starts, w.stops) == ((8, 0), (16, 8))
    assert (w.offset, w.offset_elems, w.num_bytes) == (128, 64, 128)
    assert (w.first_byte, w.end_byte) == (128, 256)
    assert (w.data_type_name, w.element_bytes) == ("bfloat16", 2)
    assert (h.starts, h.stops) == ((0, 0), (4, 8))
    assert (y.starts, y.stops) == ((0, 8), (4, 16))
    assert (y.first_byte, y.end_byte, y.num_bytes) == (16, 16 + 2 * (3 * 16 + 8), 64)
    assert y.tensor_dims == (4, 16)
    assert nothing.is_null
    assert nothing.starts is None
    assert not h.is_null
    waits, triggers = detail.waits_on, detail.triggers
    assert [(x.operator, x.name, x.ranges) for x in waits.triggered_by] == [
        (0, "rms_norm", ((2, 5),))
    ]
    assert [str(x) for x in waits.waiting] == ["6-7 (linear)"]
    assert (waits.num_triggers, waits.num_triggering, waits.num_waiting) == (4, 4, 2)
    assert (triggers.event_type_name, triggers.num_waiting) == ("EVENT_END_OF_TASK_GRAPH", 0)
    assert json.loads(json.dumps(detail.to_json()))["waits_on"]["triggered_by"] == [
        {"operator": 0, "name": "rms_norm", "num_tasks": 4, "task_ids": "2-5"}
    ]


def test_metadata_say_what_they_hold(context):
    fields = {x.name: (x.value, x.holds) for x in task_detail(context, 4).metadata}
    assert fields == {
        "request_id": (2, "x"),
        "kv_idx": (65535, None),
        "merge_task_offset": (-1, None),
        "expert_offset": (2 - 65536, None),
        "task_offset": (2 - 65536, None),
    }
    moe = graphs.context_of(graphs.graph_of([task(None, 2, task_type=MOE_W13)], 3))
    assert {x.name: x.holds for x in task_detail(moe, 2).metadata}["expert_offset"] == "x"


def test_tasks_of_no_operator(context):
    begin = task_detail(context, 1)
    assert (begin.operator, begin.grid_position, begin.level) == (None, None, -1)
    assert begin.triggers.event_type_name == "EVENT_LAUNCH_DEPENDENT_TASKS"
    assert begin.triggers.triggered_by[0].name == "begin_task_graph"
    assert begin.waits_on is None
    assert begin.to_json()["dependent_event"] == str(EVENT_INVALID_ID)
    null = graphs.context_of(graphs.graph_of([(None, 2), None], 3))
    detail = task_detail(null, 3)
    assert (detail.is_null, detail.task_type_name, detail.metadata) == (True, "null", ())
    assert json.dumps(detail.to_json())


def test_first_tasks(context):
    assert task_detail(context, 2).is_first_task
    assert task_detail(context, 2).waits_on is None
    assert task_detail(context, 2).level == 0


def test_event_of_this_rank(context):
    detail = event_detail(context, 2)
    assert (detail.first_task_id, detail.last_task_id, detail.level) == (6, 8, 1)
    assert (detail.is_local, detail.nvshmem, detail.event_id) == (True, False, 2)
    assert detail.to_json()["waiting"][0]["task_ids"] == "6-7"


def test_events_across_ranks():
    put = EventId(0, 2, nvshmem=True)
    tasks = [
        task(None, put, rank=1, task_type=301),
        task(EventId(1, 2, nvshmem=True), 3, rank=1),
    ]
    context = graphs.context_of(graphs.graph_of(tasks, 4, rank=1), [[2], [3]])
    there = task_detail(context, 2).triggers
    assert (there.rank, there.event_index, there.nvshmem, there.is_local) == (0, 2, True, False)
    assert there.event_id == put.encode()
    assert (there.num_triggers, there.level, there.event_type_name) == (None, None, None)
    assert there.num_triggering == 1
    assert [x.ranges for x in there.waiting_elsewhere] == [((3, 3),)]
    assert there.to_json()["event_id"] == str(put.encode())
    here = task_detail(context, 3).waits_on
    assert (here.is_local, here.nvshmem, here.num_triggering) == (True, True, 0)
    assert [x.ranges for x in here.triggering_elsewhere] == [((2, 2),)]
    assert event_detail(context, 2).nvshmem
    assert not event_detail(context, 3).nvshmem
    assert event_by_id(context, EVENT_INVALID_ID) is None
    row = event_list(context, np.array([2])).to_json()[0]
    assert (row["num_triggering"], row["num_triggering_elsewhere"]) == (0, 1)


def test_operator(context):
    detail = operator_detail(context, 1)
    assert (detail.name, detail.num_tasks, detail.task_ranges) == ("linear", 2, ((6, 7),))
    assert (detail.first_level, detail.last_level) == (1, 1)
    assert detail.bytes_read == 2 * (64 + 128)
    assert detail.bytes_written == 2 * 64
    h, w, nothing, y = detail.slots
    assert (h.num_tiles, h.tile_bytes, h.distinct_tile_bytes) == (1, 128, 64)
    assert (w.num_tiles, w.tile_bytes, w.distinct_tile_bytes) == (2, 256, 256)
    assert w.input_map[0] == 0
    assert (nothing.num_tiles, nothing.tile_bytes) == (0, 0)
    assert (y.is_output, y.tensor_dims) == (True, (4, 16))
    assert (detail.events_in, detail.events_out) == (((2, 2),), ((3, 3),))
    assert [(x.operator, x.num_events, x.num_triggering) for x in detail.producers] == [(0, 1, 4)]
    assert detail.consumers == ()
    assert operator_detail(context, 0).consumers[0].name == "linear"
    assert json.loads(json.dumps(detail.to_json()))["bytes_written"] == 128


def test_unknown_element_sizes_are_not_counted_as_zero():
    tasks = [task(None, 2, inputs=[slot("q", data_type=FP4)], outputs=[slot("y")])]
    graph = graphs.graph_of(tasks, 3)
    context = GraphContext(graph, recover_operators(graph))
    detail = operator_detail(context, 0)
    assert (detail.bytes_read, detail.bytes_written) == (None, 16)
    (tile,) = task_detail(context, 2).inputs
    assert (tile.element_bytes, tile.offset_elems, tile.num_bytes) == (None, None, None)
    tensor = tensor_detail(context, "q")
    assert (tensor.num_bytes, tensor.readers[0].tile_bytes) == (None, None)
    rows = {x["tensor"]: x["num_bytes"] for x in tensor_list(context).to_json()}
    assert rows == {"q": None, "y": 16}


def test_tensor_writers_and_readers(context):
    detail = tensor_detail(context, "h")
    assert [(x.operator, x.name, x.position, x.num_tiles) for x in detail.writers] == [
        (0, "rms_norm", 2, 4)
    ]
    assert [(x.operator, x.tile_dims, x.num_tasks, x.num_tiles) for x in detail.readers] == [
        (1, (4, 8), 2, 1)
    ]
    assert (detail.first_byte, detail.end_byte, detail.num_bytes) == (0, 64, 64)
    assert (detail.first_task_id, detail.last_task_id) == (2, 7)
    assert [x.is_output for x in detail.uses] == [True, False]
    (view,) = detail.views
    assert (view.dims, view.data_type_name, view.strides) == ((4, 8), "bfloat16", (8, 1))
    assert detail.to_json()["last_use"]["name"] == "linear"


def test_uses_are_in_order_of_emission():
    made = [task(None, 2, outputs=[slot("t")]), task(2, 3, inputs=[slot("t")])]
    again = [task(3, 4, outputs=[slot("t")]), task(4, 5, inputs=[slot("t"), slot("t")])]
    graph = graphs.graph_of([*made, *again], 6)
    context = graphs.context_of(graph, [[2], [3], [4], [5]])
    detail = tensor_detail(context, "t")
    assert [(x.operator, x.is_output, x.position) for x in detail.uses] == [
        (0, True, 0),
        (1, False, 0),
        (2, True, 0),
        (3, False, 0),
        (3, False, 1),
    ]


def test_views_of_one_tensor_under_two_shapes():
    tasks = [
        task(None, 2, outputs=[slot("t", (4, 8), (8, 1))]),
        task(2, 3, inputs=[slot("t", (32,), (1,))]),
    ]
    context = graphs.context_of(graphs.graph_of(tasks, 4), [[2], [3]])
    assert [(x.strides, x.dims) for x in tensor_detail(context, "t").views] == [
        ((8, 1), (4, 8)),
        ((1,), (32,)),
    ]


def test_extents_merge_in_any_order():
    small, large = SlotLayout("t", BF16, (1, 8), (8, 1)), SlotLayout("t", BF16, (4, 2), (8, 1))
    key = ViewKey("t", BF16, (8, 1))
    no_operators = OperatorSet((), 0)
    for layouts in ((small, large), (large, small)):
        found = TensorExtents.of(layouts, no_operators)
        assert found == {key: Extent((4, 8), (False, False))}


@pytest.mark.parametrize(
    ("question", "argument", "words"),
    [
        (task_detail, 8, "tasks 0 to 7"),
        (task_detail, -1, "tasks 0 to 7"),
        (event_detail, 4, "events 0 to 3"),
        (operator_detail, 2, "operators 0 to 1"),
        (tensor_detail, "hh", "Did you mean h?"),
        (tensor_detail, "nullptr", "tensor"),
    ],
)
def test_what_there_is_not(context, question, argument, words):
    with pytest.raises(SelectionError, match=words):
        question(context, argument)


def test_lists_agree_with_details(context):
    tasks = task_list(context).to_json()
    for row in tasks:
        detail = task_detail(context, row["task_id"])
        position = detail.grid_position or (None, None, None)
        assert (row["grid_x"], row["grid_y"], row["grid_z"]) == tuple(position)
        assert row["operator_name"] == detail.operator_name
        assert row["level"] == (None if detail.level < 0 else detail.level)
        assert row["task_type_name"] == detail.task_type_name
    assert tasks[0]["dependent_event"] == str(EVENT_INVALID_ID)
    assert tasks[0]["dependent_event_index"] is None
    slots = slot_list(context, np.array([7])).to_json()
    for row, detail in zip(slots, task_detail(context, 7).slots, strict=True):
        assert row["first_byte"] == (0 if detail.is_null else detail.first_byte)
        assert row["num_bytes"] == (0 if detail.is_null else detail.num_bytes)
        assert row["offset_elems"] == detail.offset_elems
    events = event_list(context).to_json()
    assert [x["num_waiting"] for x in events] == [0, 0, 2, 0]
    assert events[2]["producers"] == "0 rms_norm"
    assert events[2]["consumers"] == "1 linear"
    operators = operator_list(context).to_json()
    assert [x["name"] for x in operators] == ["rms_norm", "linear"]
    assert operators[1]["inputs"] == "h w nullptr"
    assert operators[1]["bytes_read"] == operator_detail(context, 1).bytes_read
    for row in tensor_list(context).to_json():
        detail = tensor_detail(context, row["tensor"])
        assert row["num_bytes"] == detail.num_bytes
        assert row["num_reads"] == sum(x.num_tasks for x in detail.readers)
        assert row["num_writers"] == len(detail.writers)
        assert (row["first_task_id"], row["last_task_id"]) == (
            detail.first_task_id,
            detail.last_task_id,
        )


def test_lists_of_a_selection(context):
    assert [x["task_id"] for x in task_list(context, np.array([6, 3])).to_json()] == [6, 3]
    assert {x["task_id"] for x in slot_list(context, np.array([6])).to_json()} == {6}
    assert [x["operator"] for x in operator_list(context, np.array([1])).to_json()] == [1]
    assert [x["tensor"] for x in tensor_list(context, np.array([2])).to_json()] == ["h"]


@given(strategies.task_graphs())
def test_every_question_has_an_answer_in_any_legal_graph(graph):
    groups = [[i] for i in range(2, graph.num_tasks) if not graph.tasks.is_null[i]]
    context = graphs.context_of(graph, groups)
    for table in (task_list, slot_list, event_list, operator_list, tensor_list):
        assert json.dumps(table(context).to_json())
    for number in range(graph.num_tasks):
        assert json.dumps(task_detail(context, number).to_json())
    for number in range(graph.num_events):
        assert json.dumps(event_detail(context, number).to_json())
    for name in graph.tensors:
        assert json.dumps(tensor_detail(context, name).to_json())
    for number in range(len(context.operators)):
        assert json.dumps(operator_detail(context, number).to_json())


def test_empty_graph_has_empty_lists():
    document = {"all_events": None, "all_tasks": None, "first_tasks": None}
    context = graphs.context_of(graph_from_document(document), [])
    for table in (task_list, slot_list, event_list, operator_list, tensor_list):
        assert table(context).to_json() == []


def test_fields_of_a_newer_mirage_are_shown():
    document = graphs.document([(None, 2)], 3)
    document["all_tasks"][2]["priority"] = 5
    document["all_events"][2]["note"] = "x"
    context = graphs.context_of(graph_from_document(document))
    assert task_detail(context, 2).extras == {"priority": 5}
    assert task_detail(context, 1).extras == {}
    assert event_detail(context, 2).to_json()["extras"] == {"note": "x"}


def test_tables_check_themselves_and_keep_large_integers():
    with pytest.raises(ValueError, match="differ in length"):
        Table("t", {"a": Column([1], ""), "b": Column([1, 2], "")})
    large = Column(np.array([2**53, 2**53 + 1], dtype=np.uint64), "")
    table = Table("t", {"a": large, "b": Column(["x", None], "")})
    assert table.to_json() == [{"a": 2**53, "b": "x"}, {"a": str(2**53 + 1), "b": None}]
    assert table.to_columns()["a"] == [2**53, 2**53 + 1]
    assert (table.num_rows, Table("t", {}).num_rows) == (2, 0)
    assert json_integer(-(2**60)) == str(-(2**60))
