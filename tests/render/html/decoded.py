"""A page's file taken apart again, by other means than its scripts: for tests of what it holds."""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

_DATA = re.compile(rb'<script type="text/plain" id="data">([A-Za-z0-9+/=\n]*)</script>')


@dataclass(frozen=True)
class Decoded:
    header: dict[str, Any]
    columns: dict[str, np.ndarray]

    def wide(self, name: str) -> np.ndarray:
        """A 64-bit column."""
        low = self.columns[f"{name}.lo"].astype(np.uint64)
        return (self.columns[f"{name}.hi"].astype(np.uint64) << np.uint64(32)) | low


def decode(file: bytes) -> Decoded:
    """Header and columns of a page's file."""
    (text,) = _DATA.findall(file)
    data = zlib.decompress(base64.b64decode(text))
    length = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + length])
    at = 4 + length
    columns = {}
    for name, kind, count, first, planes in header["columns"]:
        parts = [data[at + i * count : at + (i + 1) * count] for i in range(planes)]
        columns[name] = _column(kind, count, first, parts)
        at += planes * count
    assert at == len(data)
    return Decoded(header, columns)


def _column(kind: str, count: int, first: int, planes: list[bytes]) -> np.ndarray:
    if kind == "f64":
        whole = bytes(plane[i] for i in range(count) for plane in planes)
        return np.frombuffer(whole, dtype="<f8")
    values = []
    last = first
    for i in range(count):
        code = sum(plane[i] << (8 * p) for p, plane in enumerate(planes))
        last += (code >> 1) if code % 2 == 0 else -(code + 1) // 2
        values.append(last % (1 << 32))
    signed = [v - (1 << 32) if kind == "i32" and v >= 1 << 31 else v for v in values]
    return np.array(signed, dtype=np.int64)
