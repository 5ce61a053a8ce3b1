"""What `mirage.core`, `mirage.kernel` and `mirage.threadblock` export, on our core."""

from __future__ import annotations

from typing import Any

from mpkgraph.catalog.data_types import DATA_TYPES
from mpkgraph.model.record import RECORD_DATA_TYPES
from mpkgraph.pipeline import dtypes
from mpkgraph.pipeline.dtypes import dtype, from_torch
from mpkgraph.pipeline.graphs import CyKNGraph, CyTBGraph, KNGraph, TBGraph
from mpkgraph.pipeline.refusal import refuse
from mpkgraph.pipeline.tensors import DTensor, STensor

CONSTANTS = (
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float8",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "float8_e4m3",
)
"""Element types by the names that scripts use."""

TORCH_OF = {
    "fp8": "float8_e4m3fn",
    "fp8_e4m3": "float8_e4m3fn",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
    "int32": "int32",
    "int64": "int64",
    "fp64": "float64",
}
"""Mirage's element type to the torch type that it is converted to."""

SUPEROPTIMIZER = (
    "cy_from_json",
    "cy_to_json",
    "generate_cuda_program",
    "generate_nki_program",
    "generate_triton_program",
    "search",
)
"""Functions of Mirage's other half, which generates single kernels."""

_CTYPES = {row.name: row.value for row in DATA_TYPES}


def convert_dtype_to_ctype(type: dtype) -> int:  # noqa: A002  Mirage's parameter name
    return _CTYPES[RECORD_DATA_TYPES[type.name]]


def convert_ctype_to_dtype(type: int) -> dtype | None:  # noqa: A002
    for name, ctype_name in RECORD_DATA_TYPES.items():
        if _CTYPES[ctype_name] == type:
            return dtype(name)
    return None


def convert_dtype_to_torch_type(type: dtype) -> Any:  # noqa: A002
    if type.name not in TORCH_OF:
        refuse(
            AssertionError,
            f"no torch type for {type}",
            upstream=f"Unsupported dtype: {type}",
        )
    import torch

    return getattr(torch, TORCH_OF[type.name])


def new_kernel_graph() -> KNGraph:
    return KNGraph(CyKNGraph())


def new_threadblock_graph(
    grid_dim: tuple[int, ...],
    block_dim: tuple[int, ...],
    forloop_range: int,
    reduction_dimx: int,
) -> TBGraph:
    return TBGraph(CyTBGraph(grid_dim, block_dim, forloop_range, reduction_dimx))


def set_gpu_device_id(gpu_id: int) -> None:
    """Nothing is on a GPU."""


def _superoptimizer(name: str) -> Any:
    def absent(*_args: Any, **_kwargs: Any) -> None:
        refuse(
            RuntimeError,
            f"mirage.{name} belongs to Mirage's superoptimizer, of which the stand-in has nothing",
            remedy="It describes persistent kernels (PersistentKernel) only",
        )

    return absent


CORE: dict[str, Any] = {
    **{name: getattr(dtypes, name) for name in CONSTANTS},
    **{name: _superoptimizer(name) for name in SUPEROPTIMIZER},
    "dtype": dtype,
    "CyKNGraph": CyKNGraph,
    "CyTBGraph": CyTBGraph,
    "DTensor": DTensor,
    "STensor": STensor,
    "convert_ctype_to_dtype": convert_ctype_to_dtype,
    "convert_dtype_to_ctype": convert_dtype_to_ctype,
    "convert_dtype_to_torch_type": convert_dtype_to_torch_type,
    "convert_torch_type_to_dtype": from_torch,
    "set_gpu_device_id": set_gpu_device_id,
}
"""Names of `mirage.core`."""

PATCHABLE = (CyKNGraph, CyTBGraph, DTensor, KNGraph, STensor, TBGraph, dtype)
"""Classes that a script sees and could change."""
