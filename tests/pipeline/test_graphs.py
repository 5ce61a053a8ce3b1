"""KNGraph and TBGraph used directly, as some of Mirage's tests do."""

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.pipeline import CyKNGraph, CyTBGraph, KNGraph, TBGraph, dtype, dtypes
from mpkgraph.pipeline.dtypes import bfloat16

GRID = (4, 1, 1)
BLOCK = (128, 1, 1)


@pytest.fixture
def graph():
    return KNGraph(CyKNGraph(disable_fingerprint=True))


def named(graph, name, dims=(8, 64)):
    tensor = graph.new_input(dims=dims, dtype=bfloat16)
    graph.attach_cuda_tensor(tensor, name)
    return tensor


def record(graph):
    return graph.cygraph.recorder.record(target_cc=90, init={})


def test_a_block_graph_becomes_a_layer(graph):
    x, y = named(graph, "x"), named(graph, "y")
    block = TBGraph(CyTBGraph(GRID, BLOCK, 1, 64))
    tile = block.new_input(x, (0, -1, -1), 1, store_in_dmem=True)
    assert (tile.num_dims, tile.dim(0), tile.dim(1)) == (2, 2, 64)
    assert block.new_input(None, (-1, -1, -1), -1, store_in_dmem=True).num_dims == 0
    block.new_input(y, (0, -1, -1), 1)
    assert block.cygraph.grid_dim == {"x": 4, "y": 1, "z": 1}
    assert graph.customized([x, None, y], block) == []
    graph.register_task(block, "my_task", [1, 2])
    (layer,) = record(graph).layers
    assert (layer.grid_dim, layer.register_name, layer.params) == (GRID, "my_task", (1, 2))
    assert [slot.name for slot in layer.slots] == ["x", None, "y"]
    assert [slot.store_in_dmem for slot in layer.slots] == [True, True, False]
    assert layer.methods == ()


def test_tiles_of_the_core_graph_are_in_shared_memory_unless_it_is_told(graph):
    x = named(graph, "x")
    block = CyTBGraph(GRID, BLOCK, 1, 64)
    for more in ({}, {"store_in_dmem": False}, {"store_in_dmem": True}):
        block.new_input(x, (0, -1, -1), 1, **more)
    graph.customized([x] * 3, TBGraph(block))
    graph.register_task(TBGraph(block), "my_task")
    (layer,) = record(graph).layers
    assert [slot.store_in_dmem for slot in layer.slots] == [False, False, True]


def test_the_first_name_stays(graph):
    x = named(graph, "x")
    graph.attach_nvshmem_tensor(x, "other")
    assert [t.name for t in record(graph).tensors] == ["x"]
    assert record(graph).tensors[0].io_category == "cuda_tensor"


def test_the_task_belongs_to_the_last_operator_whatever_is_named(graph):
    x = named(graph, "x")
    first, second = (TBGraph(CyTBGraph(GRID, BLOCK, 1, 64)) for _ in range(2))
    graph.customized([x], first)
    graph.customized([x], second)
    graph.register_task(first, "task")
    assert [layer.register_name for layer in record(graph).layers] == [None, "task"]


def test_a_task_needs_an_operator(graph):
    block = TBGraph(CyTBGraph(GRID, BLOCK, 1, 64))
    with pytest.raises(PipelineError, match="right after customized"):
        graph.register_task(block, "task")
    x = named(graph, "x")
    graph.customized([x], block)
    graph.new_input(dims=(4,))
    with pytest.raises(PipelineError, match="last operator of the graph is a tensor"):
        graph.register_task(block, "task")


