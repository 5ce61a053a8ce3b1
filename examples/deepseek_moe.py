"""Experts in FP8 as in DeepSeek-V3: 8 of 256 for each token, and one that all tokens share.

    mpkgraph compile examples/deepseek_moe.py:build --target b200 --set batch=8 -o out

qwen3_moe.py explains how tasks find their experts. Here there is a group of tasks for each expert,
most of which find nothing to do.

An order matters here. The experts read two tensors of each of two layers: of the routing, and of
the quantizing of their input. Mirage's generator counts triggers of such a join twice, so its event
never completes (mpkgraph warns `stuck-event`). Here the routing waits for the quantizing; then the
generator drops what the experts would wait for besides the routing, and there is no join.
`builder_order` is the order of Mirage's own builder, which has the join.
"""

from __future__ import annotations

from typing import Any

import mirage as mi
from common import main
from decoder_parts import decoder_kernel
from deepseek_parts import GROUP, HIDDEN, Fp8Layers
from qwen3 import linear_tasks

EXPERTS, CHOSEN, INTERMEDIATE = 256, 8, 2048
EXPERT_GROUPS, CHOSEN_GROUPS, ROUTED_SCALE = 8, 4, 2.5
"""Experts are in groups; a token's are of its best groups, and their results are scaled."""
TILES = 2
"""Tasks that share an expert's outputs, each a multiple of GROUP."""
SMALLEST_TILE = 8
"""Outputs of a linear task that are 16 bytes, which its memory transfers need."""


