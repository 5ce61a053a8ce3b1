"""What Mirage's kernels are asked on a GPU, and the functions of the table after them.

Each case is a layer in one call: tensors, and the kernel that ran its tasks as blocks of a grid
(compiled for Ampere or Hopper, both run on an H100). Inputs are made of integers, the same
everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from mpkgraph.reference import Settings, TaskCall
from tests.reference.paging import Batch

BF16, INT32, INT64 = torch.bfloat16, torch.int32, torch.int64


@dataclass
class Case:
    """One layer. `tensors` are the slots by name, inputs first, then what only the kernel reads."""

    name: str
    task_type: str
    tensors: dict[str, torch.Tensor]
    num_outputs: int
    library: str = "hopper"
    grid: tuple[int, int, int] = (1, 1, 1)
    params: tuple[int, ...] = ()
    meta: dict[str, torch.Tensor] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    input_maps: tuple[tuple[int, int, int], ...] = ()
    tile_dims: tuple[tuple[int, ...], ...] = ()
    wrapper: str = ""
    """`name` where it is not another."""
    num_extra: int = 0
    """So many of the last tensors are for the kernel alone: tables that are meta tensors here."""
    unordered: tuple[str, ...] = ()
    """Outputs whose order differs from run to run, or whose rest is what was left there."""
    may_differ: dict[str, float] = field(default_factory=dict)
    """Outputs that the kernel gets wrong, as the table says, and the share of elements that may
    be beyond the tolerance."""

    @property
    def slots(self) -> dict[str, torch.Tensor]:
        names = list(self.tensors)[: len(self.tensors) - self.num_extra]
        return {name: self.tensors[name] for name in names}

    def call(self, tensors: dict[str, torch.Tensor]) -> TaskCall:
        """The whole layer over these tensors."""
        views = [tensors[name] for name in self.slots]
        inputs = len(views) - self.num_outputs
        return TaskCall(
            self.task_type,
            tuple(views[:inputs]),
            tuple(views[inputs:]),
            params=self.params,
            meta=self.meta | {k: tensors[k] for k in self.meta if k in tensors},
            settings=self.settings,
            grid_dim=self.grid,
            joined=self.grid,
            input_maps=self.input_maps,
            tile_dims=self.tile_dims,
        )


def values(*shape: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Nearly normal float32, from integers alone: sums of four bytes of a hash."""
    n = math.prod(shape)
    x = (torch.arange(n, dtype=INT64) + seed * 7919) * 0x9E3779B1 & 0xFFFFFFFF
    for _ in range(3):
        x = ((x >> 15) ^ x) * 0x2C1B3C6D & 0xFFFFFFFF
    total = sum((x >> shift & 0xFF) for shift in (0, 8, 16, 24))
    return ((total - 510).double() / 147.8 * scale).float().view(shape)


