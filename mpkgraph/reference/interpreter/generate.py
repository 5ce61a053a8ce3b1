"""Values for tensors that nobody gave: by a seed, of a sensible size, the same every time."""

from __future__ import annotations

import math
import zlib
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from mpkgraph.reference.interpreter.buffer import Buffer
from mpkgraph.reference.interpreter.element_types import torch_type
from mpkgraph.reference.interpreter.memory import TensorShape
from mpkgraph.reference.interpreter.repeated import Blocks, repeat
from mpkgraph.reference.interpreter.roles import TensorRole

BLOCK_ELEMS = 524_287
"""Random numbers that are drawn for a large tensor, and then repeated: a prime, so that rows of
one matrix are not alike."""
NUM_LEVELS = 1 << 16
USED_SLOTS = 256
"""Of a cache's page so many tokens are filled: more than any request of a made-up batch has."""
THETA = 10_000.0
"""Base of the rotary embedding's frequencies."""
NO_EXPERT = -1
"""In the list of experts, behind those that rows chose."""
BIAS = 127
"""Of the exponents that UE8M0 scales hold."""


def large(
    blocks: Blocks, shape: TensorShape, num_bytes: int, role: TensorRole, seed: int, rank: int
) -> Buffer | None:
    """A large tensor that nobody writes, of memory that repeats; None for one that can't be."""
    dtype = torch_type(shape.type_name)
    numbers = _numbers(role, dtype)
    if numbers is None:
        return None
    key = f"{seed} {numbers} {dtype}"

    def make(size: int) -> Any:
        block = np.empty(size, dtype=np.uint8)
        repeat(block, _draw(key, numbers, BLOCK_ELEMS, dtype))
        return block

    owner = _key(shape, role, seed, rank)
    turn = blocks.free_turn(key, _hash(owner), owner)
    return blocks.buffer(shape.name, shape.type_name, num_bytes, key, make, turn)


def block_of(shape: TensorShape, role: TensorRole) -> Hashable | None:
    """What tensors that could share a block have in common; None for those that can't."""
    dtype = torch_type(shape.type_name)
    numbers = _numbers(role, dtype)
    return None if numbers is None or not dtype.is_floating_point else (numbers, dtype)


def fill(
    buffer: Buffer,
    shape: TensorShape,
    role: TensorRole,
    seed: int,
    rank: int,
    pages: list[int] | None = None,
) -> None:
    """Fill a tensor. Of a cache only the `pages` (rows of its first dim) are; the rest is zero."""
    key = _key(shape, role, seed, rank)
    elements = buffer.elements
    numbers = _numbers(role, elements.dtype)
    if role.role == "tokens":
        limit = max(role.limit, 1)
        elements.copy_(torch.randint(0, limit, elements.shape, generator=_generator(key)))
    elif role.role in {"routing", "experts"}:
        _routing(elements, shape, role, seed)
    elif role.role in {"cosine", "sine"}:
        _rotary(buffer, shape, role.role)
    elif role.role == "cache" and numbers is not None:
        if shape.dims and shape.is_dense and pages is not None and len(shape.dims) > 2:
            rows = elements.view(shape.dims[0], -1)
            for page in pages:
                if 0 <= page < shape.dims[0]:
                    slots = rows[page].view(shape.dims[1], -1)[:USED_SLOTS]
                    _repeat(slots.view(-1), numbers, f"{key} {page}")
        else:
            _repeat(elements, numbers, key)
    elif role.role == "scale" and numbers is None:
        data = elements.view(torch.uint8)
        exponents = torch.randint(BIAS - 6, BIAS - 3, data.shape, generator=_generator(key))
        data.copy_(exponents.to(torch.uint8))
    elif not elements.dtype.is_floating_point:
        elements.zero_()
    elif numbers is not None:
        _repeat(elements, numbers, key)


@dataclass(frozen=True)
class _Normal:
    """Numbers around a mean."""

    mean: float
    deviation: float

    def levels(self, dtype: Any) -> Any:
        """NUM_LEVELS of them, each as likely as the next: the normal distribution's quantiles."""
        ranks = (torch.arange(NUM_LEVELS, dtype=torch.float64) + 0.5) / NUM_LEVELS
        levels = torch.special.ndtri(ranks)
        if dtype.itemsize == 1 and self.mean:
            levels = levels.clamp(-4.0, 4.0)
        return (levels * self.deviation + self.mean).to(dtype)


