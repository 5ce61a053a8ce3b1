"""Whether two paths hold the same bytes: told by hash, before anything is read as a graph."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mpkgraph.errors import MpkGraphError
from mpkgraph.io.paths import graph_files
from mpkgraph.io.source import STDIN

BLOCK_BYTES = 1 << 20


def same_sha256(left: str, right: str) -> str | None:
    """The sha256 of the content of two files, or of all graphs of two directories; else None.

    None as well for paths that can't be read, which is for the reader to say.
    """
    if STDIN in {left, right}:
        return None
    try:
        files = [_files(x) for x in (left, right)]
        several = Path(left).is_dir() or Path(right).is_dir()
        names = [[x.name for x in side] if several else [] for side in files]
        if not files[0] or not files[1] or names[0] != names[1]:
            return None
        sizes = [[x.stat().st_size for x in side] for side in files]
        if sizes[0] != sizes[1]:
            return None
        digests = [_digest(side) for side in files]
    except (OSError, MpkGraphError):
        return None
    return digests[0] if digests[0] == digests[1] else None


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return [Path(x) for x in graph_files(path)]
    # A script may import what differs; two single files may have any names
    return [path] if path.is_file() and path.suffix != ".py" else []


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
    return digest.hexdigest()
