"""One layer from start to end: RMS normalisation of 16 rows, a task a row.

mpkgraph compile examples/rmsnorm.py -o out     # plan it, on any machine
python examples/rmsnorm.py                      # run it, with Mirage and a GPU
"""

from __future__ import annotations

from typing import Any

from common import is_planning, launch, new_kernel, tensor, threads

EPSILON = 1e-6
"""What Mirage's kernel adds to the mean of squares."""


def build(kernel: Any, *, rows: int = 16, hidden: int = 4096) -> Any:
    """Attach the tensors and describe the layer; returns the torch tensors by name."""
    tensors = {"x": tensor(rows, hidden), "w": tensor(hidden), "out": tensor(rows, hidden)}
    # A tensor's name is how tasks refer to it: in the task graph, and in the generated code.
    x, w, out = (kernel.attach_input(data, name=name) for name, data in tensors.items())
    # The grid says how the layer becomes tasks: here `rows` of them. Axis 0 of the grid splits
    # the rows of x and of out, so that task i reads and writes row i; each reads all of w.
    kernel.rmsnorm_layer(
        input=x, weight=w, output=out, grid_dim=(rows, 1, 1), block_dim=threads(kernel)
    )
    return tensors


def main() -> None:
    """What `common.main` does for the other examples, and a comparison with torch."""
    kernel = new_kernel()
    tensors = build(kernel)
    kernel.compile()
    if is_planning():
        return  # the tensors are shapes, there is nothing to run or to compare
    import torch

    launch(kernel)
    x = tensors["x"].float()
    scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)
    difference = (tensors["out"].float() - x * scale * tensors["w"].float()).abs().max().item()
    print(f"largest difference from torch: {difference:.3g}")
    kernel.finalize()


if __name__ == "__main__":
    main()
