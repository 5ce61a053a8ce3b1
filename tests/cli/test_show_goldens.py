"""`mpkgraph show` in each form on graphs of all kinds that the real Mirage made."""

from __future__ import annotations

import json

import pytest

from tests import goldens

MAX_BYTES = 10_000_000
SMALL_BYTES = 100_000
"""Of larger graphs the views of one thing are asked for as text only."""


@pytest.mark.parametrize("golden_graph", goldens.graphs(max_bytes=MAX_BYTES, one_target=True))
def test_every_form(golden_graph, mpkgraph, tmp_path):
    graph = golden_graph.write_both(tmp_path)
    show = ("show", graph)

    summary = mpkgraph(*show, "--json").json
    assert summary["num_tasks"] == golden_graph.num_tasks
    assert summary["num_events"] == golden_graph.num_events
    assert summary["num_first_tasks"] == golden_graph.num_first_tasks
    assert summary["num_null_tasks"] == golden_graph.num_null_tasks
    assert sum(summary["task_types"].values()) == golden_graph.num_tasks
    assert sum(summary["event_types"].values()) == golden_graph.num_events
    assert summary["sha256"] == golden_graph.sha256
    operators = summary["operators"]
    assert summary["operators_origin"] == ("recorded" if operators else None)

    text = mpkgraph(*show).out
    assert len(text.splitlines()) < 40 + len(operators)
    csv_rows = mpkgraph(*show, "--csv").out.splitlines()
    assert len(csv_rows) == 1 + len(operators)
    recovered = mpkgraph(*show, "--json", "--no-record").json
    assert [o["num_tasks"] for o in recovered["operators"]] == [o["num_tasks"] for o in operators]

    assert mpkgraph(*show, "--draw", tmp_path / "graph.dot").code == 0
    assert (tmp_path / "graph.dot").read_text().startswith("digraph")
    for what in ("events", "operators", "tensors"):
        rows = mpkgraph(*show, "--list", what, "--json").json["rows"]
        assert len(rows) == (len(operators) if what == "operators" else summary[f"num_{what}"])
    if not operators:
        return
    task = operators[-1]["first_task_id"]
    for view in (
        ("--task", task),
        ("--event", "1"),
        ("--operator", len(operators) - 1),
        ("--list", "tasks", "--operator", "0"),
        ("--list", "slots", "--operator", "0"),
        ("--task", task, "--hops", "1"),
        ("--path", "2", task),
    ):
        result = mpkgraph(*show, *view)
        assert (result.code, result.err) == (0, "")
        assert result.out
        if golden_graph.num_bytes <= SMALL_BYTES:
            document = json.loads(mpkgraph(*show, *view, "--json").out)
            assert document["rank"] == summary["rank"]
