"""Tensors as a pipeline sees them: handles of the graph, and what stands for a torch tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import InputMap
from mpkgraph.pipeline.dtypes import dtype
from mpkgraph.pipeline.refusal import fatal, refuse

MAX_TENSOR_DIMS = 4
"""`MAX_TENSOR_DIMS` of `include/mirage/config.h`; a fifth is written past the array."""


def row_major(dims: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of a contiguous tensor.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    strides: list[int] = []
    elements = 1
    for dim in reversed(dims):
        strides.append(elements)
        elements *= dim
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape, type and strides (in elements) where a torch tensor is asked for; has no data."""

    shape: tuple[int, ...]
    dtype: str
    """torch's name: `bfloat16`, `int64`."""
    strides: tuple[int, ...] | None = None
    """None is row-major."""

    def stride(self) -> tuple[int, ...]:
        return row_major(self.shape) if self.strides is None else self.strides


def is_tensor_like(value: Any) -> bool:
    """Whether a value has what `attach_input` reads: `shape`, `stride()` and `dtype`."""
    return all(hasattr(value, name) for name in ("shape", "stride", "dtype"))


class DTensor:
    """A tensor of the kernel graph, as `mirage.core.DTensor` shows it.

    `name` is None until the tensor is attached or made by `fuse_tensors` or `shuffle_tensors`.
    """

    __slots__ = ("dims", "dtype", "guid", "name", "strides")

    def __init__(
        self, guid: int, dims: tuple[int, ...], strides: tuple[int, ...], data_type: dtype
    ) -> None:
        self.guid = guid
        self.dims = dims
        self.strides = strides
        self.dtype = data_type
        self.name: str | None = None

    @property
    def tensor(self) -> DTensor:
        """Something that is not None: Mirage gives the address of its own object."""
        return self

    @property
    def num_dims(self) -> int:
        return len(self.dims)

    def dim(self, idx: int) -> int:
        return _dim(self, self.dims, idx)

    def __str__(self) -> str:
        """`'x' [8, 4096]`, for messages."""
        return f"{self.name!r} {list(self.dims)}" if self.name else f"unnamed {list(self.dims)}"

    def __repr__(self) -> str:
        return f"<DTensor {self} {self.dtype}>"


class STensor:
    """A tile of a tensor in a thread-block graph, as `TBGraph.new_input` returns it."""

    __slots__ = ("dims", "dtype", "guid")

    def __init__(self, guid: int, dims: tuple[int, ...], data_type: dtype | None) -> None:
        self.guid = guid
        self.dims = dims
        self.dtype = data_type

    @property
    def tensor(self) -> STensor:
        return self

    @property
    def num_dims(self) -> int:
        return len(self.dims)

    def dim(self, idx: int) -> int:
        return _dim(self, self.dims, idx)


def tile_dims(
    dims: tuple[int, ...], grid_dim: tuple[int, int, int], input_map: InputMap
) -> tuple[int, ...]:
    """Dims of one block's tile; a remainder is dropped as Mirage's default build drops it."""
    tile = list(dims)
    for size, dim in zip(grid_dim, input_map, strict=True):
        if size > 1 and 0 <= dim < len(tile):
            tile[dim] //= size
    return tuple(tile)


def _dim(tensor: DTensor | STensor, dims: tuple[int, ...], idx: int) -> int:
    if idx >= len(dims):
        refuse(
            AssertionError,
            f"dim({idx}) of a tensor with {len(dims)} dimensions: {tensor}",
            upstream="Error: index out of range",
        )
    if idx < 0:
        fatal(
            f"dim({idx}) of {tensor} reads memory before the dimensions",
            remedy=f"Count from the front: dim({len(dims) + idx})",
        )
    return dims[idx]
