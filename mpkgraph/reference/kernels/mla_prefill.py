"""Multi-head latent attention of many new tokens, and the gathers that bring the cache together."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.memory import rows_of
from mpkgraph.reference.kernels.mla_decode import SCALE
from mpkgraph.reference.kernels.mla_places import contiguous_row
from mpkgraph.reference.kernels.requests import Request, positions, request_of
from mpkgraph.reference.kernels.scores import attend, causal

QUERIES = 64
"""Query tokens of a task."""
FEWEST = 16
"""Fewer new tokens than this are left to the decode kernels."""
HEAD, HEAD_ROPE = 128, 64


def mla_prefill(call: TaskCall) -> None:
    """Causal attention of one request's chunk, in the absorbed form: values are the latent keys.

    Inputs: queries (tokens, heads * d_ckv) and (tokens, heads * d_kpe), latent and rotary keys by
    request from `max_seq_length` rows on, and the output (tokens, heads * d_v). Params: heads,
    (unused), d_ckv, d_kpe, d_v. Heads go along x, blocks of 64 tokens along y, requests along z.
    """
    num_heads, latent, rope, width = call.param(0), call.param(2), call.param(3), call.param(4)
    heads = call.walk("merge_task_offset")
    some = slice(heads.start, heads.stop)
    for index in call.walk("request_id"):
        request = request_of(call, index, call.settings.page_size)
        if request.num_rows < FEWEST:
            continue
        start = index * call.settings.max_seq_length
        end = start + request.length
        ckv = rows_of(call, call.input(2), latent, end)[start:]
        keys = torch.cat((ckv, rows_of(call, call.input(3), rope, end)[start:]), 1)
        last = request.first_row + request.num_rows
        nope = rows_of(call, call.input(0), num_heads * latent, last).unflatten(1, (num_heads, -1))
        turned = rows_of(call, call.input(1), num_heads * rope, last).unflatten(1, (num_heads, -1))
        out = rows_of(call, call.input(4), num_heads * width, last).unflatten(1, (num_heads, -1))
        for block in call.walk("kv_idx"):
            rows = _block(request, block)
            if rows.start >= last:
                continue
            queries = torch.cat((nope[rows, some], turned[rows, some]), 2).transpose(0, 1)
            first = request.history + rows.start - request.first_row
            seen = causal(rows.stop - rows.start, request.length, first)
            sums, _, total = attend(queries, keys, ckv, seen, SCALE)
            out[rows, some] = (sums / total).float().to(out.dtype).transpose(0, 1)


def mla_prefill_tp8(call: TaskCall) -> None:
    """Causal attention of whole sequences with keys of 192 and values of 128 columns.

    Inputs: queries (batch * S, heads * 128) and (batch * S, heads * 64), keys (batch * S, 192),
    values (batch * S, 128). Params: heads, S. Blocks of 64 tokens are numbered from the end.
    """
    num_heads, length = call.param(0), call.param(1)
    heads = call.walk("request_id")
    some = slice(heads.start, heads.stop)
    blocks = -(-length // QUERIES)
    scale = (HEAD + HEAD_ROPE) ** -0.5
    for batch in call.walk("merge_task_offset"):
        base, end = batch * length, (batch + 1) * length
        nope = rows_of(call, call.input(0), num_heads * HEAD, end).unflatten(1, (num_heads, -1))
        turned = rows_of(call, call.input(1), num_heads * HEAD_ROPE, end)
        turned = turned.unflatten(1, (num_heads, -1))
        keys = rows_of(call, call.input(2), HEAD + HEAD_ROPE, end)[base:]
        values = rows_of(call, call.input(3), HEAD, end)[base:]
        out = rows_of(call, call.output(0), num_heads * HEAD, end).unflatten(1, (num_heads, -1))
        for reverse in call.walk("kv_idx"):
            block = blocks - 1 - reverse
            if block < 0:
                continue
            start, stop = block * QUERIES, min((block + 1) * QUERIES, length)
            rows = slice(base + start, base + stop)
            queries = torch.cat((nope[rows, some], turned[rows, some]), 2).transpose(0, 1)
            seen = causal(stop - start, stop, start)
            sums, _, total = attend(queries, keys[:stop], values[:stop], seen, scale)
            out[rows, some] = (sums / total).float().to(out.dtype).transpose(0, 1)


def kv_gather(call: TaskCall) -> None:
    """Append new rows to the request's pages, then copy its sequence to contiguous rows.

    Inputs: latent (tokens, d_v), rotary (tokens, at least d_k - d_v), cache (pages, page size,
    d_k), contiguous buffer of rows of d_k. Params: d_k, d_v, page size.
    """
    d_k = call.param(0)
    for request, sequence in _appended(call):
        first = contiguous_row(call, request.index)
        rows = rows_of(call, call.input(3), d_k, first + request.length)
        rows[first:] = sequence


def kv_gather_split(call: TaskCall) -> None:
    """As `kv_gather`, into one buffer of latent and one of rotary rows, `max_seq_length` apart."""
    d_k, d_v = call.param(0), call.param(1)
    for request, sequence in _appended(call):
        first = request.index * call.settings.max_seq_length
        end = first + request.length
        rows_of(call, call.input(3), d_v, end)[first:] = sequence[:, :d_v]
        rows_of(call, call.input(4), d_k - d_v, end)[first:] = sequence[:, d_v:]


def _appended(call: TaskCall) -> list[tuple[Request, torch.Tensor]]:
    """The requests of the call with their whole sequences, new rows put into the cache."""
    d_k, d_v = call.param(0), call.param(1)
    cache = call.input(2)
    found = []
    for index in call.walk("request_id"):
        request = request_of(call, index, cache.shape[1])
        if request.num_rows <= 0 or request.num_pages <= 0 or request.length <= 0:
            continue
        latent = call.input(0)[request.rows]
        rotary = call.input(1)[request.rows, : d_k - d_v]
        pages, places = positions(call, request, request.history, request.length, cache)
        cache[pages, places] = torch.cat((latent, rotary), 1)
        pages, places = positions(call, request, 0, request.length, cache)
        found.append((request, cache[pages, places]))
    return found


def _block(request: Request, block: int) -> slice:
    start = request.first_row + block * QUERIES
    return slice(start, min(start + QUERIES, request.first_row + request.num_rows))
