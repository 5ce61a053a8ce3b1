"""Graphs that were read before, kept as columns and found by the content of their file.

The cache's folder (`$MPKGRAPH_CACHE_DIR`, else `$XDG_CACHE_HOME/mpkgraph`, else
`~/.cache/mpkgraph`) holds three kinds of files:

- `<sha256>-<size>.graph2`, an entry (see `cache_entry`), named by the bytes of the graph's file;
- `<hash of a path>.stamp2`: the content that the file at this path had under which stamp (see
  `content`), so that a file that did not change need not be hashed again;
- `<sha256>-<hash of a path and a key>.result2`: bytes that a caller computed from such a file, for
  a command that then needs no graph at all.

A cache may fail, never harm: what can't be read, written or trusted is as if it were not there,
and `GraphCache.reason` says why.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import orjson

from mpkgraph._version import __version__
from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.io.cache_folder import (
    FORMAT_VERSION,
    GRAPH_SUFFIX,
    RESULT_SUFFIX,
    STAMP_SUFFIX,
    CacheFolder,
)
from mpkgraph.io.content import Content, ContentHash, FileStamp
from mpkgraph.io.digest import text_digest
from mpkgraph.io.source import open_source

if TYPE_CHECKING:
    # A command that needs a stored result only does without numpy.
    from mpkgraph.model.graph import TaskGraph

PathLike = str | os.PathLike[str]

DIRECTORY_VARIABLE = "MPKGRAPH_CACHE_DIR"
LIMIT_VARIABLE = "MPKGRAPH_CACHE_LIMIT"
DEFAULT_LIMIT_BYTES = 1 << 30
"""Room for some hundred graphs of 1 GB of JSON."""
MIN_TEXT_BYTES = 4 << 20
"""A smaller text is read about as fast as an entry."""
MIN_FILE_BYTES = 1 << 13
"""No smaller file holds `MIN_TEXT_BYTES`, however well it is compressed."""
MIN_PARALLEL_BYTES = 1 << 23
"""A smaller file is hashed about as fast as a process starts."""

_STDIN = "-"
_SHA256 = re.compile("[0-9a-f]{64}")
_LIMIT = re.compile(r"\s*(\d+)\s*(?:([kmgt])(?:i?b)?|b)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cache holds. `directory` is None when there is no home to put it."""

    directory: Path | None
    num_graphs: int
    num_bytes: int
    limit_bytes: int


def read_cached(
    path: PathLike, read: Callable[[], TaskGraph], cache: GraphCache | None
) -> TaskGraph:
    """The graph at `path`: from the cache, or else from `read()`, to be stored then.

    The file is hashed while `read` runs. Nothing is stored when the file changed meanwhile.
    """
    if cache is None or not cache.enabled or path == _STDIN:
        return read()
    found = cache.lookup(path)
    if found is not None:
        return found
    with contextlib.closing(ContentHash(path)) as content_hash:
        stamp = content_hash.stamp
        if stamp is None or stamp.size < MIN_FILE_BYTES:
            return read()
        if stamp.size >= MIN_PARALLEL_BYTES:
            content_hash.start()
        graph = read()
        if (graph.source.num_bytes or stamp.size) < MIN_TEXT_BYTES:
            return graph
        content = content_hash.result()
    if content is None:
        cache.reason = "the file changed while it was read, or just before"
        return graph
    if is_plain(path):
        source = dataclasses.replace(graph.source, sha256=content.sha256)
        graph = dataclasses.replace(graph, source=source)
    cache.store(path, content, graph)
    return graph


