"""Sums of products, the same to the bit however an operation is cut into tiles.

Tensor cores add in float32 in an order of their own. Products of two bfloat16 are exact in
float64, and sums of them err there by 2**-53 of their largest parts, so that what is rounded to
float32 in the end does not depend on the order, but where it lies within that of a boundary.
"""

from __future__ import annotations

import threading

import torch

CHUNK_ELEMS = 1 << 18
"""So many weights are widened at a time: 2 MiB of float64, which caches hold."""
SHARED_CHUNK_ELEMS = 1 << 21
"""The same where several threads share a chunk: they wait for each other after each."""
FEW_ROWS = 4


class _Workspace(threading.local):
    """Memory for one chunk of widened weights a thread.

    New memory each time costs more than the sums do.
    """

    chunk: torch.Tensor | None = None

    def of(self, rows: int, columns: int) -> torch.Tensor:
        if self.chunk is None or len(self.chunk) < rows * columns:
            self.chunk = torch.empty(rows * columns, dtype=torch.float64)
        return self.chunk[: rows * columns].view(rows, columns)


_WORKSPACE = _Workspace()


def products(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`x @ weight.T` as float32: x (rows, K), weight (columns, K)."""
    columns, k = weight.shape
    wide = x.double()
    out = torch.empty(len(x), columns, dtype=torch.float32)
    elems = CHUNK_ELEMS if torch.get_num_threads() == 1 else SHARED_CHUNK_ELEMS
    step = max(1, elems // max(k, 1))
    for start in range(0, columns, step):
        part = weight[start : start + step]
        if part.dtype != torch.float64:
            part = _WORKSPACE.of(*part.shape).copy_(part)
        # Which of the two is faster is BLAS's affair; the sums are the same
        sums = wide @ part.T if len(wide) < FEW_ROWS else (part @ wide.T).T
        out[:, start : start + step] = sums
    return out


def mean_of_squares(x: torch.Tensor) -> torch.Tensor:
    """Along the last dim, kept with size 1, as float32."""
    return x.double().square().mean(-1, keepdim=True).float()
