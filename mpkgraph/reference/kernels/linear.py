"""Linear layers in bfloat16: plain, with residual, split along K, after SiLU."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.elementwise import silu_times
from mpkgraph.reference.kernels.sums import products

ADD_IN_BF16 = frozenset(
    {"TASK_LINEAR_WITH_RESIDUAL_HOPPER", "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER"}
)
"""These round the sum of products before they add the residual; others add first."""
ADDED_ON_FIRST_RANK = frozenset(
    {
        "TASK_LINEAR_WITH_RESIDUAL",
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        "TASK_SILU_MUL_LINEAR_WITH_RESIDUAL",
    }
)
ADDED_IF_ASKED = frozenset(
    {
        "TASK_LINEAR_WITH_RESIDUAL_SM100",
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
        "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100",
    }
)


def linear(call: TaskCall) -> None:
    """`out[b, n] = sum_k x[b, k] * w[n, k]`: float32 accumulators, rounded once."""
    call.output(0).copy_(products(call.input(0), call.input(1), call.known))


def linear_with_residual(call: TaskCall) -> None:
    """`out[b, n] = sum_k x[b, k] * w[n, k] + r[b, n]`.

    Where ranks add up what they have, only rank 0 adds the residual; on Hopper and Blackwell only
    where param 0 is 1. Hopper rounds the sum before the residual is added, and again after.
    """
    sums = products(call.input(0), call.input(1), call.known)
    store_with_residual(call, sums, 2)


def store_with_residual(call: TaskCall, sums: torch.Tensor, position: int) -> None:
    """Write float32 sums, with the residual at input `position` where this task adds it."""
    out = call.output(0)
    if not adds_residual(call):
        out.copy_(sums)
    elif call.task_type in ADD_IN_BF16:
        out.copy_(sums.to(out.dtype) + call.input(position))
    else:
        out.copy_(sums + call.input(position).float())


def adds_residual(call: TaskCall) -> bool:
    """Whether this task adds the residual."""
    if call.task_type in ADDED_ON_FIRST_RANK and call.settings.rank != 0:
        return False
    # The layer asks for it on rank 0, should nothing tell what it asked
    asked = int(call.settings.rank == 0)
    return call.task_type not in ADDED_IF_ASKED or call.param(0, asked) == 1


def splitk_linear(call: TaskCall) -> None:
    """`out[b, n] += bf16(sum_k x[b, k] * w[n, k])` over a slice of K, added in bfloat16.

    Joined slices are added one after the other, as tasks in program order are.
    """
    x, weight, out = call.input(0), call.input(1), call.output(0)
    slices = call.num_tiles(0, 1)
    for part, rows in zip(x.chunk(slices, 1), weight.chunk(slices, 1), strict=True):
        out.add_(products(part, rows, call.known).to(out.dtype))


def silu_mul_linear_with_residual(call: TaskCall) -> None:
    """`out[b, n] = sum_k act[b, k] * w[n, k] + r[b, n]` with `act = bf16(silu(gate)) * up`.

    The gates are the first half of the whole row, (rows, 2 * K).
    """
    gate, up = call.input(0).chunk(2, 1)
    store_with_residual(call, products(silu_times(gate, up), call.input(1), call.known), 2)
