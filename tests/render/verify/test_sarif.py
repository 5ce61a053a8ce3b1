"""SARIF that code scanning takes: the schema's objects, GitHub's limits."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from urllib.parse import unquote

import pytest

from mpkgraph.analysis.verify.report import VerifyReport
from mpkgraph.model.record import CallSite
from mpkgraph.render.verify import render_report, sarif
from mpkgraph.render.verify.sarif import MAX_BYTES, MAX_RESULTS
from tests.render.verify.sarif_schema import check, check_for_github
from tests.verdicts import (
    CUT_FINDING,
    HOSTILE_FILE,
    WHOLE_FINDING,
    clean,
    hostile,
    many,
    pipeline,
    report,
)


def made(what):
    text = render_report(what, "sarif")
    document = json.loads(text)
    check(document)
    check_for_github(document)
    return document["runs"][0]


@pytest.mark.parametrize("what", [report, clean, hostile], ids=lambda x: x.__name__)
def test_it_is_of_the_schema(what):
    made(what())


def test_the_check_would_notice():
    document = json.loads(render_report(report(), "sarif"))
    document["runs"][0]["results"][0]["severity"] = "error"
    with pytest.raises(AssertionError, match="severity"):
        check(document)


def test_levels():
    levels = [x["level"] for x in made(report())["results"]]
    assert levels == ["error", "warning", "warning", "note"]


def test_a_line_of_a_script_is_the_place():
    place = made(report())["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "model.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 31}


def test_without_a_line_the_graph_is_the_place():
    place = made(report())["results"][1]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "out/task_graph_rank0.json"
    assert place["region"] == {"startLine": 1}


def test_a_file_elsewhere_has_a_file_uri():
    far = replace(CUT_FINDING, location=replace(CUT_FINDING.location, site=CallSite("/x y.py", 2)))
    run = made(VerifyReport((pipeline((far,)),)))
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "file:///x%20y.py"}


def test_a_hostile_path_is_quoted():
    place = made(hostile())["results"][0]["locations"][0]["physicalLocation"]
    assert unquote(place["artifactLocation"]["uri"]) == HOSTILE_FILE


def test_equal_findings_have_fingerprints_of_their_own():
    run = made(VerifyReport((pipeline((WHOLE_FINDING, WHOLE_FINDING)),)))
    first, second = (x["partialFingerprints"]["mpkgraph/v1"] for x in run["results"])
    assert (first[-2:], second[-2:]) == (":1", ":2")
    assert first[:-2] == second[:-2]


def test_fingerprints_do_not_change_with_the_order():
    other = replace(WHOLE_FINDING, rule=CUT_FINDING.rule, location=CUT_FINDING.location)
    one = made(VerifyReport((pipeline((other, WHOLE_FINDING)),)))["results"]
    two = made(VerifyReport((pipeline((WHOLE_FINDING, other)),)))["results"]
    assert [x["partialFingerprints"] for x in one] == [x["partialFingerprints"] for x in two[::-1]]


def test_too_many_results_are_cut_and_that_is_said(monkeypatch):
    monkeypatch.setattr(sarif, "MAX_RESULTS", 50)
    run = made(many(60))
    assert len(run["results"]) == 50
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "10 results are left out" in notice["message"]["text"]


def test_a_log_is_never_too_large(monkeypatch):
    monkeypatch.setattr(sarif, "MAX_BYTES", 60_000)
    text = render_report(many(200), "sarif")
    assert 55_000 < len(text) <= 60_000
    made(many(200))


def test_the_limits_are_githubs():
    assert MAX_RESULTS == 25_000
    # 10 MB count after gzip, which makes a log smaller whatever is in it
    assert MAX_BYTES <= 10_000_000
    text = render_report(many(2_000), "sarif")
    assert len(zlib.compress(text)) < len(text) / 5


def test_long_text_is_cut():
    long = replace(CUT_FINDING, message="x" * 5000)
    run = made(VerifyReport((pipeline((long,)),)))
    assert len(run["results"][0]["message"]["text"]) == 1024
