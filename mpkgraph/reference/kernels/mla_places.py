"""Where the kernels of multi-head latent attention find rows and put parts of results.

They compute places in whole tensors from request, head group and split, whatever the tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mpkgraph.reference.call import Point, TaskCall, TaskExecutionError
from mpkgraph.reference.kernels.memory import reach
from mpkgraph.reference.kernels.requests import length_of

LATENT = 512
"""Width of the latent part of a key, which is also the value."""
ROPE = 64
"""Width of the part of a key that carries the position."""
KEY = LATENT + ROPE
BLOCK_ROWS = 128
"""Rows (query token, head) of a block of partial results, stored by column."""
BLOCK = LATENT * BLOCK_ROWS
KV_TILE = 128
MAX_DECODE_ROWS = 8
"""More new tokens than this are left to the prefill kernel."""


def whole(
    call: TaskCall, slot: int, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> torch.Tensor:
    """Elements from the start of the whole tensor of a slot (inputs first), not of the tile."""
    view = call.slots[slot]
    if view is None:
        raise TaskExecutionError(
            f"slot {slot} is None, and the kernel needs it",
            where=call.task_type,
            remedy="Give the layer a tensor there",
        )
    input_map = call.input_maps[slot] if call.input_maps else _layers_map(call, slot)
    tile = call.tile(slot)
    for axis, dim in enumerate(input_map):
        if dim >= 0 and call.grid_dim[axis] > 1:
            offset -= call.grid_position[axis] * tile[dim] * view.stride(dim)
    return reach(call, view, size, stride, offset)


def _layers_map(call: TaskCall, slot: int) -> Point:
    """How Mirage's layer splits the slot: rows along x, partial results for one token only."""
    if call.task_type not in {"TASK_MLA_DECODE_SM100", "TASK_MLA_REDUCE_SM100"}:
        return (-1, -1, -1)
    is_input = call.task_type == "TASK_MLA_DECODE_SM100" and slot < len(call.inputs)
    return (0, -1, -1) if is_input or call.param(5, 1) == 1 else (-1, -1, -1)


@dataclass(frozen=True, slots=True)
class Span:
    """Positions `start` to `stop` of a sequence: one split of it. Empty when `start >= stop`."""

    start: int
    stop: int


def split_of(length: int, num_splits: int, split: int) -> Span:
    """The split's whole tiles of 128 positions, cut at the end of the sequence."""
    tiles = -(-length // KV_TILE)
    each = -(-tiles // num_splits)
    return Span(split * each * KV_TILE, min((split + 1) * each * KV_TILE, length))


def num_queries(call: TaskCall, request: int, most: int) -> int:
    """New tokens of the request, at most what the layer was made for; 0 for an empty place."""
    rows = call.meta_tensor("qo_indptr_buffer")
    return max(0, min(int(rows[request + 1]) - int(rows[request]), most))


def first_row(call: TaskCall, request: int) -> int:
    """The request's first row of the batch."""
    rows = call.meta.get("qo_indptr_buffer")
    return request if rows is None else int(rows[request])


def contiguous_row(call: TaskCall, request: int) -> int:
    """The first row of a request in the contiguous buffer that a gather fills.

    Requests are as far apart as the longest is long, so that they never share rows. (Mirage takes
    each request's own length, which is the same where all are of one length.)
    """
    sizes = (
        length_of(call, other, call.settings.page_size)
        for other in range(call.settings.max_num_batched_requests)
    )
    return request * max((length for num_pages, length in sizes if num_pages > 0), default=0)
