"""Sampling with Gumbel noise from Philox 4x32-10 (`tasks/common/sampling.cuh`)."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.memory import as_type, flat
from mpkgraph.reference.tiles import one_by_one

VECTOR = 4
"""Columns that one state of the generator gives noise to."""
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
WORD = 0xFFFFFFFF
EPSILON = 1e-20
LOG_2 = 0.6931471806


@one_by_one
def sampling(call: TaskCall) -> None:
    """`out[b] = argmax_v bf16(logits[b, v] + gumbel[b, v])`; of equal ones the last.

    Logits (rows, columns), out int32 (rows,). The noise depends on param 0 (the seed) and on the
    place in the tile: rows of each task, and every iteration, have the same.
    """
    logits = call.input(0)
    rows, columns = logits.shape
    noise = gumbel(call.param(0), rows, columns).to(logits.dtype)
    noisy = logits + noise
    last = columns - 1 - noisy.flip(1).argmax(1)
    flat(call, as_type(call.output(0), torch.int32))[:rows] = last.int()


def gumbel(seed: int, rows: int, columns: int) -> torch.Tensor:
    """(rows, columns) of noise in float32; every fourth column begins a state of the generator."""
    starts = torch.arange(0, columns, VECTOR)
    sequence = torch.arange(rows).unsqueeze(1) * columns + starts
    zero = torch.zeros_like(sequence)
    counter = (zero, zero, sequence & WORD, sequence >> 32)
    words = torch.stack(philox(counter, (seed & WORD, seed >> 32 & WORD)), -1)
    uniform = words.flatten(1)[:, :columns].float() * 2.0**-32 + 2.0**-33
    inner = -torch.log2((uniform + EPSILON).double()).float() + EPSILON
    return -LOG_2 * torch.log2(inner.double()).float()


def philox(
    counter: tuple[torch.Tensor, ...], key: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Four words of 32 bits (in int64) for each counter of four words.

    >>> zero = torch.zeros(1, dtype=torch.int64)
    >>> [hex(int(word)) for word in philox((zero,) * 4, (0, 0))]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = counter
    low, high = key
    for _ in range(ROUNDS):
        first_high, first_low = _multiplied(a, MULTIPLIERS[0])
        second_high, second_low = _multiplied(c, MULTIPLIERS[1])
        a, b, c, d = second_high ^ b ^ low, second_low, first_high ^ d ^ high, first_low
        low, high = low + WEYL[0] & WORD, high + WEYL[1] & WORD
    return a, b, c, d


def _multiplied(word: torch.Tensor, factor: int) -> tuple[torch.Tensor, torch.Tensor]:
    """High and low 32 bits of a product, by halves: int64 has no room for all of it unsigned."""
    low = (word & 0xFFFF) * factor
    high = (word >> 16) * factor + (low >> 16)
    return high >> 16, (high & 0xFFFF) << 16 | low & 0xFFFF
