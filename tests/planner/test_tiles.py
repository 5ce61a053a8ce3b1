"""Tiles of recorded layers, against values worked out by hand."""

import dataclasses

import pytest

from mpkgraph.catalog import DEFAULT, DT_UNKNOWN
from mpkgraph.model.record import (
    BlockGraph,
    LayerSlot,
    PipelineRecord,
    RecordedTensor,
    TensorCall,
    TensorRef,
)
from mpkgraph.planner.tiles import LayerTiles, TileError, grid_points, tile_dims

BF16, FP32 = 941, 950
ROWS, WHOLE = (0, -1, -1), (-1, -1, -1)


def tensor(number, name, dims, *, dtype="bf16", kind="attach_input", strides=None):
    if strides is None:
        strides = tuple(int_product(dims[i + 1 :]) for i in range(len(dims)))
    return RecordedTensor(number, name, kind, dims, strides, dtype)


def int_product(numbers):
    result = 1
    for number in numbers:
        result *= number
    return result


def fuse(number, parts, num_groups):
    refs = tuple(TensorRef(x, None) for x in parts)
    return TensorCall(
        "fuse_tensors", number, "f", (), (), "bf16", inputs=refs, dim=0, num_groups=num_groups
    )


def record(*tensors, log=()):
    return PipelineRecord("de8745d", 90, {}, tensors, tuple(log))


def column(made, number, grid, input_map, *, is_output=False, plane=0):
    slot = LayerSlot(number, None, input_map, -1, store_in_dmem=True)
    return LayerTiles(made, DEFAULT).column(slot, grid, 1, is_output=is_output, plane=plane)


def test_grid_points_repeat_for_subtasks():
    assert grid_points((2, 1, 2), 2).T.tolist() == [
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 1],
        [0, 0, 1],
        [1, 0, 0],
        [1, 0, 0],
        [1, 0, 1],
        [1, 0, 1],
    ]


def test_the_for_loop_divides_the_tile_of_a_block():
    assert tile_dims((8, 4096), (2, 1, 1), ROWS, forloop_dim=0, forloop_range=2) == (2, 4096)
    assert tile_dims((8, 4096), (2, 1, 1), ROWS, forloop_dim=1, forloop_range=64) == (4, 64)
    assert tile_dims((8, 4096), (2, 1, 1), ROWS, forloop_dim=2, forloop_range=64) == (4, 4096)


def test_offsets_wrap_as_those_of_64_bits_do():
    made = record(tensor(0, "x", (4, 6), dtype="fp32"))
    planes = {2**62: 0, 2**62 + 1: 4, 2**61 - 1: 2**63 - 4}
    for plane, offset in planes.items():
        assert column(made, 0, (1, 1, 1), WHOLE, plane=plane).offsets.tolist() == [offset]
    with pytest.raises(TileError, match="wrap around"):
        column(made, 0, (1, 1, 1), WHOLE, plane=2**61)


def test_two_axes_split_two_dims():
    found = column(record(tensor(0, "x", (4, 6), dtype="fp32")), 0, (2, 3, 1), (0, 1, -1))
    assert (found.parts, found.part_of) == ((("x", (6, 1)),), None)
    assert (found.data_type, found.dims) == (FP32, (2, 2))
    assert found.offsets.tolist() == [0, 8, 16, 48, 56, 64]


def test_what_does_not_divide_is_dropped():
    found = column(record(tensor(0, "x", (8, 5))), 0, (1, 3, 16), (-1, 1, 0))
    assert found.dims == (0, 1)
    assert found.offsets.tolist() == [y * 2 for y in range(3) for _ in range(16)]


def test_column_major_strides():
    found = column(record(tensor(0, "s", (4, 6), strides=(1, 8))), 0, (2, 3, 1), (0, 1, -1))
    assert found.offsets.tolist() == [0, 32, 64, 4, 36, 68]


def test_two_axes_on_one_dim_divide_it_twice():
    found = column(record(tensor(0, "x", (12,))), 0, (2, 3, 1), (0, 0, -1))
    assert found.dims == (2,)
    assert found.offsets.tolist() == [0, 8, 16, 12, 20, 28]


