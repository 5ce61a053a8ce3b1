"""What the texts of tasks and events share: integers put in place, fields not known here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mpkgraph.io.nlohmann import dump
from mpkgraph.model.graph import ExtraField

Piece = tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]
"""Integers and the positions they go to."""

_Text = TypeVar("_Text")


def interleave(pieces: Sequence[Piece]) -> tuple[int, ...]:
    """Python integers, each value of a piece at its position."""
    numbers = np.empty(sum(len(values) for values, _ in pieces), dtype=np.int64)
    beyond = []
    for values, positions in pieces:
        if values.dtype == np.uint64:
            beyond.extend(positions[values.view(np.int64) < 0].tolist())
        numbers[positions] = values.view(np.int64) if values.dtype == np.uint64 else values
    integers: list[int] = numbers.tolist()
    for position in beyond:
        integers[position] += 1 << 64
    return tuple(integers)


def extra_rows(extras: Mapping[str, ExtraField]) -> Callable[[int], bytes]:
    """A function from a record to its codes in `extras`, as bytes (a key for templates)."""
    if not extras:
        return lambda _: b""
    codes = np.column_stack([extras[key].codes.astype(np.int32) for key in sorted(extras)])
    rows = codes.tobytes()
    width = codes.itemsize * codes.shape[1]
    return lambda record: rows[record * width : (record + 1) * width]


def extra_members(
    extras: Mapping[str, ExtraField], codes: bytes, level: int, literal: Callable[[bytes], bytes]
) -> dict[str, bytes]:
    """The fields of `extras` that a record with these codes has, as template text."""
    return {
        key: literal(dump(extras[key].values[code], level + 1))
        for key, code in zip(sorted(extras), np.frombuffer(codes, np.int32).tolist(), strict=True)
        if code >= 0
    }


def add_unknown(members: dict[str, _Text], unknown: Mapping[str, _Text]) -> None:
    """Adds fields that must not be the format's own."""
    for key, value in unknown.items():
        if key in members:
            raise ValueError(f"{key!r} is a field of the format, not an unknown one")
        members[key] = value
