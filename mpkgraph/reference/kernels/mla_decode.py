"""Multi-head latent attention of few new tokens: split over the sequence, then merged.

Keys are 576 wide: 512 latent columns, which are the values too, and 64 of position. A split's
result is a block of (512 columns, 128 rows) in bfloat16 and the logarithm of its sum of weights:
natural for all heads on one rank, base 2 for 2, 4 and 8 ranks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from mpkgraph.reference.call import TaskCall, TaskExecutionError
from mpkgraph.reference.kernels.mla_places import (
    BLOCK,
    BLOCK_ROWS,
    KEY,
    LATENT,
    MAX_DECODE_ROWS,
    contiguous_row,
    first_row,
    num_queries,
    split_of,
    whole,
)
from mpkgraph.reference.kernels.requests import length_of
from mpkgraph.reference.kernels.scores import attend, causal

MSCALE = 0.1 * math.log(40.0) + 1.0
SCALE = MSCALE * MSCALE / math.sqrt(192.0)
"""Of the scores: DeepSeek V3's, with a factor of 40 of its rotary embedding."""
NOTHING = -1e30
"""The logarithm of an empty split."""
ALL_HEADS = 128
RANKS = {"TP2": (64, 2), "TP4": (32, 4), "TP8": (16, 2)}
"""Heads of a rank, and the most query tokens of a group, by number of ranks."""


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of one block of partial results: `tokens` query tokens of some heads each."""

    request: int
    index: int
    """Blocks of a request follow each other: group by group, in each split by split."""
    split: int
    num_splits: int
    first_token: int
    tokens: int
    all_tokens: int
    """New tokens of the request."""
    heads: slice
    num_heads: int
    """Of the rank: a token's row is so many keys wide."""
    is_base_2: bool


def mla_decode(call: TaskCall) -> None:
    """Partial results of one layer with all heads or those of a rank; natural logarithms.

    Params: heads, (2 unused), splits, (1 unused), query tokens (1 if absent).
    """
    num_heads, num_splits, q_len = call.param(0), call.param(3), call.param(5, 1)
    group = heads_together(num_heads, q_len)
    for request, head_group in _requests_and_groups(call, q_len):
        for split in call.walk("kv_idx"):
            _all_heads(call, request, head_group, split, (num_heads, group, q_len, num_splits))


def mla_mtp_decode(call: TaskCall) -> None:
    """Partial results of 128 heads in groups. Params: groups, query tokens, (unused), splits."""
    groups, q_len, num_splits = call.param(0), call.param(1), call.param(3)
    for request in call.walk("merge_task_offset"):
        for head_group in call.walk("request_id"):
            for split in call.walk("kv_idx"):
                sizes = (ALL_HEADS, ALL_HEADS // groups, q_len, num_splits)
                _all_heads(call, request, head_group, split, sizes)


def mla_mtp_decode_ranks(call: TaskCall) -> None:
    """Partial results of the heads of one of 2, 4 or 8 ranks, in groups of query tokens.

    Params: groups, query tokens, (unused), splits; of 8 ranks also the tokens without padding.
    `kv_idx` counts splits within groups; of 4 ranks its lowest bit is the half of the columns.
    """
    ranks = call.task_type.split("_")[4]
    num_heads, most = RANKS[ranks]
    groups, num_splits = call.param(0), call.param(3)
    q_len = call.param(4) if ranks == "TP8" else call.param(1)
    each = most if ranks == "TP8" else min(most, call.param(1))
    for request in call.walk("request_id"):
        tokens = num_queries(call, request, q_len)
        for packed in call.walk("kv_idx"):
            both, half = (packed >> 1, packed & 1) if ranks == "TP4" else (packed, None)
            group, split = divmod(both, num_splits)
            first = group * each
            if tokens > MAX_DECODE_ROWS or first >= tokens:
                continue
            block = Block(
                request,
                (request * groups + group) * num_splits + split,
                split,
                num_splits,
                first,
                min(each, tokens - first),
                tokens,
                slice(0, num_heads),
                num_heads,
                is_base_2=True,
            )
            _decode(call, block, half)


def heads_together(num_heads: int, q_len: int) -> int:
    """Heads of one block of `mla_decode`: as many as fit, and divide all."""
    most = max(1, min(BLOCK_ROWS // q_len, num_heads))
    return next(n for n in range(most, 0, -1) if num_heads % n == 0)


def _requests_and_groups(call: TaskCall, q_len: int) -> Iterator[tuple[int, int]]:
    """With one query token `request_id` is the request, else the group of heads."""
    if q_len == 1:
        yield from ((request, 0) for request in call.walk("request_id"))
        return
    for request in call.walk("merge_task_offset"):
        yield from ((request, group) for group in call.walk("request_id"))


def _all_heads(
    call: TaskCall, request: int, group: int, split: int, sizes: tuple[int, int, int, int]
) -> None:
    num_heads, each, q_len, num_splits = sizes
    groups = num_heads // each
    tokens = 1 if q_len == 1 else num_queries(call, request, q_len)
    if not 0 < tokens <= MAX_DECODE_ROWS or group >= groups:
        return
    block = Block(
        request,
        (request * groups + group) * num_splits + split,
        split,
        num_splits,
        0,
        tokens,
        tokens,
        slice(group * each, (group + 1) * each),
        num_heads,
        is_base_2=False,
    )
    _decode(call, block, None)


def _decode(call: TaskCall, block: Block, half: int | None) -> None:
    """Write one block, or half of its columns. The sums go with the first half."""
    _, length = length_of(call, block.request, call.settings.page_size)
    span = split_of(length, block.num_splits, block.split)
    to_lse = whole(call, 3, (BLOCK_ROWS,), (1,), block.index * BLOCK_ROWS)
    if span.start >= span.stop:
        to_lse.fill_(NOTHING)
        return
    heads = block.heads.stop - block.heads.start
    rows = block.tokens * heads
    if rows > BLOCK_ROWS:
        raise TaskExecutionError(
            f"{block.tokens} query tokens of {heads} heads are {rows} rows, and a block has "
            f"{BLOCK_ROWS}",
            where=call.task_type,
            remedy="Use more groups of heads",
        )
    row = block.num_heads * KEY
    token = first_row(call, block.request) + block.first_token
    queries = whole(
        call,
        0,
        (block.tokens, heads, KEY),
        (row, KEY, 1),
        token * row + block.heads.start * KEY,
    )
    start = contiguous_row(call, block.request) + span.start
    keys = whole(call, 1, (span.stop - span.start, KEY), (KEY, 1), start * KEY)
    seen = causal(
        block.tokens,
        span.stop - span.start,
        length - block.all_tokens + block.first_token,
        span.start,
    ).repeat_interleave(heads, 0)
    sums, highest, total = attend(queries.flatten(0, 1), keys, keys[:, :LATENT], seen, SCALE)
    none = total == 0
    mean = torch.where(none, 0.0, sums / total).float()
    lse = torch.where(none, NOTHING, torch.log(total) + highest)
    if block.is_base_2:
        lse = torch.where(none, NOTHING, lse * math.log2(math.e))
    columns = slice(0, LATENT) if half is None else slice(half * 256, half * 256 + 256)
    stored = BLOCK_ROWS if not block.is_base_2 else rows
    to_mean = whole(call, 2, (LATENT, stored), (BLOCK_ROWS, 1), block.index * BLOCK)
    to_mean[columns, :rows] = mean.T[columns].to(to_mean.dtype)
    to_mean[columns, rows:] = 0
    if not half:
        to_lse[:rows] = lse.squeeze(-1).float()
        if not block.is_base_2:
            to_lse[rows:] = NOTHING
