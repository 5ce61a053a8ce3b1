"""A Llama 3 decoder (3.1 8B, 3.2 1B and 3B): as Qwen3, but no norms by head, and other tasks."""

from __future__ import annotations

from typing import Any

from common import main, pick
from decoder_parts import DenseDecoder, Model, Split, decoder_kernel

VOCAB, VOCAB_STEP = 128256, 2048
PADDED_VOCAB = -(-VOCAB // VOCAB_STEP) * VOCAB_STEP

SIZES = {
    "1B": Model(2048, 8192, 16, 32, 8, VOCAB, PADDED_VOCAB, head_dim=64, qk_norm=False),
    "3B": Model(3072, 8192, 28, 24, 8, VOCAB, PADDED_VOCAB, qk_norm=False),
    "8B": Model(4096, 14336, 32, 32, 8, VOCAB, PADDED_VOCAB, qk_norm=False),
}

WIDEST = 96 * 400
"""Outputs above this, those of the vocabulary, are split into tiles of 256."""


def linear_tasks(size: int) -> int:
    """The most tasks, of some, whose tiles the kernels are good at: 64, or 128 and more."""
    if size > WIDEST:
        return size // 256
    for tasks in (96, 80, 64, 48):
        tile, rest = divmod(size, tasks)
        if rest == 0 and (tile == 64 or tile >= 128):
            return tasks
    raise ValueError(f"no number of tasks suits {size} outputs")


def build(
    *,
    size: str = "1B",
    layers: int | None = None,
    batch: int = 1,
    requests: int | None = None,
    output_dir: str | None = None,
) -> Any:
    """Make a kernel for `batch` tokens of `requests` requests and describe the decoder to it."""
    kernel = decoder_kernel(batch, requests, use_cutlass_kernel=True)
    split = Split(linear_tasks, head_by_worker=False)
    DenseDecoder(kernel, pick(SIZES, size), split).all_layers(layers)
    kernel.compile(output_dir=output_dir)
    return kernel


if __name__ == "__main__":
    main(build)
