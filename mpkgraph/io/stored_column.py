"""A column of an entry that stays compressed until it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import zstandard

from mpkgraph.io.entry_checks import Column, fail


class Piece(NamedTuple):
    """A part of a stored column."""

    dtype: np.dtype[Any]
    num_values: int
    frame: memoryview


class StoredColumn:
    """A column of an entry, still compressed."""

    def __init__(
        self,
        dtype: np.dtype[Any],
        pieces: Sequence[Piece],
        decompressor: zstandard.ZstdDecompressor,
    ) -> None:
        self._dtype = dtype
        self._pieces = pieces
        self._ends = np.cumsum([piece.num_values for piece in pieces])
        self._decompressor = decompressor

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def is_narrow(self) -> bool:
        """Whether the types of the pieces hold nothing that the column's does not."""
        return all(np.can_cast(piece.dtype, self._dtype) for piece in self._pieces)

    def load(self) -> Column:
        """The column in its full type. Raises EntryError, or an error of zstandard's."""
        if len(self._pieces) == 1 and self._pieces[0].dtype == self._dtype:
            return self._expand(self._pieces[0])
        column = np.empty(len(self), self._dtype)
        for piece, end in zip(self._pieces, self._ends.tolist(), strict=True):
            column[end - piece.num_values : end] = self._expand(piece)
        return column

    def rows(self, start: int, stop: int) -> Column:
        """As `load`, of the rows from `start` to `stop` alone."""
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        parts = [self._expand(piece) for piece in self._pieces[first : last + 1]]
        if start >= stop or not parts:
            return np.empty(0, self._dtype)
        before = int(self._ends[first]) - self._pieces[first].num_values
        return np.concatenate(parts)[start - before : stop - before].astype(self._dtype)

    def check(self, low: int, high: int, problem: str) -> None:
        """Raises EntryError when a value is not from `low` to `high`."""
        for piece in self._pieces:
            bounds = np.iinfo(piece.dtype)
            if not piece.num_values or (low <= bounds.min and bounds.max <= high):
                continue
            values = self._expand(piece)
            if not (low <= int(values.min()) and int(values.max()) <= high):
                fail(problem)

    def _expand(self, piece: Piece) -> Column:
        size = piece.num_values * piece.dtype.itemsize
        raw = self._decompressor.decompress(piece.frame, max_output_size=size)
        if len(raw) != size:
            fail("a block is not of the size that it says")
        values: Column = np.frombuffer(raw, piece.dtype, piece.num_values)
        return values
