"""The MLP of a dense Qwen3 decoder layer: gate and up, SiLU times, down and residual.

Gate and up are one linear layer. Its weight is *shuffled* of both: groups of rows take turns, so
that in `mlp_mid` some columns of gate are followed by the columns of up that belong to them, and a
task of the next layer finds both in one tile.
"""

from __future__ import annotations

from typing import Any

from common import main, tensor, threads, use_rows


def build(
    kernel: Any,
    *,
    batch: int = 8,
    hidden: int = 4096,
    intermediate: int = 2048,
    tasks: int = 64,
    stages: int = 3,
) -> None:
    """All three layers, or the first `stages` of them. `tasks` is those of gate and up."""
    use_rows(kernel, batch)
    block = threads(kernel)
    x = kernel.attach_input(tensor(batch, hidden), name="input")
    w_gate = kernel.attach_input(tensor(intermediate, hidden), name="w_gate")
    w_up = kernel.attach_input(tensor(intermediate, hidden), name="w_up")
    mlp_mid = kernel.attach_input(tensor(batch, 2 * intermediate), name="mlp_mid")
    # Every other task writes a group of gate, the next one that of up; so SiLU has half as many.
    groups = tasks // 2
    w_gatedup = kernel.shuffle_tensors(
        inputs=[w_gate, w_up], shuffled_dim=0, num_groups=groups, name="w_gatedup"
    )
    kernel.linear_layer(
        input=x, weight=w_gatedup, output=mlp_mid, grid_dim=(tasks, 1, 1), block_dim=block
    )
    if stages == 1:
        return
    silu_mul_out = kernel.attach_input(tensor(batch, intermediate), name="silu_mul_out")
    kernel.silu_mul_layer(
        input=mlp_mid, output=silu_mul_out, grid_dim=(groups, 1, 1), block_dim=block
    )
    if stages == 2:
        return
    w_down = kernel.attach_input(tensor(hidden, intermediate), name="w_down")
    residual = kernel.attach_input(tensor(batch, hidden), name="residual")
    mlp_out = kernel.attach_input(tensor(batch, hidden), name="mlp_out")
    kernel.linear_with_residual_layer(
        input=silu_mul_out,
        weight=w_down,
        residual=residual,
        output=mlp_out,
        grid_dim=(hidden // 64, 1, 1),
        block_dim=block,
    )


if __name__ == "__main__":
    main(build)
