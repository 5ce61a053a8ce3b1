"""Sums of products, the same to the bit however an operation is cut into tiles.

Tensor cores add in float32 in an order of their own. Products of two bfloat16 are exact in
float64, and sums of them err there by 2**-53 of their largest parts, so that what is rounded to
float32 in the end does not depend on the order, but where it lies within that of a boundary.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from mpkgraph.reference.threads import in_spans

if TYPE_CHECKING:
    from mpkgraph.reference.known import KnownProducts

CHUNK_ELEMS = 1 << 16
"""So many weights are widened at a time: half a MiB of float64, which a core's cache holds."""
FEW_ROWS = 4

Widen = Callable[[int, int, torch.Tensor], None]
"""Writes rows `start` to `stop` of a weight, as float64, into the tensor that it is given."""


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


def products(
    x: torch.Tensor, weight: torch.Tensor, known: KnownProducts | None = None
) -> torch.Tensor:
    """`x @ weight.T` as float32: x (rows, K), weight (columns, K).

    `known` are products of weights that nobody writes; what is there is not added up again.
    """

    def widen(start: int, stop: int, out: torch.Tensor) -> None:
        out.copy_(weight[start:stop])

    def compute() -> torch.Tensor:
        return products_of(x, weight.shape[0], widen)

    return compute() if known is None else known.find(x, (weight,), compute)


def products_of(x: torch.Tensor, columns: int, widen: Widen) -> torch.Tensor:
    """`x @ weight.T` as float32 of a weight that is made as float64 a chunk of rows at a time."""
    k = x.shape[1]
    wide = x.double()
    out = torch.empty(len(x), columns, dtype=torch.float32)
    step = max(1, CHUNK_ELEMS // max(k, 1))

    def add_up(first: int, last: int) -> None:
        for start in range(first, last, step):
            stop = min(start + step, last)
            part = _WORKSPACE.of(stop - start, k)
            widen(start, stop, part)
            # Which of the two is faster is BLAS's affair; the sums are the same
            sums = wide @ part.T if len(wide) < FEW_ROWS else (part @ wide.T).T
            out[:, start:stop] = sums

    in_spans(add_up, columns, k, step)
    return out


def mean_of_squares(x: torch.Tensor) -> torch.Tensor:
    """Along the last dim, kept with size 1, as float32."""
    return x.double().square().mean(-1, keepdim=True).float()
