"""Reading graphs through the cache: what the command line does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpkgraph.frozen import dataclass
from mpkgraph.io.cache import GraphCache, read_cached
from mpkgraph.io.paths import graph_files
from mpkgraph.io.source import StrPath

if TYPE_CHECKING:
    # A command that finds its answer in the cache does without numpy.
    from mpkgraph.io.reader import Progress
    from mpkgraph.model.graph import TaskGraph


@dataclass(frozen=True)
class CachedRead:
    """A graph that was read, and what the cache knows of its file."""

    graph: TaskGraph
    content_sha256: str | None
    """Of the bytes of the file; None when the cache holds nothing of it."""
    is_fresh: bool
    """Whether the text was read."""


def read_through_cache(
    path: StrPath,
    cache: GraphCache | None,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> CachedRead:
    """The graph in a file, or on standard input for "-". Raises GraphReadError as `read_graph`."""
    is_fresh = False

    def read() -> TaskGraph:
        from mpkgraph.io.reader import read_graph

        nonlocal is_fresh
        is_fresh = True
        return read_graph(path, processes=processes, progress=progress)

    if cache is not None:
        cache.content_sha256 = None
    graph = read_cached(path, read, cache)
    return CachedRead(graph, None if cache is None else cache.content_sha256, is_fresh)


def files_of_rank(path: StrPath, rank: int | None) -> list[str]:
    """The files to read for a path: itself, or those of a directory that may be of `rank`.

    Raises GraphReadError when a directory has no graphs, or two files of one rank.
    """
    files = graph_files(path)
    if rank is None:
        return files
    from mpkgraph.io.checks import rank_in_name

    # A name that tells its rank spares reading the other ranks
    return [name for name in files if rank_in_name(name) in {None, rank}] or files
