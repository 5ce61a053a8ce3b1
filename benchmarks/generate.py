"""Synthetic task graphs of any size with the statistics of real ones.

`python -m benchmarks.generate OUT.json --size-mb 100` writes the graph of a mixture-of-experts
decoder on one of several ranks: real tiles of real layers, with events that fit, so that every
command works on it. The size is that of Mirage's layout; in another layout the same graph is
smaller or larger.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from benchmarks.decoder import MAX_LAYERS, DecoderSpec, scaled_spec
from benchmarks.decoder_layers import build_chain
from benchmarks.text import MIRAGE, Layout, write_chain

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LAYERS_PER_MB = 1.5
"""Layers of a generated model while it has fewer than `MAX_LAYERS`: as in the Qwen3 models."""
MB = 1_000_000
WRITE_BUFFER_BYTES = 1 << 22


def generate(stream: BinaryIO, spec: DecoderSpec, layout: Layout = MIRAGE) -> int:
    """Write the task graph of a decoder; the number of bytes.

    >>> stream = io.BytesIO()
    >>> generate(stream, scaled_spec(units=1, num_layers=1)) == len(stream.getvalue())
    True
    """
    return write_chain(build_chain(spec), stream, layout)


def spec_for_size(
    size_mb: float, *, num_layers: int | None = None, num_ranks: int = 2, rank: int | None = None
) -> DecoderSpec:
    """The decoder whose graph comes nearest to `size_mb` million bytes.

    `rank` is the last one unless told: its event ids are the longest.
    """
    wanted = size_mb * MB
    if rank is None:
        rank = num_ranks - 1

    def spec(units: int, layers: int) -> DecoderSpec:
        return scaled_spec(units, layers, num_ranks=num_ranks, rank=rank)

    def layer_bytes(units: int) -> tuple[int, int]:
        """Bytes of the graph with one layer, and of each further one."""
        one, two = (generate(_Count(), spec(units, layers)) for layers in (1, 2))
        return one, two - one

    def total(units: int, layers: int) -> int:
        one, more = layer_bytes(units)
        return one + (layers - 1) * more

    layers = num_layers or max(1, min(MAX_LAYERS, round(LAYERS_PER_MB * size_mb)))
    low, high = 1, 2
    while total(high, layers) <= wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if total(middle, layers) <= wanted else (low, middle)
    if num_layers is None:
        one, more = layer_bytes(low)
        layers = max(1, 1 + round((wanted - one) / more))
    return spec(low, layers)


class _Count(io.BytesIO):
    """A stream that forgets what is written."""

    def write(self, data: ReadableBuffer) -> int:
        return len(memoryview(data))


def layout_from_options(options: argparse.Namespace) -> Layout:
    return Layout(
        indent=None if options.compact else options.indent,
        newline="\r\n" if options.crlf else "\n",
        key_order=(
            "random" if options.random_keys else "shuffled" if options.shuffle_keys else "sorted"
        ),
        seed=options.seed,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", help="file to write, - for standard output")
    parser.add_argument("--size-mb", type=float, default=100, help="million bytes (default 100)")
    parser.add_argument("--layers", type=int, help="model layers (default: grows with the size)")
    parser.add_argument("--ranks", type=int, default=2, help="GPUs of the model (default 2)")
    parser.add_argument("--rank", type=int, help="whose graph (default: the last)")
    parser.add_argument("--seed", type=int, default=0, help="of the key orders")
    parser.add_argument("--indent", type=int, default=2)
    parser.add_argument("--compact", action="store_true", help="no white space at all")
    parser.add_argument("--crlf", action="store_true", help="Windows line ends")
    parser.add_argument("--shuffle-keys", action="store_true", help="one order for the whole file")
    parser.add_argument("--random-keys", action="store_true", help="another order in every record")
    options = parser.parse_args(arguments)
    spec = spec_for_size(
        options.size_mb, num_layers=options.layers, num_ranks=options.ranks, rank=options.rank
    )
    layout = layout_from_options(options)
    if options.out == "-":
        generate(sys.stdout.buffer, spec, layout)
        return
    with Path(options.out).open("wb", buffering=WRITE_BUFFER_BYTES) as stream:
        num_bytes = generate(stream, spec, layout)
    chain = build_chain(spec)
    print(
        f"{num_bytes / MB:.1f} MB, {chain.num_tasks} tasks, {chain.events.num_events} events, "
        f"{len(chain.layers)} operators, {spec.num_layers} layers",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
