"""A dense Qwen3 decoder: one iteration of a chosen size, batch and number of layers.

mpkgraph compile examples/qwen3.py:build --set size=8B --set layers=2 --set batch=8 -o out
python examples/qwen3.py --size 0.6B
"""

from __future__ import annotations

from typing import Any

import mirage as mi
from common import main, pick
from decoder_parts import (
    CHUNK_TOKENS,
    DenseDecoder,
    Model,
    Split,
    decoder_kernel,
    first_that_divides,
)

VOCAB, PADDED_VOCAB = 151936, 153600
SIZES = {
    name: Model(hidden, intermediate, layers, heads, 8, VOCAB, PADDED_VOCAB)
    for name, hidden, intermediate, layers, heads in (
        ("0.6B", 1024, 3072, 28, 16),
        ("1.7B", 2048, 6144, 28, 16),
        ("4B", 2560, 9728, 36, 32),
        ("8B", 4096, 12288, 36, 32),
        ("14B", 5120, 17408, 40, 40),
    )
}

WIDEST = 96 * 400
"""Outputs above this are split into tiles of 256: Mirage's kernels are wrong for wider ones."""


def linear_tasks(size: int) -> int:
    """Tasks of a linear layer: enough for most workers of a GPU."""
    return size // 256 if size > WIDEST else first_that_divides(size, 96, 64)


def linear_tasks_hopper(size: int) -> int:
    """As many tasks as an H100 has workers; those of the vocabulary have tiles of 256."""
    return size // 256 if size >= 100_000 else first_that_divides(size, 128, 96, 64)


def linear_tasks_small(size: int) -> int:
    """Tiles of 64, for the kernels that are not CUTLASS's."""
    return size // 64


SPLITS = {
    "default": Split(linear_tasks),
    "hopper": Split(linear_tasks_hopper, head_by_worker=False),
    "small": Split(linear_tasks_small),
}


class SplitCacheDecoder(DenseDecoder):
    """Attention over a long cache in chunks, which are then merged.

    A task a request and head leaves most workers idle while the batch is small. Split along the
    cache there are more tasks, and a second layer that weighs their results by the log-sum-exp.
    """

    def attend(self, layer: int) -> None:
        kernel, kv_heads, head_dim = self.kernel, self.kv_heads, self.model.head_dim
        chunks = max(1, kernel.max_seq_length // CHUNK_TOKENS)
        if layer == 0:
            # [tokens, chunks and query heads of a kv head, kv heads], kv heads outermost.
            by_kv_head, a_token = chunks * self.heads // kv_heads, chunks * self.heads
            self.lse, self.parts = (
                kernel.new_tensor(
                    dims=(self.batch, by_kv_head * width, kv_heads),
                    strides=(a_token, 1, by_kv_head * width),
                    dtype=dtype,
                    name=name,
                )
                for name, width, dtype in (
                    ("lse", 1, mi.float32),
                    ("attn_out_tmp", head_dim, mi.bfloat16),
                )
            )
        requests = kernel.max_num_batched_requests
        kernel.paged_attention_split_kv_layer(
            **self.attention_inputs(layer),
            lse=self.lse,
            output=self.parts,
            attention_params=(self.heads, chunks),
            grid_dim=(requests, kv_heads, chunks),
            block_dim=self.block,
        )
        kernel.paged_attention_split_kv_merge_layer(
            lse=self.lse,
            output_tmp=self.parts,
            output=self.attn_out,
            attention_params=(self.heads, head_dim),
            grid_dim=(requests, kv_heads, 1),
            block_dim=self.block,
        )


def build(
    *,
    size: str = "0.6B",
    layers: int | None = None,
    batch: int = 1,
    requests: int | None = None,
    split: str = "default",
    split_kv: bool = False,
    output_dir: str | None = None,
) -> Any:
    """Make a kernel for `batch` tokens of `requests` requests and describe the decoder to it.

    `split` is how layers become tasks: `default`, `hopper`, or `small` (no CUTLASS kernels).
    """
    kernel = decoder_kernel(batch, requests, use_cutlass_kernel=split != "small")
    decoder = SplitCacheDecoder if split_kv else DenseDecoder
    decoder(kernel, pick(SIZES, size), pick(SPLITS, split)).all_layers(layers)
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
