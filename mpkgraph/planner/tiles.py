"""What the tasks of a recorded layer hold in each slot: name, tile dims, strides, byte offset.

As Mirage's generator writes them (`print_task_graph` in `src/kernel/runtime.cc` and `TBInputOp`
at `de8745d`): integer division throughout, so a grid that does not divide drops the remainder, and
C++ integers, which wrap around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mpkgraph.catalog import DT_UNKNOWN, Catalog
from mpkgraph.catalog.registered.arithmetic import int32
from mpkgraph.frozen import dataclass
from mpkgraph.model.graph import NULL_TENSOR
from mpkgraph.model.operator import Grid, InputMap
from mpkgraph.model.record import (
    RECORD_DATA_TYPES,
    LayerSlot,
    PipelineRecord,
    RecordedTensor,
    TensorCall,
)

Int64Array = npt.NDArray[np.int64]

REMEMBERED = 512
FUSED = "fuse_tensors"
"""Kind of the tensors whose tiles lie in the tensors they are made of."""


@dataclass(frozen=True, slots=True)
class TileColumn:
    """One slot of all tasks of a layer.

    A fused tensor's tiles lie in its parts: `parts` has name and strides of each, and `part_of[i]`
    says which one task i sees (None: all of them the first).
    """

    parts: tuple[tuple[str, tuple[int, ...]], ...]
    part_of: Int64Array | None
    data_type: int
    dims: tuple[int, ...]
    offsets: Int64Array | None
    """Bytes; None where the map names a dim that the tensor lacks: Mirage then multiplies with
    whatever its memory holds."""

    def named(self, base_ptr: str) -> TileColumn:
        """The same tiles of another tensor. Not for fused tensors."""
        ((_, strides),) = self.parts
        return TileColumn(((base_ptr, strides),), None, self.data_type, self.dims, self.offsets)

    def of(self, tasks: npt.NDArray[np.bool_]) -> TileColumn:
        """The column of some of the tasks."""
        return replace(
            self,
            part_of=None if self.part_of is None else self.part_of[tasks],
            offsets=None if self.offsets is None else self.offsets[tasks],
        )


class TileError(Exception):
    """The record does not tell the tiles, or Mirage dies of them. `remedy` is for the author."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


