"""The graph classes that scripts see: `KNGraph` and `TBGraph` over their `Cy` counterparts.

Same names, parameters and refusals as Mirage's (`python/mirage/kernel.py`, `threadblock.py`,
`_cython/core.pyx`), as far as persistent kernels use them; what they are told goes to a
`PipelineRecorder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpkgraph.pipeline.c_types import c_int, c_size, c_triple, exactly
from mpkgraph.pipeline.call_site import doing
from mpkgraph.pipeline.dtypes import dtype, float16
from mpkgraph.pipeline.open_log import OpenBlock
from mpkgraph.pipeline.recorder import PipelineRecorder
from mpkgraph.pipeline.refusal import arithmetic, fatal, refuse
from mpkgraph.pipeline.tensors import DTensor, STensor, row_major


class CyTBGraph:
    """A thread-block graph: one task for each point of `grid_dim`."""

    def __init__(
        self,
        grid_dim: tuple[int, ...] = (),
        block_dim: tuple[int, ...] = (),
        forloop_range: int = -1,
        dimx: int = -1,
    ) -> None:
        # Cython looks at all types first, and lets None pass there.
        exactly(grid_dim, tuple, "grid_dim", optional=True)
        exactly(block_dim, tuple, "block_dim", optional=True)
        exactly(grid_dim, tuple, "grid_dim")
        exactly(block_dim, tuple, "block_dim")
        forloop_range = c_int(forloop_range, "forloop_range")
        dimx = c_int(dimx, "dimx")
        if not grid_dim or not block_dim or forloop_range == -1 or dimx == -1:
            refuse(
                AssertionError,
                f"grid_dim={grid_dim}, block_dim={block_dim}, forloop_range={forloop_range}, "
                f"dimx={dimx}: all four are needed",
                upstream="grid_dim, block_dim, forloop_range, dimx must be provided",
            )
        if len(grid_dim) != 3:
            c_triple(grid_dim, "grid_dim", unsigned=True)
        self.block_dim = c_triple(block_dim, "block_dim", unsigned=True)
        grid = c_triple(grid_dim, "grid_dim", unsigned=True)
        self.forloop_range = forloop_range
        self.block = OpenBlock(grid, forloop_range)

    @property
    def grid_dim(self) -> dict[str, int]:
        return dict(zip("xyz", self.block.grid_dim, strict=True))

    def new_input(
        self,
        dtensor: DTensor | None,
        input_map: tuple[int, int, int],
        forloop_dim: int,
        store_in_dmem: bool = False,
    ) -> STensor:
        """Declare a slot; grid axis a splits dim `input_map[a]` of the tensor, -1 none."""
        _need_dtensor(dtensor, "dtensor")
        axes = c_triple(input_map, "input_map", unsigned=False)
        return self.block.new_slot(
            dtensor, axes, c_int(forloop_dim, "forloop_dim"), store_in_dmem=bool(store_in_dmem)
        )


class CyKNGraph:
    """A kernel graph; `recorder` holds what it was told."""

    def __init__(self, graph: Any = None, disable_fingerprint: bool = False) -> None:
        if graph is not None:
            refuse(
                TypeError,
                "CyKNGraph over an existing core graph",
                remedy="There is no core here; make a new graph",
            )
        self.disable_fingerprint = disable_fingerprint
        self.recorder = PipelineRecorder()

    def new_input(
        self, dims: tuple[int, ...], strides: tuple[int, ...], dtype: dtype = float16
    ) -> DTensor:
        exactly(dims, tuple, "dims", optional=True)
        exactly(strides, tuple, "strides", optional=True)
        exactly(dims, tuple, "dims")
        exactly(strides, tuple, "strides")
        sizes = [c_int(x, "dims") for x in dims]
        steps = [c_size(x, "strides") for x in strides]
        return self.recorder.new_input(sizes, steps, _need_dtype(dtype))

    def attach_torch_tensor(self, tensor: DTensor, torch_tensor: Any, name: str) -> None:
        _need_dtensor(tensor, "tensor")
        self.recorder.attach_input(tensor, _need_name(name), torch_tensor.dtype)

    def attach_cuda_tensor(self, tensor: DTensor, name: str) -> None:
        _need_dtensor(tensor, "tensor")
        self.recorder.attach_buffer(tensor, _need_name(name), "cuda_tensor")

    def attach_nvshmem_tensor(self, tensor: DTensor, name: str) -> None:
        _need_dtensor(tensor, "tensor")
        self.recorder.attach_buffer(tensor, _need_name(name), "nvshmem_tensor")

    def fuse_tensors(
        self, inputs: list[DTensor], fused_dim: int, num_groups: int, name: str | None
    ) -> DTensor:
        parts, dim, groups = _need_parts(inputs, fused_dim, "fused_dim", num_groups, name)
        return self.recorder.fuse_tensors(parts, dim, groups, name)

    def shuffle_tensors(
        self, inputs: list[DTensor], shuffled_dim: int, num_groups: int, name: str | None
    ) -> DTensor:
        parts, dim, groups = _need_parts(inputs, shuffled_dim, "shuffled_dim", num_groups, name)
        return self.recorder.shuffle_tensors(parts, dim, groups, name)

    def customized(self, inputs: list[DTensor | None], bgraph: CyTBGraph) -> list[DTensor]:
        """Make a thread-block graph an operator; it has no outputs of its own."""
        exactly(inputs, list, "inputs")
        _need_block_graph(bgraph)
        for tensor in inputs:
            if tensor is not None and type(tensor) is not DTensor:
                _refuse_tensor(tensor)
        self.recorder.customized(inputs, bgraph.block)
        return []

    def register_task(
        self, bgraph: CyTBGraph, task_type: str, params: list[int] | None = None
    ) -> None:
        _need_block_graph(bgraph)
        exactly(task_type, str, "task_type")
        exactly(params, list, "params", optional=True)
        for param in params or ():
            c_int(param, f"params of {task_type}")
        self.recorder.register_task(task_type, params)


class KNGraph:
    """A kernel graph as Mirage's Python wraps it."""

    def __init__(self, graph: CyKNGraph) -> None:
        self.cygraph = graph
        self.backend = "cuda"

    def new_input(
        self,
        dims: tuple[int, ...],
        strides: Sequence[int] | None = None,
        dtype: dtype = float16,
    ) -> DTensor:
        """A tensor without memory yet; row-major when `strides` is None."""
        with doing("new_input"):
            with arithmetic(f"the layout of dims={dims!r}, strides={strides!r}"):
                steps = row_major(dims) if strides is None else tuple(strides)
                same_length = len(dims) == len(steps)
            if not same_length:
                refuse(
                    AssertionError,
                    f"{len(dims)} dims {tuple(dims)} but {len(steps)} strides {steps}",
                    remedy="Give a stride in elements for each dimension, or none for row-major",
                )
            return self.cygraph.new_input(dims, steps, dtype)

    def attach_torch_tensor(self, t: DTensor, torch_tensor: Any, name: str) -> None:
        with doing("attach_torch_tensor"):
            self.cygraph.attach_torch_tensor(t, torch_tensor, name)

    def attach_cuda_tensor(self, t: DTensor, name: str) -> None:
        with doing("attach_cuda_tensor"):
            self.cygraph.attach_cuda_tensor(t, name)

    def attach_nvshmem_tensor(self, t: DTensor, name: str) -> None:
        with doing("attach_nvshmem_tensor"):
            self.cygraph.attach_nvshmem_tensor(t, name)

    def fuse_tensors(
        self,
        input: list[DTensor],  # noqa: A002  Mirage's name
        fuse_dim: int,
        num_groups: int,
        name: str,
    ) -> DTensor:
        with doing("fuse_tensors"):
            return self.cygraph.fuse_tensors(input, fuse_dim, num_groups, name)

    def shuffle_tensors(
        self,
        input: list[DTensor],  # noqa: A002  Mirage's name
        shuffled_dim: int,
        num_groups: int,
        name: str,
    ) -> DTensor:
        with doing("shuffle_tensors"):
            return self.cygraph.shuffle_tensors(input, shuffled_dim, num_groups, name)

    def customized(self, inputs: list[DTensor | None], bgraph: TBGraph) -> list[DTensor]:
        with doing("customized"):
            return self.cygraph.customized(inputs, bgraph.cygraph)

    def register_task(
        self, bgraph: TBGraph, task_type: str, params: list[int] | None = None
    ) -> None:
        with doing("register_task"):
            self.cygraph.register_task(bgraph.cygraph, task_type, params)


