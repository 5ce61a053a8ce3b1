"""Columns computed from a graph as bytes to be kept in the cache: all of one length, checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt
import orjson
import zstandard

from mpkgraph.io.entry_blocks import BlockReader, BlockWriter
from mpkgraph.io.entry_checks import Column, EntryError

_MAGIC = b"MPKCOLMN"


def encode_columns(columns: Mapping[str, Column]) -> bytes:
    """Integer columns of one length, by name."""
    blocks = BlockWriter(_MAGIC)
    for name, column in columns.items():
        blocks.add(name, column)
    return b"".join(blocks.parts())


def decode_columns(
    data: bytes, dtypes: Mapping[str, npt.DTypeLike], num_rows: int
) -> dict[str, Column]:
    """The columns that `encode_columns` was given, which have to be these, in this order.

    Raises EntryError for any other bytes.
    """
    try:
        entry = BlockReader(data, _MAGIC)
        found = {name: entry.column(name, dtype, num_rows) for name, dtype in dtypes.items()}
        entry.end()
    except (zstandard.ZstdError, orjson.JSONDecodeError, MemoryError) as error:
        raise EntryError(f"damaged: {error}") from error
    for column in found.values():
        column.flags.writeable = False
    return found
