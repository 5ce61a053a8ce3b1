"""Bytes of tiles, once for each slot layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model.byteset import is_nested
from mpkgraph.model.graph import SlotLayout
from mpkgraph.model.tile import MAX_ADDRESS, TileError, TileLayout

MAX_LISTED_RUNS = 1 << 12
"""Runs of bytes listed at most for one layout. Tiles that Mirage makes need one; a graph can have
thousands of layouts."""


@dataclass(frozen=True)
class LayoutExtents:
    """For each slot layout the bytes of its tiles; relative to a slot's offset where placed."""

    num_bytes: IntArray
    """Distinct bytes of one tile; 0 for a null slot, -1 where they are not known (`tile_bytes`)."""
    lowest: IntArray
    """First byte (0 unless a stride is negative)."""
    end: IntArray
    """Past the last byte."""

    @classmethod
    def of(cls, layouts: Sequence[SlotLayout], catalog: Catalog = DEFAULT) -> LayoutExtents:
        """Extents of layouts; of one that names no definite bytes they are not known."""
        # Layers of a model have the same tiles of other tensors
        known: dict[tuple[Any, ...], tuple[int, int, int]] = {}
        rows = []
        for layout in layouts:
            key = layout.is_null, layout.data_type, layout.dims, layout.strides
            row = known.get(key)
            if row is None:
                row = known[key] = _extent(layout, catalog)
            rows.append(row)
        columns = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return cls(columns[:, 0], columns[:, 1], columns[:, 2])

    def extended(self, layouts: Sequence[SlotLayout], catalog: Catalog) -> LayoutExtents:
        """These and more layouts."""
        more = LayoutExtents.of(layouts, catalog)
        return LayoutExtents(
            np.concatenate((self.num_bytes, more.num_bytes)),
            np.concatenate((self.lowest, more.lowest)),
            np.concatenate((self.end, more.end)),
        )

    def placed(self, layouts: npt.NDArray[np.integer], offsets: IntArray) -> npt.NDArray[np.bool_]:
        """For each slot whether the bytes of its tile are known, and not beyond any memory."""
        known: npt.NDArray[np.bool_] = self.num_bytes[layouts] >= 0
        known &= np.abs(offsets) < MAX_ADDRESS
        return known


def tile_bytes(tile: TileLayout) -> int | None:
    """Distinct bytes of a tile; None where they are not known: an element without a size, or
    strides so irregular that the bytes would have to be listed one by one.
    """
    if not tile.has_bytes:
        return None
    levels = tile.levels
    if not is_nested(levels) and math.prod(count for count, _ in levels[1:]) > MAX_LISTED_RUNS:
        return None
    return tile.num_bytes


def _extent(layout: SlotLayout, catalog: Catalog) -> tuple[int, int, int]:
    try:
        tile = TileLayout.of(layout, catalog)
        if tile is None:
            return 0, 0, 0
        num_bytes = tile_bytes(tile)
        if num_bytes is None:
            return -1, 0, 0
        return num_bytes, tile.lowest, tile.lowest + tile.extent_bytes
    except TileError:
        return -1, 0, 0
