"""What pictures show, on graphs made by hand and on those of the real Mirage."""

from __future__ import annotations

import itertools
import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpkgraph.analysis import drawing
from mpkgraph.analysis.drawing import Drawing, DrawnEdge, draw_operators, draw_ranks, draw_tasks
from mpkgraph.analysis.drawing.folding import FOLD_ABOVE
from mpkgraph.analysis.drawing.model_layers import (
    model_layers,
)
from mpkgraph.analysis.drawing.reduction import transitive_reduction
from mpkgraph.analysis.drawing.tiles import tile_range
from mpkgraph.analysis.layer_names import layer_number, without_layer_number
from mpkgraph.analysis.structure import operator_edges
from mpkgraph.errors import SelectionError, TooLargeError, UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.model.graph import Slot, SlotLayout
from mpkgraph.views.operators import recover_operators
from tests import drawn, goldens, loaded
from tests.drawn import LINEAR, NORM, SILU, Layer


def edge(picture: Drawing, tail: str, head: str) -> DrawnEdge:
    (found,) = (e for e in picture.edges if (e.tail, e.head) == (tail, head))
    return found


def draw(part: drawing.RankPart, **options: object) -> Drawing:
    return draw_operators(part.graph, part.operators, part.edges, **options)


# Model layers


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("layer_3_q_proj", 3),
        ("model.layers.12.mlp.up_proj", 12),
        ("mtp_model_layers_61_mlp_gate", 61),
        ("transformer.h.7.attn", 7),
        ("blk.0.ffn", 0),
        ("layer_27", 27),
        ("LAYER_4_NORM", 4),
        ("x_3", None),
        ("player_3_x", None),
        ("layer_norm_3", None),
        ("layer_3rd", None),
        ("fp8_input_7168_shared", None),
        ("", None),
    ],
)
def test_layer_number(name: str, number: int | None) -> None:
    assert layer_number(name) == number
    if number is not None:
        assert layer_number(without_layer_number(name).replace("*", "9")) == 9
    else:
        assert without_layer_number(name) == name


def layers_of(part: drawing.RankPart) -> list[int | None]:
    edges = part.edges
    pairs = zip(edges.producers.tolist(), edges.consumers.tolist(), strict=True)
    return model_layers(part.operators.operators, pairs)


def test_model_layers_follow_weights_and_neighbours() -> None:
    # The embedding and the last linear have weights without a number; silu has no weights.
    assert layers_of(drawn.model(2)) == [None, 0, 0, 0, 1, 1, 1, None]


def test_unnumbered_weights_inside_a_layer_stay_inside() -> None:
    part = drawn.chain(
        Layer(NORM, ("x", "layer_5_norm"), ("n",)),
        Layer(LINEAR, ("n", "shared_table"), ("m",)),
        Layer(LINEAR, ("m", "layer_5_proj"), ("y",)),
        Layer(NORM, ("y", "final_norm"), ("z",)),
        Layer(SILU, ("z",), ("s",)),
    )
    assert layers_of(part) == [5, 5, 5, None, None]


def test_majority_of_the_weights_decides() -> None:
    part = drawn.chain(Layer(LINEAR, ("layer_1_a", "layer_2_b", "layer_2_c"), ("layer_9_y",)))
    assert layers_of(part) == [2]


# Transitive reduction


