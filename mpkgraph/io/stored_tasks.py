"""Columns over tasks that come out of the cache when they are asked for.

Most questions need few of the columns, and making all of a large graph takes longer than most
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import zstandard

from mpkgraph.errors import GraphReadError
from mpkgraph.io.entry_checks import Column, EntryError
from mpkgraph.io.stored_column import StoredColumn
from mpkgraph.model.graph import Int32Column, Int64Column, TaskColumns

MAX_SLOT_READS = 16
"""Ranges of slots that are unpacked by themselves before the whole columns are."""

_Found = TypeVar("_Found")


class StoredTasks(TaskColumns):
    """Task columns of an entry whose values have been checked, but for frames that may be broken.

    Such a frame, in an entry with right checksums, raises GraphReadError when it is needed.
    """

    _stored: Mapping[str, StoredColumn]
    _on_damage: Callable[[str], GraphReadError]
    _num_slot_reads: int

    @classmethod
    def of(
        cls,
        present: Mapping[str, Any],
        stored: Mapping[str, StoredColumn],
        on_damage: Callable[[str], GraphReadError],
    ) -> StoredTasks:
        """`present` are the fields that are known, `stored` the columns that are not yet.

        `on_damage` is told what is wrong with the entry and makes an error of it.
        """
        tasks = cls.__new__(cls)
        tasks.__dict__.update(present, _stored=stored, _on_damage=on_damage, _num_slot_reads=0)
        for value in present.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        return tasks

    def __getattr__(self, name: str) -> Any:
        stored = self.__dict__.get("_stored", {}).get(name)
        if stored is None:
            raise AttributeError(name)
        column: Column = self._unpacked(stored.load)
        column.flags.writeable = False
        self.__dict__[name] = column
        return column

    def slots_between(self, start: int, stop: int) -> tuple[Int32Column, Int64Column]:
        self.__dict__["_num_slot_reads"] += 1
        if self._num_slot_reads > MAX_SLOT_READS:
            return super().slots_between(start, stop)
        layouts, offsets = (
            self._unpacked(partial(self._stored[name].rows, start, stop))
            for name in ("slot_layouts", "slot_offsets")
        )
        return layouts, offsets

    def _unpacked(self, unpack: Callable[[], _Found]) -> _Found:
        try:
            return unpack()
        except (EntryError, zstandard.ZstdError) as error:
            raise self._on_damage(str(error)) from error
