"""Files that are there complete or not at all: written under another name, then renamed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mpkgraph.errors import GraphWriteError

PathLike = str | os.PathLike[str]

NEW_FILE_MODE = 0o666
"""Mode of a file that did not exist, before the umask."""
TEMPORARY_PREFIX = ".mpkgraph-"
TEMPORARY_SUFFIX = ".tmp"

_unfinished: dict[tuple[int, Path], BinaryIO | None] = {}
"""Temporary files by the process that writes them and name; the stream once there is one."""

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def atomic_file(path: PathLike, *, mode: int = NEW_FILE_MODE) -> Iterator[BinaryIO]:
    """A stream whose bytes become the file `path` when the block ends without an exception.

    They are written to a temporary name in the same folder, which is removed on any failure, an
    interrupt included; what `path` held before stays until then. A symbolic link is followed, the
    mode of an existing file is kept (else `mode` under the umask), and what is no regular file (a
    pipe, `/dev/null`) is written to directly.

    Raises GraphWriteError when the file can't be created, written or renamed; any OSError of the
    block counts as that, but for a broken pipe.
    """
    with write_errors(path):
        target = Path(os.path.realpath(path))
        try:
            # Of `path`: what /dev/stdout leads to in a pipeline has no name (pipe:[123])
            existing = Path(path).stat()
        except FileNotFoundError:
            existing = None
        if existing is not None and stat.S_ISDIR(existing.st_mode):
            raise IsADirectoryError(0, "it is a directory")
        if existing is not None and not stat.S_ISREG(existing.st_mode):
            with Path(path).open("wb") as stream:
                yield stream
            return
        if existing is not None:
            # A rename would get past the write protection of the file itself.
            os.close(os.open(target, os.O_WRONLY))
        with replacing_file(target, mode=mode, keep_mode=existing) as stream:
            yield stream


@contextlib.contextmanager
def replacing_file(
    target: Path, *, mode: int = NEW_FILE_MODE, keep_mode: os.stat_result | None = None
) -> Iterator[BinaryIO]:
    """`atomic_file` for a regular file at exactly `target`; errors stay OSErrors."""
    name = f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
    temporary = target.with_name(name)
    key = (os.getpid(), temporary)
    _unfinished[key] = None
    try:
        with os.fdopen(os.open(temporary, _NEW_FILE, mode), "wb") as stream:
            _unfinished[key] = stream
            yield stream
        if keep_mode is not None:
            temporary.chmod(stat.S_IMODE(keep_mode.st_mode))
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        _unfinished.pop(key, None)


def remove_unfinished() -> None:
    """Remove what this process was writing when an interrupt came.

    A `with` statement that is interrupted just before its context manager is asked to leave does
    not ask it. When the generator behind it ends is then a question of references, and a process
    that ends at once does not wait for it.
    """
    for key in [x for x in _unfinished if x[0] == os.getpid()]:
        stream = _unfinished.pop(key)
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
        with contextlib.suppress(OSError):
            key[1].unlink()


@contextlib.contextmanager
def write_errors(path: PathLike) -> Iterator[None]:
    """Turns an OSError of the block into a GraphWriteError that names `path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        reason = error.strerror or str(error)
        raise GraphWriteError(
            f"can't be written: {reason[:1].lower()}{reason[1:]}",
            where=os.fspath(path),
            remedy=_remedy(error),
        ) from error


def _remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "Create the folder first"
    return "Name a file in a folder that you may write to and that has room"
