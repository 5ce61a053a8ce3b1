"""Bytes and events of operators, from columns over the tasks that are not yet claimed by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.layout_extents import LayoutExtents
from mpkgraph.catalog import Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import SlotLayout, TaskColumns

_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What an operator's tasks add up to."""

    num_events_in: int
    num_events_out: int
    bytes_read: int | None
    bytes_written: int | None
    first_level: int
    last_level: int
    """-1 where levels were not given."""
    last_wait: int
    """Rank and index of the last event waited on in one number; -1 for none."""
    first_wait: int
    """Of the first; a number past all where there is none."""


class PendingTasks:
    """Columns over the tasks that no operator has claimed yet."""

    def __init__(self) -> None:
        self._first = 0
        self._columns: tuple[IntArray, ...] = tuple(np.empty(0, dtype=np.int64) for _ in range(5))

    def add(
        self,
        first_task_id: int,
        tasks: TaskColumns,
        bytes_read: IntArray,
        bytes_written: IntArray,
        levels: IntArray | None = None,
    ) -> None:
        fresh = (
            _event_keys(tasks.dependent_events),
            _event_keys(tasks.trigger_events),
            bytes_read,
            bytes_written,
            np.full(len(tasks), -1, dtype=np.int64) if levels is None else levels,
        )
        if not len(self._columns[0]):
            self._first, self._columns = first_task_id, fresh
        else:
            self._columns = tuple(
                np.concatenate(pair) for pair in zip(self._columns, fresh, strict=True)
            )

    def of(self, task_ids: IntArray) -> Traffic:
        places = task_ids - self._first
        waits, triggers, bytes_read, bytes_written, levels = (x[places] for x in self._columns)
        waited = waits[waits >= 0]
        return Traffic(
            num_events_in=_num_distinct(waits),
            num_events_out=_num_distinct(triggers),
            bytes_read=None if (bytes_read < 0).any() else int(bytes_read.sum()),
            bytes_written=None if (bytes_written < 0).any() else int(bytes_written.sum()),
            first_level=int(levels.min(initial=_INT64.max)) if len(levels) else -1,
            last_level=int(levels.max(initial=-1)),
            first_wait=int(waited.min(initial=_INT64.max)),
            last_wait=int(waited.max(initial=-1)),
        )

    def drop_before(self, task_id: int) -> None:
        """Forgets the tasks below `task_id`."""
        count = task_id - self._first
        if count > 0:
            self._first = task_id
            self._columns = tuple(column[count:].copy() for column in self._columns)


class TileBytes:
    """Bytes of tiles: by task, and where in each tensor."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._extents = LayoutExtents.of((), catalog)
        self._lowest = np.empty(0, dtype=np.int64)
        self._highest = np.empty(0, dtype=np.int64)
        """Lowest and highest offset of each layout's slots."""

    def add(self, tasks: TaskColumns, layouts: Sequence[SlotLayout]) -> tuple[IntArray, IntArray]:
        """For each task the bytes of its inputs' tiles and of its outputs'; -1 for not known."""
        num_known = len(self._lowest)
        if len(layouts) > num_known:
            self._extents = self._extents.extended(layouts[num_known:], self._catalog)
            num_fresh = len(layouts) - num_known
            self._lowest = np.append(self._lowest, np.full(num_fresh, _INT64.max))
            self._highest = np.append(self._highest, np.full(num_fresh, _INT64.min))
        np.minimum.at(self._lowest, tasks.slot_layouts, tasks.slot_offsets)
        np.maximum.at(self._highest, tasks.slot_layouts, tasks.slot_offsets)
        sizes = self._extents.num_bytes[tasks.slot_layouts]
        first, last = tasks.slot_starts[:-1], tasks.slot_starts[1:]
        middle = first + tasks.num_inputs
        known, unknown = _running_sum(np.maximum(sizes, 0)), _running_sum(sizes < 0)
        bytes_read = known[middle] - known[first]
        bytes_read[unknown[middle] > unknown[first]] = -1
        bytes_written = known[last] - known[middle]
        bytes_written[unknown[last] > unknown[middle]] = -1
        return bytes_read, bytes_written

    def spans(self, layouts: Sequence[SlotLayout]) -> dict[str, int]:
        """For each tensor, in order of first use, the bytes from the lowest to past the highest of
        all tiles.
        """
        used = self._lowest <= self._highest
        used &= self._extents.placed(np.arange(len(used)), self._highest)
        used &= np.array([not layout.is_null for layout in layouts], dtype=np.bool_)
        places = np.flatnonzero(used)
        firsts = (self._lowest + self._extents.lowest)[places].tolist()
        ends = (self._highest + self._extents.end)[places].tolist()
        bounds: dict[str, tuple[int, int]] = {}
        for place, first, end in zip(places.tolist(), firsts, ends, strict=True):
            low, high = bounds.get(layouts[place].base_ptr, (first, end))
            bounds[layouts[place].base_ptr] = min(low, first), max(high, end)
        return {name: high - low for name, (low, high) in bounds.items()}


def _event_keys(event_ids: npt.NDArray[np.uint64]) -> IntArray:
    """Rank and index in one number; -1 for no event."""
    indices = ids.event_indices(event_ids)
    keys: IntArray = (ids.event_ranks(event_ids) << ids.EVENT_RANK_SHIFT) | indices
    keys[indices < 0] = -1
    return keys


def _num_distinct(keys: IntArray) -> int:
    found = distinct(keys)
    return len(found) - int(len(found) > 0 and found[0] < 0)


def _running_sum(values: npt.NDArray[Any]) -> IntArray:
    sums = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(values, out=sums[1:])
    return sums
