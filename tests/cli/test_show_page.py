"""`mpkgraph show --html`: what it writes, what it refuses."""

from __future__ import annotations

import json

import pytest

from tests import goldens
from tests.render.html.decoded import decode


def test_a_page_is_written_and_said(mpkgraph, example, tmp_path):
    target = tmp_path / "page.html"
    result = mpkgraph("show", example, "--html", target)
    assert result.code == 0
    assert result.out == ""
    assert f"wrote {target}" in result.err
    assert "364 tasks" in result.err
    found = decode(target.read_bytes())
    assert found.header["num_tasks"] == 364
    assert found.header["overlays"] == []


def test_a_page_of_one_rank_of_a_folder(mpkgraph, example, tmp_path):
    target = tmp_path / "page.html"
    assert mpkgraph("show", example.parent, "--html", target).code == 2
    assert not target.exists()
    assert mpkgraph("show", example.parent, "--rank", 1, "--html", target).code == 0
    assert decode(target.read_bytes()).header["rank"] == 1


def test_findings_and_overlays_colour_it(mpkgraph, tmp_path):
    graph = goldens.get("bad/war_buffer_reuse-cc90").graph_path
    overlay = tmp_path / "overlay.json"
    rows = [{"name": "time", "kind": "value", "tasks": [2, 3], "values": [1, 2.5], "unit": "us"}]
    overlay.write_text(json.dumps({"schema": "mpkgraph-overlay/1", "overlays": rows}))
    target = tmp_path / "page.html"
    result = mpkgraph("show", graph, "--html", target, "--findings", "--overlay", overlay)
    assert result.code == 0, result.err
    found = decode(target.read_bytes())
    assert [x["name"] for x in found.header["overlays"]] == ["findings", "time"]
    assert "MPK202" in found.header["overlays"][0]["items"][0]["title"]
    assert (found.columns["overlay.0.codes"] >= 0).any()
    row = found.columns["task_id"].tolist().index(3)
    assert found.columns["overlay.1.values"][row] == 2.5
    verified = mpkgraph("verify", graph, "--json").json
    assert len(found.header["overlays"][0]["items"]) >= len(verified["pipelines"][0]["findings"])


def test_a_page_and_a_picture_at_once(mpkgraph, example, tmp_path):
    page, picture = tmp_path / "page.html", tmp_path / "picture.dot"
    assert mpkgraph("show", example, "--html", page, "--draw", picture).code == 0
    assert page.exists()
    assert picture.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--findings"], "--findings does nothing here"),
        (["--overlay", "x.json"], "--overlay does nothing here"),
        (["--html", "{target}", "--list", "tasks"], "can't go together"),
        (["--html", "{target}", "-o", "x"], "-o has nothing to do here"),
        (["--html", "{target}", "--task", "3"], "--html shows the whole graph"),
        (["--html", "{example}"], "would overwrite the graph"),
        (["--html", "{target}", "--overlay", "{target}"], "can't be read"),
    ],
)
def test_what_makes_no_sense_writes_nothing(mpkgraph, example, tmp_path, options, said):
    target = tmp_path / "page.html"
    before = example.read_bytes()
    filled = [x.format(target=target, example=example) for x in options]
    result = mpkgraph("show", example, *filled)
    assert result.code in {2, 3}
    assert said in result.err
    assert not target.exists()
    assert example.read_bytes() == before


def test_an_overlay_of_another_graph_is_refused(mpkgraph, example, tmp_path):
    overlay = tmp_path / "overlay.json"
    rows = [{"name": "time", "kind": "value", "values": [1, 2]}]
    overlay.write_text(json.dumps({"schema": "mpkgraph-overlay/1", "overlays": rows}))
    target = tmp_path / "page.html"
    result = mpkgraph("show", example, "--html", target, "--overlay", overlay)
    assert result.code == 2
    assert "it has 2 rows, and the graph 364 tasks" in result.err
    assert not target.exists()


def test_a_folder_that_is_not_there(mpkgraph, example, tmp_path):
    result = mpkgraph("show", example, "--html", tmp_path / "no" / "page.html")
    assert result.code == 3
    assert "Create the folder first" in result.err


def test_a_schedule_colours_it_and_is_told(mpkgraph, example, tmp_path):
    target = tmp_path / "page.html"
    result = mpkgraph("show", example, "--html", target, "--schedule", "--cost", "h100")
    assert result.code == 0, result.err
    assert "makespan" in result.out
    names = [x["name"] for x in decode(target.read_bytes()).header["overlays"]]
    assert names == ["start", "duration", "wait", "path"]


def test_another_graph_is_compared_with(mpkgraph, example, tmp_path):
    target = tmp_path / "page.html"
    document = json.loads(example.read_text())
    document["all_tasks"][50]["variant_id"] = 99
    other = tmp_path / "task_graph_rank0.json"
    other.write_text(json.dumps(document))
    result = mpkgraph("show", other, "--html", target, "--against", example)
    assert result.code == 0, result.err
    overlay = decode(target.read_bytes()).header["overlays"][0]
    assert overlay["name"] == "diff"
    assert overlay["title"] == "Against decoder/task_graph_rank0.json"
    assert overlay["items"]
    assert mpkgraph("show", other, "--html", target, "--against", tmp_path / "no").code == 3
    assert mpkgraph("show", other, "--against", example).code == 2


def test_a_folder_and_a_file_are_compared_by_rank(mpkgraph, example, tmp_path):
    target = tmp_path / "page.html"
    for left in (example.parent, example):
        result = mpkgraph("show", example.parent, "--rank", 1, "--html", target, "--against", left)
        assert result.code == 0, result.err
        title = decode(target.read_bytes()).header["overlays"][0]["title"]
        rank = 1 if left.is_dir() else 0
        assert title == f"Against decoder/task_graph_rank{rank}.json"


def test_verify_writes_the_page_of_its_findings(mpkgraph, tmp_path):
    graph = goldens.get("bad/war_buffer_reuse-cc90").graph_path
    target, shown = tmp_path / "verified.html", tmp_path / "shown.html"
    result = mpkgraph("verify", graph, "--html", target)
    assert result.code == 1
    assert "MPK202" in result.out
    assert f"wrote {target}" in result.err
    assert mpkgraph("show", graph, "--html", shown, "--findings").code == 0
    found, wanted = decode(target.read_bytes()), decode(shown.read_bytes())
    items = [x["overlays"][0]["items"] for x in (found.header, wanted.header)]
    assert items[0] == [x for x in items[1] if x in items[0]]
    assert "MPK202" in items[0][0]["title"]
    left_out = mpkgraph("verify", graph, "--html", target, "--ignore", "MPK202")
    assert left_out.code == 0
    assert "MPK202" not in str(decode(target.read_bytes()).header["overlays"])


def test_the_page_is_of_the_rank_with_findings(mpkgraph, example, tmp_path):
    target = tmp_path / "page.html"
    assert mpkgraph("verify", example.parent, "--html", target, "--rank", 1).code in {0, 1}
    assert decode(target.read_bytes()).header["rank"] == 1


def test_reports_that_are_no_overlays_say_what_to_do(mpkgraph, example, tmp_path):
    report = tmp_path / "report.json"
    mpkgraph("verify", example, "--json", "-o", report)
    result = mpkgraph("show", example, "--html", tmp_path / "x.html", "--overlay", report)
    assert result.code == 3
    assert "--findings colours a page" in result.err
