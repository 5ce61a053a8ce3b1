"""Named columns of integers as bytes: narrow, compressed, under checksums.

    prefix   magic, format version, sizes and checksums of what follows
    header   JSON: the blocks in order, each [name, dtype, count, stored bytes, low, high]
    body     the blocks, each a zstandard frame

Consecutive blocks of one name are one column, so that a column may be written piece by piece.
`low` and `high` bound the lower 32 bits of the block's values, which of an event id are its index:
who looks for an event need not unpack blocks that can't hold it.
Nothing is trusted on reading: sizes, types and row counts are checked before they are used.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import zstandard

from mpkgraph.io.cache_folder import FORMAT_VERSION
from mpkgraph.io.entry_checks import as_list, as_size, fail
from mpkgraph.io.narrow_column import NARROWER
from mpkgraph.io.stored_column import Piece, StoredColumn

MAX_COLUMN_BYTES = 1 << 33
"""Columns of a graph of about 90 GB; more is a hostile entry."""
COMPRESSION_LEVEL = 1
"""Columns of a graph come out no larger than at level 3, which takes 1.3 MB more to work."""
_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(
    COMPRESSION_LEVEL, window_log=16, hash_log=13
)
"""Looks back over 64 KiB: a fifth more bytes than with all of a column, in half a MB less."""

# magic, version, header bytes, header checksum, body checksum, body bytes
PREFIX = struct.Struct("<8sIIIIQ")
_STORED_DTYPES = {x.str: x for x in map(np.dtype, (*NARROWER, np.int64, np.uint64))}
_LOWER_HALF = 0 if sys.byteorder == "little" else 1
_MAX_HALF = (1 << 32) - 1

Column = npt.NDArray[Any]


class BlockWriter:
    """Collects blocks, compressed as they come; in `spool`, when there is one, not in memory."""

    def __init__(self, magic: bytes, spool: BinaryIO | None = None) -> None:
        self._magic = magic
        self._spool = spool
        self._blocks: list[tuple[str, str, int, int, int, int]] = []
        self._body: list[bytes | int] = []

    def add(self, name: str, column: Column) -> None:
        """The next block, in the narrowest type that holds its values."""
        self.add_packed(name, [self.pack(column)])

    def pack(self, column: Column) -> PackedColumn:
        """A piece of a column, compressed, to be added later."""
        values = narrow(column)
        bounds = _half_bounds(values)
        # In pieces: all at once the compressor takes room for the worst case. A new one each time,
        # as it keeps what it needs to work.
        compressor = zstandard.ZstdCompressor(compression_params=_COMPRESSION)
        stream = compressor.compressobj(size=values.nbytes)
        stored = b"".join((stream.compress(values.data.cast("B")), stream.flush()))
        if self._spool is None:
            return PackedColumn(values.dtype.str, len(values), len(stored), stored, *bounds)
        place = self._spool.seek(0, os.SEEK_END)
        self._spool.write(stored)
        return PackedColumn(values.dtype.str, len(values), len(stored), place, *bounds)

    def add_packed(self, name: str, pieces: Iterable[PackedColumn]) -> None:
        """A column of one or more pieces."""
        for dtype, count, size, stored, low, high in pieces:
            self._blocks.append((name, dtype, count, size, low, high))
            self._body.append(stored)

    @property
    def num_bytes(self) -> int:
        """Bytes of all blocks."""
        return sum(block[3] for block in self._blocks)

    def parts(self) -> Iterator[bytes]:
        """The entry, in pieces."""
        header = orjson.dumps(self._blocks)
        checksum = 0
        for stored in self._stored():
            checksum = zlib.crc32(stored, checksum)
        yield PREFIX.pack(
            self._magic, FORMAT_VERSION, len(header), zlib.crc32(header), checksum, self.num_bytes
        )
        yield header
        yield from self._stored()

    def _stored(self) -> Iterator[bytes]:
        for stored, (_, _, _, size, _, _) in zip(self._body, self._blocks, strict=True):
            if isinstance(stored, bytes):
                yield stored
            elif self._spool is not None:
                self._spool.seek(stored)
                yield self._spool.read(size)


class PackedColumn(NamedTuple):
    """A piece of a column as a zstandard frame."""

    dtype: str
    num_values: int
    num_bytes: int
    stored: bytes | int
    """The frame, or its place in the spool."""
    low: int
    """Least of the values' lower 32 bits."""
    high: int
    """Greatest of them."""


