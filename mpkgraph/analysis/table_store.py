"""A listing of a graph as bytes, to be shown again without the graph, and without numpy."""

from __future__ import annotations

from typing import Any

import orjson

from mpkgraph.analysis.kept_values import KeptResultError, as_int, as_list, as_str
from mpkgraph.analysis.table import Column, Table

_CELLS = {int, str, bool, list, type(None)}


def table_to_bytes(table: Table, rank: int) -> bytes:
    """A table of integers, texts, flags and tuples of integers, and the rank that it is of.

    Raises KeptResultError when it holds what JSON does not keep.
    """
    columns = [[name, column.about, column.to_list()] for name, column in table.columns.items()]
    try:
        return orjson.dumps([rank, table.name, columns])
    except TypeError as error:
        raise KeptResultError(f"the table holds what is no JSON: {error}") from error


def table_from_bytes(data: bytes) -> tuple[Table, int]:
    """The table and the rank that `table_to_bytes` was given; its columns are lists.

    Raises KeptResultError for any bytes but those of a table.
    """
    try:
        rank, name, columns = as_list(orjson.loads(data), 3)
        found = {}
        for item in as_list(columns):
            label, about, values = as_list(item, 3)
            found[as_str(label)] = Column(_values(as_list(values)), as_str(about))
        if len(found) != len(columns):
            raise KeptResultError("two columns have one name")
        return Table(as_str(name), found), as_int(rank)
    except ValueError as error:
        raise KeptResultError(f"no table: {error}") from error


def _values(values: list[Any]) -> list[Any]:
    kinds = set(map(type, values))
    if not kinds <= _CELLS:
        raise KeptResultError("a cell is of no known type")
    if list not in kinds:
        return values
    return [_integers(value) if type(value) is list else value for value in values]


def _integers(value: list[Any]) -> tuple[int, ...]:
    if not set(map(type, value)) <= {int}:
        raise KeptResultError("a list of numbers is missing")
    return tuple(value)
