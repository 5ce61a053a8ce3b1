"""A diff as an overlay: each task's category against the diff's own list of operators."""

from __future__ import annotations

import json

import mpkgraph
from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.page_overlay import CATEGORIES, diff_overlay
from mpkgraph.analysis.diff.side import Side
from tests import goldens
from tests.cli.conftest import EXAMPLE


def names(overlay):
    return [CATEGORIES[code].name if code >= 0 else None for code in overlay.codes.tolist()]


def test_equal_graphs_are_the_same_everywhere():
    graph = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    found = compare(Side.of(graph), Side.of(graph))
    overlay = diff_overlay(found.result, found.right.operators)
    assert set(names(overlay)) == {"same", None}
    assert names(overlay)[:2] == [None, None]
    assert overlay.items == ()
    assert overlay.description == "no difference"


def test_what_changed_is_coloured_and_listed(tmp_path):
    document = json.loads((EXAMPLE / "task_graph_rank0.json").read_text())
    left = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    operators = mpkgraph.operators(left)
    for task in operators[3].task_ids.tolist():
        document["all_tasks"][task]["variant_id"] = 77
    path = tmp_path / "task_graph_rank0.json"
    path.write_text(json.dumps(document))
    right = mpkgraph.read(path)
    found = compare(Side.of(left), Side.of(right))
    overlay = diff_overlay(found.result, found.right.operators)
    changed = {task for task, name in enumerate(names(overlay)) if name == "changed"}
    listed = set()
    for change in found.result.operators:
        for _, there in change.members:
            for operator in there:
                listed |= set(found.right.operators[operator].task_ids.tolist())
    # the two layers shared a kernel variant, and no longer do
    assert changed == listed
    assert listed
    assert overlay.items
    assert all(set(item.tasks) <= listed for item in overlay.items)
    assert "variant_id" in overlay.items[0].text


def test_real_graphs_of_two_batch_sizes():
    sides = []
    for batch in ("b1", "b8"):
        path = goldens.get(f"models/qwen3_demo-Qwen3-0.6B-{batch}-L2-cc90").graph_path
        graph = mpkgraph.read(path)
        sides.append(Side.of(graph, mpkgraph.operators(graph)))
    found = compare(*sides)
    overlay = diff_overlay(found.result, found.right.operators)
    assert overlay.num_rows == sides[1].graph.num_tasks
    assert {"changed", "same"} <= set(names(overlay))
    assert len(overlay.items) == found.result.num_differences