def narrow(column: Column) -> Column:
    """The column in the first narrower type that holds its values."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    for dtype in NARROWER:
        bounds = np.iinfo(dtype)
        if bounds.min <= low and high <= bounds.max:
            return np.ascontiguousarray(column.astype(dtype, copy=False))
    return np.ascontiguousarray(column)


def _half_bounds(values: Column) -> tuple[int, int]:
    """Bounds of the lower 32 bits of values that `narrow` gave."""
    if values.dtype.itemsize == 8:
        values = values.view(np.uint32)[_LOWER_HALF::2]
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    return (low, high) if low >= 0 else (0, _MAX_HALF)


class BlockReader:
    """Takes an entry apart; every column once, in the order in which it was written."""

    def __init__(self, data: bytes, magic: bytes) -> None:
        if len(data) < PREFIX.size:
            fail("shorter than its prefix")
        found, version, header_size, header_sum, body_sum, body_size = PREFIX.unpack_from(data)
        if found != magic or version != FORMAT_VERSION:
            fail("not an entry of this version")
        if len(data) != PREFIX.size + header_size + body_size:
            fail("not of the size that it says")
        view = memoryview(data)
        header = view[PREFIX.size : PREFIX.size + header_size]
        self._body = view[PREFIX.size + header_size :]
        if zlib.crc32(header) != header_sum or zlib.crc32(self._body) != body_sum:
            fail("its checksum does not match")
        self._blocks = as_list(orjson.loads(header))
        self._next = 0
        self._position = 0
        self._budget = MAX_COLUMN_BYTES
        self._decompressor = zstandard.ZstdDecompressor()

    def column(self, name: str, dtype: npt.DTypeLike, length: int | None = None) -> Column:
        """The next column, which has to be of that name, in its full type."""
        return self.stored(name, dtype, length).load()

    def stored(self, name: str, dtype: npt.DTypeLike, length: int | None = None) -> StoredColumn:
        """As `column`, to be loaded when it is needed; what may be wrong then is a frame alone."""
        wanted = np.dtype(dtype)
        column = StoredColumn(wanted, self._pieces(name, wanted), self._decompressor)
        if length is not None and len(column) != length:
            fail(f"{name} has {len(column)} rows, not {length}")
        if not column.is_narrow:
            bounds = np.iinfo(wanted)
            column.check(bounds.min, bounds.max, f"{name} holds values beyond its type")
        return column

    def _pieces(self, name: str, wanted: np.dtype[Any]) -> list[Piece]:
        """The pieces of a column, as far as the header goes checked."""
        pieces: list[Piece] = []
        frame_parameters = zstandard.get_frame_parameters
        while self._next < len(self._blocks):
            block = as_list(self._blocks[self._next], 6)
            if block[0] != name:
                break
            _, stored_dtype, count, stored_size, low, high = block
            dtype = _STORED_DTYPES.get(stored_dtype) if type(stored_dtype) is str else None
            if dtype is None:
                fail(f"no block {name}")
            for size in (count, stored_size, low, high):
                as_size(size)
            self._budget -= count * max(wanted.itemsize, dtype.itemsize)
            stored = self._body[self._position : self._position + stored_size]
            if self._budget < 0 or len(stored) != stored_size:
                fail(f"{name} is too large")
            # The frame's own word on its size is what gets allocated.
            if frame_parameters(stored).content_size != count * dtype.itemsize:
                fail("a block is not of the size that it says")
            pieces.append(Piece(dtype, count, stored, low, high))
            self._position += stored_size
            self._next += 1
        if not pieces:
            fail(f"no block {name}")
        return pieces

    def end(self) -> None:
        """Raises EntryError when something is left."""
        if self._next != len(self._blocks) or self._position != len(self._body):
            fail("something follows its end")