def bf16(*shape: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    return values(*shape, seed=seed, scale=scale).to(BF16)


def whole(low: int, high: int, *shape: int, seed: int) -> torch.Tensor:
    """int64 from `low` up to `high`, without it."""
    return ((values(*shape, seed=seed) + 4).double() * 1e6).long() % (high - low) + low


def empty(*shape: int, dtype: torch.dtype = BF16) -> torch.Tensor:
    return torch.full(shape, float("nan"), dtype=dtype)


def sevens(*shape: int, dtype: torch.dtype = INT64) -> torch.Tensor:
    return torch.full(shape, 7, dtype=dtype)


def ints(*rows: Any, dtype: torch.dtype = INT64) -> torch.Tensor:
    return torch.tensor(rows, dtype=dtype)


def active(rows: int) -> dict[str, torch.Tensor]:
    return {"qo_indptr_buffer": ints(0, rows, dtype=INT32)}


def all_cases() -> list[Case]:
    return [*_basic(), *_attention(), *_latent(), *_experts(), *_speculation()]


def _basic() -> list[Case]:
    rows, k, n = 5, 512, 128
    x, w, r = bf16(rows, k, seed=1), bf16(n, k, seed=2), bf16(rows, n, seed=3)
    norm = {"x": bf16(4, 512, seed=1), "w": bf16(512, seed=2), "out": empty(4, 512)}
    # Few values, so that many are equal
    scores = (values(4, 2048, seed=5) * 1.5).round().to(BF16)
    best = (values(4, 512, seed=6) * 1.5).round().to(BF16)
    chunks = {
        "scores": scores,
        "values": empty(4, 4),
        "positions": sevens(4, 4),
    }
    partial = {
        "num_outputs": 2,
        "grid": (4, 1, 1),
        "params": (4,),
        "meta": active(4),
        "tile_dims": ((4, 512), (4, 1), (4, 1)),
    }
    ids = whole(0, 8, 4, 512, seed=7)
    reduce = {"values": best, "positions": ids, "out": sevens(4, 1)}
    few = {
        "values": best[:, :4].contiguous(),
        "positions": ids[:, :4].contiguous(),
        "out": sevens(4, 1),
    }
    return [
        Case("rmsnorm", "TASK_RMS_NORM", norm, 1, "ampere", (4, 1, 1)),
        Case("rmsnorm_hopper", "TASK_RMS_NORM_HOPPER", dict(norm), 1),
        Case(
            "linear", "TASK_LINEAR", {"x": x, "w": w, "out": empty(rows, n)}, 1, "ampere", (2, 1, 1)
        ),
        Case(
            "linear_residual",
            "TASK_LINEAR_WITH_RESIDUAL",
            {"x": x, "w": w, "r": r, "out": empty(rows, n)},
            1,
            "ampere",
            (2, 1, 1),
        ),
        Case(
            "identity",
            "TASK_IDENTITY",
            {"x": bf16(3, 64, seed=1), "out": empty(3, 64)},
            1,
            "ampere",
            (4, 1, 1),
        ),
        Case(
            "silu_mul",
            "TASK_SILU_MUL",
            {"x": bf16(4, 512, seed=1, scale=3), "out": empty(4, 256)},
            1,
            grid=(4, 1, 1),
            meta=active(3),
            tile_dims=((4, 128), (4, 64)),
        ),
        Case(
            "embedding",
            "TASK_EMBEDDING",
            {"ids": ints([3], [0], [-1], [9]), "table": bf16(10, 64, seed=1), "out": empty(4, 64)},
            1,
            params=(1,),
        ),
        Case("argmax_partial", "TASK_ARGMAX_PARTIAL", chunks, library="ampere", **partial),
        Case("argmax_partial_sm100", "TASK_ARGMAX_PARTIAL_SM100", dict(chunks), **partial),
        Case(
            "argmax_reduce",
            "TASK_ARGMAX_REDUCE",
            few,
            1,
            "ampere",
            params=(512,),
            meta=active(4),
            settings=Settings(target_cc=80),
        ),
        Case(
            "argmax_reduce_wide",
            "TASK_ARGMAX_REDUCE",
            reduce,
            1,
            params=(8,),
            meta=active(4),
        ),
        Case(
            "argmax_reduce_sm100",
            "TASK_ARGMAX_REDUCE_SM100",
            dict(reduce),
            1,
            params=(8,),
            meta=active(4),
        ),
        Case(
            "elementwise_add",
            "TASK_ELEMENTWISE_ADD_SM100",
            {"a": bf16(4, 64, seed=1), "b": bf16(4, 64, seed=2), "out": empty(4, 64)},
            1,
        ),
        Case(
            "sampling",
            "TASK_SAMPLING_SM100",
            {"logits": bf16(6, 4000, seed=1), "out": sevens(6, 1, dtype=INT32)},
            1,
            params=(42,),
        ),
    ]


TABLES = (
    "qo_indptr_buffer",
    "paged_kv_indptr_buffer",
    "paged_kv_indices_buffer",
    "paged_kv_last_page_len_buffer",
)


def _paged(batch: Batch) -> dict[str, Any]:
    """Settings, meta tensors and the tables that a kernel is given last."""
    return {
        "meta": batch.meta,
        "num_extra": len(TABLES),
        "settings": Settings(
            max_seq_length=batch.max_seq_length,
            max_num_batched_requests=len(batch.new),
            max_num_batched_tokens=8,
            page_size=batch.page_size,
        ),
    }


def _heads(batch: Batch, per_head: int, width: int = 128) -> dict[str, torch.Tensor]:
    """Slots of attention with two kv heads; 8 rows, as the kernels were compiled for."""
    frequency = 10000.0 ** (-torch.arange(0, width, 2).double() / width)
    angle = torch.outer(torch.arange(1024).double(), frequency).repeat(1, 2)
    return {
        "qkv": bf16(8, 2 * (per_head + 2) * width, seed=1),
        "k": bf16(batch.num_pages, batch.page_size, 2, width, seed=2),
        "v": bf16(batch.num_pages, batch.page_size, 2, width, seed=3),
        "q_norm": bf16(width, seed=4),
        "k_norm": bf16(width, seed=5),
        # Rounded twice: cosines may differ by a bit from machine to machine, not so rounded
        "cos": (angle.cos() * 64).round().div(64).to(BF16),
        "sin": (angle.sin() * 64).round().div(64).to(BF16),
    }


def _attention() -> list[Case]:
    cases = []
    # No request after the first has four pages: the kernels would read a wrong list
    small, large = Batch([3, 0, 2], [70, 0, 130], 64), Batch([3, 0, 2], [140, 0, 200], 128)
    for name, task_type, library, batch, per_head in (
        ("paged_attention_small", "TASK_PAGED_ATTENTION_1", "ampere", small, 2),
        ("paged_attention_large", "TASK_PAGED_ATTENTION_1", "ampere", large, 4),
        ("paged_attention_hopper", "TASK_PAGED_ATTENTION_HOPPER", "hopper", small, 2),
        ("paged_attention_sm100", "TASK_ATTN_SM100", "hopper", small, 2),
    ):
        tensors = {**_heads(batch, per_head), "out": empty(8, 2 * per_head * 128)}
        # 22 of 4096 elements, all of one row of the product
        wrong = {"out": 0.006} if name == "paged_attention_hopper" else {}
        cases.append(
            Case(
                name,
                task_type,
                tensors | {x: batch.meta[x] for x in TABLES},
                1,
                library,
                (3, 2, 1),
                may_differ=wrong,
                **_paged(batch),
            )
        )
    # One page and one new token: with more, the kernels read wrong rows
    batch = Batch([1], [700], 1024)
    for name, task_type in (
        ("split_hopper", "TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER"),
        ("split_sm100", "TASK_PAGED_ATTENTION_SPLIT_KV_SM100"),
    ):
        tensors = {
            **_heads(batch, 2),
            "lse": torch.zeros(8, 8, 2).as_strided((8, 8, 2), (16, 1, 8)),
            "means": torch.zeros(8, 1024, 2, dtype=BF16).as_strided((8, 1024, 2), (2048, 1, 1024)),
        }
        cases.append(
            Case(
                name,
                task_type,
                tensors | {x: batch.meta[x] for x in TABLES},
                2,
                grid=(1, 2, 4),
                params=(4, 2, 1, 1, 1024, 1024, 4),
                may_differ={"lse": 12 / 128} if name == "split_sm100" else {},
                **_paged(batch),
            )
        )
    merged = {
        "lse": values(8, 8, 2, seed=1, scale=3).as_strided((8, 8, 2), (16, 1, 8)),
        "means": bf16(8, 1024, 2, seed=2).as_strided((8, 1024, 2), (2048, 1, 1024)),
        "out": empty(8, 512),
    }
    cases.append(
        Case(
            "merge_split",
            "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100",
            merged | {x: batch.meta[x] for x in TABLES},
            1,
            grid=(1, 2, 1),
            params=(2, 128, 1024, 1024, 2),
            **_paged(batch),
        )
    )
    return cases


def _latent() -> list[Case]:
    batch = Batch([2, 1], [70, 70], 64)
    gather = {
        "latent": bf16(3, 512, seed=1),
        "rotary": bf16(3, 128, seed=2),
        "cache": bf16(batch.num_pages, 64, 576, seed=3),
        "rows": empty(140, 576),
    }
    chunk = Batch([70], [100], 64)
    prefill = {
        "nope": bf16(70, 1024, seed=1, scale=0.2),
        "pe": bf16(70, 128, seed=2, scale=0.2),
        "ckv": bf16(100, 512, seed=3),
        "kpe": bf16(100, 64, seed=4),
        "out": empty(70, 1024),
    }
    return [
        Case(
            "kv_gather",
            "TASK_MLA_KV_GATHER_SM100",
            gather | {x: batch.meta[x] for x in TABLES},
            0,
            grid=(2, 1, 1),
            params=(576, 512, 64),
            **_paged(batch),
        ),
        Case(
            "mla_prefill",
            "TASK_MLA_PREFILL_SM100",
            prefill | {x: chunk.meta[x] for x in TABLES},
            0,
            grid=(2, 2, 1),
            params=(2, 100, 512, 64, 512),
            **_paged(chunk),
        ),
    ]


def _experts() -> list[Case]:
    routes = {
        "weights": empty(7, 8, dtype=torch.float32),
        "routing": sevens(128, 7, dtype=INT32),
        "mask": sevens(129, dtype=INT32),
    }
    wide = {
        "weights": empty(4, 8, dtype=torch.float32),
        "routing": sevens(256, 4, dtype=INT32),
        "mask": sevens(257, dtype=INT32),
    }
    x = bf16(5, 640, seed=1)
    x[0, :128] *= 1000
    x[1, 128:256] = 0
    quantized = sevens(5, 640, dtype=torch.uint8).view(torch.float8_e4m3fn)
    return [
        Case(
            "topk_softmax",
            "TASK_MOE_TOPK_SOFTMAX_SM100",
            {"logits": bf16(7, 128, seed=1), **routes},
            3,
            unordered=("mask",),
        ),
        Case(
            "topk_sigmoid",
            "TASK_MOE_TOPK_SIGMOID_SM100",
            {"logits": bf16(4, 256, seed=1), "bias": values(256, seed=2, scale=0.1), **wide},
            3,
            params=(8, 4, 0x40200000),
            unordered=("mask",),
        ),
        Case(
            "mul_sum_add",
            "TASK_MOE_MUL_SUM_ADD_SM100",
            {
                "x": bf16(4, 8, 64, seed=1),
                "w": values(4, 8, seed=2).abs(),
                "r": bf16(4, 64, seed=3),
                "out": empty(4, 64),
            },
            1,
        ),
        Case(
            "quantize_packed",
            "TASK_QUANTIZE_FP8_SM100",
            {"x": x, "q": quantized, "s": sevens(2, 8, dtype=INT32)},
            2,
            grid=(5, 1, 1),
        ),
        Case(
            "quantize_float",
            "TASK_QUANTIZE_FP8_SM100",
            {"x": x.clone(), "q": quantized.clone(), "s": empty(5, 5, dtype=torch.float32)},
            2,
            grid=(5, 1, 1),
        ),
    ]


def _speculation() -> list[Case]:
    drafts, target = ints([5, 6, 7]), ints([5, 6, 9, 8])
    tokens = {"tokens": whole(0, 6, 1, 512, seed=3)}
    step = {"step": ints(400, dtype=INT32)}
    return [
        Case(
            "verify_strict",
            "TASK_MTP_VERIFY_STRICT",
            {"d": drafts, "t": target, "count": sevens(1, dtype=INT32), "out": sevens(1, 4)},
            2,
            params=(3,),
        ),
        *(
            Case(
                f"verify_probabilistic_{seed}",
                "TASK_MTP_VERIFY_PROBABILISTIC",
                {
                    "d": whole(0, 3, 1, 4, seed=seed),
                    "t": whole(0, 3, 1, 5, seed=seed + 100),
                    "pt": values(1, 4, seed=seed).abs(),
                    "pd": values(1, 4, seed=seed + 50).abs() * torch.tensor([1, 1, seed % 2, 1]),
                    "seed": ints(seed * 12345),
                    "count": sevens(1, dtype=INT32),
                    "out": sevens(1, 5),
                },
                2,
                params=(4,),
                wrapper="verify_probabilistic",
            )
            for seed in range(1, 7)
        ),
        Case(
            "accept_commit",
            "TASK_MTP_ACCEPT_COMMIT",
            {
                "count": ints(2, dtype=INT32),
                "tokens": ints([5, 6, 8, 9]),
                "position": ints(40, dtype=INT32),
                "new": sevens(1, dtype=INT32),
                "final": sevens(1, 4),
                "num": sevens(1, dtype=INT32),
            },
            3,
            params=(3,),
        ),
        Case(
            "token_scatter",
            "TASK_MTP_TOKEN_SCATTER",
            {"x": ints([3], [4]), "out": sevens(2, 3)},
            1,
            params=(2, 3, 1),
        ),
        Case(
            "float_scatter",
            "TASK_MTP_FLOAT_SCATTER",
            {"x": values(2, 1, seed=1), "out": sevens(2, 3, dtype=torch.float32)},
            1,
            params=(2, 3, 1),
        ),
        Case(
            "prepare_verify",
            "TASK_MTP_PREPARE_VERIFY",
            {
                "main": ints([50], [60], [70]),
                "drafts": ints([51, 52], [61, 62], [71, 72]),
                "tokens": sevens(3, 10),
                "step": ints(0, 8, 9, dtype=INT32),
                "num": sevens(3, dtype=INT32),
            },
            1,
            grid=(3, 1, 1),
            params=(2, 10),
        ),
        Case(
            "build_embed_input",
            "TASK_MTP_BUILD_EMBED_INPUT",
            {
                "made": ints([90], [91], [92], [93]),
                "out": sevens(4, 1),
                "tokens": torch.arange(10).view(1, 10),
                "step": ints(7, dtype=INT32),
            },
            1,
            params=(4, 10),
            meta={"tokens": torch.arange(10).view(1, 10), "step": ints(7, dtype=INT32)},
            num_extra=2,
        ),
        Case(
            "softmax_gather",
            "TASK_SOFTMAX_GATHER_SM100",
            {
                "logits": bf16(3, 1000, seed=1),
                "ids": ints([4], [999], [1000]),
                "out": empty(3, 1, dtype=torch.float32),
            },
            1,
        ),
        Case(
            "prob_scatter",
            "TASK_PROB_SCATTER_SM100",
            {
                "prob": values(3, 1, seed=1),
                "step": ints(2, -1, 4, dtype=INT32),
                "buffer": sevens(3, 4, dtype=torch.float32),
            },
            1,
            params=(4,),
        ),
        Case(
            "prob_extract",
            "TASK_PROB_EXTRACT_SM100",
            {
                "buffer": values(3, 4, seed=1),
                "offset": ints(0, -3, 2, dtype=INT32),
                "out": empty(3, 3, dtype=torch.float32),
            },
            1,
            params=(4, 3),
        ),
        Case(
            "find_ngram_partial",
            "TASK_FIND_NGRAM_PARTIAL",
            tokens | {"out": sevens(1, 1)} | step,
            1,
            params=(3,),
            meta=step,
            num_extra=1,
        ),
        Case(
            "find_ngram_global",
            "TASK_FIND_NGRAM_GLOBAL",
            {"places": ints([300, 17, 2**63 - 1, 40])} | tokens | {"out": sevens(1, 6)} | step,
            1,
            params=(3, 5),
            meta=step,
            num_extra=1,
        ),
        Case(
            "verify_greedy",
            "TASK_TARGET_VERIFY_GREEDY",
            {
                "d": ints([4, 5, 6]),
                "t": ints([5, 9, 7]),
                "out": sevens(1, 1),
                "tokens": sevens(1, 10),
                "num_new_tokens": sevens(1, dtype=INT32),
            },
            1,
            meta={
                "tokens": sevens(1, 10),
                "num_new_tokens": sevens(1, dtype=INT32),
                "step": ints(3, dtype=INT32),
            },
            num_extra=2,
        ),
    ]
