"""Listings as columns, ready for CSV, Parquet and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from mpkgraph.analysis.integers import MAX_JSON_INTEGER, json_integer
from mpkgraph.frozen import dataclass

if TYPE_CHECKING:
    # A table that the cache kept is of lists, and does without numpy.
    import numpy as np
    import numpy.typing as npt

    Values = npt.NDArray[Any] | Sequence[object]

__all__ = ["MAX_JSON_INTEGER", "Column", "Table", "json_integer"]

ROWS_AT_A_TIME = 4096
"""Rows that are Python objects at a time when a table is written."""


@dataclass(frozen=True)
class Column:
    """One column: a numpy array of integers or booleans, or a list of texts or integer tuples.

    `missing` masks the rows of an array that have no value; in a list None says so.
    """

    values: Values
    about: str
    missing: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def to_list(self, start: int = 0, stop: int | None = None) -> list[Any]:
        """Python values of some rows, None where there is none."""
        part = self.values[start:stop]
        if not _is_array(part):
            return list(part)
        values: list[Any] = part.tolist()
        if self.missing is not None:
            for row in self.missing[start:stop].nonzero()[0].tolist():
                values[row] = None
        return values


@dataclass(frozen=True)
class Table:
    """Columns of equal length under their names, in the order to show."""

    name: str
    columns: dict[str, Column]

    def __post_init__(self) -> None:
        if len({len(column) for column in self.columns.values()}) > 1:
            raise ValueError(f"columns of {self.name} differ in length")

    @property
    def num_rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def to_columns(self) -> dict[str, list[Any]]:
        """Python values of every column, None where there is none."""
        return {name: column.to_list() for name, column in self.columns.items()}

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows as Python values, None where there is none."""
        return zip(*(column.to_list() for column in self.columns.values()), strict=True)

    def to_json(self) -> list[dict[str, Any]]:
        """One object a row; integers beyond 2^53 as strings."""
        return list(self.json_rows())

    def json_rows(self) -> Iterator[dict[str, Any]]:
        """As `to_json`, made some rows at a time."""
        names = tuple(self.columns)
        large = [_has_large(column.values) for column in self.columns.values()]
        for start in range(0, self.num_rows, ROWS_AT_A_TIME):
            lists = [column.to_list(start, start + ROWS_AT_A_TIME) for column in self._columns]
            for i, values in enumerate(lists):
                if large[i]:
                    lists[i] = [json_integer(value) for value in values]
            for row in zip(*lists, strict=True):
                yield dict(zip(names, row, strict=True))

    @property
    def _columns(self) -> list[Column]:
        return list(self.columns.values())


def _is_array(values: Values) -> TypeGuard[npt.NDArray[Any]]:
    return hasattr(values, "dtype")


def _has_large(values: Values) -> bool:
    """Whether a column of integers has some that JSON readers would change."""
    if not _is_array(values):
        first = next((value for value in values if value is not None), None)
        return type(first) is int and any(
            type(value) is int and abs(value) > MAX_JSON_INTEGER for value in values
        )
    if values.dtype.itemsize < 8 or not len(values):
        return False
    return int(values.max()) > MAX_JSON_INTEGER or int(values.min()) < -MAX_JSON_INTEGER
