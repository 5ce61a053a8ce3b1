"""What the layers of DeepSeek-V3 have in common: FP8 weights with scales, and one rank's share.

Its kernels are for compute capability 10.0. A linear layer with an FP8 weight is two layers:
`quantize_fp8` turns its input into FP8 and a scale for every 128 columns, then `linear_fp8`
multiplies. Scales of UE8M0 (a power of two in a byte) are packed four in a uint32.
"""

from __future__ import annotations

from typing import Any

import mirage as mi
from common import tensor, threads
from qwen3 import linear_tasks

HIDDEN = 7168
GROUP = 128
"""Columns that share a scale, and the outputs of the smallest FP8 task."""
PACKED = 4
"""Scales in a uint32; rows of scales are filled up to as many."""
SYMMETRIC = "nvshmem_tensor"


class Fp8Layers:
    """Layers that a DeepSeek-V3 decoder is made of, described to a kernel."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.batch = kernel.max_num_batched_tokens
        self.ranks = kernel.world_size
        self.block = threads(kernel)
        self.rmsnorm_out = self.buffer("rmsnorm_out", HIDDEN)
        self._quantized: dict[int, tuple[Any, Any]] = {}

    def buffer(
        self, name: str, *columns: int, dtype: Any = mi.bfloat16, memory: str = "cuda_tensor"
    ) -> Any:
        """A row a token."""
        return self.new((self.batch, *columns), name, dtype=dtype, memory=memory)

    def new(
        self,
        dims: tuple[int, ...],
        name: str,
        *,
        dtype: Any = mi.bfloat16,
        memory: str = "cuda_tensor",
    ) -> Any:
        return self.kernel.new_tensor(dims=dims, dtype=dtype, name=name, io_category=memory)

    def weight(self, name: str, *shape: int, dtype: str = "bfloat16") -> Any:
        return self.kernel.attach_input(tensor(*shape, dtype=dtype), name=name)

    def norm(self, x: Any, name: str, output: Any) -> Any:
        """RMS normalisation, a task a token; in place where x is also the output."""
        self.kernel.rmsnorm_layer(
            input=x,
            weight=self.weight(name, x.dim(1)),
            output=output,
            grid_dim=(self.batch, 1, 1),
            block_dim=self.block,
        )
        return output

    def linear(self, x: Any, weight: Any, output: Any, tasks: int | None = None) -> Any:
        """A linear layer whose weight is not FP8."""
        self.kernel.linear_layer(
            input=x,
            weight=weight,
            output=output,
            grid_dim=(tasks or linear_tasks(weight.dim(0)), 1, 1),
            block_dim=self.block,
        )
        return output

    def linear_fp8(self, x: Any, name: str, output: Any, residual: Any | None = None) -> Any:
        """Quantize x, multiply by the FP8 weight `name`, and add the residual if there is one."""
        kernel, outputs, inputs = self.kernel, output.dim(1), x.dim(1)
        weight = self.weight(name, outputs, inputs, dtype="float8_e4m3fn")
        groups = -(-inputs // GROUP)
        scale = tensor(outputs, -(-groups // PACKED), dtype="uint32", column_major=True)
        weight_scale = kernel.attach_input(scale, name=f"{name}_scale")
        quantized, x_scale = self._quantize(x, inputs)
        # A task for each worker, unless tasks would be smaller than the kernel's tile.
        tasks = min(outputs // GROUP, max(linear_tasks(outputs), kernel.num_workers))
        layer = {
            "input_fp8": quantized,
            "input_scale": x_scale,
            "weight_fp8": weight,
            "weight_scale": weight_scale,
            "output": output,
            "grid_dim": (tasks, 1, 1),
            "block_dim": self.block,
        }
        if residual is None:
            kernel.linear_fp8_layer(**layer)
        else:
            kernel.linear_fp8_with_residual_layer(residual=residual, **layer)
        return output

    def _quantize(self, x: Any, inputs: int) -> tuple[Any, Any]:
        """Values in FP8 and their scales, in buffers that all inputs of this width share."""
        if inputs not in self._quantized:
            groups = -(-inputs // GROUP)
            rows = -(-self.batch // PACKED) * PACKED
            self._quantized[inputs] = (
                self.buffer(f"fp8_input_{inputs}_shared", inputs, dtype=mi.float8_e4m3),
                self.new(
                    (-(-groups // PACKED), rows), f"fp8_scale_{inputs}_shared", dtype=mi.uint32
                ),
            )
        quantized, scale = self._quantized[inputs]
        self.kernel.quantize_fp8_layer(
            input=x,
            output_fp8=quantized,
            output_scale=scale,
            grid_dim=(self.batch, 1, 1),
            block_dim=self.block,
        )
        return quantized, scale
