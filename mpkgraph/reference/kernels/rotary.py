"""RMS norm and rotary embedding of heads, as the attention kernels do them in shared memory."""

from __future__ import annotations

import torch

from mpkgraph.reference.kernels.sums import mean_of_squares

EPSILON = 1e-6


def norm_heads(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Norm over the last dim, rounded to the type of `x`."""
    scale = torch.rsqrt(mean_of_squares(x).double() + EPSILON).float()
    return (x.float() * (scale * weight.float())).to(x.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding in halves: x (tokens, heads, width), cos and sin (tokens, width)."""
    half = x.shape[-1] // 2
    wide = x.float()
    turned = torch.cat((-wide[..., half:], wide[..., :half]), dim=-1)
    out = wide * cos.float().unsqueeze(1) + turned * sin.float().unsqueeze(1)
    return out.to(x.dtype)
