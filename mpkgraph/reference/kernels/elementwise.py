"""Elementwise kernels."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall


def silu_mul(call: TaskCall) -> None:
    """`out = bf16(silu(gate)) * up`, in the rows that are in use.

    Each tile holds its gates and then its ups: (rows, 2 * columns) to (rows, columns). A layer
    that is registered as `moe_silu_mul` does all rows of (rows, experts, 2 * columns).
    """
    x, out = call.input(0), call.output(0)
    if out.dim() == 2 and call.registered_name != "moe_silu_mul":
        rows = call.num_active_rows
        x, out = x[:rows], out[:rows]
    groups = call.num_tiles(len(call.inputs), out.dim() - 1)
    gate, up = x.unflatten(-1, (groups, 2, -1)).unbind(-2)
    out.copy_(silu_times(gate, up).flatten(-2))


def silu_times(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """`silu(gate)`, rounded, times `up`, rounded."""
    wide = gate.double()
    silu = (wide / (1.0 + torch.exp(-wide))).float().to(gate.dtype)
    return silu * up


def identity(call: TaskCall) -> None:
    """`out = x`: the columns of the tile, and every index of the other dims."""
    call.output(0).copy_(call.input(0))


def elementwise_add(call: TaskCall) -> None:
    """`out = a + b`, added in float32 and rounded."""
    call.output(0).copy_(call.input(0).float() + call.input(1).float())


def tensor_init(call: TaskCall) -> None:
    """Zeros, written through the first input; the other slots only carry edges."""
    call.input(0).zero_()


def mul_sum_add(call: TaskCall) -> None:
    """`out[b, i] = r[b, i] + sum_j w[b, j] * x[b, j, i]`, rounded once.

    x (rows, experts, columns), w (rows, experts) float32, r and out (rows, columns).
    """
    x, weight, residual = call.input(0), call.input(1), call.input(2)
    sums = (x.double() * weight.double().unsqueeze(-1)).sum(1) + residual.double()
    call.output(0).copy_(sums.float())


def nothing(call: TaskCall) -> None:
    """No code is registered for the type: its tasks do nothing."""