class TBGraph:
    """A thread-block graph as Mirage's Python wraps it."""

    def __init__(self, graph: CyTBGraph) -> None:
        self.cygraph = graph

    def new_input(
        self,
        dtensor: DTensor | None,
        input_map: tuple[int, int, int],
        forloop_dim: int,
        store_in_dmem: bool = False,
    ) -> STensor:
        return self.cygraph.new_input(dtensor, input_map, forloop_dim, store_in_dmem)


def _need_dtensor(value: Any, argument: str) -> None:
    if value is not None and type(value) is not DTensor:
        given = type(value).__name__
        refuse(
            TypeError,
            f"{argument} is a {given}: a tensor of the graph is needed",
            remedy="Use what attach_input or new_tensor returned",
            upstream=f"Argument '{argument}' has incorrect type (expected "
            f"mirage.core.DTensor, got {given})",
        )


def _refuse_tensor(value: Any) -> None:
    refuse(
        AssertionError,
        f"a {type(value).__name__} where a tensor of the graph is needed",
        remedy="Use what attach_input or new_tensor returned",
    )


def _need_block_graph(value: Any) -> None:
    if not isinstance(value, CyTBGraph):
        given = type(value).__name__
        refuse(
            TypeError,
            f"bgraph is a {given}: a thread-block graph is needed",
            upstream="Argument 'bgraph' has incorrect type (expected "
            f"mirage.core.CyTBGraph, got {given})",
        )


def _need_dtype(value: Any) -> dtype:
    if not isinstance(value, dtype):
        refuse(
            AttributeError,
            f"dtype is {value!r}: an element type of Mirage is needed",
            remedy="Use mirage.bfloat16, mirage.int64 and so on",
            upstream=f"'{type(value).__name__}' object has no attribute 'is_fp8'",
        )
    return value


def _need_name(name: Any) -> str:
    exactly(name, str, "name", optional=True)
    if name is None:
        fatal("a tensor without a name", remedy="Give name=...")
    return str(name)


def _need_parts(
    inputs: Any, dim: Any, dim_name: str, num_groups: Any, name: Any
) -> tuple[list[DTensor], int, int]:
    exactly(inputs, list, "inputs")
    along, groups = c_int(dim, dim_name), c_int(num_groups, "num_groups")
    exactly(name, str, "name", optional=True)
    for tensor in inputs:
        if type(tensor) is not DTensor:
            _refuse_tensor(tensor)
    return inputs, along, groups
