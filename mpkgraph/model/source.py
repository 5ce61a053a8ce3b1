"""Where a graph came from; apart from the graph's columns, so that it needs no numpy."""

from __future__ import annotations

from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class GraphSource:
    """Where a graph came from. `sha256` is that of the (uncompressed) JSON text."""

    path: str | None = None
    sha256: str | None = None
    num_bytes: int | None = None
    record_path: str | None = None
    """The `pipeline_rank{N}.json` found beside the graph, if any."""
