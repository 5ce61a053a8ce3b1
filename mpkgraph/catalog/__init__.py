"""What Mirage defines, as tables: task types, event types, data types.

A `Catalog` names the numbers of one Mirage version. `DEFAULT` is commit `de8745d`;
`Catalog.from_mirage_home` reads another version's headers. A number that a catalog does not know
is shown as `TASK_<n>`, `EVENT_<n>` or `DT_<n>`, never an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from mpkgraph.catalog import header
from mpkgraph.catalog.data_types import DATA_TYPES, DT_UNKNOWN
from mpkgraph.catalog.event_types import (
    EVENT_EMPTY,
    EVENT_END_OF_TASK_GRAPH,
    EVENT_LAUNCH_DEPENDENT_TASKS,
    EVENT_TERMINATION,
    EVENT_TYPES,
)
from mpkgraph.catalog.task_types import KINDS, TASK_TYPES, TaskTypeRow
from mpkgraph.frozen import dataclass

__all__ = [
    "DEFAULT",
    "DT_UNKNOWN",
    "EVENT_EMPTY",
    "EVENT_END_OF_TASK_GRAPH",
    "EVENT_LAUNCH_DEPENDENT_TASKS",
    "EVENT_TERMINATION",
    "KINDS",
    "MIRAGE_COMMIT",
    "Catalog",
    "TaskTypeRow",
    "catalog_for",
]

MIRAGE_COMMIT = "de8745d"
"""The Mirage commit (branch mpk) that the built-in tables describe."""

MIRAGE_HOME_VARIABLE = "MIRAGE_HOME"
NULL_TASK_NAME = "null"
"""Shown for a task that the file holds as `null`."""

_ROW_BY_NAME = {row.name: row for row in TASK_TYPES}


@dataclass(frozen=True)
class Catalog:
    """Names of the enum values of one Mirage version."""

    source: str
    task_types: Mapping[int, str]
    event_types: Mapping[int, str]
    data_types: Mapping[int, str]

    @cached_property
    def task_type_numbers(self) -> Mapping[str, int]:
        """Numbers of task types by full name."""
        return {name: number for number, name in self.task_types.items()}

    @classmethod
    def from_mirage_home(cls, mirage_home: str | os.PathLike[str]) -> Catalog:
        """The enums of a Mirage source tree.

        Raises GraphReadError when `runtime_header.h` is missing or its enums can't be read.
        Without `include/mirage/type.h` the data types are the built-in ones.
        """
        root = Path(mirage_home)
        runtime = root / header.RUNTIME_HEADER
        text = header.read_header(runtime)
        types = root / header.TYPE_HEADER
        data_types = (
            header.parse_enum(header.read_header(types), "DataType", str(types))
            if types.exists()
            else DEFAULT.data_types
        )
        return cls(
            source=str(runtime),
            task_types=header.parse_enum(text, "TaskType", str(runtime)),
            event_types=header.parse_enum(text, "EventType", str(runtime)),
            data_types=data_types,
        )

    def task_type_name(self, value: int) -> str:
        """Name of a task type; `TASK_<n>` when unknown.

        >>> DEFAULT.task_type_name(119), DEFAULT.task_type_name(4242)
        ('TASK_RMS_NORM', 'TASK_4242')
        """
        if value == -1:
            return NULL_TASK_NAME
        return self.task_types.get(value, f"TASK_{value}")

    def event_type_name(self, value: int) -> str:
        """Name of an event type; `EVENT_<n>` when unknown."""
        return self.event_types.get(value, f"EVENT_{value}")

    def data_type_name(self, value: int) -> str:
        """Short name of an element type, such as `bfloat16`; `DT_<n>` when unknown."""
        name = self.data_types.get(value)
        if name is None:
            return f"DT_{value}"
        return _SHORT_NAMES.get(name, name.removeprefix("DT_").lower())

    def data_type_size(self, value: int) -> int | None:
        """Bytes of one element; None when Mirage has no size for the type or it is unknown."""
        return _SIZES.get(self.data_types.get(value, ""))

    def task_type_row(self, value: int) -> TaskTypeRow:
        """Facts about a task type; a row of kind "unknown" for a type without facts."""
        name = self.task_type_name(value)
        return _ROW_BY_NAME.get(name) or TaskTypeRow(value, name, "unknown")

    def layer_kind(self, value: int) -> str:
        """Short lower-case name of a task type for people: `linear_hopper`, `rms_norm`.

        >>> DEFAULT.layer_kind(151), DEFAULT.layer_kind(4711)
        ('linear_with_residual_hopper', 'task_4711')
        """
        name = self.task_type_name(value)
        # A number alone would be taken for an index
        return (name.removeprefix("TASK_") if value in self.task_types else name).lower()


_SHORT_NAMES = {row.name: row.short_name for row in DATA_TYPES}
_SIZES = {row.name: row.size_bytes for row in DATA_TYPES}

DEFAULT = Catalog(
    source=f"mpkgraph's tables for Mirage {MIRAGE_COMMIT}",
    task_types={row.value: row.name for row in TASK_TYPES},
    event_types={row.value: row.name for row in EVENT_TYPES},
    data_types={row.value: row.name for row in DATA_TYPES},
)


def catalog_for(mirage_home: str | os.PathLike[str] | None = None) -> Catalog:
    """The catalog of `mirage_home`, else of the environment's MIRAGE_HOME, else the built-in one.

    A MIRAGE_HOME of the environment that has no readable headers is an error too: numbers under
    wrong names would mislead.
    """
    home = mirage_home if mirage_home is not None else os.environ.get(MIRAGE_HOME_VARIABLE)
    return Catalog.from_mirage_home(home) if home else DEFAULT
