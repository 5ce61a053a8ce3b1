"""Tasks of one operator: which part each does, and what is remembered of operators."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mpkgraph.analysis.verify.rules.hazards.access import EventCells, accesses_by_operator
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder
from mpkgraph.analysis.verify.rules.hazards.siblings import Siblings, _meets_itself, _rows, _Work
from mpkgraph.model.tile import Tile, TileLayout
from tests.analysis.verify.oracle import built
from tests.analysis.verify.rules.mutated import findings
from tests.model.brute import tile_bytes
from tests.pipelines.kit import COLUMNS, ROWS, WHOLE, attach, block_graph


@pytest.mark.parametrize("axes", ["", "x", "y", "z", "xy", "yz", "xyz"])
@pytest.mark.parametrize("told", [False, True])
def test_parts_are_places_along_axes(axes, told):
    grid, num_subtasks = (2, 3, 4), 2
    points = [p for p in itertools.product(*map(range, grid)) for _ in range(num_subtasks)]
    positions = np.array(points, dtype=np.int32) if told else None
    operator = SimpleNamespace(
        grid_dim=grid, num_subtasks=num_subtasks, grid_positions=positions, num_tasks=len(points)
    )
    parts = _Work(operator, (), ())._parts(np.arange(len(points)), axes).tolist()
    places = [tuple(p["xyz".index(axis)] for axis in axes) for p in points]
    numbers = {place: number for number, place in enumerate(sorted(set(places)))}
    assert parts == [numbers[place] for place in places]


def test_cells_are_the_distinct_pairs_of_offset_and_event():
    access = SimpleNamespace(
        offsets=np.array([8, 0, 8, 8, 0, 8, 16]),
        tasks=np.array([9, 8, 7, 6, 5, 4, 3]),
        task_shift=0,
        distinct_offsets=np.array([0, 8, 16]),
    )
    events = np.array([0, 0, 0, 5, 2, 2, 5, 2, 2, 5])
    cells = EventCells.of(access, events)
    pairs = list(zip(access.offsets.tolist(), events[access.tasks].tolist(), strict=True))
    wanted = sorted(set(pairs))
    assert cells.nodes.tolist() == [2, 5]
    found = zip(cells.offsets.tolist(), cells.nodes[cells.codes].tolist(), strict=True)
    assert list(found) == wanted
    assert cells.counts.tolist() == [pairs.count(x) for x in wanted]
    assert cells.first_tasks.tolist() == [
        min(t for t, pair in zip(access.tasks.tolist(), pairs, strict=True) if pair == x)
        for x in wanted
    ]
    assert [x.tolist() for x in cells.of_offset] == [[0, 1, 3], [1, 2, 1]]


def test_slots_that_are_not_touched_are_no_accesses():
    def build(kernel):
        tensors = [attach(kernel, name, 8, 512) for name in "abc"]
        kernel.tensor_init_layer(*tensors, (8, 1, 1), (128, 1, 1))

    context = built(build)
    finder = PairFinder(context)
    found = accesses_by_operator(context, finder.peers, finder.order.is_resolved)
    assert [[x.use.slot.position for x in accesses] for _, accesses in found] == [[0]]


def test_tasks_of_one_tile_that_do_the_same_are_one_row():
    """By offset, part and work: how many, and the lowest and the last of them."""
    numbers = np.array([4, 4, 4, 6, 4, 6])
    work = SimpleNamespace(
        parts=lambda access, axes: np.zeros(6, dtype=np.int64),
        positions=lambda access: np.arange(6),
        numbers=numbers,
    )
    access = SimpleNamespace(
        offsets=np.array([0, 8, 8, 8, 16, 8]), tasks=np.array([7, 6, 5, 4, 3, 2])
    )
    rows = _rows(work, access, "")
    assert list(zip(*(getattr(rows, x).tolist() for x in COLUMNS_OF_ROWS), strict=True)) == [
        (0, 4, 1, 7, 7),
        (8, 4, 2, 5, 6),
        (8, 6, 2, 2, 4),
        (16, 4, 1, 3, 3),
    ]


COLUMNS_OF_ROWS = ("offsets", "work", "counts", "tasks", "last_tasks")


def _add(kernel, target_map=(0, 1, -1)):
    tensors = [attach(kernel, name, 4, 6) for name in ("x", "w", "out")]
    maps = [(0, 1, -1), (0, 1, -1), target_map]
    graph = block_graph((2, 2, 1), list(zip(tensors, maps, strict=True)))
    kernel.kn_graph.customized(tensors, graph)
    kernel.kn_graph.register_task(graph, "elementwise_add_sm100")


def test_only_whole_operators_are_remembered():
    """What is clean of one is clean of all of its shape; not where tasks lack, or lie elsewhere."""
    context = built(_add, 100)
    finder = PairFinder(context)
    runs = finder.order.is_resolved
    ((operator, accesses),) = accesses_by_operator(context, finder.peers, runs)
    whole = Siblings()
    assert not whole.conflicts(operator, accesses)
    assert len(whole._clean) == 1
    points = np.array(list(itertools.product(range(2), range(2), [0])), dtype=np.int32)
    fewer = [replace(x, tasks=x.tasks[1:], offsets=x.offsets[1:]) for x in accesses]
    for other in ((replace(operator, grid_positions=points), accesses), (operator, fewer)):
        siblings = Siblings()
        assert not siblings.conflicts(*other)
        assert not siblings._clean


@pytest.mark.parametrize(
    ("offsets", "layout"),
    [
        ([0, 8, 16], TileLayout((8,), (1,), 1)),  # side by side
        ([0, 7, 16], TileLayout((8,), (1,), 1)),
        ([0, 9, 16], TileLayout((8,), (1,), 1)),
        ([0, 8, 8], TileLayout((8,), (1,), 1)),
        ([5], TileLayout((8,), (1,), 1)),
        ([0, 4, 8], TileLayout((3, 4), (12, 1), 1)),  # columns, within each other's extents
        ([0, 3, 8], TileLayout((3, 4), (12, 1), 1)),
    ],
)
def test_tiles_that_meet_each_other(offsets, layout):
    touched = [tile_bytes(Tile("x", at, layout)) for at in offsets]
    access = SimpleNamespace(
        offsets=np.array(offsets), distinct_offsets=np.unique(offsets), layout=layout
    )
    meets = any(a & b for a, b in itertools.combinations(touched, 2))
    assert _meets_itself(access) == meets


def test_the_axis_that_an_output_lacks_is_named():
    (finding,) = findings("MPK204", built(lambda kernel: _add(kernel, ROWS), 100))
    assert finding.remedy == "Map grid axis y to a dim of out too, or use a grid of 1 along it"
    (finding,) = findings("MPK204", built(lambda kernel: _add(kernel, WHOLE), 100))
    assert finding.remedy.startswith("Map grid axis x and y to a dim of out")
    (finding,) = findings("MPK204", built(lambda kernel: _add(kernel, COLUMNS), 100))
    assert finding.remedy.startswith("Map grid axis y to a dim of out")


def _route(kernel, rows=4):
    """Routing normalises the logits where they are."""
    tensors = [attach(kernel, name, 8, 16) for name in ("logits", "weights", "ids", "mask")]
    graph = block_graph((rows, 1, 1), [(x, ROWS if n else WHOLE) for n, x in enumerate(tensors)])
    kernel.kn_graph.customized(tensors, graph)
    kernel.kn_graph.register_task(graph, "moe_topk_softmax_sm100", [1])


def test_tasks_that_read_and_write_the_same_tile_are_counted_once_a_pair():
    (finding,) = findings("MPK205", built(_route, 100))
    assert (finding.location.tensor, finding.count) == ("logits", 4 * 3 // 2)
    assert [x.task_id for x in finding.witness] == [2, 3]


def test_two_of_several_results_in_one_buffer():
    def build(kernel):
        logits, weights, both = (attach(kernel, x, 8, 16) for x in ("logits", "weights", "both"))
        tensors = [logits, weights, both, both]
        graph = block_graph((4, 1, 1), [(x, ROWS) for x in tensors])
        kernel.kn_graph.customized(tensors, graph)
        kernel.kn_graph.register_task(graph, "moe_topk_softmax_sm100", [1])

    (finding,) = findings("MPK212", built(build, 100))
    assert (finding.location.tensor, finding.location.slot, finding.count) == ("both", 3, 4)


def test_results_of_two_slots_that_meet_in_different_tasks():
    """Each slot alone is split well; rows of the one are columns of the other."""

    def build(kernel):
        x, out = attach(kernel, "x", 4, 6), attach(kernel, "out", 4, 6)
        tensors = [x, out, out]
        graph = block_graph((2, 1, 1), list(zip(tensors, [ROWS, ROWS, COLUMNS], strict=True)))
        kernel.kn_graph.customized(tensors, graph)
        kernel.kn_graph.register_task(graph, "argmax_partial_sm100", [1, 1, 1])

    (finding,) = findings("MPK204", built(build, 100))
    assert finding.count == 2
    assert [x.task_id for x in finding.witness] == [2, 3]
