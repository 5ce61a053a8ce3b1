"""Mixture of experts: routing, and linear layers of the experts that rows are routed to.

Routing is (experts, rows) int32: the expert's place among the row's choices, counted from 1, or 0.
The mask is the list of experts that any row chose, and its length as entry `experts`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.quantized import float_scaled, power_below, scaled_products
from mpkgraph.reference.kernels.sums import products

UNCHOSEN = -10000.0
NO_EXPERT = -1


def topk_softmax(call: TaskCall) -> None:
    """The k largest of the softmax of each row, made to add up to 1. The logits become 0.

    Logits (rows, experts), weights (rows, k) float32, routing, mask.
    """
    logits = call.input(0)
    wide = logits.double()
    scores = torch.exp(wide - wide.amax(1, keepdim=True))
    scores = (scores / scores.sum(1, keepdim=True)).float()
    chosen, experts = _largest(scores, call.output(0).shape[1])
    call.output(0).copy_(chosen * (1.0 / chosen.double().sum(1, keepdim=True).float()))
    _route(call, experts)
    logits.zero_()


def topk_sigmoid(call: TaskCall) -> None:
    """The k best by `sigmoid + bias` in the best groups; weights are their sigmoids, scaled.

    Logits (rows, experts), bias (experts,), outputs as of `topk_softmax`. A group's score is the
    sum of its two best. Params: groups, groups to keep, the scale's float32 bits.
    """
    logits, bias = call.input(0), call.input(1)
    num_groups, kept, bits = (call.param(i) for i in range(3))
    (scale,) = struct.unpack("<f", struct.pack("<i", bits))
    scores = torch.sigmoid(logits.double()).float()
    biased = scores + bias.float()
    groups = biased.unflatten(1, (num_groups, -1))
    best = groups.topk(2, dim=2).values.sum(2)
    _, keep = _largest(best, kept)
    is_kept = torch.zeros_like(best, dtype=torch.bool).scatter_(1, keep, value=True)
    biased = torch.where(is_kept.unsqueeze(2), groups, UNCHOSEN).flatten(1)
    _, experts = _largest(biased, call.output(0).shape[1])
    weights = scores.gather(1, experts)
    total = weights.double().sum(1, keepdim=True).float()
    call.output(0).copy_(weights * (1.0 / (total + 1e-20)) * scale)
    _route(call, experts)
    logits.zero_()


def w13_linear(call: TaskCall) -> None:
    """`out[b, s, n] = sum_k x[b, k] * w[e, n, k]` for each row's choices `s`, of expert `e`.

    x (rows, K), w (experts, columns, K), routing, mask, out (rows, k, columns).
    """
    x = call.input(0)
    _group_linear(call, (2, 3), lambda rows, _: x[rows], _expert)


def w2_linear(call: TaskCall) -> None:
    """`out[b, s, n] = sum_k x[b, s, k] * w[e, n, k]`; x (rows, k, K)."""
    x = call.input(0)
    _group_linear(call, (2, 3), lambda rows, slots: x[rows, slots], _expert)


def w13_fp8(call: TaskCall) -> None:
    """As `w13_linear`, with scales of blocks of 128 along K: the power of two in each float32.

    x (rows, K), its scales (rows, K / 128), w (experts, columns, K), its scales (experts, columns,
    K / 128), routing, mask.
    """
    x = float_scaled(call.input(0), power_below(call.input(1)))
    _group_linear(call, (4, 5), lambda rows, _: x[rows], _scaled_expert)


def w2_fp8(call: TaskCall) -> None:
    """As `w2_linear`, with scales; x (rows, k, K), its scales (rows, k, K / 128)."""
    x = float_scaled(call.input(0), power_below(call.input(1)))
    _group_linear(call, (4, 5), lambda rows, slots: x[rows, slots], _scaled_expert)


def _expert(call: TaskCall, expert: int, x: torch.Tensor) -> torch.Tensor:
    return products(x, call.input(1)[expert], call.known)


def _scaled_expert(call: TaskCall, expert: int, x: torch.Tensor) -> torch.Tensor:
    return scaled_products(x, call.input(2)[expert], call.input(3)[expert], call.known)


def _group_linear(
    call: TaskCall,
    slots: tuple[int, int],
    rows_in: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    sums: Callable[[TaskCall, int, torch.Tensor], torch.Tensor],
) -> None:
    """Lanes along x share out the list of active experts: every `grid.x`-th is a lane's.

    `sums` are the products of the rows that are routed to an expert with its weight.
    """
    routing, mask, out = call.input(slots[0]), call.input(slots[1]), call.output(0)
    active = mask[: int(mask[-1])].tolist()
    lanes = call.grid_dim[0]
    for lane in call.walk("expert_offset"):
        for expert in active[lane::lanes]:
            places = routing[expert]
            rows = places.nonzero().squeeze(1)
            chosen = places[rows].long() - 1
            out[rows, chosen] = sums(call, expert, rows_in(rows, chosen)).to(out.dtype)


def _largest(scores: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest of each row in descending order; of equal ones the lower index."""
    values, indices = torch.sort(scores, dim=1, descending=True, stable=True)
    return values[:, :count], indices[:, :count]


def _route(call: TaskCall, experts: torch.Tensor) -> None:
    routing, mask = call.output(1), call.output(2)
    places = torch.arange(1, experts.shape[1] + 1, dtype=routing.dtype)
    routing.zero_()
    # Experts by rows
    routing[experts, torch.arange(len(experts)).unsqueeze(1)] = places
    active = torch.unique(experts)
    mask.fill_(NO_EXPERT)
    mask[: len(active)] = active.to(mask.dtype)
    mask[-1] = len(active)
