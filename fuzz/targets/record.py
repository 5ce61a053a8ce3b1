"""Pipeline records, edited, or any bytes: what is read is written alike, planned and checked."""

from __future__ import annotations

import json

from fuzz import edits, seeds
from fuzz.command import scratch
from mpkgraph.analysis.verify.report import check
from mpkgraph.analysis.verify.subjects import context_of, pipeline_of
from mpkgraph.errors import MpkGraphError
from mpkgraph.io.reader import read_graph
from mpkgraph.io.record import parse_record
from mpkgraph.io.writer import save_graph
from mpkgraph.pipeline.replay import replay
from mpkgraph.planner.plan import plan
from tests.naive import assert_same_graph

NAMES = ("diamond", "fork", "two ranks")
RAW = 0
"""The first byte, for bytes that are the file itself."""
MAX_TASKS = 20_000
"""A record may ask for any grid; how long a large one takes is not looked for here."""


def SEEDS() -> list[bytes]:
    text = json.dumps(seeds.record_document("diamond")).encode()
    return [bytes([RAW]) + text, *(bytes([1 + k % 3]) + x for k, x in enumerate(_random()))]


def _random() -> list[bytes]:
    return seeds.random_bytes()


def try_input(data: bytes) -> None:
    choices = edits.Bytes(data)
    kind = choices.below(1 + len(NAMES))
    if kind == RAW:
        text = choices.rest()
    else:
        document = edits.apply(seeds.record_document(NAMES[kind - 1]), choices)
        text = json.dumps(document).encode()
    try:
        record = parse_record(text, file="pipeline_rank0.json")
    except MpkGraphError as error:
        assert len(str(error)) < 1500, len(str(error))
        return
    again = parse_record(json.dumps(record.to_json()).encode(), file="again")
    assert again == record
    if sum(x.grid_dim[0] * x.grid_dim[1] * x.grid_dim[2] for x in record.layers) > MAX_TASKS:
        return
    for step in (replay, _plan):
        try:
            step(record)
        except MpkGraphError as error:
            assert str(error)


def _plan(record) -> None:  # noqa: ANN001
    graph = plan(record).graph
    path = scratch() / "planned.json"
    save_graph(graph, path)
    assert_same_graph(read_graph(path, processes=1), graph)
    check(pipeline_of("record", [context_of(graph, record)]))