def test_a_forloop_of_the_users_own_is_kept(graph):
    x = named(graph, "x")
    block = TBGraph(CyTBGraph(GRID, BLOCK, 4, 64))
    assert block.new_input(x, (0, -1, -1), 1, store_in_dmem=True).dims == (2, 16)
    graph.customized([x], block)
    assert record(graph).layers[0].graph.to_json()["forloop_range"] == 4


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([4, 1, 1], BLOCK, 1, 64), TypeError, "expected tuple, got list"),
        ((None, BLOCK, 1, 64), TypeError, "of type 'NoneType' has no len"),
        ((None, 4, 1, 64), TypeError, "'block_dim' has incorrect type"),
        (((4, 1), BLOCK, 1, 64), AssertionError, "grid_dim must include 3 dimensions"),
        ((GRID, (1, 1), 1, 64), AssertionError, "block_dim must include 3 dimensions"),
        (((), BLOCK, 1, 64), AssertionError, "must be provided"),
        ((GRID, BLOCK), AssertionError, "must be provided"),
        ((GRID, BLOCK, None, 64), TypeError, "an integer is required"),
        (((-1, 1, 1), BLOCK, 1, 64), OverflowError, "negative value to unsigned int"),
        (((2**32, 1, 1), BLOCK, 1, 64), OverflowError, "too large to convert to unsigned int"),
        ((("4", 1, 1), BLOCK, 1, 64), TypeError, "an integer is required"),
        (((float("nan"), 1, 1), BLOCK, 1, 64), ValueError, "cannot convert float NaN"),
        (((float("inf"), 1, 1), BLOCK, 1, 64), OverflowError, "cannot convert float infinity"),
    ],
)
def test_grids_that_cython_refuses(arguments, kind, message):
    with pytest.raises(kind) as caught:
        CyTBGraph(*arguments)
    assert isinstance(caught.value, PipelineError)
    assert message in caught.value.upstream


def test_grids_that_it_takes():
    assert CyTBGraph((2.7, True, 1), BLOCK, 1, 64).block.grid_dim == (2, 1, 1)
    assert CyTBGraph((0, 1, 1), BLOCK, 1, 64).block.grid_dim == (0, 1, 1)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("x", (0, -1, -1), 1), TypeError),
        ((None, [0, -1, -1], 1), TypeError),
        ((None, (0, -1), 1), AssertionError),
        ((None, (0, -1, -1), None), TypeError),
    ],
)
def test_slots_that_it_refuses(arguments, kind):
    with pytest.raises(kind):
        TBGraph(CyTBGraph(GRID, BLOCK, 1, 64)).new_input(*arguments)


def test_shapes_and_names_that_it_refuses(graph):
    x = named(graph, "x")
    for dims, kind in (((2**31,), OverflowError), (("8",), TypeError), ([8], TypeError)):
        with pytest.raises(kind):
            graph.new_input(dims=dims, strides=(1,))
    with pytest.raises(OverflowError, match="negative"):
        graph.new_input(dims=(2,), strides=(-1,))
    with pytest.raises(PipelineError, match="5 dimensions"):
        graph.new_input(dims=(1, 2, 3, 4, 5))
    with pytest.raises(TypeError):
        graph.attach_cuda_tensor(x, 5)
    with pytest.raises(TypeError):
        graph.attach_cuda_tensor("x", "x")
    with pytest.raises(AssertionError):
        graph.customized(["x"], TBGraph(CyTBGraph(GRID, BLOCK, 1, 64)))
    with pytest.raises(TypeError):
        graph.register_task(TBGraph(CyTBGraph(GRID, BLOCK, 1, 64)), "task", (1,))


def test_dims_out_of_range(graph):
    x = named(graph, "x")
    with pytest.raises(AssertionError) as caught:
        x.dim(2)
    assert caught.value.upstream == "AssertionError: Error: index out of range"
    with pytest.raises(PipelineError, match=r"dim\(1\)"):
        x.dim(-1)


def test_element_types():
    assert dtype("bf16") == bfloat16 != dtypes.float16
    assert bfloat16.is_bf16()
    assert not bfloat16.is_fp8()
    assert not bfloat16.is_int1()
    assert str(bfloat16) == "bf16"
    assert hash(dtype("bf16")) == hash(bfloat16)
    assert dtype.is_dtype("int64")
    assert not dtype.is_dtype("int1")
    with pytest.raises(AttributeError):
        bfloat16.is_banana()
    with pytest.raises(AssertionError, match="is no element type"):
        dtype("banana")
