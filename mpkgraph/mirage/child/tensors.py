"""Tensors where a pipeline has only shapes: torch's, on the GPU (or what stands for it)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from mpkgraph.pipeline.dtypes import torch_name
from mpkgraph.pipeline.tensors import TensorSpec

SCALE = 0.02
"""Standard deviation of made-up numbers: as in a fresh model, nothing overflows."""


NO_MEMORY = 1 << 20
"""An address where there is none: Mirage's core takes no null, and reads nothing there."""


@dataclass(frozen=True)
class Shape:
    """All that Mirage's Python and its generator ask of a torch tensor, without memory."""

    shape: tuple[int, ...]
    dtype: Any
    strides: tuple[int, ...]

    def stride(self) -> tuple[int, ...]:
        return self.strides

    def data_ptr(self) -> int:
        return NO_MEMORY


def materialise(spec: TensorSpec, *, fill: bool) -> Any:
    """With `fill` a torch tensor on the GPU, of random floats or of zeros; else only its shape."""
    shape, strides, name = tuple(spec.shape), tuple(spec.stride()), torch_name(spec.dtype)
    if not fill:
        return Shape(shape, getattr(sys.modules.get("torch"), name, name), strides)
    import torch

    made: Any = torch.empty_strided(shape, strides, dtype=getattr(torch, name), device="cuda")
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
