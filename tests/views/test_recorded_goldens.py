"""Recorded operators, proven on every golden; other records are refused."""

import dataclasses
import functools

import numpy as np
import pytest

from mpkgraph.catalog import DEFAULT
from mpkgraph.errors import GraphReadError
from mpkgraph.model.graph import NULL_TENSOR, TaskGraph
from mpkgraph.model.operator import OperatorSet
from mpkgraph.model.record import PipelineRecord
from mpkgraph.views.recorded import recorded_operators
from tests import goldens, loaded


@dataclasses.dataclass(frozen=True)
class Case:
    golden: goldens.Golden
    graph: TaskGraph
    record: PipelineRecord
    operators: OperatorSet


@functools.lru_cache(maxsize=2)
def load(golden):
    return Case(golden, loaded.graph(golden), loaded.record(golden), loaded.recorded(golden))


@pytest.fixture(scope="module", params=goldens.graphs(), ids=str)
def case(request):
    return load(request.param)


def test_each_task_is_of_one_operator(case):
    num_tasks = case.graph.num_tasks
    ids = np.concatenate([np.empty(0, np.int64), *(x.task_ids for x in case.operators)])
    counts = np.bincount(ids, minlength=num_tasks)
    expected = np.ones(num_tasks, dtype=np.int64)
    expected[:2] = 0
    expected[case.graph.tasks.is_null] = 0
    assert (counts == expected).all()
    assert len(case.operators) == len(case.record.layers)
    assert {x.layer_index for x in case.operators} == set(range(len(case.record.layers)))
    for index, operator in enumerate(case.operators):
        assert operator.index == index
        assert operator.origin == "recorded"
        assert operator.num_tasks == operator.grid_volume * operator.num_subtasks
        assert operator.grid_positions is None
    firsts = [int(x.task_ids.min()) for x in case.operators]
    assert firsts == sorted(firsts)


def test_metadata_tells_the_same_grid_positions(case):
    """An oracle apart from tiles: it tells replicated axes too."""
    columns = case.graph.tasks
    for operator in case.operators:
        x, y, z = grid_columns(operator)
        nx, ny, _ = operator.grid_dim
        places = {"x": x, "y": y, "z": z, "linear": x + y * nx + z * nx * ny}
        for field, place in DEFAULT.task_type_row(operator.task_type).metadata:
            found = getattr(columns, f"{field}s")[operator.task_ids]
            assert (found == places[place]).all(), (operator.register_name, field)


def test_offsets_follow_from_the_maps(case):
    columns = case.graph.tasks
    for operator in case.operators:
        points = grid_columns(operator)
        for slot in operator.slots:
            slots = columns.slot_starts[operator.task_ids] + slot.position
            if not slot.base_ptrs:
                layout = case.graph.layouts[columns.slot_layouts[slots[0]]]
                assert layout.base_ptr == NULL_TENSOR
                continue
            names = {case.graph.layouts[x].base_ptr for x in np.unique(columns.slot_layouts[slots])}
            assert names == set(slot.base_ptrs)
            is_put = operator.register_name == "nvshmem_allgather_strided_put"
            if len(names) > 1 or max(slot.input_map) >= len(slot.tensor_dims):
                continue
            size = DEFAULT.data_type_size(slot.data_type)
            plane = 0
            if is_put and slot.is_output:
                plane = case.graph.rank * int(np.prod(operator.inputs[0].tensor_dims))
            expected = np.full(operator.num_tasks, plane * size)
            for axis, dim in enumerate(slot.input_map):
                if dim >= 0:
                    block = slot.tensor_dims[dim] // operator.grid_dim[axis]
                    expected += points[axis] * block * slot.strides[dim] * size
            assert (columns.slot_offsets[slots] == expected).all()


def test_events_agree_with_the_dataflow(case):
    """Who triggers what an operator waits for wrote one of its inputs, all of them are covered."""
    columns = case.graph.tasks
    owner = case.operators.task_operators
    writers = last_writers(case)
    triggers = np.stack([columns.trigger_indices, owner], axis=1)[owner >= 0]
    triggered_by = {}
    for event, producer in np.unique(triggers, axis=0).tolist():
        triggered_by.setdefault(event, set()).add(producer)
    waits_for = {}
    for operator in case.operators:
        events = np.unique(columns.dependent_indices[operator.task_ids])
        found = set().union(*(triggered_by.get(x, set()) for x in events.tolist() if x >= 0))
        assert found <= writers[operator.index], operator.register_name
        assert bool(found) == bool(writers[operator.index])
        assert (-1 in events) == (not found)
        waits_for[operator.index] = found
        if not found:
            assert set(operator.task_ids.tolist()) <= set(case.graph.first_tasks.tolist())
    before = {}
    for index in topological(waits_for):
        before[index] = waits_for[index].union(*(before[x] for x in waits_for[index]))
        assert writers[index] <= before[index]
    shared = {x for found in waits_for.values() for x in found}
    consumers = {x: sum(x in found for found in waits_for.values()) for x in shared}
    for operator in case.operators:
        if all(consumers[x] == 1 for x in waits_for[operator.index]) and not has_null(case):
            ids = np.sort(operator.task_ids)
            assert ids[-1] - ids[0] + 1 == len(ids), "a chain's tasks are one run"


