"""Graphs, patches, overlays and costs that differ a little from good ones, by hypothesis."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import edits
from mpkgraph.analysis.cost.model import CostModel

# 40 examples in all: the long runs were made once, what they found is in the tests beside this
FUZZ = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CHANGES = st.binary(max_size=60)
READ_ONLY = [
    ["show", "--json"],
    ["show", "-l", "slots", "--csv"],
    ["show", "-e", "all"],
    ["show", "--schedule"],
    ["show", "-p", "0-"],
    ["verify", "-s", "all", "-f", "sarif"],
    ["verify", "-s", "all"],
    ["diff", None, "--full", "--findings"],
    ["diff", None, "-f", "html"],
]


@pytest.mark.parametrize("command", READ_ONLY, ids=lambda x: " ".join(filter(None, x)))
def test_graphs(command, small, accept, tmp_path):
    graph = json.loads(small.graph.read_text(encoding="utf-8"))
    file = tmp_path / "task_graph_rank0.json"

    @FUZZ
    @given(CHANGES)
    def check(data):
        file.write_text(json.dumps(edits.apply(graph, edits.Bytes(data))))
        name, *rest = command
        others = [small.graph if x is None else x for x in rest]
        accept(name, file, *others, "--no-cache")

    check()


@pytest.mark.parametrize("kind", ["apply", "cost", "record"])
def test_other_files(kind, small, patch, accept, tmp_path):
    good = {
        "apply": patch,
        "cost": CostModel.of_gpu("h100").to_json(),
        "record": json.loads(small.record.read_text(encoding="utf-8")),
    }[kind]
    file, out = tmp_path / "given.json", tmp_path / "out.json"
    command = {
        "apply": ["diff", small.graph, "--apply", file, "-o", out],
        "cost": ["show", small.graph, "--schedule", "--cost", file],
        "record": ["verify", small.graph, "--record", file],
    }[kind]

    @settings(FUZZ, max_examples=20)
    @given(CHANGES)
    def check(data):
        file.write_text(json.dumps(edits.apply(good, edits.Bytes(data))))
        out.unlink(missing_ok=True)
        code = accept(*command)
        if kind == "apply" and code == 0:
            assert out.read_bytes() == small.other.read_bytes(), (
                "a damaged patch gave another graph"
            )
        assert code == 0 or not out.exists()

    check()
