"""Which files a pipeline was made of: what its script opened, so that a change of any is noticed.

Python tells audit hooks of every file that is opened, imports included. Installed packages and
Python's own files are left out: they are not the user's, and there are thousands.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpkgraph.pipeline.standin.environment import is_installed_file

HASHED_BYTES = 64 << 20
"""Of a larger file (weights) size and time of change stand for its content."""
SYSTEM_FOLDERS = ("/proc/", "/sys/", "/dev/")

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Opened:
    """Paths in the order they were first opened, and those that were opened for writing."""

    def __init__(self) -> None:
        self.read: dict[str, None] = {}
        self.written: set[str] = set()


_watchers: list[_Opened] = []
_installed = False


@contextmanager
def opened_files() -> Iterator[_Opened]:
    """Collects what this process opens inside the block."""
    global _installed  # noqa: PLW0603  a hook can't be taken away again: one for the process
    if not _installed:
        sys.addaudithook(_on_event)
        _installed = True
    watcher = _Opened()
    _watchers.append(watcher)
    try:
        yield watcher
    finally:
        _watchers.remove(watcher)


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watchers:
        return
    path, mode, flags = arguments
    if not isinstance(path, (str, bytes)):
        return
    name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  a script may change its folder
    # `open` says its mode, `os.open` its flags
    writes = bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(flags & _WRITING)
    for watcher in _watchers:
        if writes:
            watcher.written.add(name)
        else:
            watcher.read.setdefault(name)


def source_digests(opened: _Opened, folder: str, named: Iterable[str] = ()) -> dict[str, str]:
    """Digests of the user's files among those opened, and of those `named`, by path.

    Paths below `folder` are relative to it: results can be moved with what they are of.
    """
    found: dict[str, str] = {}
    for path in (*map(_absolute, named), *map(_source_of, opened.read)):
        if path in opened.written or path.startswith(SYSTEM_FOLDERS) or is_installed_file(path):
            continue
        digest = file_digest(path)
        if digest is not None:
            found[_shown(path, folder)] = digest
    return dict(sorted(found.items()))


def are_unchanged(digests: Mapping[str, str], folder: str) -> bool:
    """Whether all these files still have their content."""
    return all(file_digest(str(Path(folder, path))) == digest for path, digest in digests.items())


def file_digest(path: str) -> str | None:
    """The content of a regular file; None when there is none that can be read."""
    try:
        if not Path(path).is_file():
            return None
        state = Path(path).stat()
        if state.st_size > HASHED_BYTES:
            return f"{state.st_size} bytes of {state.st_mtime_ns}"
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100


def _source_of(path: str) -> str:
    """The Python file of a compiled one: the other is not opened then."""
    if not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except (ValueError, NotImplementedError):
        return path


def _shown(path: str, folder: str) -> str:
    try:
        return Path(path).relative_to(folder).as_posix()
    except ValueError:
        return path