class LayerTiles:
    """Computes tile columns for the layers of one record."""

    def __init__(self, record: PipelineRecord, catalog: Catalog) -> None:
        self.record = record
        self.catalog = catalog
        self._numbers = {name: number for number, name in catalog.data_types.items()}

    def column(
        self,
        slot: LayerSlot,
        grid: Grid,
        num_subtasks: int,
        *,
        is_output: bool,
        plane: int = 0,
        forloop_range: int = 1,
    ) -> TileColumn:
        """The column of a slot, tasks in grid order; `plane` elements are added to offsets.

        Raises TileError.
        """
        if slot.tensor is None:
            zeros = np.zeros(math.prod(grid) * num_subtasks, dtype=np.int64)
            return TileColumn(((NULL_TENSOR, ()),), None, DT_UNKNOWN, (), zeros)
        tensor = self.record.tensor_by_id[slot.tensor]
        data_type = self.data_type(tensor)
        dims = tile_dims(tensor.dims, grid, slot.input_map, slot.forloop_dim, forloop_range)
        call = self.record.calls.get(tensor.id)
        if tensor.kind == FUSED and not is_output:
            if call is None or not call.inputs or not call.num_groups:
                raise TileError(f"the log does not say what {tensor.name!r} is fused of")
            points = grid_points(grid, num_subtasks)
            return self._fused(tensor, call, slot.input_map, grid, points, data_type, dims)
        strides = tuple(int32(x) for x in tensor.strides)
        size = self.catalog.data_type_size(data_type) or 0
        offsets = _plain_offsets(
            tensor.dims, strides, slot.input_map, grid, num_subtasks, size, plane
        )
        _check_offsets(tensor, offsets)
        return TileColumn(((tensor.base_ptr, strides),), None, data_type, dims, offsets)

    def data_type(self, tensor: RecordedTensor) -> int:
        """Number of a tensor's element type. Raises TileError when the tables lack it."""
        number = self._numbers.get(RECORD_DATA_TYPES.get(tensor.dtype, ""))
        if number is None:
            raise TileError(
                f"tensor {tensor.name!r} has the unknown type {tensor.dtype!r}",
                f"Known are {', '.join(RECORD_DATA_TYPES)}",
            )
        return number

    def _fused(
        self,
        tensor: RecordedTensor,
        call: TensorCall,
        input_map: InputMap,
        grid: Grid,
        points: Int64Array,
        data_type: int,
        dims: tuple[int, ...],
    ) -> TileColumn:
        """Rows of the parts take turns, `num_groups` times; a tile starts in one of the parts."""
        parts = [
            self.record.tensor_by_id[ref.tensor]
            for ref in call.inputs or ()
            if ref.tensor is not None
        ]
        rank = len(tensor.dims)
        for part in parts:
            if len(part.dims) < rank:
                raise TileError(
                    f"{part.name!r} has {len(part.dims)} dims, {tensor.name!r} that it is part of "
                    f"has {rank}: Mirage reads strides past their end",
                    f"Attach it with {rank} dims",
                )
        sizes = np.array([part.dims[0] // (call.num_groups or 1) for part in parts], dtype=np.int64)
        group = int(sizes.sum())
        if not group:
            raise TileError(
                f"the groups of {tensor.name!r} are empty: Mirage dies of a division by zero",
                "Give at most as many groups as the smallest part has rows",
            )
        row = np.zeros(points.shape[1], dtype=np.int64)
        for axis, dim in enumerate(input_map):
            if dim == 0:  # the last such axis counts
                row = tensor.dims[0] // max(grid[axis], 1) * points[axis]
        ends = np.cumsum(sizes)
        part_of = np.searchsorted(ends, row % group, side="right")
        part_row = row // group * sizes[part_of] + row % group - (ends - sizes)[part_of]
        offsets: Int64Array | None = np.zeros(points.shape[1], dtype=np.int64)
        for number, part in enumerate(parts):
            mine = part_of == number
            size = self.catalog.data_type_size(self.data_type(part)) or 0
            rows_only = tuple(-1 if dim == 0 else dim for dim in input_map)
            inner = _offsets(part.dims, part.strides, rows_only, grid, points[:, mine], size)
            if inner is None or offsets is None:
                offsets = None
                break
            # Row and stride are multiplied as 32-bit integers
            rows = (part_row[mine] * int32(part.strides[0])).astype(np.int32).astype(np.int64)
            offsets[mine] = inner + input_map.count(0) * size * rows
        _check_offsets(tensor, offsets)
        return TileColumn(
            tuple((part.base_ptr, tuple(int32(x) for x in part.strides[:rank])) for part in parts),
            part_of,
            data_type,
            dims,
            offsets,
        )


def _check_offsets(tensor: RecordedTensor, offsets: Int64Array | None) -> None:
    """Mirage's offsets wrap around where strides do not fit its 32-bit integers."""
    if offsets is not None and (offsets < 0).any():
        raise TileError(
            f"the strides of {tensor.name!r} do not fit 32 bits, and its offsets wrap around",
            "Give strides below 2**31 elements",
        )


def tile_dims(
    dims: Sequence[int],
    grid: Grid,
    input_map: InputMap,
    forloop_dim: int = -1,
    forloop_range: int = 1,
) -> tuple[int, ...]:
    """Dims of one tile: each mapped dim divided by its axis, then one by the for-loop's range.

    >>> tile_dims((8, 4096), (60, 2, 1), (1, 0, -1))
    (4, 68)
    """
    tile = list(dims)
    for axis, dim in enumerate(input_map):
        if 0 <= dim < len(tile) and grid[axis] > 1:
            tile[dim] //= grid[axis]
    if 0 <= forloop_dim < len(tile):
        tile[forloop_dim] //= forloop_range
    return tuple(tile)


@lru_cache(maxsize=REMEMBERED)
def grid_points(grid: Grid, num_subtasks: int) -> Int64Array:
    """(3, tasks): the grid point of each task, x slowest, the subtasks of a point together."""
    points: Int64Array = np.indices(grid).reshape(3, math.prod(grid)).repeat(num_subtasks, axis=1)
    points.flags.writeable = False
    return points


@lru_cache(maxsize=REMEMBERED)
def _plain_offsets(
    dims: tuple[int, ...],
    strides: tuple[int, ...],
    input_map: InputMap,
    grid: Grid,
    num_subtasks: int,
    size: int,
    plane: int,
) -> Int64Array | None:
    points = grid_points(grid, num_subtasks)
    offsets = _offsets(dims, strides, input_map, grid, points, size)
    if offsets is not None:
        offsets += _int64(plane * size)
        offsets.flags.writeable = False
    return offsets


def _offsets(
    dims: Sequence[int],
    strides: Sequence[int],
    input_map: Sequence[int],
    grid: Grid,
    points: Int64Array,
    size: int,
) -> Int64Array | None:
    """Byte offset of each tile; None when the grid splits a dim that the tensor lacks."""
    offsets = np.zeros(points.shape[1], dtype=np.int64)
    for axis, dim in enumerate(input_map):
        if grid[axis] <= 1:
            continue  # the only block is the first
        if dim >= len(dims):
            return None
        if dim >= 0:
            offsets += _int64(dims[dim] // grid[axis] * int32(strides[dim]) * size) * points[axis]
    return offsets


def _int64(number: int) -> np.int64:
    """Wrapped to 64 bits, as the generator's arithmetic does."""
    wrapped: np.int64 = np.int64((number + 2**63) % 2**64 - 2**63)
    return wrapped
