"""Greedy sampling in two steps (`tasks/ampere/argmax.cuh`, `tasks/blackwell/argmax_sm100.cuh`).

Of equal values the kernels take the one that their reduction over threads meets first, not the
first of the row; so does this.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from mpkgraph.reference.call import TaskCall

LOWEST = -5e4
"""The kernels start from this, their minus infinity: a row with nothing above it has no argmax."""
NONE = -1
WARP = 32
THREADS = 128
WIDE_THREADS = 256
FIRST_WIDE_CC = 90
"""Workers have 256 threads from Hopper on; only the kernel made for Ampere uses all it finds."""


def argmax_partial(call: TaskCall) -> None:
    """The largest value of each chunk and its position in the chunk, in the rows in use.

    Input (rows, chunks * C); outputs values (rows, chunks) and int64 positions (rows, chunks).
    """
    values, positions = call.output(0), call.output(1)
    rows = call.num_active_rows
    chunks = call.num_tiles(0, 1)
    scores = call.input(0)[:rows].unflatten(1, (chunks, -1))
    best, where = _first_largest(scores, THREADS)
    values[:rows, :chunks] = best
    positions[:rows, :chunks] = where


def argmax_reduce(call: TaskCall) -> None:
    """The argmax of each row in use, from the results of its chunks; -1 where there is none.

    Inputs values (rows, chunks), positions (rows, chunks); param 0 is the chunks' size.
    """
    values, positions, out = call.input(0), call.input(1), call.output(0)
    rows = call.num_active_rows
    is_wide = call.task_type == "TASK_ARGMAX_REDUCE" and call.settings.target_cc >= FIRST_WIDE_CC
    _, chunk = _first_largest(values[:rows], WIDE_THREADS if is_wide else THREADS)
    inside = positions[:rows].gather(1, chunk.clamp(min=0).unsqueeze(1)).squeeze(1)
    token = chunk * call.param(0) + inside
    out.reshape(-1)[:rows] = torch.where(chunk < 0, torch.full_like(token, NONE), token)


def _first_largest(scores: torch.Tensor, threads: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Value and index of the largest along the last dim, (LOWEST, -1) for none above LOWEST."""
    order = _order(scores.shape[-1], threads)
    lowest = torch.tensor(LOWEST, dtype=scores.dtype)
    usable = torch.where(scores > lowest, scores, lowest)
    best, place = usable[..., order].max(dim=-1)
    return best, torch.where(best > lowest, order[place], NONE)


@lru_cache(maxsize=16)
def _order(count: int, threads: int) -> torch.Tensor:
    """Indices in the order in which equal values win.

    A thread keeps the first of its own (every `threads`-th). Then warps, and at last the first
    lanes of warps, reduce by halves, the lower lane winning: bits of the lane count backwards.
    """
    index = torch.arange(count)
    thread = index % threads
    warp, lane = thread // WARP, thread % WARP
    rank = _reversed_bits(warp) * WARP + _reversed_bits(lane)
    return torch.argsort(rank * (count // threads + 1) + index // threads)


def _reversed_bits(values: torch.Tensor) -> torch.Tensor:
    """Of 5-bit numbers."""
    reversed_bits = torch.zeros_like(values)
    for bit in range(5):
        reversed_bits |= ((values >> bit) & 1) << (4 - bit)
    return reversed_bits
