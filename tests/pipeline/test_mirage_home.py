"""Mirage's model builders from its source tree on our core, with weights that have shapes only."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpkgraph.errors import MpkGraphError
from mpkgraph.io.record import read_record
from mpkgraph.pipeline import Target, exception_text
from mpkgraph.pipeline.script_errors import ScriptError
from mpkgraph.planner.plan import plan
from tests import goldens
from tests.pipeline.mirage_home import differences, mirage_home
from tests.pipeline.scripts import KERNEL, layer_names, run, write

HUB = Path(__file__).with_name("fake_hub.py")

DEEPSEEK = (
    "deepseek_v3-L0,3-cc90",
    "deepseek_v3-L0,3-b1-cc100",
    "deepseek_v3-L0,3-t8-cc100",
    "deepseek_v3-L0,3-mtp1-cc100",
    "deepseek_v3-L0,3-ws2-ag-cc100",
    "deepseek_v3-L0,3-ws2-mc-cc100",
)


@pytest.mark.parametrize("case", DEEPSEEK)
def test_the_deepseek_demo_gives_mirages_records(case, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    home = mirage_home()
    folder = goldens.require() / "models" / case
    records = [read_record(x) for x in sorted(folder.glob("pipeline_rank*.json.zst"))]
    origin = records[0].origin
    target = Target(
        cc=records[0].target_cc, world_size=origin["world_size"], multicast=origin["multicast"]
    )
    monkeypatch.chdir(tmp_path)  # the demo writes there

    def demo():
        return run(
            HUB,
            str(home / origin["script"]),
            *origin["options"],
            target=target,
            ranks=range(target.world_size),
            meta=True,
            emit=frozenset(),
        )

    if records[0].has_exception:
        with pytest.raises(MpkGraphError) as caught:
            demo()
        assert exception_text(caught.value) == records[0].extra["exception"]
        assert "mirage/mpk/models/deepseek_v3/builder.py:" in caught.value.where
        return
    result = demo()
    assert [x.rank for x in result.compiled] == [x.my_gpu_id for x in records]
    for compiled, record in zip(result.compiled, records, strict=True):
        assert differences(compiled.record, record) == []


QWEN3 = """
import sys
import types

import torch
import mirage as mi

sys.modules["safetensors"] = types.ModuleType("safetensors")
sys.modules["safetensors.torch"] = types.ModuleType("safetensors.torch")
sys.modules["safetensors.torch"].load_model = None

from mirage.mpk.model_registry import get_builder
from mirage.mpk.models.graph_builder import MirageModelConfig

LAYERS, HIDDEN, INNER, VOCAB, HEAD, PAGES, PAGE = 2, 1024, 3072, 151936, 128, 16, 4096
WORLD = int(sys.argv[1])
TOKENS = REQUESTS = 1
QUERIES, KEYS = 16 // WORLD, 8 // WORLD


def gpu(*shape, dtype=torch.bfloat16):
    return torch.zeros(shape, dtype=dtype, device="cuda")


