"""A fork: two layers read what one layer wrote.

The graph has three operators of `rows` tasks. Row i of `x_a` is done when one task has written
it, and then two tasks may start: Mirage's generator makes one event for both readers.
"""

from __future__ import annotations

from typing import Any

from common import main, tensor, threads


def build(kernel: Any, *, rows: int = 16, hidden: int = 4096) -> None:
    """x_input -> a -> b and a -> c, each an RMS normalisation."""
    x_input = kernel.attach_input(tensor(rows, hidden), name="x_input")
    w_a, w_b, w_c = (kernel.attach_input(tensor(hidden), name=f"w_{x}") for x in "abc")
    x_a, x_b, x_c = (kernel.attach_input(tensor(rows, hidden), name=f"x_{x}") for x in "abc")
    # Edges follow from the tensors: a layer depends on the last layer that wrote what it reads.
    for source, weight, output in ((x_input, w_a, x_a), (x_a, w_b, x_b), (x_a, w_c, x_c)):
        kernel.rmsnorm_layer(
            input=source,
            weight=weight,
            output=output,
            grid_dim=(rows, 1, 1),
            block_dim=threads(kernel),
        )


if __name__ == "__main__":
    main(build)
