"""Which bytes a file holds: its sha256, and when a stamp of the file stands for them.

The classic trap: a file that is written twice within one tick of the file system's clock has the
same stamp for two contents. So a stamp counts only once its times lie a while back (`settled`).
What no stamp shows is a write through a shared memory map that is not flushed yet.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mpkgraph.frozen import dataclass
from mpkgraph.io.forked import Forked
from mpkgraph.io.source import open_source

PathLike = str | os.PathLike[str]

TICK_NS = 100_000_000
"""Ten times the coarsest clock tick that Linux stamps files with."""
COARSE_TICK_NS = 2_000_000_000
"""Tick of file systems that keep whole seconds (FAT: every other one)."""
BLOCK_BYTES = 1 << 20
SHA256_DIGITS = 64

_OPEN = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Opening a pipe that nobody writes to must not wait.
_OPEN |= getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What changes with any write to a file: `ctime_ns` can't be set back."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of_descriptor(cls, descriptor: int) -> FileStamp | None:
        """The stamp of an open file; None when it is no regular file."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    @classmethod
    def of_path(cls, path: PathLike) -> FileStamp | None:
        """The stamp of the file that `path` leads to; None when that can't be read."""
        try:
            # Opening a pipe, if only for a moment, would take its writer's data.
            if not stat.S_ISREG(Path(path).stat().st_mode):
                return None
            # Network file systems answer from memory unless the file is opened.
            descriptor = os.open(path, _OPEN)
        except (OSError, ValueError):
            return None
        try:
            return cls.of_descriptor(descriptor)
        finally:
            os.close(descriptor)

    def settled(self, now_ns: int) -> bool:
        """Whether a write at `now_ns` or later gives the file another stamp.

        >>> second = 10**9
        >>> FileStamp(0, 0, 0, 5 * second, 5 * second).settled(6 * second)
        False
        >>> FileStamp(0, 0, 0, 5 * second + 1, 5 * second + 1).settled(6 * second)
        True
        """
        whole_seconds = not self.mtime_ns % 10**9 or not self.ctime_ns % 10**9
        tick = COARSE_TICK_NS if whole_seconds else TICK_NS
        return max(self.mtime_ns, self.ctime_ns) + tick < now_ns


@dataclass(frozen=True, slots=True)
class Content:
    """The sha256 of a file's bytes, and the stamp that stood for them at `seen_ns`."""

    sha256: str
    stamp: FileStamp
    seen_ns: int


def text_sha256(path: PathLike) -> str:
    """The sha256 of a graph's JSON text: of what a compressed file holds, not of its bytes.

    Raises GraphReadError when the file can't be read.
    """
    # Here, as hashlib takes 4 MB: a summary of a large file leaves them to the child that hashes
    import hashlib

    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    with open_source(path) as source:
        while count := source.readinto(block):
            digest.update(block[:count])
    return digest.hexdigest()


def file_sha256(path: PathLike, stamp: FileStamp, stop: Callable[[], bool]) -> str | None:
    """The sha256 of a file's bytes; None when it can't be read, has another stamp or `stop()`."""
    # Here, as hashlib takes 4 MB: a summary of a large file leaves them to the child that hashes
    import hashlib

    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    try:
        with Path(path).open("rb", buffering=0) as file:
            if FileStamp.of_descriptor(file.fileno()) != stamp:
                return None
            while count := file.readinto(block):
                digest.update(block[:count])
                if stop():
                    return None
    except (OSError, ValueError):
        return None
    return digest.hexdigest()


class ContentHash:
    """Hashes a file, beside what the caller does once `start` is called.

    Made before a file is read and asked after, it tells whether the file stood still meanwhile:

        with contextlib.closing(ContentHash(path)) as content_hash:
            content_hash.start()
            graph = read_graph(path)
            content = content_hash.result()
    """

    def __init__(self, path: PathLike) -> None:
        self.path = path
        self.seen_ns = time.time_ns()
        self.stamp = FileStamp.of_path(path)
        self._worker: _HashThread | _HashProcess | None = None
        self._sha256: str | None = None

    def start(self) -> None:
        """Starts hashing: in a process, as the reader does not fork beside a thread of ours.

        Where threads run already, or processes can't be forked, it is a thread.
        """
        if self.stamp is None:
            return
        if hasattr(os, "fork") and threading.active_count() == 1:
            self._worker = _HashProcess.start(self.path, self.stamp)
        if self._worker is None:
            self._worker = _HashThread(self.path, self.stamp)

    def result(self) -> Content | None:
        """Waits for the hash. None when the file changed, can't be read, or its stamp as taken
        at the start would not show a change since.
        """
        if self.stamp is None or not self.stamp.settled(self.seen_ns):
            return None
        sha256 = self.sha256()
        return None if sha256 is None else Content(sha256, self.stamp, self.seen_ns)

    def sha256(self) -> str | None:
        """Waits for the hash, to be shown rather than to be relied on: as `result`, but of a file
        that was written just before too.
        """
        if self.stamp is None:
            return None
        if self._sha256 is None:
            if self._worker is None:
                self._sha256 = file_sha256(self.path, self.stamp, lambda: False)
            else:
                self._sha256 = self._worker.result()
        return self._sha256 if FileStamp.of_path(self.path) == self.stamp else None

    def close(self) -> None:
        """Stops hashing."""
        if self._worker is not None:
            self._worker.close()


class _HashThread:
    """hashlib and reading run without the GIL."""

    def __init__(self, path: PathLike, stamp: FileStamp) -> None:
        self._stop = threading.Event()
        self._sha256: str | None = None
        self._arguments = (path, stamp, self._stop.is_set)
        self._thread = threading.Thread(target=self._run, name="mpkgraph-hash", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._sha256 = file_sha256(*self._arguments)

    def result(self) -> str | None:
        self._thread.join()
        return self._sha256

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


class _HashProcess:
    """A child that sends the hash and ends."""

    def __init__(self, child: Forked) -> None:
        self._child = child

    @classmethod
    def start(cls, path: PathLike, stamp: FileStamp) -> _HashProcess | None:
        """None when no process can be made."""

        def send(pipe: int) -> None:
            os.write(pipe, (file_sha256(path, stamp, lambda: False) or "").encode())

        child = Forked.start(send)
        return None if child is None else cls(child)

    def result(self) -> str | None:
        sha256 = os.read(self._child.pipe, SHA256_DIGITS).decode()
        self.close()
        return sha256 if len(sha256) == SHA256_DIGITS else None

    def close(self) -> None:
        self._child.close()
