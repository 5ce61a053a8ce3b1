"""Graphs, patches, overlays and costs that differ a little from good ones, by hypothesis."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.cost.model import CostModel

NUMBERS = [0, 1, -1, 2, 5, 64, 1 << 31, 1 << 32, (1 << 62) + 1, (1 << 63) - 2, (1 << 64) - 1]
NUMBERS += [1 << 64, -(1 << 63), 10**30, 1.5, 1e308, True, None, 900, 902, 903, 910]
TEXTS = ["", "<script>alert(1)</script>", "a\"b'c", "\x1b]0;x\x07\x1b[31m", "=1+1", "a\nb\r\n"]
TEXTS += ["n" * 10_000, "\u202e\U0001f600\u00e9"]
VALUES = st.sampled_from([*NUMBERS, *TEXTS, [], {}, [1], [[1]], [[0, 10**12]], {"a": 1}])

# 40 examples in all: the long runs were made once, what they found is in the tests beside this
FUZZ = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
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


@st.composite
def changes(draw):
    """Steps: where to go down (positions modulo what is there), what to do, with what."""
    step = st.tuples(
        st.lists(st.integers(0, 1 << 16), min_size=1, max_size=7),
        st.sampled_from(["set", "set", "delete", "repeat", "add"]),
        VALUES,
    )
    return draw(st.lists(step, min_size=1, max_size=3))


def changed(document, steps):
    document = copy.deepcopy(document)
    for path, action, value in steps:
        node = document
        for position in path:
            if not node:
                break
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = keys[position % len(keys)]
            if position != path[-1] and isinstance(node[key], dict | list) and node[key]:
                node = node[key]
                continue
            if action == "delete":
                del node[key]
            elif action == "add" and isinstance(node, dict):
                node[TEXTS[position % len(TEXTS)]] = value
            elif action in ("repeat", "add") and isinstance(node, list):
                node.insert(key, copy.deepcopy(node[key]))
            else:
                node[key] = value
            break
    return document


@pytest.mark.parametrize("command", READ_ONLY, ids=lambda x: " ".join(filter(None, x)))
def test_graphs(command, small, accept, tmp_path):
    graph = json.loads(small.graph.read_text(encoding="utf-8"))
    file = tmp_path / "task_graph_rank0.json"

    @FUZZ
    @given(changes())
    def check(steps):
        file.write_text(json.dumps(changed(graph, steps)))
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
    @given(changes())
    def check(steps):
        file.write_text(json.dumps(changed(good, steps)))
        out.unlink(missing_ok=True)
        code = accept(*command)
        if kind == "apply" and code == 0:
            assert out.read_bytes() == small.other.read_bytes(), (
                "a damaged patch gave another graph"
            )
        assert code == 0 or not out.exists()

    check()
