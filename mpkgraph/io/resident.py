"""Less memory for a process that reads much: code that was needed to start is given back, and large
arrays are given back when they are freed.

Importing numpy and the rest runs through some 10 MB of libraries of which the work that follows
uses half. Such pages hold what is in the libraries' files: the kernel drops them itself when memory
is short, and reads those that are used again.
"""

from __future__ import annotations

import sys
from pathlib import Path

_DONT_NEED = 4
"""MADV_DONTNEED of Linux."""
_MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD of the GNU C library."""
_LARGE_BYTES = 1 << 17


def map_large_arrays() -> None:
    """Has the C library map arrays of 128 KiB or more one by one for good, as it does at first.

    By itself it raises that bound to the size of whatever is freed. Arrays that grow then leave
    holes in the heap, where others lie between them: 2 MB while 1 GB is read. Does nothing where
    that can't be.
    """
    if sys.platform != "linux":
        return
    import ctypes

    try:
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    except (OSError, AttributeError):
        return


def give_back_code() -> None:
    """Drops unmodified pages of libraries from this process; does nothing where that can't be."""
    if sys.platform != "linux":
        return
    import ctypes  # numpy has imported it

    try:
        madvise = ctypes.CDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, stop in _unmodified(Path("/proc/self/smaps").read_text(errors="replace")):
            madvise(start, stop - start, _DONT_NEED)
    except (OSError, AttributeError, ValueError, IndexError):
        return


def _unmodified(maps: str) -> list[tuple[int, int]]:
    r"""Ranges of addresses that mirror a file, can't be written to and hold no page of their own
    (relocated data do).

    >>> _unmodified("1000-3000 r-xp 0 08:01 7 /lib/a.so\nAnonymous: 0 kB\n")
    [(4096, 12288)]
    >>> _unmodified("1000-3000 r--p 0 08:01 7 /lib/a.so\nAnonymous: 4 kB\n")
    []
    """
    found = []
    mapping: tuple[int, int] | None = None
    for line in maps.splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            addresses, permissions = words[0], words[1]
            is_file = len(words) > 5 and words[5].startswith("/")
            mapping = None
            if is_file and "w" not in permissions:
                start, _, stop = addresses.partition("-")
                mapping = int(start, 16), int(stop, 16)
        elif words[0] == "Anonymous:" and mapping is not None and words[1] == "0":
            found.append(mapping)
    return found
