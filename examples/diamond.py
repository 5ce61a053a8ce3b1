"""A diamond: a fork whose two branches meet again.

`a` forks into two linear layers, `d` joins them. What Mirage's generator refuses is an edge that
leads from a fork straight into a join: if another layer read `b` too, `b` would be a fork next to
the join `d`, and a layer would have to go between them.
"""

from __future__ import annotations

from typing import Any

from common import main, tensor, threads, use_rows


def build(
    kernel: Any, *, rows: int = 8, hidden: int = 4096, tile: int = 64, copies: int = 1
) -> None:
    """x_d = (x_a @ w_b) @ w_d + x_a @ w_c with x_a = norm(x_input).

    `copies` as in join.py: 8 in Mirage's own test, 1 is right.
    """
    use_rows(kernel, rows)
    x_input = kernel.attach_input(tensor(rows, hidden), name="x_input")
    w_a = kernel.attach_input(tensor(hidden), name="w_a")
    w_b, w_c, w_d = (kernel.attach_input(tensor(hidden, hidden), name=f"w_{x}") for x in "bcd")
    x_a, x_b, x_c, x_d = (kernel.attach_input(tensor(rows, hidden), name=f"x_{x}") for x in "abcd")
    block, grid = threads(kernel), (hidden // tile, copies, 1)
    kernel.rmsnorm_layer(
        input=x_input, weight=w_a, output=x_a, grid_dim=(rows, 1, 1), block_dim=block
    )
    kernel.linear_layer(input=x_a, weight=w_b, output=x_b, grid_dim=grid, block_dim=block)
    kernel.linear_layer(input=x_a, weight=w_c, output=x_c, grid_dim=grid, block_dim=block)
    kernel.linear_with_residual_layer(
        input=x_b, weight=w_d, residual=x_c, output=x_d, grid_dim=grid, block_dim=block
    )


if __name__ == "__main__":
    main(build)
