"""Which pages of a zero-filled tensor anybody has touched: the rest need not be read to be zero.

A cache is as large as all its requests could need, and a run writes a few rows of it. Linux gives a
page its memory when it is first touched and tells in `/proc/self/pagemap` which ones have some
(https://docs.kernel.org/admin-guide/mm/pagemap.html). Elsewhere nobody tells, and all is read.
"""

from __future__ import annotations

import mmap
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PAGEMAP = Path("/proc/self/pagemap")
ENTRY_BYTES = 8
HAS_MEMORY = np.uint64(0b11 << 62)
"""Bits of an entry: the page is in memory, or swapped out."""

BoolArray = npt.NDArray[np.bool_]


def touched(address: int, num_bytes: int) -> BoolArray | None:
    """By page of private, anonymous memory whether it may hold anything but zeros.

    The first page is that of `address`. None where the system does not tell.
    """
    if not sys.platform.startswith("linux") or num_bytes == 0:
        return None
    first = address // mmap.PAGESIZE
    count = (address + num_bytes - 1) // mmap.PAGESIZE - first + 1
    try:
        with PAGEMAP.open("rb", buffering=0) as stream:
            stream.seek(first * ENTRY_BYTES)
            text = stream.read(count * ENTRY_BYTES)
    except OSError:
        return None
    if text is None or len(text) != count * ENTRY_BYTES:
        return None
    found: BoolArray = (np.frombuffer(text, dtype=np.uint64) & HAS_MEMORY) != 0
    return found


def touched_elements(tensor: Any, pages: BoolArray, places: npt.NDArray[np.int64]) -> BoolArray:
    """By place (in elements of a dense tensor) whether its page is touched."""
    address, size = tensor.data_ptr(), tensor.element_size()
    found: BoolArray = pages[(address + places * size) // mmap.PAGESIZE - address // mmap.PAGESIZE]
    return found


def touched_spans(tensor: Any, pages: BoolArray, span: int) -> BoolArray:
    """By span of so many elements of a dense tensor whether one of its pages is touched."""
    address, size = tensor.data_ptr(), tensor.element_size()
    starts = np.arange(0, tensor.numel(), span, dtype=np.int64)
    stops = np.minimum(starts + span, tensor.numel())
    first = (address + starts * size) // mmap.PAGESIZE - address // mmap.PAGESIZE
    last = (address + stops * size - 1) // mmap.PAGESIZE - address // mmap.PAGESIZE
    sums = np.concatenate([[0], np.cumsum(pages)])
    found: BoolArray = sums[last + 1] > sums[first]
    return found
