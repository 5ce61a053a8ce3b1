"""The readers that are measured, each a function of a path that gives the number of tasks.

`python -m benchmarks.peers NAME FILE` runs one and prints its seconds as JSON. Imports are not in
the time, opening and reading the file are. Peers do less than mpkgraph where they can't do the
same: they end with Python objects (or less), mpkgraph with all columns.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Reader = Callable[[Path], int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A reader: what it is called, what it needs, and how to make it (which imports it)."""

    name: str
    title: str
    make: Callable[[], Reader]
    requires: tuple[str, ...] = ()
    gc: bool = True
    """Whether Python's garbage collector is on, as it is by default."""


def _json_load() -> Reader:
    def read(path: Path) -> int:
        with path.open(encoding="utf-8") as stream:
            return len(json.load(stream)["all_tasks"])

    return read


def _orjson() -> Reader:
    import orjson

    return lambda path: len(orjson.loads(path.read_bytes())["all_tasks"])


def _msgspec() -> Reader:
    import msgspec

    slot = msgspec.defstruct(
        "Slot",
        [
            ("base_ptr", str),
            ("data_type", int),
            ("dims", list[int]),
            ("offset", int),
            ("strides", list[int]),
        ],
    )
    task = msgspec.defstruct(
        "Task",
        [
            *((name, int) for name in _TASK_INTEGERS),
            ("inputs", list[slot] | None),  # type: ignore[valid-type]
            ("outputs", list[slot] | None),  # type: ignore[valid-type]
        ],
    )
    event = msgspec.defstruct("Event", [(name, int) for name in _EVENT_INTEGERS])
    graph = msgspec.defstruct(
        "Graph",
        [
            ("all_events", list[event]),  # type: ignore[valid-type]
            ("all_tasks", list[task | None]),  # type: ignore[valid-type]
            ("first_tasks", list[int] | None),
        ],
    )
    decoder: Any = msgspec.json.Decoder(graph)
    return lambda path: len(decoder.decode(path.read_bytes()).all_tasks)


_TASK_INTEGERS = (
    "dependent_event",
    "expert_offset",
    "kv_idx",
    "merge_task_offset",
    "request_id",
    "task_offset",
    "task_type",
    "trigger_event",
    "variant_id",
)
_EVENT_INTEGERS = ("event_type", "first_task_id", "last_task_id", "num_triggers")


def _simdjson() -> Reader:
    import simdjson

    parser = simdjson.Parser()

    def read(path: Path) -> int:
        document: Any = parser.parse(path.read_bytes())
        return len(document["all_tasks"])

    return read


def _ijson() -> Reader:
    import ijson.backends.yajl2_c as backend  # type: ignore[import-untyped]

    def read(path: Path) -> int:
        with path.open("rb") as stream:
            return sum(1 for _ in backend.items(stream, "all_tasks.item", use_float=False))

    return read


def _ijson_columns() -> Reader:
    import ijson.backends.yajl2_c as backend

    def read(path: Path) -> int:
        columns = {name: array("Q" if "event" in name else "q") for name in _TASK_INTEGERS}
        num_inputs, num_slots = array("B"), array("B")
        slot_layouts, slot_offsets = array("l"), array("q")
        layouts: dict[tuple[object, ...], int] = {}
        with path.open("rb") as stream:
            for task in backend.items(stream, "all_tasks.item", use_float=False):
                for name, column in columns.items():
                    column.append(task[name])
                inputs, outputs = task["inputs"] or [], task["outputs"] or []
                num_inputs.append(len(inputs))
                num_slots.append(len(inputs) + len(outputs))
                for slot in (*inputs, *outputs):
                    dims, strides = tuple(slot["dims"]), tuple(slot["strides"])
                    layout = (slot["base_ptr"], slot["data_type"], dims, strides)
                    slot_layouts.append(layouts.setdefault(layout, len(layouts)))
                    slot_offsets.append(slot["offset"])
        return len(num_slots)

    return read


def _duckdb() -> Reader:
    import duckdb

    query = "SELECT len(all_tasks) FROM read_json(?, maximum_object_size = 4000000000)"

    def read(path: Path) -> int:
        # all rows: one left would keep the connection busy that this process has
        ((num_tasks,),) = duckdb.execute(query, [str(path)]).fetchall()
        return int(num_tasks)

    return read


def _mpkgraph(processes: int) -> Callable[[], Reader]:
    def make() -> Reader:
        from mpkgraph.io.reader import read_graph

        return lambda path: read_graph(path, processes=processes).num_tasks

    return make


def _mpkgraph_stream() -> Reader:
    from mpkgraph.io.reader import stream_graph

    def read(path: Path) -> int:
        with stream_graph(path) as stream:
            return sum(len(batch.tasks) for batch in stream.batches())

    return read


PEERS: tuple[Peer, ...] = (
    Peer("mpkgraph", "mpkgraph, all columns, 1 process", _mpkgraph(1)),
    Peer("mpkgraph-2", "mpkgraph, all columns, 2 processes", _mpkgraph(2)),
    Peer("mpkgraph-stream", "mpkgraph, columns in batches, 1 process", _mpkgraph_stream),
    Peer("json", "json.load", _json_load),
    Peer("orjson", "orjson.loads", _orjson, ("orjson",)),
    Peer("orjson-nogc", "orjson.loads, GC off", _orjson, ("orjson",), gc=False),
    Peer("msgspec", "msgspec, Structs", _msgspec, ("msgspec",)),
    Peer("simdjson", "pysimdjson, bare parse", _simdjson, ("pysimdjson",)),
    Peer("ijson", "ijson yajl2_c, each task dropped", _ijson, ("ijson",)),
    Peer("ijson-columns", "ijson yajl2_c, task columns", _ijson_columns, ("ijson",)),
    Peer("duckdb", "DuckDB `read_json`, number of tasks", _duckdb, ("duckdb",)),
)
BY_NAME = {peer.name: peer for peer in PEERS}


def run(name: str, path: Path) -> dict[str, object]:
    """Time one reader on one file."""
    peer = BY_NAME[name]
    read = peer.make()
    if not peer.gc:
        gc.disable()
    cpu_before = _cpu_seconds()
    start = time.perf_counter()
    num_tasks = read(path)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu_seconds": _cpu_seconds() - cpu_before,
        "num_tasks": num_tasks,
        "peak_bytes": _peak_bytes(),
    }


def _cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _peak_bytes() -> int:
    """Of this process and, added to it, the largest of its children.

    Pages that both share are counted twice, so with two processes this is an upper bound.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    own, children = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + children) * unit


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]))))
