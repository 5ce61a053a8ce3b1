"""Feeding a graph in chunks gives the operators that feeding it whole gives."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.io.reader import read_graph, stream_graph
from mpkgraph.model.graph import TaskColumns
from mpkgraph.views.extents import complete_extents
from mpkgraph.views.operators import OperatorStream, recover_operators
from tests import goldens, strategies
from tests.amount import examples


def chunk(graph, start, stop):
    tasks = graph.tasks
    first, last = tasks.slot_starts[start], tasks.slot_starts[stop]
    columns = {
        field.name: getattr(tasks, field.name)[start:stop]
        for field in dataclasses.fields(TaskColumns)
        if field.name not in {"slot_starts", "slot_layouts", "slot_offsets", "extras"}
    }
    return TaskColumns(
        **columns,
        slot_starts=tasks.slot_starts[start : stop + 1] - first,
        slot_layouts=tasks.slot_layouts[first:last],
        slot_offsets=tasks.slot_offsets[first:last],
    )


def recover_in_chunks(graph, bounds):
    stream = OperatorStream()
    operators = []
    bounds = [0, *bounds, graph.num_tasks]
    for start, stop in itertools.pairwise(bounds):
        tasks = chunk(graph, start, stop)
        num_layouts = int(graph.tasks.slot_layouts[: graph.tasks.slot_starts[stop]].max(initial=-1))
        operators += stream.feed(start, tasks, graph.layouts[: num_layouts + 1])
    return complete_extents(operators + stream.finish())


def plain(operator):
    """An operator with arrays as lists, for comparison."""
    values = {x.name: getattr(operator, x.name) for x in dataclasses.fields(operator)}
    for name in ("task_ids", "grid_positions"):
        if values[name] is not None:
            values[name] = values[name].tolist()
    return values


def assert_same(left, right):
    assert [plain(x) for x in left] == [plain(x) for x in right]


CASES = (
    "tests/test_diamond_fork_join-cc90",
    "tests/test_residual_stripping-cc90",
    "bad/fork_duplicate_edges_second-cc90",
    "bad/fuse_ok-cc90",
    "bad/nested_fork-cc90",
    "models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90",
    "models/deepseek_v3-L0,3-b1-cc100",
)


@pytest.mark.parametrize("case", CASES)
def test_chunks_of_goldens(case):
    graph = read_graph(goldens.get(case).graph_path)
    whole = list(recover_operators(graph))
    random = np.random.default_rng(len(case))
    for num_cuts in (1, 7, 100):
        cuts = np.sort(random.integers(0, graph.num_tasks + 1, num_cuts)).tolist()
        assert_same(recover_in_chunks(graph, cuts), whole)


def test_single_tasks():
    graph = read_graph(goldens.get("tests/test_fork_point-cc90").graph_path)
    assert_same(recover_in_chunks(graph, range(1, graph.num_tasks)), recover_operators(graph))


@given(strategies.task_graphs(), st.data())
@settings(max_examples=examples(50), deadline=None)
def test_chunks_of_any_graph(graph, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, graph.num_tasks), max_size=6)))
    assert_same(recover_in_chunks(graph, cuts), recover_operators(graph))


def test_batches_of_the_reader():
    path = goldens.get("models/deepseek_v3-L0,3-b1-cc100").graph_path
    operators = []
    most_carried = 0
    with stream_graph(path, batch_tasks=256) as graph:
        stream = OperatorStream()
        for batch in graph.batches():
            operators += stream.feed(batch.first_task_id, batch.tasks, graph.layouts)
            most_carried = max(most_carried, stream.num_carried)
    operators += stream.finish()
    whole = recover_operators(read_graph(path))
    assert_same(complete_extents(operators), whole)
    # the unfinished layer and a batch at most
    assert most_carried <= max(x.num_tasks for x in whole) + 256
