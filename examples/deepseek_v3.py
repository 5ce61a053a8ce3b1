"""A DeepSeek-V3 decoder (671B): latent attention, three dense layers, then FP8 experts.

mpkgraph compile examples/deepseek_v3.py:build --target b200 --set layers=0,3 -o out
mpkgraph compile examples/deepseek_v3.py:build --target b200 --world-size 2 --all-ranks -o out
"""

from __future__ import annotations

from typing import Any

import mirage as mi
from common import main, rank_and_size
from decoder_parts import decoder_kernel
from deepseek_mla import LatentAttention
from deepseek_moe import Fp8Experts
from deepseek_parts import HIDDEN, SYMMETRIC, Fp8Layers
from qwen3 import linear_tasks

LAYERS, DENSE_LAYERS = 61, 3
INTERMEDIATE, VOCAB = 18432, 129280
REDUCE_TILE = 128


class DenseMlp:
    """The MLP of the first layers; its gate and up were shuffled in one weight."""

    def __init__(self, parts: Fp8Layers) -> None:
        self.parts = parts
        inner = INTERMEDIATE // parts.ranks
        self.mid = parts.buffer("mlp_mid", 2 * inner)
        self.silu = parts.buffer("silu_mul_out", inner)
        # The weight was shuffled before ranks took their share of it.
        self.groups = linear_tasks(2 * INTERMEDIATE) // 2 // parts.ranks

    def mlp(self, layer: int, normed: Any, x: Any) -> Any:
        parts, prefix = self.parts, f"layer_{layer}"
        parts.linear_fp8(normed, f"{prefix}_gate_up_proj", self.mid)
        parts.kernel.silu_mul_layer(
            input=self.mid,
            output=self.silu,
            grid_dim=(self.groups, 1, 1),
            block_dim=parts.block,
        )
        out = parts.buffer(f"{prefix}_mlp_fused", HIDDEN)
        return parts.linear_fp8(self.silu, f"{prefix}_down_proj", out, residual=x)


class DeepSeek:
    """One rank's decoder."""

    def __init__(self, kernel: Any, *, builder_order: bool) -> None:
        self.kernel = kernel
        self.parts = Fp8Layers(kernel)
        self.attention = LatentAttention(self.parts)
        self.dense = DenseMlp(self.parts)
        self.experts = Fp8Experts(self.parts, builder_order=builder_order)
        self.is_sharded = self.parts.ranks > 1
        if self.is_sharded:
            self.reduce_buffer = self.parts.new(
                (self.parts.ranks, self.parts.batch, HIDDEN), "allreduce_buf", memory=SYMMETRIC
            )
            self.total = self.parts.buffer("allreduce_out", HIDDEN, memory=SYMMETRIC)

    def describe(self, layers: list[int]) -> None:
        x = self.embed()
        for layer in layers:
            x = self.attention.attention(layer, x)
            name = f"layer_{layer}_post_attn_layernorm"
            normed = self.parts.norm(x, name, self.parts.rmsnorm_out)
            if layer < DENSE_LAYERS:
                x = self.dense.mlp(layer, normed, x)
            else:
                x = self.add_experts(layer, normed, x)
        self.next_token(x)

    def embed(self) -> Any:
        parts, tokens = self.parts, self.kernel.meta_tensors["input_tokens"]
        out = parts.buffer("embed_out", HIDDEN)
        self.kernel.embed_layer(
            input=self.kernel.attach_input(tokens, name="input_token"),
            weight=parts.weight("embed_tokens", VOCAB, HIDDEN),
            output=out,
            grid_dim=(1, 1, 1),
            block_dim=parts.block,
            input_source=1,
        )
        return out

    def add_experts(self, layer: int, normed: Any, x: Any) -> Any:
        """Add the experts' results, summed over ranks, to x.

        As in Mirage's own builder, these are the only sums over ranks: what attention and dense
        layers project stays each rank's own.
        """
        parts, kernel = self.parts, self.kernel
        memory = SYMMETRIC if self.is_sharded else "cuda_tensor"
        made = self.experts.moe(layer, normed, memory=memory)
        if self.is_sharded:
            kernel.allreduce_layer(
                input=made,
                buffer=self.reduce_buffer,
                output=self.total,
                grid_dim=(HIDDEN // REDUCE_TILE, 1, 1),
                block_dim=parts.block,
            )
            made = self.total
        out = parts.buffer(f"layer_{layer}_moe_residual", HIDDEN)
        kernel.elementwise_add_layer(
            input_a=x,
            input_b=made,
            output=out,
            grid_dim=(parts.batch, 1, 1),
            block_dim=parts.block,
        )
        return out

    def next_token(self, x: Any) -> None:
        parts, kernel, workers = self.parts, self.kernel, self.kernel.num_workers
        normed = parts.norm(x, "model_norm_weight", parts.rmsnorm_out)
        logits = parts.buffer("lm_head_out", VOCAB)
        parts.linear(normed, parts.weight("lm_head", VOCAB, HIDDEN), logits)
        largest = (
            parts.buffer("argmax_part_value", workers),
            parts.buffer("argmax_part_index", workers, dtype=mi.int64),
        )
        tokens = kernel.attach_input(kernel.meta_tensors["output_tokens"], name="output_token")
        kernel.argmax_partial_layer(
            input=logits, output=largest, grid_dim=(workers, 1, 1), block_dim=parts.block
        )
        kernel.argmax_reduce_layer(
            input=largest, output=tokens, grid_dim=(1, 1, 1), block_dim=parts.block
        )


def layer_numbers(text: str) -> list[int]:
    """`0,3`, `0-60` or `all`."""
    if text == "all":
        return list(range(LAYERS))
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers


def build(
    *,
    layers: str = "0,3",
    batch: int = 1,
    builder_order: bool = False,
    output_dir: str | None = None,
) -> Any:
    """Make this rank's kernel for one request with `batch` new tokens (at most 8).

    Layers 0 to 2 are dense, the others have experts; the default is one of each. With
    `builder_order` layers come as in Mirage's own builder (see deepseek_moe.py).
    """
    rank, world_size = rank_and_size()
    kernel = decoder_kernel(
        batch,
        requests=1,
        max_seq_length=4096,
        max_num_pages=64,
        page_size=128,
        rank=rank,
        world_size=world_size,
        use_cutlass_kernel=True,
    )
    DeepSeek(kernel, builder_order=builder_order).describe(layer_numbers(layers))
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