class GraphCache:
    """A folder of cached graphs; a `limit_bytes` of 0 turns it off.

    Raises UsageError when `limit_bytes` is not given and `MPKGRAPH_CACHE_LIMIT` is no size.
    """

    def __init__(self, directory: PathLike | None = None, limit_bytes: int | None = None) -> None:
        where = default_directory() if directory is None else Path(directory)
        limit = default_limit() if limit_bytes is None else limit_bytes
        self.limit_bytes = limit
        self.reason: str | None = None
        """Why the last call found or stored nothing, for debugging."""
        self.content_sha256: str | None = None
        """Of the bytes of the file whose graph the last `lookup` or `store` gave or took."""
        self._folder = None if where is None else CacheFolder(where, limit)

    @property
    def enabled(self) -> bool:
        return self._folder is not None and self.limit_bytes > 0

    def lookup(self, path: PathLike) -> TaskGraph | None:
        """The graph in the file at `path`, when one of the same content is here."""
        self.reason = self.content_sha256 = None
        stamp = None if path == _STDIN else FileStamp.of_path(path)
        if self._folder is None or not self.enabled:
            self.reason = "the cache is off"
        elif stamp is None or stamp.size < MIN_FILE_BYTES:
            self.reason = "it is a small file, or none"
        elif (known := self._known_content(self._folder, path, stamp)) is not None:
            sha256, rank = known
            found = self._load(self._folder, path, sha256, stamp.size)
            if found is None:
                return None
            self.content_sha256 = sha256
            graph = found[0]
            return graph if graph.rank == rank else dataclasses.replace(graph, rank=rank)
        elif any(name.endswith(_entry_name("", stamp.size)) for name in self._folder.names()):
            # A file of this size was stored, so hashing, which is faster than reading, may pay.
            return self._lookup_content(self._folder, path)
        else:
            self.reason = "nothing is known of this file"
        return None

    def store(self, path: PathLike, content: Content, graph: TaskGraph) -> bool:
        """Keeps the graph that was read from `path` while this held `content`.

        False when it can't be kept.
        """
        from mpkgraph.io.cache_entry import EntryError, encode

        try:
            data = encode(graph, name=entry_file_name(path))
        except EntryError as error:
            self.reason, self.content_sha256 = f"the graph can't be kept: {error}", None
            return False
        return self.store_entry(path, content, graph.rank, (data,), len(data))

    def store_entry(
        self, path: PathLike, content: Content, rank: int, parts: Iterable[bytes], num_bytes: int
    ) -> bool:
        """As `store`, of a graph that is encoded already, with `entry_file_name(path)`."""
        self.reason = self.content_sha256 = None
        if self._folder is None or not self.enabled:
            self.reason = "the cache is off"
        elif num_bytes > self.limit_bytes:
            self.reason = "the graph is larger than the cache may be"
        else:
            try:
                self._folder.write_parts(_entry_name(content.sha256, content.stamp.size), parts)
                self._store_stamp(self._folder, path, content, rank)
                self.content_sha256 = content.sha256
            except OSError as error:
                self.reason = f"the cache can't be written: {error.strerror or error}"
        return self.reason is None

    def lookup_result(self, path: PathLike, key: str, *, sha256: str | None = None) -> bytes | None:
        """What `store_result` was given for this path and key, when the file is still the same.

        With `sha256` it is what was stored of that content, whatever the file holds by now. The
        bytes are those that were stored, by this version of mpkgraph.
        """
        self.reason = None
        found = self._result_name(path, key, sha256)
        if found is None:
            self.reason = self.reason or "nothing is known of this file"
            return None
        folder, name = found
        data = folder.read(name)
        if data is None:
            self.reason = "no such result is here"
            return None
        prefix = _result_prefix(path, key)
        checksum, _, text = data.partition(b"\n")
        if checksum != _checksum(text) or not text.startswith(prefix):
            self.reason = "the result is removed: damaged, or of another version"
            folder.remove(name)
            return None
        return text[len(prefix) :]

    def store_result(
        self, path: PathLike, key: str, data: bytes, *, sha256: str | None = None
    ) -> bool:
        """Keeps bytes computed from the graph at `path`, which the cache has to know.

        `key` names what they depend on beside the file: the question, its options, the catalog;
        `sha256` is that of the file's bytes when it was read, in case it changes meanwhile.
        False when they can't be kept.
        """
        self.reason = None
        found = self._result_name(path, key, sha256)
        text = _result_prefix(path, key) + data
        if found is None:
            self.reason = self.reason or "nothing is known of this file"
        elif len(text) > self.limit_bytes:
            self.reason = "the result is larger than the cache may be"
        else:
            folder, name = found
            try:
                folder.write(name, _checksum(text) + b"\n" + text)
            except OSError as error:
                self.reason = f"the cache can't be written: {error.strerror or error}"
        return self.reason is None

    @contextlib.contextmanager
    def spool(self) -> Iterator[BinaryIO | None]:
        """A file on the cache's disk for the time of the block; None when there can't be one."""
        with contextlib.ExitStack() as stack:
            file = None
            if self._folder is not None and self.enabled:
                try:
                    file = stack.enter_context(self._folder.spool())
                except OSError as error:
                    self.reason = f"the cache can't be written: {error.strerror or error}"
            yield file

    def clear(self) -> int:
        """Removes all that the cache holds. Returns the number of graphs removed."""
        removed = [] if self._folder is None else self._folder.clear()
        return sum(GRAPH_SUFFIX in name for name in removed)

    def info(self) -> CacheInfo:
        files = [] if self._folder is None else self._folder.files()
        return CacheInfo(
            directory=None if self._folder is None else self._folder.directory,
            num_graphs=sum(GRAPH_SUFFIX in name for name, _, _ in files),
            num_bytes=sum(size for _, size, _ in files),
            limit_bytes=self.limit_bytes,
        )

    def _load(
        self, folder: CacheFolder, path: PathLike, sha256: str, size: int
    ) -> tuple[TaskGraph, str] | None:
        """The graph of an entry and the name of the file that it was read from."""
        name = _entry_name(sha256, size)
        data = folder.read(name)
        if data is None:
            self.reason = "no graph of this content is here"
            return None
        from mpkgraph.io.cache_entry import EntryError, decode

        try:
            return decode(data, path=os.fspath(path), remove=partial(folder.remove, name))
        except EntryError as error:
            self.reason = f"the entry is removed: {error}"
            folder.remove(name)
            return None

    def _lookup_content(self, folder: CacheFolder, path: PathLike) -> TaskGraph | None:
        with contextlib.closing(ContentHash(path)) as content_hash:
            content = content_hash.result()
        if content is None:
            self.reason = "the file has just changed"
            return None
        found = self._load(folder, path, content.sha256, content.stamp.size)
        if found is None:
            return None
        graph, name = found
        if name != entry_file_name(path):
            # A graph's rank comes from its file's name.
            self.reason = "the same content was read under another name"
            return None
        try:
            self._store_stamp(folder, path, content, graph.rank)
        except OSError as error:
            self.reason = f"the cache can't be written: {error.strerror or error}"
        self.content_sha256 = content.sha256
        return graph

    def _result_name(
        self, path: PathLike, key: str, sha256: str | None
    ) -> tuple[CacheFolder, str] | None:
        if self._folder is None or not self.enabled:
            self.reason = "the cache is off"
            return None
        if sha256 is None:
            stamp = None if path == _STDIN else FileStamp.of_path(path)
            known = None if stamp is None else self._known_content(self._folder, path, stamp)
            if known is None:
                return None
            sha256 = known[0]
        digest = text_digest(_result_prefix(path, key))
        return self._folder, f"{sha256}-{digest}{RESULT_SUFFIX}{FORMAT_VERSION}"

    def _known_content(
        self, folder: CacheFolder, path: PathLike, stamp: FileStamp
    ) -> tuple[str, int] | None:
        """sha256 and rank of the file at `path`, when it is known to be unchanged."""
        data = folder.read(_stamp_name(path))
        if data is None:
            return None
        checksum, _, text = data.partition(b"\n")
        if checksum != _checksum(text):
            return None
        try:
            known = orjson.loads(text)
            seen_stamp, seen_ns = FileStamp(*known["stamp"]), int(known["seen_ns"])
            sha256, rank = str(known["sha256"]), int(known["rank"])
        except (ValueError, TypeError, KeyError, OverflowError):
            return None
        if not _SHA256.fullmatch(sha256) or "path" not in known:
            return None
        # One that was not settled then may have been given to two contents.
        unchanged = known["path"] == _path_text(path) and seen_stamp == stamp
        return (sha256, rank) if unchanged and stamp.settled(seen_ns) else None

    @staticmethod
    def _store_stamp(folder: CacheFolder, path: PathLike, content: Content, rank: int) -> None:
        known = {
            "path": _path_text(path),
            "stamp": dataclasses.astuple(content.stamp),
            "sha256": content.sha256,
            "rank": rank,
            "seen_ns": content.seen_ns,
        }
        text = orjson.dumps(known)
        folder.write(_stamp_name(path), _checksum(text) + b"\n" + text)


