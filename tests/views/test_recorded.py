"""Recorded operators on a graph that is written down here, and on others that differ from it."""

import copy
import dataclasses

import orjson
import pytest

from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.errors import GraphReadError
from mpkgraph.io.reader import read_graph
from mpkgraph.io.record import parse_record, read_record
from mpkgraph.model.graph import NULL_TASK_TYPE
from mpkgraph.views.recorded import recorded_operators
from tests import goldens

# A pipeline small enough to be written down here: x -> a, then a -> b by rows and a -> c whole.
NO_EVENT = 0x7FFFFFFFFFFFFFFE
RMS_NORM = 119
X, W, A, B, C = range(5)
TENSORS = [
    {"id": X, "name": "x", "kind": "attach_input", "dims": [4, 8], "strides": [8, 1]},
    {"id": W, "name": "w", "kind": "attach_input", "dims": [8], "strides": [1]},
    {"id": A, "name": "a.0", "kind": "new_tensor", "dims": [4, 8], "strides": [8, 1]},
    {"id": B, "name": "b", "kind": "new_tensor", "dims": [4, 8], "strides": [8, 1]},
    {"id": C, "name": "c", "kind": "new_tensor", "dims": [4, 8], "strides": [8, 1]},
]
ROWS, WHOLE = (0, -1, -1), (-1, -1, -1)


def layer(source, target, grid, *maps, name="rmsnorm"):
    tensors = (source, W, target)
    slots = [
        {
            "tensor": x,
            "name": None,
            "input_map": list(y),
            "forloop_dim": -1,
            "store_in_dmem": True,
        }
        for x, y in zip(tensors, maps, strict=True)
    ]
    block = {
        "op": "tbgraph",
        "grid_dim": list(grid),
        "inputs": slots,
        "customized": [{"tensor": x, "name": None} for x in tensors],
        "register_task": {"name": name, "params": None},
    }
    return {"op": "layer", "method": "rmsnorm_layer", "args": {}, "lowlevel": [block]}


LAYERS = [
    layer(X, A, (2, 1, 1), ROWS, WHOLE, ROWS),
    layer(A, B, (2, 1, 1), ROWS, WHOLE, ROWS),
    layer(A, C, (4, 1, 1), ROWS, WHOLE, ROWS),
]


def small_record(layers=LAYERS, tensors=TENSORS):
    document = {
        "schema": "mpk-pipeline-1",
        "mirage_commit": "de8745d9",
        "target_cc": 80,
        "init": {},
        "tensors": [{**x, "dtype": "bf16"} for x in tensors],
        "log": layers,
    }
    return parse_record(orjson.dumps(document), file="p.json", path="p.json")


def small_task(source, target, row, rows, *, trigger, dependent=NO_EVENT):
    def slot(name, dims, strides, offset):
        return {
            "base_ptr": name,
            "data_type": 941,
            "dims": dims,
            "offset": offset,
            "strides": strides,
        }

    return {
        "task_type": RMS_NORM,
        "variant_id": 0,
        "dependent_event": dependent,
        "trigger_event": trigger,
        "request_id": row // rows,
        "kv_idx": 65535,
        "merge_task_offset": -1,
        "expert_offset": row // rows - 65536,
        "task_offset": row // rows - 65536,
        "inputs": [slot(source, [rows, 8], [8, 1], row * 16), slot("w", [8], [1], 0)],
        "outputs": [slot(target, [rows, 8], [8, 1], row * 16)],
    }


def fixed_task(task_type, trigger):
    values = dict.fromkeys(("request_id", "merge_task_offset", "expert_offset", "task_offset"), -1)
    return {
        "task_type": task_type,
        "variant_id": 0,
        "kv_idx": 65535,
        **values,
        "dependent_event": NO_EVENT,
        "trigger_event": trigger,
        "inputs": None,
        "outputs": None,
    }


def small_tasks():
    """In the order of Mirage: the consumers of `a_0` take turns, one event for each half."""
    return [
        fixed_task(0, NO_EVENT),
        fixed_task(10, 1),
        small_task("x", "a_0", 0, 2, trigger=2),
        small_task("x", "a_0", 2, 2, trigger=3),
        small_task("a_0", "b", 0, 2, trigger=4, dependent=2),
        small_task("a_0", "c", 0, 1, trigger=4, dependent=2),
        small_task("a_0", "c", 1, 1, trigger=4, dependent=2),
        small_task("a_0", "b", 2, 2, trigger=4, dependent=3),
        small_task("a_0", "c", 2, 1, trigger=4, dependent=3),
        small_task("a_0", "c", 3, 1, trigger=4, dependent=3),
    ]


