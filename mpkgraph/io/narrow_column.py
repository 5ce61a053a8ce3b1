"""A column that grows by pieces in the narrowest type that holds all of its values so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]

NARROWER = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32)
"""Narrower types than 64 bits, in the order in which they are tried."""
GROWTH = 1.125
"""Room grows by an eighth: `realloc` moves pages, not bytes."""
_BOUNDS = [(np.dtype(x), int(np.iinfo(x).min), int(np.iinfo(x).max)) for x in NARROWER]


class NarrowColumn:
    """Values of one 64-bit type or a narrower one; the room stays for what comes after `clear`."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._widest: np.dtype[Any] = np.dtype(dtype)
        self._room = np.empty(0, np.uint8)
        self.clear()

    def __len__(self) -> int:
        return self._length

    def clear(self) -> None:
        """No values are left."""
        self._length = 0
        self._low, self._high = 0, 0
        self._dtype: np.dtype[Any] = _BOUNDS[0][0]

    def extend(self, piece: Column) -> None:
        if not len(piece):
            return
        self._low = min(self._low, int(piece.min()))
        self._high = max(self._high, int(piece.max()))
        dtype = self._type()
        start, self._length = self._length, self._length + len(piece)
        num_bytes = self._length * dtype.itemsize
        if num_bytes > len(self._room):
            # refcheck: views of it are never kept across calls
            size = max(num_bytes, int(len(self._room) * GROWTH))
            self._room.resize((size + 7) & ~7, refcheck=False)
        if dtype != self._dtype:
            before = self._view(start)
            self._dtype = dtype
            self._view(start)[:] = before.copy()
        self._view(self._length)[start:] = piece

    def view(self) -> Column:
        """What is there, until the next call of another method."""
        return self._view(self._length)

    def widened(self) -> Column:
        """A copy of what is there, in its full type."""
        return self.view().astype(self._widest)

    def take(self) -> Column:
        """The column in its full type; it is empty afterwards."""
        column = self.widened()
        self._room = np.empty(0, np.uint8)
        self.clear()
        return column

    def _type(self) -> np.dtype[Any]:
        for dtype, low, high in _BOUNDS:
            if dtype.itemsize < self._widest.itemsize and low <= self._low and self._high <= high:
                return dtype
        return self._widest

    def _view(self, length: int) -> Column:
        found: Column = self._room[: length * self._dtype.itemsize].view(self._dtype)
        return found
