"""Attention over paged and contiguous caches, whole and in chunks.

The columns of the input are grouped by kv head: the query heads of the group, its key, its value.
New keys and values are normed, turned and put into the cache by the task that reads them.
"""

from __future__ import annotations

import math

import torch

from mpkgraph.reference.call import TaskCall, Tensor
from mpkgraph.reference.kernels.memory import reach
from mpkgraph.reference.kernels.requests import Request, positions, request_of
from mpkgraph.reference.kernels.rotary import norm_heads, rotate
from mpkgraph.reference.kernels.scores import attend, causal
from mpkgraph.reference.tiles import one_by_one

KV_CHUNK = 256
"""Positions of a chunk of the split kernels."""
LOWEST = -5e4
"""The kernels' minus infinity."""


def paged_attention(call: TaskCall) -> None:
    """Causal attention of each request's new tokens over its pages.

    Input (tokens, heads * (q + 2) * width), caches (pages, page size, heads, width), norms
    (width,) or None, cos and sin (positions, width) or None, output (tokens, heads * q * width).
    Heads are the kv heads of the call, q the query heads of each.
    """
    k_cache, v_cache, out = call.input(1), call.input(2), call.output(0)
    page_size = k_cache.shape[1]
    for index in call.walk("request_id"):
        request = request_of(call, index, page_size)
        if request.num_rows <= 0:
            continue
        q, k, v = _new_heads(call, call.input(0)[request.rows], request.history)
        _append(call, request, (request.history, request.length), k, v)
        pages, places = positions(call, request, 0, request.length, k_cache)
        seen = causal(request.num_rows, request.length, request.history)
        out[request.rows] = _heads_out(q, k_cache[pages, places], v_cache[pages, places], seen)


@one_by_one
def paged_attention_split(call: TaskCall) -> None:
    """Attention over positions `256 * c` to `256 * (c + 1)`, and the base-2 logarithm of its sum.

    Inputs as of `paged_attention`; `c` is `kv_idx`. The outputs' places follow from the params,
    not from declared strides: (tokens, heads, chunks, q) sums in float32 and the same with width
    for the weighted means. A chunk beyond the sequence is left alone.
    """
    k_cache, v_cache = call.input(1), call.input(2)
    num_q_heads, num_chunks = call.param(0), call.param(6)
    width = k_cache.shape[3]
    request = request_of(call, call.metadata["request_id"], k_cache.shape[1])
    start = call.metadata["kv_idx"] * KV_CHUNK
    stop = min(start + KV_CHUNK, request.length)
    if request.num_rows <= 0 or start >= request.length:
        return
    q, k, v = _new_heads(call, call.input(0)[request.rows], request.history)
    _append(call, request, (max(start, request.history), stop), k, v)
    pages, places = positions(call, request, start, stop, k_cache)
    seen = causal(request.num_rows, stop - start, request.history, start)
    rows, per_head = request.num_rows, q.shape[2]
    sums, highest, total = _grouped(q, k_cache[pages, places], v_cache[pages, places], seen)
    token = num_q_heads * num_chunks
    none = total == 0
    mean = torch.where(none, 0.0, sums / total)
    lse = torch.where(none, LOWEST, torch.log2(total) + highest * math.log2(math.e))
    to_lse = reach(call, call.output(0), (rows, per_head), (token, 1), request.first_row * token)
    to_mean = reach(
        call,
        call.output(1),
        (rows, per_head, width),
        (token * width, width, 1),
        request.first_row * token * width,
    )
    to_lse.copy_(lse.view(rows, per_head))
    to_mean.copy_(mean.float().view(rows, per_head, width))


