"""Code in memory that was needed to start, given back before much is read.

Importing numpy and the rest runs through some 10 MB of libraries of which the work that follows
uses half. Such pages hold what is in the libraries' files: the kernel drops them itself when memory
is short, and reads those that are used again.
"""

from __future__ import annotations

import sys
from pathlib import Path

_DONT_NEED = 4
"""MADV_DONTNEED of Linux."""


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
