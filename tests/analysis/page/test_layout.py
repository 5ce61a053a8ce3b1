"""Places of operators and cells: nothing overlaps, edges lead on, every task has a cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.page.layout import (
    CARD_HEIGHT,
    CARD_WIDTH,
    GRID_HEIGHT,
    GRID_WIDTH,
    MAX_COLUMNS,
    grid_columns,
    grid_places,
    lay_out,
)
from mpkgraph.model.operator import Operator
from mpkgraph.views.operators import recover_operators
from tests import goldens, strategies
from tests.amount import examples
from tests.cli.conftest import EXAMPLE


def operator(grid, *, num_subtasks=1, positions=None):
    count = int(np.prod(grid)) * num_subtasks if positions is None else len(positions)
    return Operator(
        index=0,
        task_type=152,
        variant_ids=(0,),
        grid_dim=grid,
        num_subtasks=num_subtasks,
        task_ids=np.arange(2, 2 + count),
        slots=(),
        origin="recorded",
        grid_positions=None if positions is None else np.array(positions, dtype=np.int32),
    )


def check(context):
    layout = lay_out(context.operators.operators, context.operator_edges)
    placed = sorted(itertools.chain.from_iterable(block.operators for block in layout.blocks))
    assert placed == list(range(len(context.operators)))
    for number, block in enumerate(layout.blocks):
        places = {(int(layout.x[k]), int(layout.y[k])) for k in block.operators}
        assert len(places) == len(block.operators)
        for x, y in places:
            assert 0 <= x <= block.width - CARD_WIDTH
            assert 0 <= y <= block.height - CARD_HEIGHT
        for (x1, y1), (x2, y2) in itertools.combinations(sorted(places), 2):
            assert abs(x1 - x2) >= CARD_WIDTH or abs(y1 - y2) >= CARD_HEIGHT
        assert all(layout.block_of[k] == number for k in block.operators)
        assert len({x for x, _ in places}) <= MAX_COLUMNS
    return layout


@given(strategies.task_graphs())
@settings(max_examples=examples(40))
def test_cards_of_any_graph_stand_apart(graph):
    check(GraphContext(graph, recover_operators(graph)))


@pytest.mark.parametrize("golden", goldens.graphs(max_bytes=3_000_000)[::15], ids=str)
def test_edges_lead_on_inside_a_block(golden):
    graph = mpkgraph.read(golden.graph_path)
    context = GraphContext(graph, mpkgraph.operators(graph))
    layout = check(context)
    edges = context.operator_edges
    for tail, head in zip(edges.producers.tolist(), edges.consumers.tolist(), strict=True):
        if tail < head and layout.block_of[tail] == layout.block_of[head]:
            # right of it in its line, or in a line further down
            below = layout.y[head] > layout.y[tail]
            assert layout.x[head] > layout.x[tail] or below


def test_model_layers_are_blocks_and_equal_ones_a_run():
    graph = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    layout = check(GraphContext(graph, recover_operators(graph)))
    layers = {block.layer: block for block in layout.blocks if block.layer is not None}
    assert set(layers) == {0, 1}
    assert layers[0].run == layers[1].run
    others = [block for block in layout.blocks if block.layer is None]
    assert len({block.run for block in layout.blocks}) == len(others) + 1


@pytest.mark.parametrize(
    ("grid", "columns"),
    [((1, 1, 1), 1), ((8, 1, 1), 8), ((64, 1, 1), 16), ((64, 8, 1), 32), ((1, 1, 128), 16)],
)
def test_rows_hold_whole_steps_of_a_grid_axis(grid, columns):
    found = grid_columns(operator(grid))
    assert found == columns
    assert np.prod(grid) % found == 0


@pytest.mark.parametrize("count", [1, 2, 7, 97, 1000, 3840, 99991])
def test_grids_fit_their_cards(count):
    columns = grid_columns(operator((count, 1, 1)))
    rows = -(-count // columns)
    size = min(16, GRID_WIDTH / columns, GRID_HEIGHT / rows)
    # a third of the card at least, where it is not limited by the size of a cell
    assert size == 16 or columns * size >= GRID_WIDTH / 3


def test_missing_tasks_leave_gaps():
    found = grid_places(operator((2, 2, 1), positions=[(0, 0, 0), (1, 1, 0)]))
    assert found.tolist() == [0, 3]
    twice = operator((2, 1, 1), num_subtasks=2, positions=[(0, 0, 0), (0, 0, 0), (1, 0, 0)])
    assert grid_places(twice).tolist() == [0, 1, 2]


def test_a_grid_of_mostly_nothing_is_drawn_close():
    huge = operator((10**6, 10**6, 1), positions=[(0, 0, 0), (999_999, 999_999, 0)])
    assert grid_places(huge).tolist() == [0, 1]
    assert grid_columns(huge) <= 3
