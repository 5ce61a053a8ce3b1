"""A folder of small private files with a limit on their size; the least recently used ones go.

Files are written under another name and then renamed, so that any number of processes may read,
write and evict at once. Only files of this user are read, and only files with the names that the
cache gives are ever removed: which folder it is was the user's choice.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from mpkgraph.io.atomic import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, replacing_file

FORMAT_VERSION = 2
"""Goes up with any change of what the files look like inside."""
GRAPH_SUFFIX = ".graph"
STAMP_SUFFIX = ".stamp"
RESULT_SUFFIX = ".result"
TEMPORARY_SECONDS = 3600
"""A temporary file of this age was left by a process that was killed."""

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_OPEN |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Of any version: an older mpkgraph's files go like others.
_NAMES = re.compile(
    rf"[0-9a-f]{{64}}-[0-9]+{re.escape(GRAPH_SUFFIX)}[0-9]+"
    rf"|[0-9a-f]{{64}}{re.escape(STAMP_SUFFIX)}[0-9]+"
    rf"|[0-9a-f]{{64}}-[0-9a-f]{{64}}{re.escape(RESULT_SUFFIX)}[0-9]+"
)
_TEMPORARY_NAMES = re.compile(
    re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{16}" + re.escape(TEMPORARY_SUFFIX)
)


class CacheFolder:
    """Named bytes in `directory`, at most `limit_bytes` of them after each `write`."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, which counts as used; None when it is not here or not ours."""
        try:
            descriptor = os.open(self.directory / name, _OPEN)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not _is_ours(status):
                return None
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
            with contextlib.suppress(OSError):
                os.utime(descriptor)
        except (OSError, MemoryError):
            return None
        finally:
            os.close(descriptor)
        return data

    def write(self, name: str, data: bytes) -> None:
        """Puts a file there, or another in its place. Raises OSError."""
        self.write_parts(name, (data,))

    def write_parts(self, name: str, parts: Iterable[bytes]) -> None:
        """As `write`, of bytes that come in parts."""
        self.directory.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        with replacing_file(self.directory / name, mode=_FILE_MODE) as stream:
            for part in parts:
                stream.write(part)
        self._evict()

    @contextlib.contextmanager
    def spool(self) -> Iterator[BinaryIO]:
        """A file for the time of the block, without a name where that is possible.

        Raises OSError.
        """
        self.directory.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        path = self.directory / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
        with path.open("x+b") as file:
            with contextlib.suppress(OSError):
                path.unlink()
            yield file
        with contextlib.suppress(OSError):
            path.unlink()

    def remove(self, name: str) -> bool:
        """Whether the file was here and is gone."""
        try:
            (self.directory / name).unlink()
        except OSError:
            return False
        return True

    def clear(self) -> list[str]:
        """Removes every file of the cache; the names of the removed."""
        return [name for name, _, _ in self.files() if self.remove(name)]

    def names(self) -> list[str]:
        """Names of the files, in no order."""
        return [entry.name for entry in self._scan() if _NAMES.fullmatch(entry.name)]

    def files(self) -> list[tuple[str, int, int]]:
        """(name, bytes, time of last use in ns) of every file, the least recently used first.

        Temporary files that nobody will rename any more are removed.
        """
        found = []
        for entry in self._scan():
            ours = _NAMES.fullmatch(entry.name) is not None
            if not ours and _TEMPORARY_NAMES.fullmatch(entry.name) is None:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if ours:
                found.append((entry.name, status.st_size, status.st_mtime_ns))
            elif status.st_mtime < time.time() - TEMPORARY_SECONDS:
                self.remove(entry.name)
        return sorted(found, key=lambda file: (file[2], file[0]))

    def _evict(self) -> None:
        files = self.files()
        excess = sum(size for _, size, _ in files) - self.limit_bytes
        for name, size, _ in files:
            if excess <= 0:
                return
            self.remove(name)
            excess -= size

    def _scan(self) -> Iterator[os.DirEntry[str]]:
        with contextlib.suppress(OSError), os.scandir(self.directory) as entries:
            yield from entries


def _is_ours(status: os.stat_result) -> bool:
    # What another user put there could be a graph that never was in the file.
    user = getattr(os, "geteuid", lambda: status.st_uid)()
    return bool(status.st_uid == user)