@st.composite
def dags(draw_: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    size = draw_(st.integers(1, 12))
    order = draw_(st.permutations(range(size)))
    pairs = list(itertools.combinations(order, 2))
    return size, draw_(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@given(dags())
def test_reduction_agrees_with_networkx(dag: tuple[int, list[tuple[int, int]]]) -> None:
    size, edges = dag
    kept = transitive_reduction(size, [t for t, _ in edges], [h for _, h in edges])
    assert kept is not None
    graph = nx.DiGraph()
    graph.add_nodes_from(range(size))
    graph.add_edges_from(edges)
    expected = set(nx.transitive_reduction(graph).edges)
    assert {e for e, keep in zip(edges, kept, strict=True) if keep} == expected


def test_no_reduction_of_a_cycle() -> None:
    assert transitive_reduction(3, [0, 1, 2], [1, 2, 0]) is None
    assert transitive_reduction(1, [0], [0]) is None


# Operators


def test_a_fork() -> None:
    picture = draw(drawn.fork())
    assert picture.title == "task_graph_rank0.json"
    assert picture.facts == ("rank 0", "3 operators", "8 tasks", "4 events")
    assert [(n.node_id, n.kind, n.title) for n in picture.nodes] == [
        ("op0", "norm", "0 rms_norm_hopper"),
        ("op1", "linear", "1 linear_hopper"),
        ("op2", "elementwise", "2 silu_mul_hopper"),
    ]
    assert picture.nodes[1].lines == ("grid (2,1,1) · 2 tasks",)
    assert [(s.is_output, s.tensor, s.tile, s.detail) for s in picture.nodes[1].slots] == [
        (False, "a", "4x64 of 8x64", "bfloat16"),
        (False, "w_b", "4x64 of 8x64", "bfloat16"),
        (True, "b", "4x64 of 8x64", "bfloat16"),
    ]
    assert [(e.tail, e.head, e.tensors, e.note, e.style) for e in picture.edges] == [
        ("op0", "op1", ("a",), "1 event", "order"),
        ("op0", "op2", ("a",), "1 event", "order"),
    ]
    assert picture.clusters == ()


def test_ends_count_first_tasks_and_triggers() -> None:
    picture = draw(drawn.fork(), ends=True)
    assert edge(picture, "begin", "op0").note == "2 tasks"
    assert edge(picture, "op1", "end").note == "2 tasks"
    assert next(n for n in picture.nodes if n.node_id == "end").lines == ("4 triggers",)


def test_reduce_leaves_out_what_a_path_implies() -> None:
    # 2 waits on the event of 0 and 1 alike, and 1 waits for 0.
    part = drawn.build([Layer(NORM, ("x",), ("y",))] * 3, [(0, 1), (1, 2)])
    edges = part.edges
    extra = type(edges)(
        *(np.append(getattr(edges, name), value) for name, value in _ROW.items()),
    )
    plain = draw_operators(part.graph, part.operators, extra)
    reduced = draw_operators(part.graph, part.operators, extra, reduce=True)
    assert len(plain.edges) == 3
    assert [(e.tail, e.head) for e in reduced.edges] == [("op0", "op1"), ("op1", "op2")]
    assert reduced.notes == ("Reduced: 1 edge of 3 that longer paths imply not drawn",)


_ROW = {
    "producers": 0,
    "consumers": 2,
    "num_events": 1,
    "num_triggering": 2,
    "num_waiting": 2,
    "is_remote": False,
}


def test_a_cycle_is_drawn_and_not_reduced() -> None:
    part = drawn.build([Layer(NORM, ("x",), ("y",))] * 2, [(0, 1), (1, 0)])
    picture = draw(part, reduce=True)
    assert len(picture.edges) == 2
    assert picture.notes == ("Not reduced: the operators wait on each other in a cycle",)


# Folding


def test_equal_layers_are_drawn_once() -> None:
    picture = draw(drawn.model(4), fold=True)
    assert [n.node_id for n in picture.nodes] == ["op0", "op1", "op2", "op3", "op13"]
    assert [c.title for c in picture.clusters] == ["layers 0-3 (4 alike)"]
    norm = picture.nodes[1]
    assert norm.title == "rms_norm_hopper"
    assert norm.lines == ("grid (2,1,1) · 2 tasks each", "operators 1, 4, … 10")
    assert [slot.tensor for slot in norm.slots] == ["y", "layer_*_norm", "n"]
    assert edge(picture, "op0", "op1").note == "1 event, into layer 0"
    assert edge(picture, "op3", "op13").note == "1 event, from layer 3"
    back = edge(picture, "op3", "op1")
    assert (back.style, back.note, back.tensors) == ("repeat", "1 event, next layer", ("y",))
    assert edge(picture, "op1", "op2").style == "order"


def test_a_layer_that_differs_splits_the_run() -> None:
    picture = draw(drawn.model(5, odd=2), fold=True)
    titles = [c.title for c in picture.clusters]
    assert titles == ["layers 0-1 (2 alike)", "layer 2", "layers 3-4 (2 alike)"]


def test_folding_starts_by_itself_above_the_limit() -> None:
    few, many = drawn.model(4), drawn.model(FOLD_ABOVE // 3 + 1)
    assert len(few.operators) <= FOLD_ABOVE < len(many.operators)
    assert len(draw(few).nodes) == len(few.operators)
    assert len(draw(many).nodes) == 5
    assert len(draw(many, fold=False).nodes) == len(many.operators)


def test_nothing_to_fold_is_said() -> None:
    (note,) = draw(drawn.fork(), fold=True).notes
    assert note.startswith("Nothing to fold")


# Size


def test_too_large_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.picture, "MAX_NODES", 2)
    with pytest.raises(TooLargeError, match=r"3 nodes.*--force"):
        draw(drawn.fork())
    assert len(draw(drawn.fork(), force=True).nodes) == 3


def test_too_many_tasks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.picture, "MAX_TASKS", 3)
    part = drawn.fork()
    with pytest.raises(TooLargeError, match=r"4 tasks.*operator graph"):
        draw_tasks(part.graph, part.operators, range(2, 6))
    assert draw_tasks(part.graph, part.operators, range(2, 6), force=True).nodes


# Ranks


def test_remote_edges_of_one_rank() -> None:
    picture = draw(drawn.put_and_reduce(0, 1))
    remote = edge(picture, "op1", "op2")
    assert (remote.style, remote.note) == ("remote", "1 event of rank 1")
    assert edge(picture, "op0", "op1").style == "order"


def test_ranks_side_by_side() -> None:
    parts = [drawn.put_and_reduce(0, 1), drawn.put_and_reduce(1, 0)]
    picture = draw_ranks(parts)
    assert edge(picture, "rank0_op1", "rank1_op2").style == "remote"
    assert edge(picture, "rank1_op1", "rank0_op2").note == "1 event"
    assert edge(picture, "rank0_op1", "rank0_op2").style == "layout"
    assert {n.cluster for n in picture.nodes} == {"rank0", "rank1"}
    assert picture.clusters[1].title == "rank 1 · 3 operators · 8 tasks · 5 events"
    assert "layout" not in picture.edge_styles


def test_ranks_must_differ() -> None:
    with pytest.raises(UsageError, match=r"\[0, 0\]"):
        draw_ranks([drawn.fork(), drawn.fork()])
    with pytest.raises(UsageError):
        draw_ranks([])


# Tasks


def test_tasks_events_and_what_is_outside() -> None:
    part = drawn.fork()
    picture = draw_tasks(part.graph, part.operators, [2, 4])
    assert picture.facts == ("rank 0", "2 of 8 tasks", "2 of 4 events")
    task = picture.nodes[1]
    assert (task.title, task.lines) == (
        "task 4 linear_hopper",
        ("operator 1 at (0,0,0)", "variant 0 · request_id 0"),
    )
    assert [(s.tensor, s.tile, s.detail) for s in task.slots] == [
        ("a", "[0:4, 0:64]", "512 B"),
        ("w_b", "[0:4, 0:64]", "512 B"),
        ("b", "[0:4, 0:64]", "512 B"),
    ]
    assert edge(picture, "task2", "event2").style == "order"
    assert edge(picture, "event2", "task4").style == "order"
    assert edge(picture, "before_op0", "event2").note == "1 task"
    assert edge(picture, "event2", "after_op2").note == "2 tasks"
    assert edge(picture, "before_op1", "event3").style == "outside"
    assert next(n for n in picture.nodes if n.node_id == "event3").lines == (
        "end_of_task_graph",
        "4 triggers",
    )


def test_a_whole_selection_has_nothing_outside() -> None:
    part = drawn.fork()
    picture = draw_tasks(part.graph, part.operators, range(part.graph.num_tasks))
    assert "outside" not in picture.edge_styles
    assert len([n for n in picture.nodes if n.shape == "card"]) == part.graph.num_tasks


def test_events_of_other_ranks_are_told_apart() -> None:
    part = drawn.put_and_reduce(0, 1)
    picture = draw_tasks(part.graph, part.operators, part.operators[1].task_ids)
    remote = next(n for n in picture.nodes if n.node_id == "rank1_event3")
    assert remote.remote
    assert remote.lines == ("of rank 1", "NVSHMEM")
    assert edge(picture, "task4", "rank1_event3").style == "remote"
    picture = draw_tasks(part.graph, part.operators, part.operators[2].task_ids)
    incoming = edge(picture, "other_ranks", "event3")
    assert (incoming.note, incoming.style) == ("2 triggers", "remote")


@pytest.mark.parametrize("task", [-1, 8, 2**40])
def test_no_such_task(task: int) -> None:
    part = drawn.fork()
    with pytest.raises(SelectionError, match=f"no task {task}.*0 to 7"):
        draw_tasks(part.graph, part.operators, [2, task])


def test_an_empty_selection_is_an_empty_picture() -> None:
    part = drawn.fork()
    assert draw_tasks(part.graph, part.operators, []).nodes == ()


def test_tasks_reduced() -> None:
    part = drawn.fork()
    picture = draw_tasks(part.graph, part.operators, range(8), reduce=True)
    graph = nx.DiGraph((e.tail, e.head) for e in picture.edges)
    assert nx.transitive_reduction(graph).number_of_edges() == graph.number_of_edges()


# Tiles


@given(st.data())
def test_tile_range_is_where_the_tile_is(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    starts = [data.draw(st.integers(0, extent - 1)) for extent in shape]
    dims = [
        data.draw(st.integers(1, extent - start))
        for extent, start in zip(shape, starts, strict=True)
    ]
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    offset = sum(a * b for a, b in zip(starts, strides, strict=True))
    slot = Slot(SlotLayout("x", 941, tuple(dims), tuple(strides)), offset * 2)
    text = tile_range(slot, 2)
    pairs = [tuple(map(int, part.split(":"))) for part in text.strip("[]").split(", ")]
    covered = np.zeros(math.prod(shape) * 2, dtype=bool)
    for index in itertools.product(*(range(a, b) for a, b in pairs)):
        covered[sum(a * b for a, b in zip(index, strides, strict=True))] = True
    expected = np.zeros_like(covered)
    for index in itertools.product(*map(range, dims)):
        expected[offset + sum(a * b for a, b in zip(index, strides, strict=True))] = True
    assert (covered == expected).all()


@pytest.mark.parametrize(
    ("slot", "size", "text"),
    [
        (Slot(SlotLayout("x", 941, (2, 2), (4, 1)), 3), 2, "2x2 at byte 3"),
        (Slot(SlotLayout("x", 920, (2, 2), (4, 1)), 0), None, "2x2"),
        (Slot(SlotLayout("x", 941, (), ()), 0), 2, "[]"),
        (Slot(SlotLayout("x", 941, (2,), (-1,)), 8), 2, "2 at byte 8"),
        (Slot(SlotLayout("x", 941, (2, 3), (1, 8)), 34), 2, "[1:3, 2:5]"),
        (Slot(SlotLayout("x", 941, (4, 5), (0, 1)), 4), 2, "[0:4, 2:7]"),
    ],
)
def test_tiles_without_a_plain_range(slot: Slot, size: int | None, text: str) -> None:
    assert tile_range(slot, size) == text


# Graphs of the real Mirage


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=2_000_000, one_target=True), ids=str)
def test_golden_pictures_are_whole(golden: goldens.Golden) -> None:
    graph, operators = loaded.graph(golden), loaded.recovered(golden)
    edges = operator_edges(graph, operators)
    picture = draw_operators(graph, operators, edges, fold=False, ends=True)
    assert len([n for n in picture.nodes if n.shape == "card"]) == len(operators)
    check_whole(picture)
    folded = draw_operators(graph, operators, edges, fold=True)
    assert len(folded.nodes) <= len(operators)
    check_whole(folded)
    tasks = draw_tasks(graph, operators, range(min(graph.num_tasks, 40)))
    check_whole(tasks)
    assert len([n for n in tasks.nodes if n.shape == "card"]) == min(graph.num_tasks, 40)


@pytest.mark.parametrize(
    ("case", "num_nodes", "frames"),
    [
        ("models/qwen3_demo-Qwen3-0.6B-b8-full-cc90", 13, ["layers 0-27 (28 alike)"]),
        ("models/llama3_demo-Llama-3.2-1B-b1-full-cc90", None, ["layers 0-15 (16 alike)"]),
    ],
)
def test_whole_models_fold(case: str, num_nodes: int | None, frames: list[str]) -> None:
    graph = read_graph(goldens.get(case).graph_path)
    operators = recover_operators(graph)
    picture = draw_operators(graph, operators, operator_edges(graph, operators))
    assert [cluster.title for cluster in picture.clusters] == frames
    assert len(picture.nodes) == (num_nodes or len(picture.nodes)) <= 16
    check_whole(picture)


def check_whole(picture: Drawing) -> None:
    """Names are unique, edges end at nodes, frames exist."""
    names = [node.node_id for node in picture.nodes]
    assert len(set(names)) == len(names)
    assert {end for e in picture.edges for end in (e.tail, e.head)} <= set(names)
    frames = {cluster.cluster_id for cluster in picture.clusters}
    assert {node.cluster for node in picture.nodes} <= frames | {None}
