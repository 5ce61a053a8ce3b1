"""A residual connection: `c` reads `b`, and `a` over `b`'s head.

Whatever waits for `b` waits for `a` too, since `b` reads `a`. So the generator drops the edge
from `a` to `c`: no fork at `a`, no join at `c`, but the chain a -> b -> c. A decoder is full of
such edges, and would not be plannable with them.
"""

from __future__ import annotations

from typing import Any

from common import main, tensor, threads, use_rows


def build(
    kernel: Any, *, rows: int = 8, hidden: int = 4096, tile: int = 64, copies: int = 1
) -> None:
    """x_c = norm(x_a) @ w_c + x_a with x_a = norm(x_input).

    `copies` as in join.py: 8 in Mirage's own test, 1 is right.
    """
    use_rows(kernel, rows)
    x_input = kernel.attach_input(tensor(rows, hidden), name="x_input")
    w_a, w_b = (kernel.attach_input(tensor(hidden), name=f"w_{x}") for x in "ab")
    w_c = kernel.attach_input(tensor(hidden, hidden), name="w_c")
    x_a, x_b, x_c = (kernel.attach_input(tensor(rows, hidden), name=f"x_{x}") for x in "abc")
    block = threads(kernel)
    for source, weight, output in ((x_input, w_a, x_a), (x_a, w_b, x_b)):
        kernel.rmsnorm_layer(
            input=source, weight=weight, output=output, grid_dim=(rows, 1, 1), block_dim=block
        )
    kernel.linear_with_residual_layer(
        input=x_b,
        weight=w_c,
        residual=x_a,
        output=x_c,
        grid_dim=(hidden // tile, copies, 1),
        block_dim=block,
    )


if __name__ == "__main__":
    main(build)
