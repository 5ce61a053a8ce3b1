"""A column of an entry that stays compressed until it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import zstandard

from mpkgraph.io.entry_checks import Column, fail


class Piece(NamedTuple):
    """A part of a stored column."""

    dtype: np.dtype[Any]
    num_values: int
    frame: memoryview
    low: int
    high: int
    """Bounds of the lower 32 bits of its values, as the entry tells."""


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
        self._last: tuple[int, Column] | None = None

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def num_pieces(self) -> int:
        return len(self._pieces)

    def num_pieces_of(self, start: int, stop: int) -> int:
        """Pieces that hold the rows from `start` to `stop`."""
        return self._span(start, stop)[1] - self._span(start, stop)[0]

    @property
    def is_narrow(self) -> bool:
        """Whether the types of the pieces hold nothing that the column's does not."""
        dtypes = {piece.dtype for piece in self._pieces}
        return all(np.can_cast(dtype, self._dtype) for dtype in dtypes)

    def load(self) -> Column:
        """The column in its full type. Raises EntryError, or an error of zstandard's."""
        if len(self._pieces) == 1 and self._pieces[0].dtype == self._dtype:
            return self._expand(self._pieces[0])
        column = np.empty(len(self), self._dtype)
        for piece, end in zip(self._pieces, self._ends.tolist(), strict=True):
            column[end - piece.num_values : end] = self._expand(piece)
        return column

    def load_narrow(self) -> Column:
        """As `load`, in a type that may be narrower, so that there is less to fill."""
        parts = [self._expand(piece) for piece in self._pieces]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def rows(self, start: int, stop: int) -> Column:
        """As `load`, of the rows from `start` to `stop` alone."""
        if start >= stop:
            return np.empty(0, self._dtype)
        first, end = self._span(start, stop)
        before = int(self._ends[first]) - self._pieces[first].num_values
        if end == first + 1:
            part = self._expanded(first)
        else:
            part = np.concatenate([self._expanded(place) for place in range(first, end)])
        return part[start - before : stop - before].astype(self._dtype)

    def num_parts(self, first: int, last: int) -> int:
        """Pieces that `parts` unpacks."""
        return sum(piece.low <= last and first <= piece.high for piece in self._pieces)

    def parts(self, first: int, last: int) -> Iterator[tuple[int, Column]]:
        """Rows in pieces, with the place of the first of each, in the column's type; pieces are
        left out where the lower 32 bits of no value are from `first` to `last`.
        """
        for place, (piece, end) in enumerate(zip(self._pieces, self._ends.tolist(), strict=True)):
            if piece.low <= last and first <= piece.high:
                values = self._expanded(place)
                yield end - piece.num_values, values.astype(self._dtype, copy=False)

    def take(self, places: Column) -> Column:
        """As `load`, of some rows in ascending order."""
        taken = np.empty(len(places), self._dtype)
        cuts = np.searchsorted(places, self._ends).tolist()
        low = before = 0
        for piece, end, high in zip(self._pieces, self._ends.tolist(), cuts, strict=True):
            if high > low:
                taken[low:high] = self._expand(piece)[places[low:high] - before]
            low, before = high, end
        return taken

    def find(self, wanted: Column) -> Column:
        """Rows, ascending, whose value v has `wanted[v]`; no value is beyond `wanted`."""
        found = [np.empty(0, np.int64)]
        for piece, end in zip(self._pieces, self._ends.tolist(), strict=True):
            rows = np.flatnonzero(wanted.take(self._expand(piece)))
            rows += end - piece.num_values
            found.append(rows)
        return np.concatenate(found)

    def _span(self, start: int, stop: int) -> tuple[int, int]:
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = int(np.searchsorted(self._ends, stop, side="left"))
        return first, last + 1

    def check(self, low: int, high: int, problem: str) -> None:
        """Raises EntryError when a value is not from `low` to `high`."""
        for piece in self._pieces:
            bounds = np.iinfo(piece.dtype)
            if not piece.num_values or (low <= bounds.min and bounds.max <= high):
                continue
            values = self._expand(piece)
            if not (low <= int(values.min()) and int(values.max()) <= high):
                fail(problem)

    def _expanded(self, place: int) -> Column:
        """A piece, unpacked once where it is asked for again and again."""
        if self._last is None or self._last[0] != place:
            self._last = place, self._expand(self._pieces[place])
        return self._last[1]

    def _expand(self, piece: Piece) -> Column:
        size = piece.num_values * piece.dtype.itemsize
        raw = self._decompressor.decompress(piece.frame, max_output_size=size)
        if len(raw) != size:
            fail("a block is not of the size that it says")
        values: Column = np.frombuffer(raw, piece.dtype, piece.num_values)
        return values
