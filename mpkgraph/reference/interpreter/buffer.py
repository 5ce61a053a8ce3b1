"""One tensor's memory, with guard zones before and behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np
import torch

from mpkgraph.reference.interpreter.element_types import poison_of, torch_type
from mpkgraph.reference.interpreter.pages import BoolArray, touched

MIN_GUARD, MAX_GUARD = 4096, 1 << 16
"""Bytes of a guard zone: as many as the tensor has, within these."""
ALIGNMENT = 256

Content = Literal["poison", "zero", "none"]


class OutsideError(Exception):
    """A view that reaches past the guard zones, where a GPU has other tensors or nothing."""


@dataclass(eq=False)
class Buffer:
    """Bytes of a named tensor. `raw` is all memory; the tensor begins at byte `guard` of it."""

    name: str
    type_name: str
    """`DT_BFLOAT16`, or torch's name of another 8-bit type."""
    num_bytes: int
    raw: Any = field(repr=False)
    guard: int = 0
    """0 for memory of the caller's, which has none."""
    is_poisoned: bool = False
    """Whether it began as memory that nobody has written."""
    is_zeros: bool = False
    """Whether it began as zeros that take no memory until they are touched."""
    origin: Any = field(default=None, repr=False)
    """The pages of a block that it is made of, for a tensor that repeats one."""
    is_shared: bool = False
    """Whether what lies around it may be another tensor, so that guards tell nothing."""

    @classmethod
    def new(cls, name: str, type_name: str, num_bytes: int, content: Content = "poison") -> Buffer:
        """Memory of our own: poisoned, zeros that take no memory until they are touched, or to be
        filled by the caller.
        """
        guard = -(-min(max(num_bytes, MIN_GUARD), MAX_GUARD) // ALIGNMENT) * ALIGNMENT
        total = guard + -(-num_bytes // ALIGNMENT) * ALIGNMENT + guard
        # numpy's memory: zeros are not touched before they are used, and pages are large
        make = np.zeros if content == "zero" else np.empty
        raw = torch.from_numpy(make(total, dtype=np.uint8))
        buffer = cls(name, type_name, num_bytes, raw, guard, is_zeros=content == "zero")
        buffer.fill_guards()
        if content == "poison":
            buffer.poison_all()
        return buffer

    @classmethod
    def borrowed(cls, name: str, type_name: str, tensor: Any) -> Buffer:
        """The caller's memory as it is: from the tensor's first element to its last."""
        size = tensor.element_size()
        extent = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
        num_bytes = (extent + 1) * size if tensor.numel() else 0
        start = tensor.storage_offset() * size
        raw = torch.empty(0, dtype=torch.uint8).set_(
            tensor.untyped_storage(), start, (num_bytes,), (1,)
        )
        return cls(name, type_name, num_bytes, raw)

    @cached_property
    def dtype(self) -> Any:
        return torch_type(self.type_name)

    @cached_property
    def itemsize(self) -> int:
        size: int = self.dtype.itemsize
        return size

    @property
    def poison(self) -> bytes:
        return poison_of(self.type_name)

    @property
    def data(self) -> Any:
        """The tensor's bytes."""
        return self.raw[self.guard : self.guard + self.num_bytes]

    @property
    def touched_pages(self) -> BoolArray | None:
        """By page of the tensor whether it may hold anything but zeros; None: nobody knows."""
        return touched(self.data.data_ptr(), self.num_bytes) if self.is_zeros else None

    @property
    def elements(self) -> Any:
        """The tensor's elements in memory order, one dimension."""
        whole = self.num_bytes // self.itemsize * self.itemsize
        return self.data[:whole].view(self.dtype)

    def view(self, dims: Sequence[int], strides: Sequence[int], offset: int) -> Any:
        """A strided view at a byte offset from the tensor's start.

        Raises OutsideError when it reaches past the guard zones, or is not aligned to elements.
        """
        size = self.itemsize
        first, last = reach(dims, strides, offset, size)
        where = self.guard + offset
        if where % size or not self._is_aligned:
            raise OutsideError(f"byte {offset} is not a multiple of the {size} bytes of an element")
        if self.guard + first < 0 or self.guard + last > self._num_raw:
            raise OutsideError(
                f"bytes {first}:{last} of a tensor of {self.num_bytes} are too far outside"
            )
        flat, start = self._flat
        return flat.as_strided(tuple(dims), tuple(strides), start + where // size)

    # Tasks are many and short, so what a view is made of is asked for once

    @cached_property
    def _num_raw(self) -> int:
        return len(self.raw)

    @cached_property
    def _is_aligned(self) -> bool:
        return int(self.raw.storage_offset()) % self.itemsize == 0

    @cached_property
    def _flat(self) -> tuple[Any, int]:
        """All memory as elements, and where it begins in its storage."""
        flat = self.raw[: self._num_raw // self.itemsize * self.itemsize].view(self.dtype)
        return flat, int(flat.storage_offset())

    @cached_property
    def _guard_words(self) -> tuple[Any, ...] | None:
        """The guard zones as numpy arrays of 64 bits; None where they are not aligned to that."""
        whole = self.num_bytes // self.itemsize * self.itemsize
        zones = [x.numpy() for x in (self.raw[: self.guard], self.raw[self.guard + whole :])]
        if any(len(x) % 8 or x.ctypes.data % 8 for x in zones):
            return None
        return tuple(x.view(np.int64) for x in zones)

    def fill_guards(self) -> None:
        """Make the guard zones what they are found broken by, when they change."""
        whole = self.num_bytes // self.itemsize * self.itemsize
        _fill(self.raw[: self.guard], self.poison)
        _fill(self.raw[self.guard + whole :], self.poison)

    def poison_all(self) -> None:
        """As if nobody had written the tensor."""
        self.is_poisoned = True
        _fill(self.data, self.poison)

    def unwritten(self) -> Any:
        """By element (memory order) whether it still holds the poison."""
        size = self.itemsize
        number = int.from_bytes(self.poison * (size // len(self.poison)), "little", signed=True)
        whole = self.num_bytes // size * size
        return self.data[:whole].view(_INTEGERS[size]) == number

    def guards_broken(self) -> bool:
        """Whether somebody wrote into a guard zone; they are mended."""
        if not self.guard or self.is_shared:
            return False
        words = self._guard_words
        if words is not None and all((x == _word(self.poison)).all() for x in words):
            return False
        whole = self.num_bytes // self.itemsize * self.itemsize
        broken = False
        for zone in (self.raw[: self.guard], self.raw[self.guard + whole :]):
            if not _is_filled(zone, self.poison):
                broken = True
                _fill(zone, self.poison)
        return broken

    def clone(self) -> Buffer:
        """A copy with guard zones of its own."""
        copy = Buffer.new(self.name, self.type_name, self.num_bytes, "none")
        copy.data.copy_(self.data)
        return copy


def reach(dims: Sequence[int], strides: Sequence[int], offset: int, size: int) -> tuple[int, int]:
    """Bytes from the lowest to past the highest of a view; empty views reach nowhere."""
    if 0 in dims:
        return offset, offset
    steps = [(n - 1) * s for n, s in zip(dims, strides, strict=True)]
    low = sum(x for x in steps if x < 0)
    high = sum(x for x in steps if x > 0)
    return offset + low * size, offset + (high + 1) * size


@cache
def _word(poison: bytes) -> Any:
    """64 bits of an element's poison."""
    return np.int64(int.from_bytes(poison * (8 // len(poison)), "little", signed=True))


def _pattern(zone: Any, poison: bytes) -> Any:
    return torch.tensor(list(poison), dtype=torch.uint8).repeat(-(-len(zone) // len(poison)))


def _fill(zone: Any, poison: bytes) -> None:
    if len(zone) % len(poison) == 0 and zone.storage_offset() % len(poison) == 0:
        number = int.from_bytes(poison, "little", signed=True)
        zone.view(_INTEGERS[len(poison)]).fill_(number)
        return
    zone.copy_(_pattern(zone, poison)[: len(zone)])


def _is_filled(zone: Any, poison: bytes) -> bool:
    if len(zone) % len(poison) == 0 and zone.storage_offset() % len(poison) == 0:
        number = int.from_bytes(poison, "little", signed=True)
        return bool((zone.view(_INTEGERS[len(poison)]) == number).all())
    return bool(torch.equal(zone, _pattern(zone, poison)[: len(zone)]))


_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
