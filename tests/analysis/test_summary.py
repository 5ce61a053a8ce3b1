"""Summaries: by hand, streamed against whole, and repeated layers of real models."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from hypothesis import given

from mpkgraph.analysis import summary as summary_module
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.event_order import EventOrder
from mpkgraph.analysis.operator_detail import operator_detail
from mpkgraph.analysis.streamed_order import OutOfOrderError, StreamedOrder
from mpkgraph.analysis.structure import find_structure
from mpkgraph.analysis.summary import SummaryOptions, summarise, summarise_stream
from mpkgraph.analysis.tensor_totals import TOTALS, TensorTotals
from mpkgraph.errors import UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.io.writer import write_graph
from mpkgraph.model.ids import EventId
from mpkgraph.views.operators import recover_operators
from tests import goldens, loaded, strategies
from tests.analysis import graphs
from tests.analysis.graphs import slot, task

WORKERS = SummaryOptions(num_workers=128, num_schedulers=16)


def test_by_hand():
    made = [
        task(None, 2, outputs=[slot("h", (4,), (1,), 8 * i)], inputs=[slot("layer_0_w", (64,))])
        for i in range(2)
    ]
    tasks = [*made, task(2, 3, task_type=119, inputs=[slot("h")]), None]
    graph = graphs.graph_of(tasks, 4)
    found = summarise(graph, recover_operators(graph), options=SummaryOptions(num_workers=2))
    assert found.task_types == {
        "null": 1,
        "TASK_TERMINATE": 1,
        "TASK_BEGIN_TASK_GRAPH": 1,
        "TASK_RMS_NORM": 1,
        "TASK_LINEAR": 2,
    }
    assert found.event_types == {
        "EVENT_EMPTY": 1,
        "EVENT_LAUNCH_DEPENDENT_TASKS": 1,
        "EVENT_END_OF_TASK_GRAPH": 1,
        "EVENT_TERMINATION": 1,
    }
    assert (found.num_tasks, found.num_null_tasks, found.num_first_tasks) == (6, 1, 2)
    assert (found.num_events, found.num_tensors) == (4, 2)
    assert (found.depth, found.width) == (2, 2)
    assert found.load.tasks_per_worker.tolist() == [2, 2]
    linear, norm = found.operators
    assert (linear.name, linear.num_tasks, linear.first_task_id, linear.layer) == (
        "linear",
        2,
        2,
        0,
    )
    assert [(x.tensor, x.tile_dims) for x in linear.inputs] == [("layer_0_w", (64,))]
    assert (linear.bytes_read, linear.bytes_written) == (256, 16)
    assert (linear.num_events_in, linear.num_events_out) == (0, 1)
    assert (norm.num_events_in, norm.num_events_out, norm.layer) == (1, 1, None)
    assert [(x.name, x.num_bytes) for x in found.largest_tensors] == [("layer_0_w", 128), ("h", 16)]
    payload = json.loads(json.dumps(found.to_json()))
    assert payload["operators"][0]["bytes_read"] == 256
    assert payload["workers"]["max_tasks"] == 2
    assert payload["operators_origin"] == "recovered"


def test_without_workers_and_with_a_version():
    graph = graphs.graph_of([(None, 2)], 3)
    options = SummaryOptions(mirage_version="de8745d", num_largest_tensors=0)
    found = summarise(graph, recover_operators(graph), options=options)
    assert (found.load, found.mirage_version, found.largest_tensors) == (None, "de8745d", ())
    with pytest.raises(UsageError, match="from 1 to 160"):
        summarise(graph, recover_operators(graph), options=SummaryOptions(num_workers=500))


def test_unknown_sizes_and_other_ranks():
    put = EventId(1, 2, nvshmem=True)
    tasks = [task(None, put, inputs=[slot("q", data_type=920)], outputs=[slot("y")]), (2, 3)]
    graph = graphs.graph_of(tasks, 4)
    found = summarise(graph, recover_operators(graph))
    assert (found.operators[0].bytes_read, found.operators[0].bytes_written) == (None, 16)
    assert found.operators[0].num_events_out == 1
    assert found.num_remote_triggers == 1
    assert found.depth == 2
    assert [x.name for x in found.largest_tensors] == ["y"]


def test_cycle_is_told():
    graph = graphs.graph_of([(None, 2), (2, 3), (3, 2)], 5)
    found = summarise(graph, recover_operators(graph))
    assert (found.cycle, found.depth) == ((2, 3), 1)


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=2_500_000, one_target=True), ids=str)
def test_streamed_equals_whole(golden, tmp_path, monkeypatch):
    monkeypatch.setattr(summary_module, "BATCH_TASKS", 100)
    monkeypatch.setattr(summary_module, "BLOCK_BYTES", 1 << 14)
    path = golden.write_graph(tmp_path)
    graph, operators = read_graph(path), loaded.recovered(golden)
    whole = summarise(graph, operators, options=WORKERS)
    answers = []
    streamed = summarise_stream(path, options=WORKERS, keep=answers.append)
    assert streamed.to_json() == whole.to_json()
    totals, expected = answers[-1].tensor_totals, TensorTotals.of(GraphContext(graph, operators))
    for name in TOTALS:
        assert (getattr(totals, name) == getattr(expected, name)).all(), name
    structure = find_structure(graph)
    assert (whole.depth, whole.width, whole.cycle) == (
        structure.depth,
        structure.width,
        structure.cycle,
    )
    context = GraphContext(graph, operators)
    for row in whole.operators:
        detail = operator_detail(context, row.index)
        assert (row.bytes_read, row.bytes_written) == (detail.bytes_read, detail.bytes_written)
        assert row.num_events_in == detail.num_events_in
        assert row.num_events_out == detail.num_events_out + detail.num_remote_events_out
    assert (
        sum(row.num_tasks for row in whole.operators) == graph.num_tasks - 2 - graph.num_null_tasks
    )


def test_streamed_equals_whole_in_batches_of_any_size(tmp_path, monkeypatch):
    path = goldens.get("tests/test_diamond_fork_join-cc90").write_graph(tmp_path)
    expected = summarise_stream(path).to_json()
    for size in (1, 7, 1000):
        monkeypatch.setattr(summary_module, "BATCH_TASKS", size)
        assert summarise_stream(path).to_json() == expected


@given(strategies.task_graphs())
def test_any_legal_graph_has_a_summary(graph):
    groups = [[i] for i in range(2, graph.num_tasks) if not graph.tasks.is_null[i]]
    context = graphs.context_of(graph, groups)
    found = summarise(graph, context.operators)
    structure = find_structure(graph)
    assert json.dumps(found.to_json())
    assert (found.depth, found.width) == (structure.depth, structure.width)
    assert bool(found.cycle) == bool(structure.cycle)
    assert sum(found.task_types.values()) == graph.num_tasks


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("models/qwen3_demo-Qwen3-0.6B-b1-full-cc90", [(28, (0, 27))]),
        ("models/llama3_demo-Llama-3.2-1B-b1-full-cc90", [(16, (0, 15))]),
    ],
)
def test_layers_of_real_models_are_folded(case, expected, tmp_path):
    graph = read_graph(goldens.get(case).write_graph(tmp_path))
    found = summarise(graph, recover_operators(graph))
    assert [(x.count, x.layers) for x in found.repeats] == expected
    lines = len(found.operators) - sum(x.period * (x.count - 1) for x in found.repeats)
    assert lines <= 24
    for repeat in found.repeats:
        first = found.operators[repeat.first]
        assert first.layer == repeat.layers[0]


def test_summary_of_standard_input(monkeypatch):
    stream = io.BytesIO()
    write_graph(graphs.graph_of([(None, 2)], 3), stream)
    stream.seek(0)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stream))
    assert summarise_stream("-").num_tasks == 3


def streamed_and_whole(tasks, num_events, tmp_path):
    graph = graphs.graph_of(tasks, num_events)
    stream = io.BytesIO()
    write_graph(graph, stream)
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(stream.getvalue())
    whole = summarise(graph, recover_operators(graph))
    streamed = summarise_stream(path)
    for name in ("depth", "width", "cycle", "task_types", "num_events"):
        assert getattr(streamed, name) == getattr(whole, name)
    return streamed


@pytest.mark.parametrize(
    ("tasks", "depth", "cycle"),
    [
        ([(3, 4), (2, 3), (None, 2)], 3, ()),  # each task before the one that it waits for
        ([(None, 2), (2, 3), (3, 2), (None, 4)], 1, (2, 3)),
        ([(None, 2), (2, 2)], 1, (2,)),
        ([(4, 3)], 1, ()),
    ],
)
@pytest.mark.parametrize("batch_tasks", [1, 2, 1000])
def test_streams_in_another_order_than_mirages(
    tasks, depth, cycle, batch_tasks, tmp_path, monkeypatch
):
    monkeypatch.setattr(summary_module, "BATCH_TASKS", batch_tasks)
    found = streamed_and_whole(tasks, 5, tmp_path)
    assert (found.depth, found.cycle) == (depth, cycle)


@given(graphs.links(), strategies.st.integers(1, 5))
def test_levels_in_batches_are_right_or_refused(drawn, size):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    whole = EventOrder()
    whole.add(0, graph.tasks)
    expected = whole.finish(num_events)
    order = StreamedOrder()
    try:
        for first in range(0, graph.num_tasks, size):
            order.add(first, part_of(graph.tasks, first, first + size))
    except OutOfOrderError:
        backward = any(
            made is not None and any(made == waits for waits, _ in tasks[: i + 1])
            for i, (_, made) in enumerate(tasks)
        )
        assert backward
        return
    levels, cycle = order.finish(num_events)
    assert (levels.tolist(), cycle) == (expected[0].tolist(), expected[1])


def part_of(tasks, first, stop):
    """Some tasks of a graph without slots."""
    stop = min(stop, len(tasks))
    columns = {
        x.name: getattr(tasks, x.name)[first:stop]
        for x in dataclasses.fields(tasks)
        if x.name not in {"slot_starts", "slot_layouts", "slot_offsets", "extras"}
    }
    return dataclasses.replace(tasks, **columns, slot_starts=tasks.slot_starts[: stop - first + 1])
