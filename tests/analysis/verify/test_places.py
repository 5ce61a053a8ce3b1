"""Where two tiles meet, as findings show it, against sets of bytes."""

from __future__ import annotations

import contextlib
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from mpkgraph.analysis.verify.rules.hazards import pairs, places, union
from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.analysis.verify.rules.hazards.conflicts import walk_conflicts
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder
from mpkgraph.analysis.verify.rules.hazards.places import Place, shared_place
from mpkgraph.analysis.verify.run import verify
from mpkgraph.errors import PipelineError, TooLargeError
from mpkgraph.model import coverage
from mpkgraph.model.region import Region
from mpkgraph.model.tile import Tile, TileLayout
from tests.analysis.verify.oracle import Oracle, built, tile_bytes
from tests.analysis.verify.random_pipelines import random_pipeline

BYTES = 2
"""Of an element of the random pipelines."""


def contexts(seeds, **more):
    for seed in seeds:
        with contextlib.suppress(PipelineError):  # a fork and join that Mirage refuses
            yield built(random_pipeline(seed, **more), cc=100)


@pytest.mark.parametrize(
    ("column", "elements"), [(0, ((0, 2), (0, 4))), (3, ((0, 2), (3, 4))), (4, None), (8, None)]
)
def test_boxes_that_are_apart_have_none_in_common(column, elements):
    layout = TileLayout((2, 4), (16, 1), BYTES)
    tiles = Tile("x", 0, layout), Tile("x", column * BYTES, layout)
    access = SimpleNamespace(use=SimpleNamespace(slot=SimpleNamespace(tensor_dims=(8, 16))))
    assert places._common_box(tiles, access, access) == elements


def test_tiles_that_are_too_irregular_hold_nothing(monkeypatch):
    """As far as is known: what is asked of them is then not said."""
    layout = TileLayout((2, 4), (16, 1), BYTES)
    whole, left, right = (
        SimpleNamespace(key=(x, np.array([at], dtype=np.int64).tobytes()))
        for x, at in ((TileLayout((2, 8), (16, 1), BYTES), 0), (layout, 0), (layout, 8))
    )
    assert union.Unions().covers([left, right], whole)
    assert not union.Unions().covers([left], whole)
    monkeypatch.setattr(coverage, "MAX_CELLS", 1)
    assert not union.Unions().covers([left, right], whole)
    assert union.Unions().covers([left, whole], whole)


@pytest.mark.parametrize("limit", [1, 4, 7, 100])
def test_pairs_of_cells_are_listed_some_at_a_time(monkeypatch, limit):
    """No more than the limit at once, unless two offsets alone have more."""
    monkeypatch.setattr(pairs, "MAX_BLOCK", limit)
    left, right = (
        SimpleNamespace(of_offset=(np.cumsum([0, *sizes])[:-1], np.array(sizes)))
        for sizes in ((1, 2, 3), (2, 0, 1))
    )
    i, j = np.array([0, 1, 1, 2, 2, 2]), np.array([0, 0, 2, 0, 1, 2])
    blocks = list(pairs._cell_blocks(left, right, i, j))
    listed = [pair for a, b in blocks for pair in zip(a.tolist(), b.tolist(), strict=True)]
    (first_i, num_i), (first_j, num_j) = left.of_offset, right.of_offset
    assert listed == [
        (first_i[x] + a, first_j[y] + b)
        for x, y in zip(i, j, strict=True)
        for a in range(num_i[x])
        for b in range(num_j[y])
    ]
    assert max(len(a) for a, _ in blocks) <= max(limit, (num_i[i] * num_j[j]).max())
    if limit == 100:
        assert len(blocks) == 1


def box_bytes(elements, strides, first=0):
    return {
        first + BYTES * sum(i * s for i, s in zip(index, strides, strict=True)) + k
        for index in itertools.product(*(range(low, high) for low, high in elements))
        for k in range(BYTES)
    }


def test_what_two_tiles_share():
    told = 0
    for context in contexts(range(12)):
        for step in walk_conflicts(context, PairFinder(context)):
            for found in step.conflicts:
                tasks = found.pairs.earlier, found.pairs.later
                uses = found.earlier.use, found.later.use
                slots = [
                    context.graph.slots(task)[use.slot.position]
                    for task, use in zip(tasks, uses, strict=True)
                ]
                common = tile_bytes(slots[0]) & tile_bytes(slots[1])
                place = shared_place(found.earlier, tasks[0], found.later, tasks[1])
                assert place.byte_range == (min(common), max(common) + 1)
                assert box_bytes(place.elements, slots[0].strides) == common
                told += 1
    assert told > 10


