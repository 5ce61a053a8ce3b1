"""A dense Qwen3 decoder over several GPUs, each with its share of heads and MLP columns.

    mpkgraph compile examples/tensor_parallel.py:build --set layers=2 --world-size 2 --all-ranks
    mpirun -n 2 python examples/tensor_parallel.py

Every rank has all tokens and makes a partial sum of the hidden state, twice a layer: after the
projection of attention and after the MLP. `allreduce_layer` adds them up. Where GPUs have NVLink
multicast a task reduces its tile in the switch; elsewhere (`--no-multicast`) tasks put tiles into
everyone's buffer, and others add up what has arrived. So each rank has a graph of its own.
"""

from __future__ import annotations

from typing import Any

from common import main, pick, rank_and_size
from decoder_parts import DenseDecoder, Model, Split, decoder_kernel
from qwen3 import SIZES, SPLITS

REDUCE_TILE = 64
"""Columns that one task of an all-reduce adds up."""
SYMMETRIC = "nvshmem_tensor"
"""Memory that other GPUs reach, which all ranks allocate alike."""


class ShardedDecoder(DenseDecoder):
    """One rank's part of a decoder."""

    sum_memory = SYMMETRIC

    def __init__(self, kernel: Any, model: Model, split: Split) -> None:
        self.ranks = kernel.world_size
        super().__init__(kernel, model, split)
        # A page a rank, for the all-reduce without multicast.
        self.reduce_buffer = kernel.new_tensor(
            dims=(self.ranks, self.batch, model.hidden),
            name="all_reduce_buf",
            io_category=SYMMETRIC,
        )
        self.totals = {
            name: self.buffer(name, model.hidden, memory=SYMMETRIC)
            for name in ("attn_allreduce_out", "mlp_final")
        }

    def share(self, size: int) -> int:
        if size % self.ranks:
            raise ValueError(f"{size} heads or columns can't be shared by {self.ranks} GPUs")
        return size // self.ranks

    def total(self, partial: Any, name: str) -> Any:
        self.kernel.allreduce_layer(
            input=partial,
            buffer=self.reduce_buffer,
            output=self.totals[name],
            grid_dim=(self.model.hidden // REDUCE_TILE, 1, 1),
            block_dim=self.block,
        )
        return self.totals[name]


def build(
    *,
    size: str = "8B",
    layers: int | None = None,
    batch: int = 8,
    requests: int | None = 1,
    output_dir: str | None = None,
) -> Any:
    """Make this rank's kernel; on a single GPU nothing is shared."""
    rank, world_size = rank_and_size()
    kernel = decoder_kernel(
        batch, requests, rank=rank, world_size=world_size, use_cutlass_kernel=True
    )
    decoder = ShardedDecoder if world_size > 1 else DenseDecoder
    decoder(kernel, pick(SIZES, size), SPLITS["default"]).all_layers(layers)
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
