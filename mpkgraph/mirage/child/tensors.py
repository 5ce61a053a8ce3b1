"""Tensors where a pipeline has only shapes: torch's, on the GPU (or what stands for it)."""

from __future__ import annotations

from typing import Any

from mpkgraph.pipeline.dtypes import torch_name
from mpkgraph.pipeline.tensors import TensorSpec

SCALE = 0.02
"""Standard deviation of made-up numbers: as in a fresh model, nothing overflows."""


def materialise(spec: TensorSpec, *, fill: bool) -> Any:
    """A torch tensor of this shape; with `fill` of random floats, or of zeros for other types."""
    import torch

    made: Any = torch.empty_strided(
        tuple(spec.shape),
        tuple(spec.stride()),
        dtype=getattr(torch, torch_name(spec.dtype)),
        device="cuda",
    )
    if not fill:
        return made
    if made.is_floating_point() and made.element_size() > 1:
        return made.normal_(std=SCALE)
    return made.zero_()


def attach_specs(kernel_class: Any, *, fill: bool) -> None:
    """Let `attach_input` and meta tensors be given as shapes, as functions for the planner do."""
    real = kernel_class.attach_input

    def attach_input(self: Any, torch_tensor: Any, name: Any = None) -> Any:
        if isinstance(torch_tensor, TensorSpec):
            torch_tensor = materialise(torch_tensor, fill=fill)
        return real(self, torch_tensor, name=name)

    kernel_class.attach_input = attach_input
