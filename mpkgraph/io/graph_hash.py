"""What identifies a graph: the hash of its JSON text as Mirage writes it, however it is stored."""

from __future__ import annotations

import hashlib
from typing import Any

from mpkgraph.io.writer import write_graph
from mpkgraph.model.graph import TaskGraph


def graph_sha256(graph: TaskGraph) -> str:
    """sha256 of the graph's text, as 64 hexadecimal digits: that of the file Mirage wrote."""
    sink = _Sink()
    stream: Any = sink
    write_graph(graph, stream)
    return sink.digest.hexdigest()


class _Sink:
    """A stream that keeps nothing but the hash."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)
