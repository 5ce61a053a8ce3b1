"""Values for tensors that nobody gave: by a seed, of a sensible size, the same every time."""

from __future__ import annotations

import math
import zlib
from typing import Any

import torch

from mpkgraph.reference.interpreter.buffer import Buffer
from mpkgraph.reference.interpreter.memory import TensorShape
from mpkgraph.reference.interpreter.roles import TensorRole

BLOCK_ELEMS = 524_287
"""Random numbers that are drawn for a large tensor, and then repeated: a prime, so that rows of
one matrix are not alike."""
USED_SLOTS = 256
"""Of a cache's page so many tokens are filled: more than any request of a made-up batch has."""
THETA = 10_000.0
"""Base of the rotary embedding's frequencies."""
BIAS = 127
"""Of the exponents that UE8M0 scales hold."""


def fill(
    buffer: Buffer,
    shape: TensorShape,
    role: TensorRole,
    seed: int,
    rank: int,
    pages: list[int] | None = None,
) -> None:
    """Fill a tensor. Of a cache only the `pages` (rows of its first dim) are; the rest is zero."""
    generator = torch.Generator()
    # torch's generator takes 32 bits: all that matters is mixed into them
    key = f"{seed} {rank if role.is_per_rank else 0} {shape.name}"
    generator.manual_seed(zlib.crc32(key.encode("utf-8", "surrogatepass")))
    elements = buffer.elements
    if role.role == "tokens":
        limit = max(role.limit, 1)
        elements.copy_(torch.randint(0, limit, elements.shape, generator=generator))
    elif role.role in {"cosine", "sine"}:
        _rotary(buffer, shape, role.role)
    elif role.role == "cache":
        if shape.dims and shape.is_dense and pages is not None and len(shape.dims) > 2:
            rows = elements.view(shape.dims[0], -1)
            for page in pages:
                if 0 <= page < shape.dims[0]:
                    slots = rows[page].view(shape.dims[1], -1)[:USED_SLOTS]
                    _normal(slots.view(-1), 0.0, 1.0, generator)
        else:
            _normal(elements, 0.0, 1.0, generator)
    elif role.role == "scale":
        _scales(elements, generator)
    elif not elements.dtype.is_floating_point:
        elements.zero_()
    elif role.role == "norm":
        _normal(elements, 1.0, 0.1, generator)
    elif role.role == "weight":
        _normal(elements, 0.0, 1.0 / math.sqrt(max(role.reduction, 1)), generator)
    elif role.role == "sum":
        pass  # made of zeros
    else:
        _normal(elements, 0.0, 1.0, generator)


def _normal(elements: Any, mean: float, scale: float, generator: Any) -> None:
    count = min(len(elements), BLOCK_ELEMS)
    block = torch.randn(count, generator=generator)
    if elements.element_size() == 1:
        # Eight bits have a scale beside them: use what they can hold
        block = block.clamp(-4.0, 4.0) if mean else block
        scale = max(scale, 0.25)
    block = (block * scale + mean).to(elements.dtype).view(torch.uint8).numpy()
    # numpy copies without threads, which would cost more than they give
    data = elements.view(torch.uint8).numpy()
    for start in range(0, len(data), len(block)):
        part = data[start : start + len(block)]
        part[:] = block[: len(part)]


def _scales(elements: Any, generator: Any) -> None:
    """Around 1/16, of either sign never: floats, or exponents packed in bytes."""
    if elements.dtype.is_floating_point and elements.element_size() > 1:
        elements.copy_(torch.rand(elements.shape, generator=generator) / 16 + 1 / 32)
        return
    data = elements.view(torch.uint8)
    exponents = torch.randint(BIAS - 6, BIAS - 3, data.shape, generator=generator)
    data.copy_(exponents.to(torch.uint8))


def _rotary(buffer: Buffer, shape: TensorShape, name: str) -> None:
    """Cosines or sines by position and frequency, each half of a row the same."""
    positions, width = shape.dims
    frequency = THETA ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequency[None, :]
    values = angles.cos() if name == "cosine" else angles.sin()
    buffer.view(shape.dims, shape.strides, 0).copy_(torch.cat([values, values], dim=1))
