"""Rectangles of tiles against the elements that tasks have, counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.drawing import tile_map as module
from mpkgraph.analysis.drawing.finding_tiles import finding_tiles
from mpkgraph.analysis.drawing.tile_map import region_of, tile_map
from mpkgraph.analysis.verify.subjects import context_of as verify_context
from mpkgraph.api import verify
from mpkgraph.errors import TooLargeError
from mpkgraph.io.reader import read_graph
from mpkgraph.io.record import read_record
from mpkgraph.views.operators import recover_operators
from tests import goldens
from tests.cli.conftest import EXAMPLE


@pytest.fixture(scope="module")
def context():
    graph = read_graph(EXAMPLE / "task_graph_rank0.json")
    return GraphContext(graph, recover_operators(graph))


def elements(slot, dims, size):
    """Indices in the tensor of every element of a tile."""
    strides = slot.strides
    start = slot.offset // size
    found = set()
    for index in itertools.product(*map(range, slot.dims)):
        place = start + sum(i * s for i, s in zip(index, strides, strict=True))
        at = []
        for dim in sorted(range(len(dims)), key=lambda d: -strides[d]):
            quotient, place = divmod(place, strides[dim])
            at.append((dim, quotient))
        found.add(tuple(x for _, x in sorted(at)))
    return found


def test_rectangles_cover_what_tasks_have(context):
    graph, catalog = context.graph, context.catalog
    checked = 0
    for operator in context.operators:
        for slot in tile_map(context, operator.index).slots:
            tasks = sorted(x for r in slot.rectangles for x in r.task_ids)
            assert tasks == sorted(operator.task_ids.tolist())
            assert slot.num_not_drawn == 0
            for rectangle in slot.rectangles:
                task = rectangle.task_ids[-1]
                found = graph.slots(task)[slot.position]
                if np.prod(found.dims) > 4096 or len(found.dims) != len(slot.tensor_dims):
                    continue
                size = catalog.data_type_size(found.data_type)
                down, across = slot.shown_dims
                covered = {
                    (0 if down < 0 else x[down], x[across])
                    for x in elements(found, slot.tensor_dims, size)
                }
                drawn = set(
                    itertools.product(
                        range(rectangle.top, rectangle.bottom),
                        range(rectangle.left, rectangle.right),
                    )
                )
                assert drawn == covered
                checked += 1
    assert checked > 100


def test_shades_tell_tasks_apart_and_are_the_same_on_every_slot(context):
    operator = next(x for x in context.operators if x.num_tasks > 4 and x.grid_dim[1] == 1)
    found = tile_map(context, operator.index)
    split = [slot for slot in found.slots if len(slot.rectangles) == operator.num_tasks]
    assert len(split) >= 2
    shades = [
        {rectangle.task_ids[0]: rectangle.shade for rectangle in slot.rectangles} for slot in split
    ]
    assert all(x == shades[0] for x in shades)
    assert len(set(shades[0].values())) == operator.num_tasks


def test_a_tile_that_sticks_out_widens_the_picture(context):
    slot = tile_map(context, 0).slots[-1]
    rows, columns = slot.tensor_extents
    whole = [(0, rows), (0, columns)]
    beyond = region_of(slot.position, [(0, rows), (columns, columns + 7)])
    found = tile_map(context, 0, regions=[beyond, region_of(slot.position, whole)]).slots[-1]
    assert found.tensor_extents == (rows, columns)
    assert found.extents == (rows, columns + 7)
    assert found.regions == ((0, rows, columns, columns + 7), (0, rows, 0, columns))


def test_too_many_rectangles(context, monkeypatch):
    monkeypatch.setattr(module, "MAX_RECTANGLES", 3)
    operator = next(x for x in context.operators if x.num_tasks > 4).index
    with pytest.raises(TooLargeError, match="more than 3 different tiles"):
        tile_map(context, operator)
    assert tile_map(context, operator, force=True).slots


def verified(case):
    golden = goldens.get(case)
    graph = read_graph(golden.graph_path)
    record = read_record(golden.record_path)
    return verify_context(graph, record).view, verify(graph, record=record)


def test_a_finding_points_at_its_elements():
    context, result = verified("bad/grid_nondiv_linear-cc90")
    finding = next(x for x in result.findings if x.rule.code == "MPK101")
    (found,) = finding_tiles(context, finding)
    assert found.title.startswith("MPK101 grid-remainder: ")
    (slot,) = [x for x in found.slots if x.regions]
    assert (slot.name, slot.regions) == ("out", ((0, 8, 4080, 4096),))
    assert max(x.right for x in slot.rectangles) == 4080
    assert found.marked == {x.task_id for x in finding.witness}


def test_a_finding_of_two_operators_draws_both():
    context, result = verified("bad/waw_two_writers-cc90")
    finding = next(x for x in result.findings if x.rule.code == "MPK203")
    maps = finding_tiles(context, finding)
    assert [x.operator for x in maps] == [1, 0]
    assert all(any(slot.regions and slot.name == "x_a" for slot in x.slots) for x in maps)
    assert maps[1].title == ""
