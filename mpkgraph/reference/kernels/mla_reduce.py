"""The merge of the partial results of `mla_decode`: two columns of each head a task."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.mla_decode import ALL_HEADS, RANKS, heads_together
from mpkgraph.reference.kernels.mla_places import (
    BLOCK,
    BLOCK_ROWS,
    LATENT,
    MAX_DECODE_ROWS,
    first_row,
    num_queries,
    whole,
)

COLUMNS = 2
"""Columns that a task makes."""


def mla_reduce(call: TaskCall) -> None:
    """Params: heads, (unused), splits, first column, (unused), query tokens (1 if absent)."""
    num_heads, num_splits, first, q_len = (
        call.param(0),
        call.param(2),
        call.param(3),
        call.param(5, 1),
    )
    each = heads_together(num_heads, q_len)
    columns = slice(first, first + COLUMNS)
    if q_len == 1:
        for request in call.walk("request_id"):
            _merge_heads(call, request, 0, (num_heads, each, 1, num_splits), columns)
        return
    for request in call.walk("merge_task_offset"):
        tokens = num_queries(call, request, q_len)
        for group in call.walk("request_id"):
            _merge_heads(call, request, group, (num_heads, each, tokens, num_splits), columns)


def mla_mtp_reduce(call: TaskCall) -> None:
    """Params: groups, query tokens, splits, columns from one task to the next."""
    groups, q_len, num_splits, apart = (call.param(i) for i in range(4))
    for request in call.walk("merge_task_offset"):
        tokens = num_queries(call, request, q_len)
        for group in call.walk("request_id"):
            sizes = (ALL_HEADS, ALL_HEADS // groups, tokens, num_splits)
            for columns in _columns(call, apart):
                _merge_heads(call, request, group, sizes, columns)


def mla_mtp_reduce_ranks(call: TaskCall) -> None:
    """Params: groups, query tokens, splits, (unused)."""
    num_heads, most = RANKS[call.task_type.split("_")[4]]
    groups, q_len, num_splits = (call.param(i) for i in range(3))
    each = most if num_heads == RANKS["TP8"][0] else min(most, q_len)
    for request in call.walk("merge_task_offset"):
        tokens = num_queries(call, request, q_len)
        if tokens > MAX_DECODE_ROWS:
            continue
        for group in call.walk("request_id"):
            rows = min(each, tokens - group * each)
            if rows <= 0:
                continue
            for columns in _columns(call, COLUMNS):
                merged = _merged(call, (request * groups + group) * num_splits, num_splits, columns)
                row = first_row(call, request) + group * each
                out = _outputs(call, row, rows, num_heads, columns)
                out.copy_(merged[:, : rows * num_heads].T.reshape(out.shape).to(out.dtype))


def _columns(call: TaskCall, apart: int) -> list[slice]:
    """The columns that joined tasks make, as few slices as they allow."""
    tasks = call.walk("kv_idx")
    if apart == COLUMNS:
        return [slice(tasks.start * COLUMNS, min(tasks.stop * COLUMNS, LATENT))]
    starts = (task * apart for task in tasks)
    return [slice(x, min(x + COLUMNS, LATENT)) for x in starts if x < LATENT]


def _merge_heads(
    call: TaskCall, request: int, group: int, sizes: tuple[int, int, int, int], columns: slice
) -> None:
    num_heads, each, tokens, num_splits = sizes
    if not 0 < tokens <= MAX_DECODE_ROWS:
        return
    block = (request * (num_heads // each) + group) * num_splits
    merged = _merged(call, block, num_splits, columns)
    out = _outputs(call, first_row(call, request), tokens, num_heads, columns)
    heads = out[:, group * each : (group + 1) * each]
    heads.copy_(merged[:, : tokens * each].T.reshape(heads.shape).to(heads.dtype))


def _merged(call: TaskCall, block: int, num_splits: int, columns: slice) -> torch.Tensor:
    """(columns, 128 rows) in float32. A split that weighs nothing adds nothing, whatever lies
    in its block.
    """
    width = columns.stop - columns.start
    means = whole(
        call,
        0,
        (num_splits, width, BLOCK_ROWS),
        (BLOCK, BLOCK_ROWS, 1),
        block * BLOCK + columns.start * BLOCK_ROWS,
    ).double()
    lse = whole(call, 1, (num_splits, BLOCK_ROWS), (BLOCK_ROWS, 1), block * BLOCK_ROWS).double()
    if "_TP" in call.task_type:
        weights = torch.exp2(lse - lse.amax(0))
    else:
        weights = torch.exp(lse - lse.amax(0))
    weights = weights.unsqueeze(1)
    parts = torch.where(weights == 0, 0.0, means * weights)
    return (parts.sum(0) / weights.sum(0)).float()


def _outputs(call: TaskCall, row: int, tokens: int, num_heads: int, columns: slice) -> torch.Tensor:
    """Columns of rows of the output: (tokens, heads, columns)."""
    width = num_heads * LATENT
    return whole(
        call,
        2,
        (tokens, num_heads, columns.stop - columns.start),
        (width, LATENT, 1),
        row * width + columns.start,
    )
