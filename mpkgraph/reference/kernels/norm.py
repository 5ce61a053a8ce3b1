"""RMS norm (`tasks/ampere/rmsnorm.cuh`, `tasks/hopper/rmsnorm_hopper.cuh`)."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.sums import mean_of_squares

EPSILON = 1e-6


def rmsnorm(call: TaskCall) -> None:
    """`out = x * rsqrt(mean(x**2) + 1e-6) * w`, in float32 and rounded once.

    Input (rows, hidden), weight at least (hidden,), output (rows, hidden).
    """
    x, weight, out = call.input(0), call.input(1), call.output(0)
    scale = torch.rsqrt(mean_of_squares(x) + EPSILON)
    out.copy_(x.float() * scale * weight[: x.shape[-1]].float())