@pytest.fixture
def small_graph(tmp_path):
    def make(tasks=None):
        tasks = small_tasks() if tasks is None else tasks
        events = [(911, 0, 0, 1), (903, 2, len(tasks), 1), (900, 4, 7, 1), (900, 7, 10, 1)]
        keys = ("event_type", "first_task_id", "last_task_id", "num_triggers")
        last = dict(zip(keys, (910, 0, 0, 6), strict=True))
        document = {
            "all_events": [*(dict(zip(keys, x, strict=True)) for x in events), last],
            "all_tasks": tasks,
            "first_tasks": [2, 3],
        }
        path = tmp_path / "task_graph_rank0.json"
        path.write_bytes(orjson.dumps(document))
        return read_graph(path)

    return make


def test_consumers_of_a_fork_take_turns(small_graph):
    operators = recorded_operators(small_graph(), small_record())
    assert [x.task_ids.tolist() for x in operators] == [[2, 3], [4, 7], [5, 6, 8, 9]]
    assert [x.layer_index for x in operators] == [0, 1, 2]
    assert [x.slots[0].name for x in operators] == ["x", "a_0", "a_0"]
    assert operators[2].grid_position(2) == (2, 0, 0)
    assert operators[2].slots[2].tile_dims == (1, 8)
    assert operators[2].slots[2].tensor_dims == (4, 8)


def test_null_tasks_are_left_out(small_graph):
    tasks = small_tasks()
    tasks[2] = tasks[5] = None
    graph = small_graph(tasks)
    assert (graph.tasks.task_types == NULL_TASK_TYPE).sum() == 2
    operators = recorded_operators(graph, small_record())
    assert [x.task_ids.tolist() for x in operators] == [[3], [4, 7], [6, 8, 9]]
    assert operators[0].grid_positions.tolist() == [[1, 0, 0]]
    assert operators[1].grid_positions is None
    assert [operators[2].grid_position(x) for x in range(3)] == [(1, 0, 0), (2, 0, 0), (3, 0, 0)]
    assert operators.grid_position(8) == (2, 0, 0)


def test_an_operator_of_null_tasks_alone_is_none(small_graph):
    tasks = small_tasks()
    tasks[4] = tasks[7] = None
    operators = recorded_operators(small_graph(tasks), small_record())
    assert [(x.index, x.layer_index) for x in operators] == [(0, 0), (1, 2)]


def other_slot(position, **change):
    def edit(tasks):
        slots = tasks[8]["inputs"] + tasks[8]["outputs"]
        slots[position].update(change)

    return edit


def other_task(**change):
    def edit(tasks):
        tasks[8].update(change)

    return edit


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (
            other_slot(0, offset=33),
            "slot 0 of task 8 at grid point (2, 0, 0) a_0 [1, 8] of bfloat16",
        ),
        (other_slot(0, offset=33), "at byte 32 with strides [8, 1]; the graph has a_0 [1, 8]"),
        (other_slot(1, base_ptr="v"), "the graph has v [8]"),
        (other_slot(2, dims=[2, 8]), "the graph has c [2, 8]"),
        (other_slot(2, strides=[9, 1]), "with strides [9, 1]"),
        (other_slot(2, data_type=950), "of float32"),
        (other_task(task_type=121), "should make task 8 at grid point (2, 0, 0) a TASK_RMS_NORM"),
        (other_task(task_type=121), "in the graph it is a TASK_IDENTITY"),
        (other_task(outputs=None), "task 8 at grid point (2, 0, 0) has 2 and 0"),
    ],
)
def test_a_task_that_differs_is_named(small_graph, edit, what):
    tasks = small_tasks()
    edit(tasks)
    with pytest.raises(GraphReadError) as caught:
        recorded_operators(small_graph(tasks), small_record())
    assert caught.value.what.startswith("layer 2 (rmsnorm_layer, rmsnorm, grid 4x1x1)")
    assert what in caught.value.what
    assert caught.value.where == "p.json, log[2].lowlevel[0]"
    assert "remove the record" in caught.value.remedy