class Fp8Experts:
    """The experts of a layer; over several ranks each has some columns of every expert."""

    def __init__(self, parts: Fp8Layers, *, builder_order: bool = False) -> None:
        self.parts = parts
        self.builder_order = builder_order
        self.inner = INTERMEDIATE // parts.ranks

    def moe(self, layer: int, normed: Any, *, memory: str = "cuda_tensor") -> Any:
        """The sum of the chosen experts' weighted results and of the shared expert's."""
        parts, prefix = self.parts, f"layer_{layer}"
        output = parts.buffer(f"{prefix}_moe_output", HIDDEN, memory=memory)
        if self.builder_order:
            scores = self._score(prefix, normed)
            self._clear(output, after=normed, before=normed)
            weights, chosen = self._choose(prefix, scores)
            quantized = self._quantize(f"{prefix}_moe_input", normed, HIDDEN)
        else:
            quantized = self._quantize(f"{prefix}_moe_input", normed, HIDDEN)
            self._clear(output, after=quantized["input_fp8"], before=normed)
            weights, chosen = self._choose(prefix, self._score(prefix, normed))
        routed = self._experts(prefix, quantized, chosen)
        shared = self._shared_expert(prefix, normed)
        parts.kernel.moe_mul_sum_add_layer(
            input=routed,
            weight=weights,
            residual=shared,
            output=output,
            grid_dim=(parts.batch, 1, 1),
            block_dim=parts.block,
        )
        return output

    def _score(self, prefix: str, normed: Any) -> Any:
        """How well each expert suits each token."""
        parts = self.parts
        router = parts.weight(f"{prefix}_moe_gate", EXPERTS, HIDDEN)
        scores = parts.buffer(f"{prefix}_router_logits", EXPERTS)
        tasks = min(linear_tasks(EXPERTS), EXPERTS // SMALLEST_TILE)
        return parts.linear(normed, router, scores, tasks)

    def _clear(self, output: Any, *, after: Any, before: Any) -> None:
        """Set to zero. It reads and writes two tensors for show: so it waits for the layer that
        made `after`, and layers that read `before` wait for it.
        """
        self.parts.kernel.tensor_init_layer(
            input=output,
            dummy_input=after,
            dummy_output=before,
            grid_dim=(self.parts.batch, 1, 1),
            block_dim=self.parts.block,
        )

    def _choose(self, prefix: str, scores: Any) -> tuple[Any, dict[str, Any]]:
        """(Weights of the chosen experts, who chose whom)."""
        parts, kernel = self.parts, self.parts.kernel
        weights = parts.buffer(f"{prefix}_moe_topk_weights", CHOSEN, dtype=mi.float32)
        indices = parts.new((EXPERTS, parts.batch), f"{prefix}_moe_routing_indices", dtype=mi.int32)
        mask = parts.new((EXPERTS + 1,), f"{prefix}_moe_mask", dtype=mi.int32)
        kernel.moe_topk_sigmoid_routing_layer(
            input=scores,
            bias=parts.weight(f"{prefix}_moe_gate_bias", EXPERTS, dtype="float32"),
            output=(weights, indices, mask),
            grid_dim=(1, 1, 1),
            block_dim=(256, 1, 1),
            num_groups=EXPERT_GROUPS,
            topk_group=CHOSEN_GROUPS,
            routed_scaling_factor=ROUTED_SCALE,
        )
        return weights, {"moe_routing_indices": indices, "moe_mask": mask}

    def _experts(self, prefix: str, quantized: dict[str, Any], chosen: dict[str, Any]) -> Any:
        """Each token through its experts: gate and up, SiLU times, down."""
        parts, kernel, inner = self.parts, self.parts.kernel, self.inner
        mid = parts.buffer(f"{prefix}_moe_mid", CHOSEN, 2 * inner)
        kernel.moe_w13_fp8_layer(
            **quantized,
            **self._weights(f"{prefix}_experts_w13", 2 * inner, HIDDEN),
            **chosen,
            output=mid,
            grid_dim=self._expert_grid(2 * inner),
            block_dim=parts.block,
        )
        silu = parts.buffer(f"{prefix}_moe_silu", CHOSEN, inner)
        kernel.moe_silu_mul_layer(
            input=mid, output=silu, grid_dim=(parts.batch, CHOSEN, 1), block_dim=parts.block
        )
        down = parts.buffer(f"{prefix}_moe_down", CHOSEN, HIDDEN)
        kernel.moe_w2_fp8_layer(
            **self._quantize(f"{prefix}_moe_silu", silu, CHOSEN, inner),
            **self._weights(f"{prefix}_experts_w2", HIDDEN, inner),
            **chosen,
            output=down,
            grid_dim=self._expert_grid(HIDDEN),
            block_dim=parts.block,
        )
        return down

    def _quantize(self, name: str, x: Any, *columns: int) -> dict[str, Any]:
        """Values in FP8, and scales that stay float32: the experts' kernels convert them."""
        parts = self.parts
        quantized = parts.buffer(f"{name}_fp8", *columns, dtype=mi.float8_e4m3)
        scale = parts.buffer(f"{name}_scale", *columns[:-1], columns[-1] // GROUP, dtype=mi.float32)
        rows = parts.batch
        for size in columns[:-1]:
            rows *= size
        parts.kernel.quantize_fp8_layer(
            input=x,
            output_fp8=quantized,
            output_scale=scale,
            grid_dim=(rows, 1, 1),
            block_dim=parts.block,
            scale_ue8m0=False,
        )
        return {"input_fp8": quantized, "input_scale": scale}

    def _weights(self, name: str, outputs: int, inputs: int) -> dict[str, Any]:
        parts = self.parts
        scale = (EXPERTS, outputs, inputs // GROUP)
        return {
            "weight_fp8": parts.weight(name, EXPERTS, outputs, inputs, dtype="float8_e4m3fn"),
            "weight_scale": parts.weight(f"{name}_scale", *scale, dtype="float32"),
        }

    def _expert_grid(self, outputs: int) -> tuple[int, int, int]:
        return EXPERTS, TILES if outputs % (TILES * GROUP) == 0 else 1, 1

    def _shared_expert(self, prefix: str, normed: Any) -> Any:
        """An FP8 MLP that all tokens go through. Its gate and up were shuffled in one weight."""
        parts, inner = self.parts, self.inner
        mid = parts.buffer(f"{prefix}_shared_mid", 2 * inner)
        parts.linear_fp8(normed, f"{prefix}_shared_expert_gate_up", mid)
        silu = parts.buffer(f"{prefix}_shared_silu", inner)
        # As many tasks as groups of rows took turns: those of a scale stay together.
        groups = min(linear_tasks(2 * inner) // 2, inner // GROUP)
        parts.kernel.silu_mul_layer(
            input=mid, output=silu, grid_dim=(groups, 1, 1), block_dim=parts.block
        )
        out = parts.buffer(f"{prefix}_shared_residual", HIDDEN)
        return parts.linear_fp8(silu, f"{prefix}_shared_expert_down", out)


def build(*, batch: int = 1, builder_order: bool = False, output_dir: str | None = None) -> Any:
    """The experts of one layer, on `batch` tokens."""
    kernel = decoder_kernel(batch, requests=1, use_cutlass_kernel=True)
    parts = Fp8Layers(kernel)
    x = parts.norm(parts.weight("x", batch, HIDDEN), "norm", parts.rmsnorm_out)
    Fp8Experts(parts, builder_order=builder_order).moe(0, x)
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
