"""A page's data as bytes: a zlib stream of the header's length (4 bytes, little-endian), the header
as JSON, then the columns.

An integer column is the differences of its neighbours (modulo 2^32), zigzag-coded so that small
ones are small numbers, low bytes of all first, then the next; bytes that are 0 in all are left out.
What repeats in a graph is a run of equal bytes then. `page/decode.js` is the other end.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from mpkgraph.analysis.page.columns import PageColumn
from mpkgraph.analysis.page.page import Page
from mpkgraph.render.escape import printable

LEVEL: Final = 7
"""Of zlib: higher ones take twice the time for a hundredth of the size."""
_WORD: Final = 1 << 32
_MAX_INT32: Final = 1 << 31


def encode_page(page: Page, **more: Any) -> bytes:
    """The compressed data; `more` is added to the header."""
    encoded = [encode_column(column) for column in page.columns]
    header = {**page.header, **more, "columns": [spec for spec, _ in encoded]}
    text = orjson.dumps(_printable(header))
    squeeze = zlib.compressobj(LEVEL)
    parts = [squeeze.compress(len(text).to_bytes(4, "little")), squeeze.compress(text)]
    parts += [squeeze.compress(plane) for _, planes in encoded for plane in planes]
    return b"".join([*parts, squeeze.flush()])


def encode_column(column: PageColumn) -> tuple[list[Any], list[bytes]]:
    """(name, type, length, first value, number of byte planes), and the planes.

    >>> encode_column(PageColumn("id", np.array([7, 8, 9])))[0]
    ['id', 'u32', 3, 7, 1]
    """
    values = column.values
    if values.dtype.kind == "f":
        planes = np.ascontiguousarray(values, dtype="<f8").view(np.uint8).reshape(-1, 8)
        return [column.name, "f64", len(values), 0, 8], [x.tobytes() for x in planes.T]
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if low < -_MAX_INT32 or high >= (_MAX_INT32 if low < 0 else _WORD):
        raise ValueError(f"{column.name} holds {low} to {high}: beyond 32 bits")
    words = values.astype(np.int64).astype(np.uint32)
    steps = np.diff(words, prepend=words[:1]).view(np.int32)
    codes = ((steps << 1) ^ (steps >> 31)).view(np.uint32)
    used = (int(codes.max(initial=0)).bit_length() + 7) // 8
    spec = [column.name, "i32" if low < 0 else "u32", len(values)]
    spec += [int(values[0]) if len(values) else 0, used]
    return spec, list(_planes(codes, used))


def _planes(codes: npt.NDArray[np.uint32], used: int) -> Iterable[bytes]:
    for plane in range(used):
        yield (codes >> np.uint32(8 * plane)).astype(np.uint8).tobytes()


def _printable(value: Any) -> Any:
    """The value with all text made printable, lines kept."""
    if isinstance(value, str):
        if value.isprintable():
            return value
        return "\n".join(printable(line) for line in value.split("\n"))
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    """Pieces of `size` bytes, the last one shorter."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
