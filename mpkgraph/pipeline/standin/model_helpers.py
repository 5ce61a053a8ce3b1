"""Helpers of `mirage.mpk.models` that scripts use on their own, for when Mirage's are not there.

Source: `python/mirage/mpk/models/utils.py`, `graph_builder.py`. With MIRAGE_HOME the tree's own
modules are used.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDEST_LINEAR = 96 * 400
"""Outputs above this get 256 a task: Mirage's kernels are wrong for larger grids."""


def grid_for_rmsnorm_linear_layer(size: int) -> int | None:
    """Tasks of a linear layer with `size` outputs; None where Mirage knows none."""
    if size > WIDEST_LINEAR:
        if size % 256 != 0:
            raise AssertionError(f"FATAL: Linear layer size not support, it's {size}.")
        return size // 256
    return next((tasks for tasks in (96, 64) if size % tasks == 0), None)


def max_factor_leq_n(m: int, n: int) -> int:
    """The largest divisor of m that is at most n."""
    return max((d for d in range(1, min(m, n) + 1) if m % d == 0), default=1)


def shuffle_tensors(tensors: Sequence[Any], split: int, dim: int) -> Any:
    """Chunk each tensor `split` times along `dim`; first chunks of all, then second, and so on."""
    import torch

    if not tensors or split <= 0:
        raise ValueError("tensors must be a non-empty list and split positive")
    uneven = [x.shape[dim] for x in tensors if x.shape[dim] % split]
    if uneven:
        raise ValueError(f"sizes {uneven} on dim {dim} are not divisible by split={split}")
    chunks = [torch.chunk(tensor, split, dim) for tensor in tensors]
    return torch.cat([part for turn in zip(*chunks, strict=True) for part in turn], dim)


def inplace_shuffle_tensors(
    tensors: Sequence[Any], target_tensor: Any, split: int, dim: int
) -> None:
    """`shuffle_tensors` into a tensor that is there."""
    target_tensor.copy_(shuffle_tensors(tensors, split, dim))


@dataclass
class MirageModelConfig:
    """Sizes, weights and caches of a model, for a builder."""

    hidden_size: Any = None
    intermediate_size: Any = None
    vocab_size: Any = None
    local_num_q_heads: Any = None
    local_num_kv_heads: Any = None
    head_dim: Any = None
    num_layers: Any = None
    k_cache: Any = None
    v_cache: Any = None
    position_embeddings: Any = None
    state_dict: Any = None
    with_lm_head: bool = True


class GraphBuilder(abc.ABC):
    """Base of what describes a model's layers to a kernel."""

    def __init__(self, mpk: Any, weights: dict[str, Any] | None = None) -> None:
        self.mpk = mpk
        self.weights = weights or {}

    @abc.abstractmethod
    def build_from_model(self, model_path: str | None = None) -> None: ...


UTILS = {
    "grid_for_rmsnorm_linear_layer": grid_for_rmsnorm_linear_layer,
    "inplace_shuffle_tensors": inplace_shuffle_tensors,
    "max_factor_leq_n": max_factor_leq_n,
    "shuffle_tensors": shuffle_tensors,
}
GRAPH_BUILDER = {"GraphBuilder": GraphBuilder, "MirageModelConfig": MirageModelConfig}
