"""The softmax of attention as the kernels round it."""

from __future__ import annotations

import torch


def attend(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    seen: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted sums of values, in float64: (rows, width), with each row's maximum and sum.

    queries (..., rows, K), keys (..., length, K), values (..., length, width) are of any type,
    `seen` (rows, length) says which positions a row may see. The weights are rounded to bfloat16
    before they meet the values, for that is what tensor cores take; their sum is not. Maxima are
    of scaled scores; a row that sees nothing has maximum -inf and sum 0.
    """
    scores = queries.double() @ keys.double().transpose(-1, -2) * scale
    scores = scores.masked_fill(~seen, -torch.inf)
    highest = (
        scores.amax(-1, keepdim=True)
        if scores.shape[-1]
        else scores.new_full((*scores.shape[:-1], 1), -torch.inf)
    )
    weights = torch.exp(scores - highest.clamp(min=torch.finfo(torch.float64).min)).float()
    total = weights.double().sum(-1, keepdim=True)
    sums = weights.to(torch.bfloat16).double() @ values.double()
    return sums, highest, total


def causal(rows: int, length: int, history: int, start: int = 0) -> torch.Tensor:
    """(rows, length): row `i`, at position `history + i`, sees positions up to its own; the
    columns are positions from `start` on.
    """
    last = torch.arange(rows).unsqueeze(1) + history
    return torch.arange(start, start + length).unsqueeze(0) <= last
