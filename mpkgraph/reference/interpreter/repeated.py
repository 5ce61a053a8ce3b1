"""Large tensors that repeat a block of numbers: the same pages of memory, over and over.

Made-up weights need not differ from one gigabyte to the next. The block is a file in memory, and a
tensor is its pages mapped one after the other, so that 7 GB of experts take 32 MB. Pages are
private: who writes one gets a copy of it. Where the system can't map like that (it is no Linux, or
has no address space left), a tensor is memory of its own with the same values.

What is put together from such tensors row by row is mapped in the same way: `shuffle_tensors` makes
copies of most weights.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch

from mpkgraph.reference.interpreter.buffer import MAX_GUARD, Buffer

BLOCK_PAGES = 8191
"""Of 4 KiB. A prime, so that rows of one matrix are not alike before they repeat as a whole."""
PAGE = 4096
LARGE_BYTES = 2 * BLOCK_PAGES * PAGE
"""Tensors of one block are made so from 64 MiB on, taken together: less is not worth a block."""
MIN_BYTES = 1 << 20
"""Smaller tensors are memory of their own: the system keeps a record of each mapping."""
MAX_RUNS = 4096
"""Of pages that follow each other, in one tensor: a process has 65,530 mappings as a rule."""
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000
"""As <asm-generic/mman.h> has them; Python does not tell."""
FAILED = ctypes.c_void_p(-1).value

Make = Callable[[int], Any]
"""So many bytes of values as a uint8 numpy array: the same values each time."""


@dataclass(frozen=True, slots=True)
class Run:
    """Pages of a block that follow each other, from the last one on to the first."""

    file: _File
    page: int
    count: int


@dataclass
class Blocks:
    """Blocks by what they hold; they live as long as this object or a tensor made of them."""

    _files: dict[Any, _File | None] = field(default_factory=dict)
    _owners: dict[tuple[Any, int], str] = field(default_factory=dict)
    """By block and turn whose values begin there."""

    def buffer(
        self, name: str, type_name: str, num_bytes: int, key: Any, make: Make, turn: int
    ) -> Buffer:
        """A tensor's memory: the block of `key`, from page `turn` of it on, over and over."""
        if key not in self._files:
            self._files[key] = _File.of(make(BLOCK_PAGES * PAGE))
        file = self._files[key]
        buffer = None if file is None else file.map(name, type_name, num_bytes, turn % BLOCK_PAGES)
        if buffer is not None:
            return buffer
        buffer = Buffer.new(name, type_name, num_bytes, "none")
        block = np.roll(make(BLOCK_PAGES * PAGE), -(turn % BLOCK_PAGES) * PAGE)
        repeat(buffer.data.numpy(), block)
        return buffer

    def free_turn(self, key: Any, turn: int, owner: str) -> int:
        """The first turn from `turn` on that is nobody else's: two tensors must not be alike."""
        for offset in range(BLOCK_PAGES):
            place = (turn + offset) % BLOCK_PAGES
            if self._owners.setdefault((key, place), owner) == owner:
                return place
        return turn % BLOCK_PAGES


def joined(
    name: str, type_name: str, parts: Sequence[tuple[Buffer, int, int]], num_bytes: int
) -> Buffer | None:
    """A tensor put together from parts of mapped ones: (whose, first byte, bytes) one by one.

    It takes no memory either. None where a part is not mapped or not made of whole pages, and where
    pages can't be mapped.
    """
    runs: list[Run] = []
    for buffer, start, size in parts:
        origin = buffer.origin
        if origin is None or start % PAGE or size % PAGE or start + size > origin.count * PAGE:
            return None
        runs.append(Run(origin.file, (origin.page + start // PAGE) % BLOCK_PAGES, size // PAGE))
    if len(runs) > MAX_RUNS or sum(x.count for x in runs) * PAGE != num_bytes:
        return None
    return _mapped(name, type_name, num_bytes, runs)


def repeat(data: Any, block: Any) -> None:
    """Fill a numpy array with a block, over and over."""
    for start in range(0, len(data), len(block)):
        part = data[start : start + len(block)]
        # numpy copies without threads, which would cost more than they give
        part[:] = block[: len(part)]


@dataclass(eq=False)
class _File:
    """A block as a file in memory."""

    descriptor: int

    @classmethod
    def of(cls, block: Any) -> _File | None:
        """None where there are no such files, or pages are of another size."""
        if not can_map():
            return None
        try:
            descriptor = os.memfd_create("mpkgraph")
        except (OSError, AttributeError):
            return None
        file = cls(descriptor)
        weakref.finalize(file, os.close, descriptor)
        try:
            view, written = memoryview(block), 0
            while written < len(view):
                written += os.write(descriptor, view[written:])
        except OSError:
            return None
        return file

    def map(self, name: str, type_name: str, num_bytes: int, turn: int) -> Buffer | None:
        """A buffer of the block's pages from `turn` on; None where they can't be mapped."""
        run = Run(self, turn, num_bytes // PAGE)
        whole = run.count * PAGE
        buffer = _mapped(name, type_name, num_bytes, [run])
        if buffer is not None and num_bytes > whole:
            end = (turn * PAGE + whole) % (BLOCK_PAGES * PAGE)
            tail = os.pread(self.descriptor, num_bytes - whole, end)
            buffer.data.numpy()[whole:] = np.frombuffer(tail, dtype=np.uint8)
        if buffer is not None:
            buffer.origin = run
        return buffer


def _mapped(name: str, type_name: str, num_bytes: int, runs: Sequence[Run]) -> Buffer | None:
    """A buffer of these pages one after the other, and memory of its own for what is left."""
    total = MAX_GUARD + -(-num_bytes // PAGE) * PAGE + MAX_GUARD
    start = _map(None, total, mmap.MAP_ANONYMOUS, -1, 0)
    if start is None:
        return None
    where = start + MAX_GUARD
    for run in runs:
        page, left = run.page, run.count
        while left:
            count = min(left, BLOCK_PAGES - page)
            if _map(where, count * PAGE, MAP_FIXED, run.file.descriptor, page * PAGE) is None:
                _munmap(start, total)
                return None
            where, page, left = where + count * PAGE, 0, left - count
    memory: Any = (ctypes.c_uint8 * total).from_address(start)
    weakref.finalize(memory, _munmap, start, total).atexit = False
    raw = np.frombuffer(memory, dtype=np.uint8)
    buffer = Buffer(name, type_name, num_bytes, torch.from_numpy(raw), MAX_GUARD)
    buffer.fill_guards()
    return buffer


def can_map() -> bool:
    """Whether this system maps a file's pages over and over."""
    return sys.platform.startswith("linux") and mmap.PAGESIZE == PAGE and _mmap() is not None


@cache
def _mmap() -> Any:
    """The system's `mmap`; None where it is not to be had."""
    try:
        function = ctypes.CDLL(None, use_errno=True).mmap
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_void_p
    function.argtypes = (
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    )
    return function


def _map(address: int | None, size: int, flags: int, descriptor: int, offset: int) -> int | None:
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    flags |= mmap.MAP_PRIVATE | MAP_NORESERVE
    found = _mmap()(address, size, protection, flags, descriptor, offset)
    return None if found in {None, FAILED} else int(found)


def _munmap(address: int, size: int) -> None:
    function = ctypes.CDLL(None).munmap
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    function(address, size)
