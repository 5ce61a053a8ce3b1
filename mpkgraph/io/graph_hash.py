"""What identifies a graph: the hash of its JSON text as Mirage writes it, however it is stored."""

from __future__ import annotations

import hashlib

from mpkgraph.io.writer import text_chunks
from mpkgraph.model.graph import TaskGraph


def graph_sha256(graph: TaskGraph) -> str:
    """sha256 of the graph's text, as 64 hexadecimal digits: that of the file Mirage wrote."""
    digest = hashlib.sha256()
    for chunk in text_chunks(graph):
        digest.update(chunk)
    return digest.hexdigest()
