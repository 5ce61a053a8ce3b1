"""Tables for programs: CSV and Parquet. Columns in, bytes out."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO, TextIO

from mpkgraph.errors import MissingDependencyError

ROWS_PER_WRITE = 8192
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula (OWASP, "CSV injection")."""

_ESCAPE = "\U0010ffff" if sys.version_info < (3, 11) else None
"""Python 3.10 takes none for the null character and refuses names with that in them; so it gets one
that is no character."""


def write_csv(columns: Mapping[str, Sequence[object]], stream: TextIO) -> None:
    r"""CSV (RFC 4180, `\n` line ends) with a header; tuples as `1x4096`, None as an empty cell.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    writer = csv.writer(stream, lineterminator="\n", escapechar=_ESCAPE)
    writer.writerow(columns)
    plain = [_column(column) for column in columns.values()]
    rows = len(plain[0]) if plain else 0
    for start in range(0, rows, ROWS_PER_WRITE):
        writer.writerows(
            zip(*(column[start : start + ROWS_PER_WRITE] for column in plain), strict=True)
        )


def write_parquet(columns: Mapping[str, Sequence[object]], stream: BinaryIO) -> None:
    """One Parquet row group, zstd-compressed; tuples become lists.

    Raises MissingDependencyError without pyarrow.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet needs the package pyarrow",
            remedy="Install it: pip install 'mpkgraph[parquet]'",
        ) from error

    def array(column: Sequence[object]) -> pa.Array:
        try:
            return pa.array(column)
        except OverflowError:  # ids beyond 2^63
            return pa.array(column, pa.uint64())

    arrays = {name: array(column) for name, column in columns.items()}
    pq.write_table(pa.table(arrays), stream, compression="zstd")


def _column(column: Sequence[object]) -> Sequence[object]:
    plain = _values(column)
    if any(isinstance(value, (tuple, list)) for value in plain[:64]):
        plain = [_joined(value) for value in plain]
    if any(isinstance(value, str) and value.startswith(FORMULA_STARTS) for value in plain):
        return [_no_formula(value) for value in plain]
    return plain


def _no_formula(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _values(column: Sequence[object]) -> Sequence[object]:
    tolist = getattr(column, "tolist", None)
    return tolist() if tolist is not None else column


def _joined(value: object) -> object:
    if isinstance(value, (tuple, list)):
        numeric = all(isinstance(item, int) for item in value)
        return ("x" if numeric else " ").join(map(str, value))
    return value