def grid_columns(operator):
    return np.indices(operator.grid_dim).reshape(3, -1).repeat(operator.num_subtasks, axis=1)


def has_null(case):
    return case.graph.num_null_tasks > 0


def last_writers(case):
    """For each operator those that last wrote one of its inputs, from the record alone."""
    operators = {x.layer_index: x for x in case.operators}
    writer = {}
    found = {}
    for layer in case.record.layers:
        operator = operators[layer.index]
        tensors = [x.tensor for x in layer.slots]
        num_inputs = len(operator.inputs)
        found[operator.index] = {writer[x] for x in tensors[:num_inputs] if x in writer}
        writer.update(dict.fromkeys(tensors[num_inputs:], operator.index))
    return found


def topological(waits_for):
    done = {}
    pending = dict(waits_for)
    while pending:
        ready = [x for x, before in pending.items() if before <= done.keys()]
        assert ready, "operators wait for each other"
        for index in ready:
            done[index] = pending.pop(index)
    return list(done)


def test_facts_of_the_record_reach_the_operators():
    case = load(goldens.get("bad/fuse_ok-cc90"))
    (operator,) = case.operators
    assert (operator.layer_method, operator.register_name) == (
        "linear_layer",
        "linear_swapAB_hopper",
    )
    assert operator.grid_dim == (64, 1, 1)
    x, weight, out = operator.slots
    assert (x.name, x.tile_dims, x.input_map) == ("x", (8, 4096), (-1, -1, -1))
    assert (weight.base_ptrs, weight.tensor_dims) == (("q", "k", "v"), (4096, 4096))
    assert (out.is_output, out.tile_dims, out.tensor_dims) == (True, (8, 64), (8, 4096))
    assert all(all(slot.known_map) and all(slot.known_dims) for slot in operator.slots)
    assert operator.ambiguities == ()


def test_a_task_emitted_twice_counts_once():
    case = load(goldens.get("bad/fork_duplicate_edges_second-cc90"))
    null = np.flatnonzero(case.graph.tasks.is_null)
    assert len(null) == 1
    assert case.operators.of_task(int(null[0])) is None
    assert sum(x.num_tasks for x in case.operators) == case.graph.num_tasks - 3


def test_a_put_goes_to_the_plane_of_its_rank():
    ranks = [
        load(goldens.get("models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90", f"task_graph_rank{x}.json"))
        for x in (0, 1)
    ]
    for case in ranks:
        puts = [x for x in case.operators if x.register_name == "nvshmem_allgather_strided_put"]
        assert puts
        assert all(x.num_subtasks == 1 for x in puts)
    offsets = [first_put_offset(case) for case in ranks]
    assert offsets[0] == 0 < offsets[1]
    with pytest.raises(GraphReadError, match="nvshmem_allgather_strided_put"):
        recorded_operators(ranks[0].graph, ranks[1].record)


def first_put_offset(case):
    put = next(x for x in case.operators if x.register_name == "nvshmem_allgather_strided_put")
    return case.graph.outputs(int(put.task_ids[0]))[0].offset


def test_an_empty_graph_has_no_operators():
    case = load(goldens.get("bad/empty_graph-cc90"))
    assert len(case.operators) == 0
    assert case.operators.num_tasks == 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90", "models/qwen3_demo-Qwen3-0.6B-b8-L2-cc90"),
        ("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90", "models/qwen3_demo-Qwen3-0.6B-b1-L2-cc80"),
        ("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90", "models/qwen3_demo-Qwen3-0.6B-b1-full-cc90"),
        ("models/qwen3_demo-Qwen3-0.6B-b1-full-cc90", "models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90"),
        ("tests/test_fork_point-cc90", "tests/test_join_point-cc90"),
    ],
)
def test_the_record_of_another_golden_is_refused(left, right):
    graph, record = load(goldens.get(left)).graph, load(goldens.get(right)).record
    with pytest.raises(GraphReadError) as caught:
        recorded_operators(graph, record)
    assert "layer" in caught.value.what
    assert str(record.path) in caught.value.where
