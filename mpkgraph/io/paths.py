"""Graph files in a directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mpkgraph.errors import GraphReadError
from mpkgraph.io.source import STDIN, StrPath

_GRAPH_NAME = re.compile(r"task_graph_rank(\d{1,5})\.json(?:\.gz|\.zst)?")


def graph_files(path: StrPath) -> list[str]:
    """The graph files that `path` stands for: itself, or all ranks in a directory, by rank.

    Raises GraphReadError when a directory has no graphs, or two files of one rank.
    """
    if path == STDIN or not Path(path).is_dir():
        return [os.fspath(path)]
    found: dict[int, Path] = {}
    try:
        names = sorted(entry.name for entry in Path(path).iterdir())
    except PermissionError:
        raise GraphReadError(
            "permission denied",
            where=os.fspath(path),
            remedy="Make the directory readable for this user.",
        ) from None
    for name in names:
        match = _GRAPH_NAME.fullmatch(name)
        if match is None:
            continue
        rank = int(match[1])
        if rank in found:
            raise GraphReadError(
                f"two files of rank {rank}: {found[rank].name} and {name}",
                where=os.fspath(path),
                remedy="Name one of them, or remove the older.",
            )
        found[rank] = Path(path) / name
    if not found:
        raise GraphReadError(
            "the directory holds no task_graph_rank{N}.json[.gz|.zst]",
            where=os.fspath(path),
            remedy="Give the output_dir of Mirage's compile(), or a graph file.",
        )
    return [str(found[rank]) for rank in sorted(found)]
