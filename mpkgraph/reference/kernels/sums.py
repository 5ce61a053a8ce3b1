"""Sums of products, the same to the bit however an operation is cut into tiles.

Tensor cores add in float32 in an order of their own. Products of two bfloat16 are exact in
float64, and sums of them err there by 2**-53 of their largest parts, so that what is rounded to
float32 in the end does not depend on the order, but where it lies within that of a boundary.
"""

from __future__ import annotations

import torch

CHUNK_ELEMS = 1 << 21
"""So many weights are widened at a time: 16 MiB of float64."""


def products(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`x @ weight.T` as float32: x (rows, K), weight (columns, K)."""
    columns, k = weight.shape
    wide = x.double()
    out = torch.empty(x.shape[0], columns, dtype=torch.float32)
    step = max(1, CHUNK_ELEMS // max(k, 1))
    for start in range(0, columns, step):
        part = weight[start : start + step].double()
        out[:, start : start + step] = wide @ part.T
    return out


def mean_of_squares(x: torch.Tensor) -> torch.Tensor:
    """Along the last dim, kept with size 1, as float32."""
    return x.double().square().mean(-1, keepdim=True).float()
