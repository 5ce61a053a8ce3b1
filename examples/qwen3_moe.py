"""A Qwen3 mixture-of-experts decoder (30B-A3B): each token goes through 8 of 128 experts.

The graph can't know which experts tokens will choose. `moe_mask` lists those that were chosen, at
run time, and task i of n along grid axis 0 does the i-th of them, the one n further, and so on;
`moe_routing_indices` tells for which tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mirage as mi
from common import main, pick, tensor
from decoder_parts import Decoder, Model, Split, decoder_kernel
from qwen3 import PADDED_VOCAB, VOCAB, linear_tasks, linear_tasks_hopper

EXPERTS, CHOSEN = 128, 8
SUM_TILE = 256
"""Columns of the weighted sum over experts that one task makes."""

# `intermediate` is an expert's.
SIZES = {"30B-A3B": Model(2048, 768, 48, 32, 4, VOCAB, PADDED_VOCAB)}


@dataclass(frozen=True)
class ExpertSplit:
    """How many tasks the layers of experts become: (expert groups, tiles of their outputs)."""

    router: int
    gate_and_up: tuple[int, int]
    down: tuple[int, int]


SPLITS = {
    # Tiles of 128 outputs, for Blackwell's tensor cores.
    "blackwell": (Split(linear_tasks, residual_tile=128), ExpertSplit(1, (10, 12), (8, 16))),
    # Tiles of 64, for Hopper's.
    "hopper": (Split(linear_tasks_hopper), ExpertSplit(EXPERTS // 16, (5, 24), (4, 32))),
}


class MoeDecoder(Decoder):
    """A decoder with experts in place of an MLP."""

    def __init__(
        self, kernel: Any, model: Model, split: Split, experts: ExpertSplit, *, shared_norm: bool
    ) -> None:
        super().__init__(kernel, model, split)
        self.experts = experts
        hidden, inner = model.hidden, model.intermediate
        self.norm_qkv = self.norm_moe = self.rmsnorm_out
        if not shared_norm:
            self.norm_qkv = self.buffer("rmsnorm_out_qkv", hidden)
            self.norm_moe = self.buffer("rmsnorm_out_moe", hidden)
        self.scores = self.buffer("moe_gate_out", EXPERTS)
        self.weights = self.buffer("moe_topk_weight", CHOSEN, dtype=mi.float32)
        # Of each expert, as their how many-th the tokens chose it; then the experts that were
        # chosen at all and, last, how many these are.
        self.indices = kernel.new_tensor(
            dims=(EXPERTS, self.batch), dtype=mi.int32, name="moe_routing_indices"
        )
        self.mask = kernel.new_tensor(dims=(EXPERTS + 1,), dtype=mi.int32, name="moe_mask")
        self.mlp_mid = self.buffer("mlp_mid", CHOSEN, 2 * inner)
        self.silu_mul_out = self.buffer("silu_mul_out", CHOSEN, inner)
        self.mlp_out = self.buffer("mlp_out", CHOSEN, hidden)
        self.weighted_sum = self.buffer("mlp_weighted_sum_out", hidden)

    def moe(self, layer: int, x: Any) -> Any:
        """Normalise, choose experts, let them work, add their weighted results to x."""
        kernel, block = self.kernel, self.block
        hidden, inner = self.model.hidden, self.model.intermediate
        normed = self.norm(x, f"layer_{layer}_post_attn_layernorm", self.norm_moe)
        router = self.weight(f"layer_{layer}_moe_gate", EXPERTS, hidden)
        self.linear(normed, router, self.scores, self.experts.router)
        kernel.moe_topk_softmax_routing_layer(
            input=self.scores,
            output=(self.weights, self.indices, self.mask),
            grid_dim=(1, 1, 1),
            block_dim=block,
        )
        chosen = {"moe_routing_indices": self.indices, "moe_mask": self.mask}
        name = "gateup_proj" if self.norm_moe is self.rmsnorm_out else "gate_proj"
        gate_and_up = tensor(EXPERTS, 2 * inner, hidden)
        kernel.moe_w13_linear_layer(
            input=normed,
            weight=kernel.attach_input(gate_and_up, name=f"layer_{layer}_{name}"),
            **chosen,
            output=self.mlp_mid,
            grid_dim=(*self.experts.gate_and_up, 1),
            block_dim=block,
        )
        kernel.moe_silu_mul_layer(
            input=self.mlp_mid,
            output=self.silu_mul_out,
            grid_dim=(self.batch, CHOSEN, 1),
            block_dim=block,
        )
        kernel.moe_w2_linear_layer(
            input=self.silu_mul_out,
            weight=self.weight(f"layer_{layer}_down_proj", EXPERTS, hidden, inner),
            **chosen,
            output=self.mlp_out,
            grid_dim=(*self.experts.down, 1),
            block_dim=block,
        )
        kernel.moe_mul_sum_add_layer(
            input=self.mlp_out,
            weight=self.weights,
            residual=x,
            output=self.weighted_sum,
            grid_dim=(self.batch, hidden // SUM_TILE, 1),
            block_dim=block,
        )
        return self.weighted_sum

    def all_layers(self, layers: int | None) -> None:
        x = self.embed()
        for layer in range(self.model.layers if layers is None else layers):
            x = self.moe(layer, self.attention(layer, x, self.norm_qkv))
        self.next_token(x)


def build(
    *,
    size: str = "30B-A3B",
    layers: int | None = None,
    batch: int = 1,
    requests: int | None = None,
    split: str = "auto",
    output_dir: str | None = None,
) -> Any:
    """Make a kernel and describe the decoder to it.

    `split` is `blackwell` or `hopper`; `auto` takes hopper's on compute capability 9.0.
    """
    kernel = decoder_kernel(batch, requests, use_cutlass_kernel=True)
    if split == "auto":
        split = "hopper" if kernel.target_cc == 90 else "blackwell"
    linear, experts = pick(SPLITS, split)
    decoder = MoeDecoder(
        kernel, pick(SIZES, size), linear, experts, shared_norm=split == "blackwell"
    )
    decoder.all_layers(layers)
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
