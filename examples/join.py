"""A join: one layer reads what two layers wrote, which share no other layer.

A linear layer with a residual has two inputs that other layers write: here one normalisation
makes the factor, another the residual. The linear layer's tasks wait for both.
"""

from __future__ import annotations

from typing import Any

from common import main, tensor, threads, use_rows


def build(
    kernel: Any, *, rows: int = 8, hidden: int = 4096, tile: int = 64, copies: int = 1
) -> None:
    """x_c = norm(x1) @ w_c + norm(x2), in tasks of `tile` columns.

    `copies` is the size of grid axis 1, which splits no tensor of a linear layer: every task is
    there so many times and writes the same tile. Mirage's own tests have 8, to no use; 1 is right.
    """
    use_rows(kernel, rows)
    inputs = [kernel.attach_input(tensor(rows, hidden), name=f"x{i}_input") for i in (1, 2)]
    w_a, w_b = (kernel.attach_input(tensor(hidden), name=f"w_{x}") for x in "ab")
    w_c = kernel.attach_input(tensor(hidden, hidden), name="w_c")
    x_a, x_b, x_c = (kernel.attach_input(tensor(rows, hidden), name=f"x_{x}") for x in "abc")
    block = threads(kernel)
    for source, weight, output in ((inputs[0], w_a, x_a), (inputs[1], w_b, x_b)):
        kernel.rmsnorm_layer(
            input=source, weight=weight, output=output, grid_dim=(rows, 1, 1), block_dim=block
        )
    # A row of x_a meets all rows of w_c: tasks split the columns of the output, so that each of
    # them needs all rows of x_a, but only `tile` columns of the residual x_b.
    kernel.linear_with_residual_layer(
        input=x_a,
        weight=w_c,
        residual=x_b,
        output=x_c,
        grid_dim=(hidden // tile, copies, 1),
        block_dim=block,
    )


if __name__ == "__main__":
    main(build)
