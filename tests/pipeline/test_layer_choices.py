"""What layers choose by their arguments, call by call; Mirage's own methods say the same.

The numbers are those of `python/mirage/mpk/persistent_kernel.py` at `de8745d`, which are run beside
ours where MIRAGE_HOME is a source tree.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from mpkgraph.model.record import LayerCall
from mpkgraph.pipeline import PersistentKernel, Target, use_target
from mpkgraph.pipeline.layers import LAYERS
from tests.pipeline import recorded_layers, upstream

GRID, BLOCK = (4, 2, 3), (128, 1, 1)
WHOLE, ROWS = [-1, -1, -1], [0, -1, -1]


def kinds() -> list[Any]:
    """Ours; Mirage's where it is there."""
    return [PersistentKernel] if upstream.source_folder() is None else [PersistentKernel, None]


@pytest.fixture(params=kinds(), ids=["ours", "mirage"][: len(kinds())])
def kernel(request: pytest.FixtureRequest) -> Any:
    """A kernel for two B200 with NVLink multicast."""
    kind = request.param
    parameters = PersistentKernel.get_default_init_parameters()
    parameters |= {"world_size": 2, "test_mode": True, "max_num_batched_requests": 4}
    with use_target(Target(cc=100, world_size=2, multicast=True)):
        if kind is None:
            kind, reset = upstream.upstream_kernel()
            reset()
        yield kind(**parameters)


def call(kernel: Any, method: str, *tensors: tuple[int, ...], **more: Any) -> Any:
    """[exception, what it did] of a layer over new tensors."""
    given = [kernel.new_tensor(dims=x, name=f"t{n}") for n, x in enumerate(tensors)]
    try:
        getattr(kernel, method)(*given, **more)
    finally:
        log = kernel.kn_graph.cygraph.recorder.record(target_cc=100, init={}).log
        entry = [x for x in log if isinstance(x, LayerCall)][-1]
    return recorded_layers.outcome(entry.to_json())


def maps(outcome: Any) -> list[list[int]]:
    (block,) = outcome[1]
    return [slot[1:4] for slot in block["slots"]]


@pytest.mark.parametrize(("q_len", "axes"), [(1, ROWS), (2, WHOLE), (4, WHOLE)])
def test_one_query_row_is_split_by_the_grid(kernel, q_len, axes):
    """With several the kernel finds its part itself."""
    more = {"mla_params": (576, 512, 16, 2, 64), "grid_dim": GRID, "block_dim": BLOCK}
    shape = (8, 64)
    decode = call(kernel, "mla_decode_layer", *[shape] * 4, **more, q_len=q_len)
    assert maps(decode) == [ROWS, ROWS, axes, axes]
    reduce = call(kernel, "mla_reduce_layer", *[shape] * 3, **more, q_len=q_len)
    assert maps(reduce) == [axes, axes, axes]


@pytest.mark.parametrize("dims", [(8, 65), (8, 63), (9, 64), (7, 64), (8, 64, 1)])
def test_a_copy_is_as_large_as_what_it_copies(kernel, dims):
    with pytest.raises(AssertionError):
        call(kernel, "identity_layer", (8, 64), dims, grid_dim=GRID, block_dim=BLOCK)
    same = call(kernel, "identity_layer", (8, 64), (8, 64), grid_dim=GRID, block_dim=BLOCK)
    assert maps(same) == [[1, -1, -1]] * 2


def test_each_block_of_an_all_reduce_has_a_team(kernel):
    call(kernel, "allreduce_layer", (8, 64), (2, 8, 64), (8, 64), grid_dim=GRID, block_dim=BLOCK)
    assert kernel.allocate_nvshmem_teams == 24


DEFAULTS = {
    "embed_layer": {"input_source": 0},
    "mla_decode_layer": {"q_len": 1},
    "mla_reduce_layer": {"q_len": 1},
    "_mla_mtp_decode_tp_layer": {"has_v_split": False, "q_len_real": None},
    "moe_topk_sigmoid_routing_layer": {
        "num_groups": 8,
        "topk_group": 4,
        "routed_scaling_factor": 2.5,
    },
    "quantize_fp8_layer": {"scale_ue8m0": True},
    "identity_layer": {"dependent_tensor": None},
    "sampling_sm100_layer": {"seed": 42},
    "find_ngram_partial_layer": {"ngram_size": 3},
    "find_ngram_global_layer": {"ngram_size": 3, "spec_length": 5},
    "verify_layer_dispatcher": {"grid_dim": (1, 1, 1), "block_dim": (128, 1, 1)},
}


def test_what_is_left_out_is_what_mirage_takes(kernel):
    found = {}
    for spec in LAYERS:
        parameters = inspect.signature(getattr(kernel, spec.method)).parameters.values()
        given = {x.name: x.default for x in parameters if x.default is not x.empty}
        found |= {spec.method: given} if given else {}
    assert found == DEFAULTS


@pytest.mark.parametrize("dims", [(64,), (8, 8, 8)])
def test_a_norm_with_a_product_takes_matrices(kernel, dims):
    more = {"grid_dim": GRID, "block_dim": BLOCK}
    shapes = [(8, 64), (64,), (32, 64), (8, 32)]
    assert call(kernel, "rmsnorm_linear_layer", *shapes, **more)[0] is None
    for place in (0, 2, 3):
        changed = [dims if at == place else shape for at, shape in enumerate(shapes)]
        with pytest.raises(AssertionError):
            call(kernel, "rmsnorm_linear_layer", *changed, **more)
