"""The page's result: header, findings as an overlay, and the library function."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.page import Overlay, findings_overlay, make_page
from mpkgraph.analysis.verify.rule import SEVERITIES
from mpkgraph.errors import SelectionError, UsageError
from mpkgraph.views.operators import recover_operators
from tests import goldens
from tests.cli.conftest import EXAMPLE
from tests.render.html.decoded import decode


@pytest.fixture(scope="module")
def context():
    graph = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    return GraphContext(graph, recover_operators(graph))


def test_result_is_json(context):
    page = make_page(context)
    document = json.loads(json.dumps(page.to_json()))
    assert document["schema"] == "mpkgraph-page/1"
    assert document["num_tasks"] == 364
    assert len(document["columns"]["task_id"]) == 364
    assert len(document["operators"]) == 35


def test_two_overlays_of_one_name_are_refused(context):
    overlay = Overlay("time", "T", values=np.zeros(364))
    with pytest.raises(UsageError, match="two overlays are called 'time'"):
        make_page(context, overlays=[overlay, overlay])
    with pytest.raises(SelectionError, match="it has 3 rows"):
        make_page(context, overlays=[Overlay("time", "T", values=np.zeros(3))])


def test_findings_mark_their_witnesses():
    path = goldens.get("bad/war_buffer_reuse-cc90").graph_path
    graph = mpkgraph.read(path)
    operators = mpkgraph.operators(graph)
    result = mpkgraph.verify(path)
    assert result.unfolded
    overlay = findings_overlay(result, operators, 0)
    worst = {}
    for finding in result.unfolded:
        for ref in finding.witness:
            grade = SEVERITIES.index(finding.severity)
            worst[ref.task_id] = min(worst.get(ref.task_id, grade), grade)
    assert {t: int(overlay.codes[t]) for t in worst} == worst
    assert len(overlay.items) == len(result.unfolded)
    titles = [item.title for item in overlay.items]
    assert all(x.rule.code in " ".join(titles) for x in result.unfolded)
    # gravest first, and the first category is the gravest
    grades = [item.category for item in overlay.items]
    assert grades == sorted(grades)
    assert [x.name for x in overlay.categories] == list(SEVERITIES)


def test_findings_of_another_rank_are_not_of_this_page():
    path = goldens.get("bad/war_buffer_reuse-cc90").graph_path
    graph = mpkgraph.read(path)
    overlay = findings_overlay(mpkgraph.verify(path), mpkgraph.operators(graph), 1)
    assert not overlay.items
    assert (overlay.codes == -1).all()


def test_saved_from_python(tmp_path):
    graph = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    path = tmp_path / "page.html"
    times = Overlay("time", "Start", values=np.arange(364) / 7, unit="us")
    mpkgraph.save_page(graph, path, overlays=[times])
    found = decode(path.read_bytes())
    assert found.header["overlays"][0]["unit"] == "us"
    order = found.columns["task_id"]
    assert found.columns["overlay.0.values"].tolist() == times.values[order].tolist()


def test_a_record_tells_where_a_layer_is_asked_for():
    golden = goldens.get("tests/test_rmsnorm-cc90")
    graph = mpkgraph.read(golden.graph_path)
    from mpkgraph.io.record import read_record

    record = read_record(golden.record_path)
    operators = mpkgraph.operators(graph, record)
    page = make_page(GraphContext(graph, operators), record)
    assert page.header["origin"] == "recorded"
    assert page.header["operators"][0]["method"] == "rmsnorm_layer"
    assert page.header["operators"][0]["where"].startswith("log[")
    assert page.header["target_cc"] == 90
