"""A small pipeline on several ranks, for the seeds: `fuzz/two_ranks.py:build`."""

from __future__ import annotations

from typing import Any

from mpkgraph.pipeline.tensors import TensorSpec

ROWS, COLUMNS, TILES = 2, 256, 4


def build(kernel: Any) -> None:
    """A normalised input's parts, added up over the ranks."""
    block = (256, 1, 1)
    x, partial, out = (
        kernel.attach_input(TensorSpec((ROWS, COLUMNS), "bfloat16"), name=name)
        for name in ("x", "partial", "out")
    )
    weight = kernel.attach_input(TensorSpec((COLUMNS,), "bfloat16"), name="weight")
    buffer = kernel.new_tensor(
        dims=(kernel.world_size, ROWS, COLUMNS), name="buffer", io_category="nvshmem_tensor"
    )
    kernel.rmsnorm_layer(
        input=x, weight=weight, output=partial, grid_dim=(ROWS, 1, 1), block_dim=block
    )
    kernel.allreduce_layer(partial, buffer, out, (TILES, 1, 1), block)