def test_bytes_that_nothing_wrote_were_not_written():
    told = 0
    for context in contexts(range(24), num_layers=4, new=True):
        oracle = Oracle(context)
        for finding in verify([context], select=["MPK210"]).findings:
            where = finding.location
            operator = context.operators[where.operator]
            low, high = where.byte_range
            missing = {
                x
                for x in range(low, high)
                if not any(
                    layer < operator.layer_index and kind != "read"
                    for layer, _, kind in oracle.by_byte[where.tensor, x]
                )
            }
            slot = operator.slots[where.slot]
            assert {low, high - 1} <= missing
            told_bytes = box_bytes(where.elements, slot.strides)
            assert told_bytes
            assert told_bytes <= missing
            # The witness reads some of it
            task = context.graph.slots(finding.witness[0].task_id)[where.slot]
            assert tile_bytes(task) & missing
            told += 1
    assert told > 10


def an_access(dims, strides, first, tensor_dims):
    """One task's tile of two-byte elements."""
    use = SimpleNamespace(tensor="x", slot=SimpleNamespace(tensor_dims=tensor_dims))
    layout = TileLayout(dims, strides, BYTES)
    return Access(use, "write", layout, np.array([first * BYTES]), np.array([2]), 0)


@pytest.mark.parametrize(
    ("tiles", "tensors", "elements"),
    [
        ([((2, 2), (6, 1), 1), ((2, 2), (6, 1), 2)], [(4, 6)] * 2, ((0, 2), (2, 3))),
        # A view with other strides: no box is common to both
        ([((2, 2), (6, 1), 1), ((4, 2), (3, 1), 1)], [(4, 6), (8, 3)], None),
        # Past the end of a row there is no box, unless nothing says where rows end
        ([((2, 4), (8, 1), 3), ((2, 2), (8, 1), 3)], [(4, 6)] * 2, None),
        ([((2, 4), (8, 1), 3), ((2, 2), (8, 1), 3)], [(32,), (4, 6)], ((0, 2), (3, 5))),
    ],
)
def test_boxes_that_two_tiles_share(tiles, tensors, elements):
    accesses = [an_access(*x, dims) for x, dims in zip(tiles, tensors, strict=True)]
    common = set.intersection(
        *(
            box_bytes([(0, d) for d in dims], strides, first * BYTES)
            for dims, strides, first in tiles
        )
    )
    place = shared_place(accesses[0], 2, accesses[1], 2)
    assert place.byte_range == (min(common), max(common) + 1)
    assert place.elements == elements


def test_of_bytes_in_two_rows_the_first_row_is_told():
    access = an_access((4, 6), (6, 1), 0, (4, 6))
    access.use.slot.strides = (6, 1)
    place = places.region_place(access, (Region(6, ((12, 1),)), Region(40, ((2, 1),))))
    assert place == Place((6, 18), ((0, 1), (3, 6)))
    cut = places.region_place(access, (Region(7, ((3, 1),)),))
    assert cut == Place((7, 10), None)


def test_how_a_place_is_told():
    assert str(Place((0, 8), ((0, 1), (2, 4)))) == "[0:1, 2:4]"
    assert str(Place((1024, 2048), None)) == " bytes 1,024 to 2,048"
    assert not str(Place(None, None))


def test_tiles_too_irregular_have_no_place(monkeypatch):
    def refuse(*_):
        raise TooLargeError("too many", remedy="none")

    context = next(contexts([0]))
    finder = PairFinder(context)
    found = next(x for step in walk_conflicts(context, finder) for x in step.conflicts)
    monkeypatch.setattr(places, "intersection", refuse)
    tasks = found.pairs.earlier, found.pairs.later
    assert shared_place(found.earlier, tasks[0], found.later, tasks[1]) == Place(None, None)


@pytest.mark.parametrize("seed", range(6))
def test_pairs_are_the_same_a_few_at_a_time(seed, monkeypatch):
    """Limits of memory change no count and no witness; only fewer pairs can be listed."""
    limits = {"MAX_BLOCK": 3, "MAX_MATRIX": 0, "MAX_REMEMBERED": 0, "MAX_KEPT_PAIRS": 4}
    for context in contexts([seed]):
        whole = PairFinder(context)
        wanted = [x for step in walk_conflicts(context, whole) for x in step.conflicts]
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(pairs, name, value)
            finder = PairFinder(context)
            found = [x for step in walk_conflicts(context, finder) for x in step.conflicts]
            for one, other in zip(found, wanted, strict=True):
                facts = (one.pairs.count, one.pairs.earlier, one.pairs.later)
                assert facts == (other.pairs.count, other.pairs.earlier, other.pairs.later)
                listed = finder.tasks(one.earlier, one.later, one.pairs)
                assert (listed is None) == (one.pairs.count > 4)
                assert len(one.pairs.cells[0]) <= 4


@pytest.mark.parametrize("strides", [(6, 1), (6, -1), (-6, 2), (-6, -1)])
def test_from_the_first_byte_of_some_tiles_to_their_last(strides):
    offsets = np.array([40, 64, 52])
    touched = {
        offset + x for offset in offsets.tolist() for x in box_bytes([(0, 2), (0, 3)], strides)
    }
    layout = TileLayout((2, 3), strides, BYTES)
    assert union._extent((layout, offsets)) == (min(touched), max(touched) + 1)
