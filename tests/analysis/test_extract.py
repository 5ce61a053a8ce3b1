"""Extraction: everything gives the file back; parts are valid graphs with the same order."""

from __future__ import annotations

import io

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.extract import extract
from mpkgraph.errors import SelectionError, UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.io.writer import write_graph
from mpkgraph.model.ids import EVENT_INVALID_ID, EventId, decode_event_id
from tests import goldens, strategies
from tests.analysis import graphs
from tests.analysis.graphs import slot, task
from tests.naive import graph_from_document

END = 910


def text_of(graph):
    stream = io.BytesIO()
    write_graph(graph, stream)
    return stream.getvalue()


def check_valid(graph):
    """What Mirage's generator guarantees of every graph that it writes."""
    tasks, events = graph.tasks, graph.events
    assert tasks.task_types[:2].tolist() == [0, 10]
    assert events.event_types[0] == 911
    assert events.event_types[1] == 903
    assert events.event_types[-1] == END
    assert (events.first_task_ids[1], events.last_task_ids[1]) == (2, graph.num_tasks)
    mirrored = EventGraph.of(graph, mirror=True)
    assert not mirrored.outside_events
    triggering = np.bincount(mirrored.trigger_nodes[1:], minlength=graph.num_events)
    assert events.num_triggers[1:].tolist() == triggering[1:].tolist()
    for index in range(2, graph.num_events - 1):
        waiting = np.flatnonzero(mirrored.dependent_nodes == index)
        first, last = int(events.first_task_ids[index]), int(events.last_task_ids[index])
        assert waiting.tolist() == list(range(first, last))
        assert len(waiting)
        assert triggering[index]
    waits_on_nothing = np.flatnonzero(tasks.dependent_events == EVENT_INVALID_ID)
    assert graph.first_tasks.tolist() == waits_on_nothing[waits_on_nothing > 1].tolist()
    assert (tasks.trigger_events[1:] != EVENT_INVALID_ID).all()


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=5_000_000, one_target=True), ids=str)
def test_everything_gives_the_file_back(golden, tmp_path):
    graph = read_graph(golden.write_graph(tmp_path))
    if graph.num_tasks == 2:  # the empty pipeline
        with pytest.raises(SelectionError):
            extract(graph, np.arange(2))
        return
    found = extract(graph, np.arange(graph.num_tasks))
    assert text_of(found.graph) == golden.graph_bytes()
    assert found.graph.layouts == graph.layouts
    assert not len(found.new_first_tasks)
    assert not len(found.new_last_tasks)


@pytest.mark.parametrize(
    "case",
    [
        "models/qwen3_demo-Qwen3-0.6B-b8-L2-cc90",
        "models/qwen3_demo-Qwen3-8B-ws2-ag-L2-cc90",
        "models/llama3_demo-Llama-3.2-1B-b1-L2-cc80",
        "tests/test_fork_point-cc90",
    ],
)
def test_parts_of_real_graphs_are_valid_and_read_back(case, tmp_path):
    graph = read_graph(goldens.get(case).write_graph(tmp_path))
    check_valid(graph)  # else the check itself would be wrong
    generator = np.random.default_rng(7)
    half = graph.num_tasks // 2
    for chosen in (
        np.arange(half),
        np.arange(half, graph.num_tasks),
        np.flatnonzero(generator.random(graph.num_tasks) < 0.3),
        np.array([half]),
    ):
        part = extract(graph, chosen).graph
        check_valid(part)
        path = tmp_path / "part.json"
        path.write_bytes(text_of(part))
        again = read_graph(path)
        assert text_of(again) == path.read_bytes()
        assert again.layouts == part.layouts
        assert again.rank == graph.rank


@given(graphs.acyclic_links(), st.data())
def test_order_through_kept_tasks_is_kept(drawn, data):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    if not tasks:
        return
    chosen = data.draw(st.sets(st.integers(2, graph.num_tasks - 1), min_size=1))
    found = extract(graph, np.array(sorted(chosen)))
    assert found.task_ids.tolist() == [0, 1, *sorted(chosen)]
    network = graphs.slow_network(tasks)
    kept = [("task", number) for number in chosen]
    network = network.subgraph(kept + [x for x in network if x[0] == "event"])
    events = EventGraph.of(found.graph)
    for new, old in enumerate(found.task_ids.tolist()[2:], start=2):
        after = nx.descendants(network, ("task", old))
        for other_new, other_old in enumerate(found.task_ids.tolist()[2:], start=2):
            assert events.precedes(new, other_new) == (("task", other_old) in after)


