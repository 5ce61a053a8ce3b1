"""The file of a recorded pipeline: where it lies and its text. What it says is for `record`."""

from __future__ import annotations

import os
import re
from dataclasses import field
from functools import cached_property
from pathlib import Path

from mpkgraph.errors import GraphReadError
from mpkgraph.frozen import dataclass
from mpkgraph.io.source import STDIN, open_source

MAX_RECORD_BYTES = 1 << 28
"""The largest real record has 3 MB: what is far beyond is a graph given by mistake."""
BLOCK_BYTES = 1 << 18
REMEDY = "Give a pipeline_rank{N}.json as it was recorded"

SNIFFED_BYTES = 1 << 16
"""What is read of a file to tell what it holds."""

_RECORD_NAME = re.compile(r"pipeline_rank\d+\.json(\.zst|\.gz)?")
_GRAPH_START = re.compile(rb'\s*\{\s*"(all_events|all_tasks|first_tasks)"')
_RECORD_MARKS = (b'"mpk-pipeline-1"', b'"mirage_commit"')
_GRAPH_NAME = re.compile(r"task_graph_rank(\d+)\.json(\.zst|\.gz)?")
_SUFFIXES = ("", ".zst", ".gz")


@dataclass(frozen=True)
class RecordText:
    """The JSON text of a record."""

    name: str
    """What errors call the file."""
    path: str | None
    """None for standard input."""
    data: bytes = field(repr=False)

    @cached_property
    def sha256(self) -> str:
        import hashlib

        return hashlib.sha256(self.data).hexdigest()


def find_record(graph_path: str | os.PathLike[str]) -> Path | None:
    """The record beside `task_graph_rank{N}.json` (or `.zst`, `.gz`); None when there is none.

    Of several, the one that is compressed like the graph is taken.
    """
    path = Path(graph_path)
    match = _GRAPH_NAME.fullmatch(path.name)
    if match is None:
        return None
    own = match[2] or ""
    for suffix in (own, *(x for x in _SUFFIXES if x != own)):
        candidate = path.with_name(f"pipeline_rank{match[1]}.json{suffix}")
        if candidate.is_file():
            return candidate
    return None


def is_record(path: str | os.PathLike[str]) -> bool:
    """Whether a path means a pipeline record, not a graph: by its name, else by how it begins.

    Raises GraphReadError when a file of another name can't be read.
    """
    name = Path(path).name
    if _RECORD_NAME.fullmatch(name):
        return True
    if _GRAPH_NAME.fullmatch(name) or not Path(path).is_file():
        return False
    with open_source(path) as source:
        buffer = memoryview(bytearray(SNIFFED_BYTES))
        filled = 0
        while filled < SNIFFED_BYTES and (count := source.readinto(buffer[filled:])):
            filled += count
        head = bytes(buffer[:filled])
    return not _GRAPH_START.match(head) and any(mark in head for mark in _RECORD_MARKS)


def read_record_text(path: str | os.PathLike[str]) -> RecordText:
    """The text in a file (plain, `.zst` or `.gz`, told by content); "-" is standard input.

    Raises GraphReadError when it can't be read.
    """
    name = os.fspath(path)
    if name != STDIN and Path(name).is_dir():
        raise GraphReadError("is a directory, not a record", where=name, remedy=REMEDY)
    with open_source(name) as source:
        data = bytearray()
        block = memoryview(bytearray(BLOCK_BYTES))
        while count := source.readinto(block):
            data += block[:count]
            if len(data) > MAX_RECORD_BYTES:
                raise GraphReadError(
                    f"more than {MAX_RECORD_BYTES >> 20} MiB is no recorded pipeline",
                    where=source.name,
                    remedy=REMEDY,
                )
        return RecordText(source.name, source.path, bytes(data))