def test_a_plane_comes_before():
    found = column(record(tensor(0, "x", (4, 2))), 0, (2, 1, 1), (0, -1, -1), plane=100)
    assert found.offsets.tolist() == [200, 208]


def test_none_is_a_null_slot():
    found = column(record(), None, (2, 1, 1), (0, -1, -1))
    assert (found.parts, found.data_type, found.dims) == ((("nullptr", ()),), DT_UNKNOWN, ())
    assert found.offsets.tolist() == [0, 0]


def test_a_map_beyond_the_dims_leaves_offsets_open():
    found = column(record(tensor(0, "x", (4, 2))), 0, (2, 1, 1), (2, -1, -1))
    assert (found.dims, found.offsets) == ((4, 2), None)


@pytest.fixture
def fused():
    """Rows of q (8 rows), k and v (4 each) in two groups: 4 of q, 2 of k, 2 of v, and again."""
    return record(
        tensor(0, "q", (8, 10)),
        tensor(1, "k", (4, 10)),
        tensor(2, "v", (4, 10), strides=(100, 1)),
        tensor(3, "f", (16, 10), kind="fuse_tensors"),
        log=[fuse(3, (0, 1, 2), 2)],
    )


def test_a_fused_tile_lies_in_a_part(fused):
    found = column(fused, 3, (8, 1, 1), (0, -1, -1))
    assert found.parts == (("q", (10, 1)), ("k", (10, 1)), ("v", (100, 1)))
    assert found.part_of.tolist() == [0, 0, 1, 2, 0, 0, 1, 2]
    assert found.dims == (2, 10)
    rows = [0, 2, 0, 0, 4, 6, 2, 2]
    strides = [10, 10, 10, 100] * 2
    assert found.offsets.tolist() == [2 * x * y for x, y in zip(rows, strides, strict=True)]


def test_a_fused_tile_may_be_split_in_columns_too(fused):
    found = column(fused, 3, (2, 2, 1), (1, 0, -1))
    assert found.dims == (8, 5)
    assert found.part_of.tolist() == [0, 0, 0, 0]
    assert found.offsets.tolist() == [0, 80, 10, 90]
    whole = column(fused, 3, (2, 1, 1), (-1, -1, -1))
    assert (whole.part_of.tolist(), whole.offsets.tolist()) == ([0, 0], [0, 0])


def test_a_fused_output_is_itself(fused):
    found = column(fused, 3, (2, 1, 1), (0, -1, -1), is_output=True)
    assert found.parts == (("f", (10, 1)),)
    assert found.offsets.tolist() == [0, 160]


def test_fusions_that_can_not_be_told(fused):
    odd = dataclasses.replace(fused, log=())
    with pytest.raises(TileError, match="what 'f' is fused of"):
        column(odd, 3, (2, 1, 1), (0, -1, -1))
    with pytest.raises(TileError, match="are empty"):
        column(dataclasses.replace(fused, log=(fuse(3, (1, 2), 5),)), 3, (2, 1, 1), (0, -1, -1))
    flat = (tensor(0, "q", (8,)), *fused.tensors[1:])
    with pytest.raises(TileError, match="has 1 dims"):
        column(dataclasses.replace(fused, tensors=flat), 3, (2, 1, 1), (0, -1, -1))
    with pytest.raises(TileError, match="unknown type 'int1'"):
        column(record(tensor(0, "x", (4,), dtype="int1")), 0, (1, 1, 1), (0, -1, -1))


@pytest.mark.parametrize("forloop_dim", [-1, 2, 3])
def test_a_for_loop_over_no_dim_divides_nothing(forloop_dim):
    assert tile_dims((8, 12), (2, 1, 1), ROWS, forloop_dim, 4) == (4, 12)
    assert tile_dims((8, 12), (2, 1, 1), ROWS, 1, 4) == (4, 3)


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [({}, 1), ({"forloop_range": 3}, 3), ({"forloop_range": 0}, 1), ({"forloop_range": "2"}, 1)],
)
def test_the_range_of_a_for_loop(extra, wanted):
    """A record may be anybody's."""
    assert BlockGraph((1, 1, 1), (), (), extra=extra).forloop_range == wanted