def test_moved_inputs_and_outputs_are_no_match(small_graph):
    tasks = small_tasks()
    tasks[8]["outputs"].insert(0, tasks[8]["inputs"].pop())
    with pytest.raises(GraphReadError, match=r"task 8 at .* has 1 and 2"):
        recorded_operators(small_graph(tasks), small_record())


def test_too_few_layers(small_graph):
    with pytest.raises(GraphReadError, match=r"layer 1 .* slot 0 of task 5|is of no layer"):
        recorded_operators(small_graph(), small_record(LAYERS[:2]))
    with pytest.raises(GraphReadError, match=r"make 2 tasks, the graph has 8: task 4 .*RMS_NORM"):
        recorded_operators(small_graph(), small_record(LAYERS[:1]))
    tasks = small_tasks()
    tasks[4:] = [None] * 6
    with pytest.raises(GraphReadError, match="a null task is of no layer"):
        recorded_operators(small_graph(tasks), small_record(LAYERS[:1]))


def test_too_many_layers(small_graph):
    more = [*LAYERS, layer(C, X, (4, 1, 1), ROWS, WHOLE, ROWS)]
    with pytest.raises(GraphReadError, match=r"layer 3 .* the graph has 10 tasks in all"):
        recorded_operators(small_graph(), small_record(more))
    huge = [*LAYERS, layer(C, X, (2**31 - 1,) * 3, ROWS, WHOLE, ROWS)]
    with pytest.raises(GraphReadError, match=r"layer 3 .* can't have made this graph"):
        recorded_operators(small_graph(), small_record(huge))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (layer(A, C, (4, 1, 1), ROWS, WHOLE, ROWS, name="no_such_task"), "'no_such_task'"),
        (layer(A, C, (4, 1, 1), ROWS, WHOLE, ROWS, name="linear_with_residual"), "3 slots"),
        (layer(A, C, (4, 1, 1), WHOLE, WHOLE, ROWS), "slot 0 of task"),
        (layer(A, C, (4, 1, 1), ROWS, ROWS, ROWS), "slot 1 of task"),
        (layer(A, C, (1, 4, 1), ROWS, WHOLE, ROWS), "slot 0 of task"),
        (layer(X, C, (4, 1, 1), ROWS, WHOLE, ROWS), "slot 0 of task"),
    ],
)
def test_layers_that_made_another_graph(small_graph, changed, what):
    with pytest.raises(GraphReadError) as caught:
        recorded_operators(small_graph(), small_record([*LAYERS[:2], changed]))
    assert what in caught.value.what


def test_unregistered_layers_and_unknown_types(small_graph):
    unregistered = copy.deepcopy(LAYERS)
    del unregistered[1]["lowlevel"][0]["register_task"]
    with pytest.raises(GraphReadError, match=r"layer 1 .* was never registered"):
        recorded_operators(small_graph(), small_record(unregistered))
    odd = small_record()
    odd = dataclasses.replace(
        odd, tensors=(dataclasses.replace(odd.tensors[0], dtype="odd"), *odd.tensors[1:])
    )
    with pytest.raises(GraphReadError, match=r"layer 0 .* tensor 'x' has the unknown type 'odd'"):
        recorded_operators(small_graph(), odd)
    other = Catalog("other.h", {7: "TASK_OTHER"}, DEFAULT.event_types, DEFAULT.data_types)
    with pytest.raises(GraphReadError, match=r"makes TASK_RMS_NORM tasks, which other\.h lacks"):
        recorded_operators(small_graph(), small_record(), other)


def test_a_newer_mirage_may_number_task_types_anew(small_graph):
    tasks = small_tasks()
    for task in tasks[2:]:
        task["task_type"] = 4711
    other = Catalog("other.h", {4711: "TASK_RMS_NORM"}, DEFAULT.event_types, DEFAULT.data_types)
    operators = recorded_operators(small_graph(tasks), small_record(), other)
    assert {x.task_type for x in operators} == {4711}


def test_events_and_metadata_are_not_judged(small_graph):
    tasks = small_tasks()
    tasks[8].update(dependent_event=2, trigger_event=NO_EVENT, request_id=9, variant_id=5)
    operators = recorded_operators(small_graph(tasks), small_record())
    assert operators[2].variant_ids == (0, 5)


@pytest.mark.parametrize("path", goldens.refused())
def test_what_mirage_refused_made_no_graph(path, small_graph):
    with pytest.raises(GraphReadError):
        recorded_operators(small_graph(), read_record(path))