weights = {"model.embed_tokens.weight": gpu(VOCAB, HIDDEN), "model.norm.weight": gpu(HIDDEN)}
weights["lm_head.weight"] = gpu(VOCAB, HIDDEN)
for layer in range(LAYERS):
    prefix = f"model.layers.{layer}."
    for name, shape in {
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
        "self_attn.q_proj": (QUERIES * HEAD, HIDDEN),
        "self_attn.k_proj": (KEYS * HEAD, HIDDEN),
        "self_attn.v_proj": (KEYS * HEAD, HIDDEN),
        "self_attn.q_norm": (HEAD,),
        "self_attn.k_norm": (HEAD,),
        "self_attn.o_proj": (HIDDEN, QUERIES * HEAD),
        "mlp.gate_proj": (INNER // WORLD, HIDDEN),
        "mlp.up_proj": (INNER // WORLD, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER // WORLD),
    }.items():
        weights[f"{prefix}{name}.weight"] = gpu(*shape)

cache = (LAYERS, PAGES, PAGE, KEYS, HEAD)
config = MirageModelConfig(
    hidden_size=HIDDEN,
    intermediate_size=INNER,
    vocab_size=VOCAB,
    local_num_q_heads=QUERIES,
    local_num_kv_heads=KEYS,
    head_dim=HEAD,
    num_layers=LAYERS,
    k_cache=gpu(*cache),
    v_cache=gpu(*cache),
    position_embeddings=(gpu(1, 32768, HEAD), gpu(1, 32768, HEAD)),
    state_dict=weights,
)
int32, int64 = torch.int32, torch.int64
workers, schedulers = mi.get_configurations_from_gpu(0)
from mpi4py import MPI
kernel = mi.PersistentKernel(
    mode="offline",
    world_size=WORLD,
    mpi_rank=MPI.COMM_WORLD.Get_rank(),
    num_workers=workers,
    num_local_schedulers=schedulers,
    num_remote_schedulers=0,
    max_seq_length=512,
    max_num_batched_requests=REQUESTS,
    max_num_batched_tokens=TOKENS,
    max_num_pages=PAGES,
    page_size=PAGE,
    meta_tensors={
        "step": gpu(REQUESTS, dtype=int32),
        "tokens": gpu(REQUESTS, 512, dtype=int64),
        "input_tokens": gpu(TOKENS, 1, dtype=int64),
        "output_tokens": gpu(TOKENS, 1, dtype=int64),
        "num_new_tokens": gpu(REQUESTS, dtype=int32),
        "prompt_lengths": gpu(REQUESTS, dtype=int32),
        "qo_indptr_buffer": gpu(REQUESTS + 1, dtype=int32),
        "paged_kv_indptr_buffer": gpu(REQUESTS + 1, dtype=int32),
        "paged_kv_indices_buffer": gpu(PAGES, dtype=int32),
        "paged_kv_last_page_len_buffer": gpu(REQUESTS, dtype=int32),
    },
    profiler_tensor=None,
    trace_name="",
    spec_decode_config=None,
    use_cutlass_kernel=True,
)
builder = get_builder("Qwen/Qwen3-0.6B")(kernel)
builder.build_from_config(config)
kernel.compile(eos_token_id=builder.eos_token_id)
kernel()
"""
"""Mirage's Qwen3 builder at the dimensions of Qwen3-0.6B."""


def names_of_weights(record):
    return {(x.name, x.dims, x.dtype) for x in record.tensors if x.kind == "attach_input"}


def test_the_qwen3_builder_gives_the_demos_layers(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("MIRAGE_HOME", str(mirage_home()))
    golden = goldens.get("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc90")
    record = read_record(golden.record_path)
    result = run(write(tmp_path, QWEN3), "1", meta=True, new_compile_graph=lambda: plan)
    assert result.notes == ()
    (compiled,) = result.compiled
    # The builder and the demo are two descriptions of one model: the same layers in order.
    assert layer_names(compiled) == [x.register_name for x in record.layers]
    assert compiled.graph.num_tasks > 0
    kept = ("embed_tokens", "q_proj", "o_proj", "down_proj", "lm_head", "k_cache", "position")
    for name, dims, data_type in names_of_weights(compiled.record):
        if any(x in name for x in kept):
            assert (name, dims, data_type) in names_of_weights(record), name


def test_the_qwen3_builder_on_two_ranks(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("MIRAGE_HOME", str(mirage_home()))
    script = write(tmp_path, QWEN3)
    for multicast, task in ((False, "nvshmem_allgather_strided_put"), (True, "tile_allreduce")):
        target = Target(cc=90, world_size=2, multicast=multicast)
        result = run(script, "2", target=target, meta=True, ranks=(0, 1), emit=frozenset())
        assert result.notes == ()
        assert [x.record.my_gpu_id for x in result.compiled] == [0, 1]
        for compiled in result.compiled:
            assert sum(task in x for x in layer_names(compiled)) == 4


def test_without_the_tree_its_parts_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    for line in (
        "from mirage.mpk.models.deepseek_v3.builder import DeepSeekV3Builder",
        "import mirage; mirage.MPK",
        "from mirage.mpk.base_dynamic_shard_loader import ShardType",
    ):
        with pytest.raises(ScriptError, match="when MIRAGE_HOME names its source tree"):
            run(write(tmp_path, line))


def test_helpers_are_there_without_the_tree(tmp_path, monkeypatch):
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    script = write(
        tmp_path,
        KERNEL
        + """
from mirage.mpk.models.graph_builder import GraphBuilder, MirageModelConfig
from mirage.mpk.models.utils import grid_for_rmsnorm_linear_layer, max_factor_leq_n
assert [grid_for_rmsnorm_linear_layer(n) for n in (9216, 4096, 153600, 100)] == [96, 64, 600, None]
assert max_factor_leq_n(4096, 96) == 64 and max_factor_leq_n(7, 3) == 1
assert MirageModelConfig(hidden_size=8).with_lm_head
pk = kernel()
norm(pk)
pk.compile()
""",
    )
    assert run(script).notes == ()


def test_helpers_shuffle_as_mirages_do(tmp_path):
    """The same script, on our helpers and on those of the tree."""
    pytest.importorskip("torch")
    home = mirage_home()
    script = write(
        tmp_path,
        KERNEL
        + """
import torch
from mirage.mpk.models.utils import (
    grid_for_rmsnorm_linear_layer, inplace_shuffle_tensors, max_factor_leq_n, shuffle_tensors)
import mirage.mpk.models.utils as utils
q, k, v = torch.arange(16.0).view(8, 2), torch.arange(8.0).view(4, 2), torch.arange(4.0).view(2, 2)
mixed = shuffle_tensors([q, k, v], 2, 0)
target = torch.empty(14, 2)
inplace_shuffle_tensors([q, k, v], target, 2, 0)
assert torch.equal(mixed, target)
values = [*mixed.flatten().long().tolist(), *(max_factor_leq_n(m, 96) for m in range(1, 300)),
          *(grid_for_rmsnorm_linear_layer(n) or 0 for n in range(64, 38400, 32))]
pk = kernel()
for value in values:
    pk.new_tensor(dims=(value + 1,), name=str(value))
norm(pk)
pk.compile()
""",
    )
    (ours,) = run(script).compiled
    (theirs,) = run(script, mirage_home=home).compiled
    assert ours.record == theirs.record
