"""Whether the tiles of some accesses together hold all bytes of another one's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mpkgraph.analysis.verify.rules.hazards.access import Access, CellKey
from mpkgraph.errors import TooLargeError
from mpkgraph.model.coverage import cover
from mpkgraph.model.region import Region
from mpkgraph.model.tile import TileLayout

MAX_REMEMBERED = 1 << 16


class Unions:
    """Answers are kept by what they depend on: layers of a model ask the same again."""

    def __init__(self) -> None:
        self._covered: dict[tuple[frozenset[CellKey], CellKey], bool] = {}

    def covers(self, covering: Iterable[Access], access: Access) -> bool:
        """Whether the tiles of `covering` hold every byte of the tiles of `access`.

        False also where the tiles are too irregular to tell.
        """
        keys = frozenset(x.key for x in covering)
        if access.key in keys:
            return True
        question = keys, access.key
        if question not in self._covered:
            if len(self._covered) > MAX_REMEMBERED:
                self._covered.clear()
            self._covered[question] = _holds(keys, access.key)
        return self._covered[question]


def _holds(keys: frozenset[CellKey], wanted: CellKey) -> bool:
    parts = [(layout, np.frombuffer(offsets, np.int64)) for layout, offsets in keys]
    own = wanted[0], np.frombuffer(wanted[1], np.int64)
    extent = _extent(own)
    try:
        alone = cover(parts, extent).covered_bytes
        return alone == cover([*parts, own], extent).covered_bytes
    except TooLargeError:
        return False


def missing(covering: Iterable[Access], access: Access) -> tuple[Region, ...]:
    """Bytes that no tile of `covering` holds, of the first tile of `access` that has such.

    Raises TooLargeError where the tiles are too irregular.
    """
    keys = {x.key for x in covering}
    parts = [(layout, np.frombuffer(offsets, np.int64)) for layout, offsets in keys]
    for offset in access.distinct_offsets.tolist():
        own = access.tile(int(np.flatnonzero(access.offsets == offset)[0]))
        holes = tuple(cover(parts, own).holes())
        if holes:
            return holes
    return ()


def _extent(part: tuple[TileLayout, np.ndarray[tuple[int], np.dtype[np.int64]]]) -> tuple[int, int]:
    layout, offsets = part
    low = int(offsets.min()) + layout.lowest
    return low, int(offsets.max()) + layout.lowest + layout.extent_bytes