@dataclass(frozen=True)
class _Scales:
    """Around 1/16, never negative: what numbers of 8 bits are multiplied by."""

    def levels(self, dtype: Any) -> Any:
        """NUM_LEVELS of them, each as likely as the next."""
        ranks = (torch.arange(NUM_LEVELS, dtype=torch.float64) + 0.5) / NUM_LEVELS
        return (ranks / 16 + 1 / 32).to(dtype)


@cache
def _levels(numbers: _Normal | _Scales, dtype: Any) -> Any:
    """As a numpy array of the elements' bits."""
    return numbers.levels(dtype).view(_BITS[dtype.itemsize]).numpy()


def _draw(key: str, numbers: _Normal | _Scales, count: int, dtype: Any) -> Any:
    """Bytes of so many numbers: 16 random bits choose each, which is as fine as bfloat16 is."""
    words = np.random.SFC64(_hash(key)).random_raw(-(-count // 4))
    places = words.view(np.uint16)[:count]
    return np.take(_levels(numbers, dtype), places, mode="clip").view(np.uint8)


_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _numbers(role: TensorRole, dtype: Any) -> _Normal | _Scales | None:
    """What elements of a role are drawn from; None for those that are not drawn one by one."""
    if role.role == "scale":
        is_wide = dtype.is_floating_point and dtype.itemsize > 1
        return _Scales() if is_wide else None
    if role.role in {"sum", "tokens", "cosine", "sine", "routing", "experts"}:
        return None  # sums begin as zeros
    mean, deviation = 0.0, 1.0
    if role.role == "norm":
        mean, deviation = 1.0, 0.1
    elif role.role == "weight":
        deviation = 1.0 / math.sqrt(max(role.reduction, 1))
    # Eight bits have a scale beside them: use what they can hold
    return _Normal(mean, max(deviation, 0.25) if dtype.itemsize == 1 else deviation)


def _key(shape: TensorShape, role: TensorRole, seed: int, rank: int) -> str:
    return f"{seed} {rank if role.is_per_rank else 0} {shape.name}"


def _hash(key: str) -> int:
    """32 bits are what the generator takes: all that matters is mixed into them."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))


def _generator(key: str) -> Any:
    generator = torch.Generator()
    generator.manual_seed(_hash(key))
    return generator


def _repeat(elements: Any, numbers: _Normal | _Scales, key: str) -> None:
    block = _draw(key, numbers, min(len(elements), BLOCK_ELEMS), elements.dtype)
    repeat(elements.view(torch.uint8).numpy(), block)


def _routing(elements: Any, shape: TensorShape, role: TensorRole, seed: int) -> None:
    """Experts that rows chose, each row others than twice the same: (experts, rows), or the list.

    The two are drawn alike, so that they fit each other.
    """
    is_list = role.role == "experts"
    experts = shape.dims[0] - is_list
    choices = min(role.limit, experts)
    generator = _generator(f"{seed} routing {experts} {role.rows} {choices}")
    order = torch.rand(role.rows, experts, generator=generator).argsort(dim=1, stable=True)
    chosen = order[:, :choices]
    elements.fill_(NO_EXPERT if is_list else 0)
    if is_list:
        active = torch.unique(chosen)
        elements[: len(active)] = active.to(elements.dtype)
        elements[-1] = len(active)
        return
    places = torch.arange(1, choices + 1, dtype=elements.dtype).expand(role.rows, choices)
    elements.view(shape.dims)[chosen, torch.arange(role.rows).unsqueeze(1)] = places


def _rotary(buffer: Buffer, shape: TensorShape, name: str) -> None:
    """Cosines or sines by position and frequency, each half of a row the same."""
    positions, width = shape.dims
    frequency = THETA ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * frequency[None, :]
    values = angles.cos() if name == "cosine" else angles.sin()
    buffer.view(shape.dims, shape.strides, 0).copy_(torch.cat([values, values], dim=1))
