"""Linear layers in bfloat16, with and without residual."""

from __future__ import annotations

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.sums import products


def linear(call: TaskCall) -> None:
    """`out[b, n] = sum_k x[b, k] * w[n, k]`: float32 accumulators, rounded once."""
    call.output(0).copy_(products(call.input(0), call.input(1)))


def linear_with_residual(call: TaskCall) -> None:
    """`out[b, n] = sum_k x[b, k] * w[n, k] + r[b, n]`, rounded once.

    The residual is added on rank 0 only (Blackwell: where param 0 says so), for ranks add up
    what they have.
    """
    sums = products(call.input(0), call.input(1))
    if adds_residual(call):
        sums += call.input(2).float()
    call.output(0).copy_(sums)


def adds_residual(call: TaskCall) -> bool:
    """Whether this rank adds the residual."""
    if call.task_type.endswith("_SM100") and call.params:
        return call.params[0] == 1
    return call.settings.rank == 0