@one_by_one
def merge_split(call: TaskCall) -> None:
    """One output from the chunks of `paged_attention_split`, for one request and kv head."""
    per_head, width, max_seq, page_size, num_heads = (call.param(i) for i in range(5))
    request = request_of(call, call.metadata["request_id"], page_size)
    rows = request.num_rows
    if rows <= 0:
        return
    num_chunks = max_seq // KV_CHUNK
    used = -(-request.length // KV_CHUNK)
    token = num_heads * num_chunks * per_head
    lse = reach(
        call,
        call.input(0),
        (rows, used, per_head),
        (token, per_head, 1),
        request.first_row * token,
    ).double()
    means = reach(
        call,
        call.input(1),
        (rows, used, per_head, width),
        (token * width, per_head * width, width, 1),
        request.first_row * token * width,
    ).double()
    highest = lse.amax(1, keepdim=True).clamp(min=LOWEST)
    weights = torch.exp2(lse - highest)
    total = weights.sum(1) + torch.exp2(LOWEST - highest).squeeze(1)
    merged = (weights.unsqueeze(-1) * means).sum(1) / total.unsqueeze(-1)
    call.output(0)[request.rows] = merged.float().flatten(1).to(call.output(0).dtype)


def attention(call: TaskCall) -> None:
    """One new token of each row at position `step`, over a contiguous cache.

    Input (rows, heads * (q + 2) * width), caches (rows, positions, heads, width).
    """
    step = int(call.meta_tensor("step").flatten()[0])
    for row in range(call.output(0).shape[0]):
        _extend(call, row, slice(row, row + 1), step)


def single_batch_extend_attention(call: TaskCall) -> None:
    """All rows are new tokens of one request, from position `step` on; causal."""
    step = int(call.meta_tensor("step").flatten()[0])
    _extend(call, 0, slice(0, call.output(0).shape[0]), step)


def _extend(call: TaskCall, batch: int, rows: slice, step: int) -> None:
    k_cache, v_cache, out = call.input(1)[batch], call.input(2)[batch], call.output(0)
    q, k, v = _new_heads(call, call.input(0)[rows], step)
    end = step + len(q)
    k_cache[step:end], v_cache[step:end] = k, v
    out[rows] = _heads_out(q, k_cache[:end], v_cache[:end], causal(len(q), end, step))


def _new_heads(call: TaskCall, rows: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (tokens, heads, q, width), keys and values (tokens, heads, width) of new tokens at
    positions from `first` on, normed and turned.
    """
    _, _, heads, width = call.input(1).shape
    grouped = rows.unflatten(1, (heads, -1, width))
    q, k, v = grouped[:, :, :-2], grouped[:, :, -2], grouped[:, :, -1]
    q_norm, k_norm, cos, sin = call.inputs[3:7]
    if q_norm is not None or k_norm is not None:
        q, k = norm_heads(q, call.input(3)), norm_heads(k, call.input(4))
    if cos is not None or sin is not None:
        turn = slice(first, first + len(rows))
        cos, sin = call.input(5)[turn], call.input(6)[turn]
        q, k = rotate(q.flatten(1, 2), cos, sin).view(q.shape), rotate(k, cos, sin)
    return q, k, v


def _append(call: TaskCall, request: Request, span: tuple[int, int], k: Tensor, v: Tensor) -> None:
    """Put the new tokens at the positions `span` into the pages."""
    start, stop = span
    if start >= stop:
        return
    pages, places = positions(call, request, start, stop, call.input(1))
    tokens = slice(start - request.history, stop - request.history)
    call.input(1)[pages, places] = k[tokens]
    call.input(2)[pages, places] = v[tokens]


def _grouped(q: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
    """`attend` by kv head: rows are (token, query head of the group)."""
    per_head, width = q.shape[2:]
    rows = q.transpose(0, 1).flatten(1, 2)
    seen = seen.repeat_interleave(per_head, 0)
    return attend(rows, keys.transpose(0, 1), values.transpose(0, 1), seen, width**-0.5)


def _heads_out(q: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
    """(tokens, heads * q * width) in the type of the queries."""
    tokens, heads, per_head, width = q.shape
    sums, _, total = _grouped(q, keys, values, seen)
    means = (sums / total).float().to(q.dtype)
    return means.view(heads, tokens, per_head, width).transpose(0, 1).flatten(1)
