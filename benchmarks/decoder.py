"""The sizes of transformer decoders, as Mirage's own demos have them.

`DecoderSpec` describes one; `QWEN3_30B_A3B` and `QWEN3_8B_TWO_RANKS` are models whose real graphs
are known, and `scaled_spec` grows a mixture-of-experts decoder to any size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_LAYERS = 61
"""DeepSeek-V3's; a larger file has larger layers, not more of them."""


@dataclass(frozen=True, slots=True)
class KernelNames:
    """Registered names that differ between GPU generations."""

    linear: str
    linear_with_residual: str
    attention: str
    moe_w13: str
    moe_w2: str
    argmax_reduce: str


HOPPER = KernelNames(
    linear="linear_swapAB_hopper",
    linear_with_residual="linear_swapAB_with_residual_hopper",
    attention="paged_attention_hopper",
    moe_w13="moe_w13_linear_sm90",
    moe_w2="moe_w2_linear_sm90",
    argmax_reduce="argmax_reduce",
)
BLACKWELL = KernelNames(
    linear="linear_sm100",
    linear_with_residual="linear_with_residual_sm100",
    attention="paged_attention_sm100",
    moe_w13="moe_w13_linear_sm100",
    moe_w2="moe_w2_linear_sm100",
    argmax_reduce="argmax_reduce_sm100",
)


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """One rank of a decoder model. Sizes in elements; `*_tasks` are grid sizes."""

    num_layers: int
    hidden: int
    kv_heads: int
    q_heads_per_kv: int
    head_dim: int
    qkv_tasks: int
    o_proj_tasks: int
    requests: int
    """Requests that attention runs side by side (grid.x)."""
    kernels: KernelNames
    batch: int = 8
    experts: int = 0
    """0 for a dense model."""
    experts_per_token: int = 8
    intermediate: int = 0
    """Of one expert, or of the dense MLP."""
    up_tasks: int = 0
    """Tasks that share the columns of the gate-and-up projection."""
    silu_tasks: int = 1
    """Tasks that share the columns of the activation."""
    down_tasks: int = 0
    """Tasks that share the columns of the down projection."""
    sum_tasks: int = 0
    """Tasks that share the columns of the experts' weighted sum."""
    vocabulary: int = 151936
    padded_vocabulary: int = 153600
    vocabulary_tasks: int = 128
    num_ranks: int = 1
    rank: int = 0


QWEN3_30B_A3B = DecoderSpec(
    num_layers=48,
    hidden=2048,
    kv_heads=4,
    q_heads_per_kv=8,
    head_dim=128,
    qkv_tasks=64,
    o_proj_tasks=16,
    requests=8,
    kernels=BLACKWELL,
    experts=128,
    intermediate=768,
    up_tasks=12,
    down_tasks=16,
    sum_tasks=8,
)
"""Mirage's demo of Qwen3-30B-A3B, batch 8, on Blackwell."""

QWEN3_8B_TWO_RANKS = DecoderSpec(
    num_layers=36,
    hidden=4096,
    kv_heads=4,
    q_heads_per_kv=4,
    head_dim=128,
    qkv_tasks=96,
    o_proj_tasks=64,
    requests=1,
    kernels=HOPPER,
    intermediate=6144,
    up_tasks=96,
    silu_tasks=48,
    down_tasks=64,
    num_ranks=2,
)
"""Rank 0 of Mirage's demo of Qwen3-8B on two Hoppers that all-gather and reduce."""


def scaled_spec(units: int, num_layers: int, *, num_ranks: int = 1, rank: int = 0) -> DecoderSpec:
    """A mixture-of-experts decoder with `units` * 256 hidden elements.

    Every grid grows with `units`; 8 units are about as large as Qwen3-30B-A3B.
    """
    silu_tasks = max(1, units // 8)
    up_tasks = -(-3 * units // (2 * silu_tasks)) * silu_tasks
    kv_heads = max(1, units // 2)
    return replace(
        QWEN3_30B_A3B,
        num_layers=num_layers,
        hidden=256 * units,
        kv_heads=kv_heads,
        qkv_tasks=16 * kv_heads,
        o_proj_tasks=2 * units,
        kernels=HOPPER,
        intermediate=64 * up_tasks,
        up_tasks=up_tasks,
        silu_tasks=silu_tasks,
        down_tasks=2 * units,
        sum_tasks=units,
        vocabulary_tasks=128 if units >= 8 else 16,
        num_ranks=num_ranks,
        rank=rank,
    )