@given(graphs.acyclic_links(), st.data())
def test_events_wait_for_the_kept_triggers(drawn, data):
    tasks, num_events = drawn
    graph = graphs.graph_of(tasks, num_events)
    if not tasks:
        return
    chosen = data.draw(st.sets(st.integers(2, graph.num_tasks - 1), min_size=1))
    part = extract(graph, np.array(sorted(chosen))).graph
    events = EventGraph.of(part)
    counts = events.triggering_tasks.sizes().tolist()
    assert part.events.num_triggers[1:].tolist() == counts[1:]


@given(strategies.task_graphs(), st.data())
def test_any_legal_graph_gives_a_part_that_writes(graph, data):
    if graph.num_tasks < 3 or END not in graph.events.event_types or graph.num_events < 3:
        return
    chosen = data.draw(st.sets(st.integers(2, graph.num_tasks - 1), min_size=1))
    part = extract(graph, np.array(sorted(chosen))).graph
    assert text_of(part)
    assert part.num_tasks == len(chosen) + 2
    assert part.tasks.task_types[2:].tolist() == graph.tasks.task_types[sorted(chosen)].tolist()


def test_cut_by_hand():
    # 2, 3 -> e2 -> 4, 5 -> e3 -> 6 -> END (e4); keep 3, 4 and 6.
    made = [
        task(None, 2, outputs=[slot("a")]),
        task(None, 2, outputs=[slot("b")]),
        task(2, 3, inputs=[slot("b")], outputs=[slot("c", offset=16)]),
        task(2, 3),
        task(3, 4, inputs=[slot("c"), slot("b")]),
    ]
    graph = graphs.graph_of(made, 5)
    found = extract(graph, np.array([3, 4, 6]))
    part = found.graph
    assert found.event_indices.tolist() == [0, 1, 2, 3, 4]
    assert part.events.num_triggers.tolist() == [1, 1, 1, 1, 1]
    assert part.events.first_task_ids.tolist() == [0, 2, 3, 4, 0]
    assert part.events.last_task_ids.tolist() == [0, 5, 4, 5, 0]
    assert part.first_tasks.tolist() == [2]
    assert [layout.base_ptr for layout in part.layouts] == ["b", "c"]
    assert [[(x.base_ptr, x.offset) for x in part.slots(i)] for i in (2, 3, 4)] == [
        [("b", 0)],
        [("b", 0), ("c", 16)],
        [("c", 0), ("b", 0)],
    ]
    # Without 4 nothing waits on e2 and nothing triggers e3.
    found = extract(graph, np.array([3, 6]))
    assert found.event_indices.tolist() == [0, 1, 4]
    assert found.new_last_tasks.tolist() == [2]
    assert found.new_first_tasks.tolist() == [3]
    assert found.graph.events.num_triggers.tolist() == [1, 1, 2]
    assert found.graph.first_tasks.tolist() == [2, 3]


def test_events_of_other_ranks_are_renumbered_with_those_here():
    away = EventId(1, 3, nvshmem=True)
    here = EventId(0, 3, nvshmem=True)
    tasks = [(None, 2), (2, away), (here, 4), (None, 4)]
    graph = graphs.graph_of(tasks, 5)
    part = extract(graph, np.array([3, 4])).graph
    assert decode_event_id(int(part.tasks.trigger_events[2])) == EventId(1, 2, nvshmem=True)
    assert decode_event_id(int(part.tasks.dependent_events[3])) == EventId(0, 2, nvshmem=True)
    assert part.events.num_triggers.tolist() == [1, 1, 1, 1]
    # Without the waiting task the put triggers END.
    part = extract(graph, np.array([3])).graph
    assert decode_event_id(int(part.tasks.trigger_events[2])) == EventId(0, 2, nvshmem=False)


def test_fault_that_is_whole_stays():
    document = graphs.document([(None, 2), (2, 3), (None, 3)], 4)
    document["all_events"][2]["num_triggers"] = 2  # one task triggers it: never completes
    graph = graph_from_document(document)
    assert extract(graph, np.array([2, 3])).graph.events.num_triggers[2] == 2


def test_nothing_and_no_graph_of_mirage_are_refused():
    graph = graphs.graph_of([(None, 2)], 3)
    with pytest.raises(SelectionError, match="nothing to extract"):
        extract(graph, np.array([0, 1]))
    with pytest.raises(UsageError, match="lacks"):
        extract(graphs.graph_of([(None, 1)], 2), np.array([2]))
