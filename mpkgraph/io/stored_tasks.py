"""Columns over tasks that come out of the cache when they are asked for.

Most questions need few of the columns, and making all of a large graph takes longer than most
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import zstandard

from mpkgraph.errors import GraphReadError
from mpkgraph.io.entry_checks import Column, EntryError, running_sum
from mpkgraph.io.stored_column import StoredColumn
from mpkgraph.model.graph import (
    BoolColumn,
    ExtraField,
    Int32Column,
    Int64Column,
    TaskColumns,
    UInt64Column,
)

MAX_READS = 64
"""Parts of a column that are unpacked by themselves before all of it is."""

_SLOT_COLUMNS = ("slot_layouts", "slot_offsets")
_Found = TypeVar("_Found")


class StoredTasks(TaskColumns):
    """Task columns of an entry whose values have been checked, but for frames that may be broken.

    Such a frame, in an entry with right checksums, raises GraphReadError when it is needed.
    """

    _stored: Mapping[str, StoredColumn]
    _num_slots: Column
    _on_damage: Callable[[str], GraphReadError]
    _num_reads: dict[str, int]

    @classmethod
    def of(
        cls,
        num_slots: Column,
        extras: Mapping[str, ExtraField],
        stored: Mapping[str, StoredColumn],
        on_damage: Callable[[str], GraphReadError],
    ) -> StoredTasks:
        """`num_slots` counts the slots of each task, `stored` are the columns of packed values.

        `on_damage` is told what is wrong with the entry and makes an error of it.
        """
        tasks = cls.__new__(cls)
        tasks.__dict__.update(
            extras=extras, _num_slots=num_slots, _stored=stored, _on_damage=on_damage, _num_reads={}
        )
        return tasks

    def __len__(self) -> int:
        return len(self._num_slots)

    @property
    def num_slots(self) -> int:
        return len(self._stored["slot_layouts"])

    def __getattr__(self, name: str) -> Any:
        stored = self.__dict__.get("_stored", {}).get(name)
        if stored is not None:
            column: Column = self._unpacked(stored.load)
        elif name == "slot_starts" and "_num_slots" in self.__dict__:
            column = running_sum(self._num_slots)
        else:
            raise AttributeError(name)
        column.flags.writeable = False
        self.__dict__[name] = column
        return column

    def values(self, name: str, places: Int64Column) -> Column:
        if not len(places) or int(places.min()) < 0:
            return super().values(name, places)
        first, last = int(places.min()), int(places.max())
        stored = self._stored.get(name)
        if (
            stored is not None
            and name not in self.__dict__
            and len(places) > 1
            and last < len(stored)
            and stored.num_pieces_of(first, last + 1) > 2
            and (places[1:] >= places[:-1]).all()
        ):
            return self._unpacked(partial(stored.take, places))
        return self._part(name, first, last + 1)[places - first]

    def value(self, name: str, task_id: int) -> int:
        if name in self.__dict__:
            return int(self.__dict__[name][task_id])
        return int(self.values(name, np.array([task_id], dtype=np.int64))[0])

    def slot_counts(self, task_ids: Int64Column) -> Int64Column:
        return self._num_slots[task_ids].astype(np.int64)

    def starts_of(self, task_ids: Int64Column) -> Int64Column:
        if "slot_starts" in self.__dict__ or not len(task_ids) or int(task_ids.min()) < 0:
            return super().starts_of(task_ids)
        first, last = int(task_ids.min()), int(task_ids.max())
        before = int(self._num_slots[:first].sum(dtype=np.int64))
        starts: Int64Column = running_sum(self._num_slots[first:last])[task_ids - first] + before
        return starts

    def event_parts(self, name: str, first: int, last: int) -> Iterator[tuple[int, UInt64Column]]:
        stored = self._stored[name]
        if name in self.__dict__ or self._is_worth_all(name, stored.num_parts(first, last)):
            yield from super().event_parts(name, first, last)
            return
        parts = stored.parts(first, last)
        while (part := self._unpacked(partial(next, parts, None))) is not None:
            yield part

    def slots_with(self, layouts: BoolColumn) -> Int64Column:
        if "slot_layouts" in self.__dict__:
            return super().slots_with(layouts)
        found: Int64Column = self._unpacked(partial(self._stored["slot_layouts"].find, layouts))
        return found

    def slot_range(self, task_id: int) -> tuple[int, int]:
        if "slot_starts" in self.__dict__:
            return super().slot_range(task_id)
        start = int(self._num_slots[:task_id].sum(dtype=np.int64))
        return start, start + int(self._num_slots[task_id])

    def slots_between(self, start: int, stop: int) -> tuple[Int32Column, Int64Column]:
        layouts, offsets = (self._part(name, start, stop) for name in _SLOT_COLUMNS)
        return layouts, offsets

    def _part(self, name: str, start: int, stop: int) -> Column:
        """Rows of a column, which stays packed when only few parts of it are asked for."""
        stored = self._stored.get(name)
        if name in self.__dict__ or stored is None or stored.num_pieces == 1:
            column: Column = getattr(self, name)
            return column[start:stop]
        if self._is_worth_all(name, stored.num_pieces_of(start, stop)):
            whole: Column = getattr(self, name)
            return whole[start:stop]
        return self._unpacked(partial(stored.rows, start, stop))

    def _is_worth_all(self, name: str, num_pieces: int) -> bool:
        """Whether so many pieces of a column have been asked for, these included, that all of it
        is worth having.
        """
        reads = self._num_reads[name] = self._num_reads.get(name, 0) + num_pieces
        return reads > max(MAX_READS, self._stored[name].num_pieces // 2)

    def _unpacked(self, unpack: Callable[[], _Found]) -> _Found:
        try:
            return unpack()
        except (EntryError, zstandard.ZstdError) as error:
            raise self._on_damage(str(error)) from error