def default_directory() -> Path | None:
    """The folder that the environment asks for; None when there is no home."""
    chosen = os.environ.get(DIRECTORY_VARIABLE)
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "mpkgraph"
    try:
        return Path.home() / ".cache" / "mpkgraph"
    except RuntimeError:
        return None


def default_limit() -> int:
    """The limit that the environment asks for, in bytes.

    Raises UsageError when `MPKGRAPH_CACHE_LIMIT` is no size.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    return parse_limit(text) if text.strip() else DEFAULT_LIMIT_BYTES


def parse_limit(text: str) -> int:
    """Bytes of a size such as `500M`, `2GiB` or `0`; K, M, G and T count in 1024s.

    Raises UsageError for anything else.

    >>> parse_limit("500M")
    524288000
    """
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is no size for the cache",
            where=LIMIT_VARIABLE,
            remedy="Give a number of bytes, or one like 500M or 2G; 0 turns the cache off",
        )
    return int(match[1]) << 10 * ("kmgt".index(match[2].lower()) + 1 if match[2] else 0)


def is_plain(path: PathLike) -> bool:
    """Whether the file's bytes are the graph's text."""
    try:
        with open_source(path) as source:
            return source.compression == "none"
    except GraphReadError:
        return False


def entry_file_name(path: PathLike) -> str:
    """What an entry keeps of the path of its file: its name, which tells the rank."""
    return _bytes_text(Path(path).name)


def _entry_name(sha256: str, size: int) -> str:
    return f"{sha256}-{size}{GRAPH_SUFFIX}{FORMAT_VERSION}"


def _stamp_name(path: PathLike) -> str:
    digest = text_digest(_path_text(path).encode())
    return f"{digest}{STAMP_SUFFIX}{FORMAT_VERSION}"


def _result_prefix(path: PathLike, key: str) -> bytes:
    # As JSON, so that no path and key pass for others.
    return orjson.dumps([__version__, _path_text(path), key]) + b"\n"


def _path_text(path: PathLike) -> str:
    return _bytes_text(os.path.realpath(path))


def _bytes_text(name: str) -> str:
    """A file's name, which may be any bytes, one character a byte."""
    return os.fsencode(name).decode("latin-1")


def _checksum(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)
