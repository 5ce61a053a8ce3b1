"""The reader of task graphs: bytes of a file, plain or packed.

What it accepts, Python's own `json` must read as the same graph, written again it must be the same
graph, and reading in batches must tell the same tasks.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import orjson
import zstandard

from fuzz import seeds
from fuzz.command import scratch
from mpkgraph.errors import GraphReadError
from mpkgraph.io.reader import read_graph, stream_graph
from mpkgraph.io.writer import save_graph
from tests.naive import assert_same_graph, document_from_graph

MAX_MESSAGE_CHARACTERS = 1500


def SEEDS() -> list[bytes]:
    document = seeds.graph_document("diamond")
    small = {key: rows[:4] for key, rows in document.items()}
    compact = orjson.dumps(small)
    indented = json.dumps(small, indent=2, sort_keys=True).encode()
    bare = {"all_events": None, "all_tasks": [None, *small["all_tasks"][-1:]], "first_tasks": []}
    return [
        compact,
        indented,
        json.dumps(small, indent=4).replace("\n", "\r\n").encode(),
        json.dumps(bare).encode(),
        json.dumps({**bare, "further": [1.5, {"x": "\u00e9"}]}).encode(),
        gzip.compress(compact),
        zstandard.compress(indented),
        b"\xef\xbb\xbf" + compact,
    ]


def try_input(data: bytes) -> None:
    path = scratch() / "task_graph_rank0.json"
    path.write_bytes(data)
    try:
        graph = read_graph(path, processes=1)
    except GraphReadError as error:
        assert len(str(error)) < MAX_MESSAGE_CHARACTERS, len(str(error))
        _refused_in_batches_too(path)
        return
    with stream_graph(path) as stream:
        num_tasks = sum(len(batch.tasks) for batch in stream.batches())
    assert num_tasks == graph.num_tasks
    if data.startswith(b"{") or data[:1].isspace():
        assert document_from_graph(graph) == _plain(json.loads(data))
    again = scratch() / "again.json"
    save_graph(graph, again)
    assert_same_graph(read_graph(again, processes=1), graph)


def _refused_in_batches_too(path: Any) -> None:
    try:
        with stream_graph(path) as stream:
            for _ in stream.batches():
                pass
    except GraphReadError:
        return
    raise AssertionError("read in batches what is refused as a whole")


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """With null for empty arrays, as a graph is written."""

    def task(record: dict[str, Any] | None) -> dict[str, Any] | None:
        if record is None:
            return None
        return {**record, "inputs": record["inputs"] or None, "outputs": record["outputs"] or None}

    tasks = [task(x) for x in document["all_tasks"] or ()]
    return {
        **document,
        "all_events": document["all_events"] or None,
        "all_tasks": tasks or None,
        "first_tasks": document["first_tasks"] or None,
    }
