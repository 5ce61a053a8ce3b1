"""RMS norm, alone and before a linear layer."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.sums import mean_of_squares, products

EPSILON = 1e-6


def rmsnorm(call: TaskCall) -> None:
    """`out = x * (rsqrt(mean(x**2) + 1e-6) * w)`, in float32 and rounded once.

    Input (rows, hidden), weight at least (hidden,), output (rows, hidden).
    """
    x, weight, out = call.input(0), call.input(1), call.output(0)
    scale = torch.rsqrt(mean_of_squares(x) + EPSILON)
    out.copy_(x.float() * (scale * weight[: x.shape[-1]].float()))


def rmsnorm_linear(call: TaskCall) -> None:
    """`out[b, n] = sum_k bf16(x[b, k] * g[k]) * w[n, k] / sqrt(mean(x[b]**2) + 1e-6)`.

    Rows that are not in use become 0. Input (rows, K), norm weight (K,), weight (columns, K).
    """
    x, norm, weight, out = call.input(0), call.input(1), call.input(2), call.output(0)
    rows = min(call.num_active_rows, out.shape[0])
    used = x[:rows]
    scaled = (used.float() * norm[: x.shape[-1]].float()).to(x.dtype)
    out[:rows] = products(scaled, weight, call.known) / torch.sqrt(mean_of_squares(used) + EPSILON)
    out[rows:] = 0
