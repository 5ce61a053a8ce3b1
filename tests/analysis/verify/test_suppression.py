"""Comments in scripts, rules at places, and baselines."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mpkgraph.analysis.verify import run
from mpkgraph.analysis.verify.baseline import Baseline, baseline_json, save_baseline
from mpkgraph.analysis.verify.suppression import InlineComments, SuppressedAt
from mpkgraph.errors import GraphReadError, GraphWriteError, UsageError
from mpkgraph.model.record import CallSite
from tests.verdicts import CUT_FINDING, FINDINGS, LATE_FINDING, RULES, WHOLE_FINDING

SCRIPT = """\
import mirage as mi


def build(pk):
    pk.plain(1)
    pk.same_line(2)  # mpkgraph: ignore[cut-short]
    pk.many_lines(
        3,  # mpkgraph: ignore[MPK1, late-read]
        [x for x in range(4)],
    )
    # mpkgraph: ignore[MPK199]
    # why: the rest is padding
    pk.after_a_reason(4)
    # mpkgraph: ignore[MPK199]
    pk.below(5)
    for _ in range(2):  # mpkgraph: ignore
        pk.in_loop(6)
    pk.all(7)  # mpkgraph: ignore
    text = "# mpkgraph: ignore"; pk.in_string(8)
    pk.unknown(9)  # mpkgraph: ignore[no-such-rule]
    pk.empty(10)  # mpkgraph: ignore[]
    match pk:
        case 1: pk.in_case(11)  # mpkgraph:ignore[splits]
    if pk: pk.in_branch(
        12,  # mpkgraph: ignore
    )
    while pk.in_head(13) and (
        pk
    ):  # mpkgraph: ignore
        pk.in_body(14)
"""


@pytest.fixture(autouse=True)
def _rules(monkeypatch):
    monkeypatch.setattr(run, "RULES", RULES)


def at(script, call, finding=CUT_FINDING):
    text = script.read_text()
    line = next(i for i, x in enumerate(text.splitlines(), 1) if f"pk.{call}(" in x)
    return replace(finding, location=replace(finding.location, site=CallSite(str(script), line)))


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


@pytest.mark.parametrize(
    ("call", "is_suppressed"),
    [
        ("plain", False),
        ("same_line", True),
        ("many_lines", True),
        ("after_a_reason", True),
        ("below", True),
        ("in_loop", False),
        ("all", True),
        ("in_string", False),
        ("unknown", False),
        ("empty", False),
        ("in_case", True),
        ("in_branch", True),
        ("in_head", True),
        ("in_body", False),
    ],
)
def test_comments(script, call, is_suppressed):
    assert InlineComments()(at(script, call)) == ("comment" if is_suppressed else None)


def test_a_comment_names_its_rules(script):
    comments = InlineComments()
    assert comments(at(script, "same_line", LATE_FINDING)) is None
    assert comments(at(script, "many_lines", LATE_FINDING)) == "comment"


def test_a_comment_that_names_no_rule_is_said(script):
    comments = InlineComments()
    comments(at(script, "plain"))
    (note,) = comments.notes
    assert note.startswith(f"{script}:20: no rule is called 'no-such-rule'")


def test_a_whole_file(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("# mpkgraph: ignore-file[late-read]\npk.plain(1)\n")
    comments = InlineComments()
    assert comments(at(path, "plain")) is None
    assert comments(at(path, "plain", LATE_FINDING)) == "comment"


@pytest.mark.parametrize(
    "content",
    [b"pk.plain(1)  # mpkgraph: ignore\n'''", b"\xff# mpkgraph: ignore\n", b"(\n# mpkgraph\n"],
)
def test_a_file_that_is_no_python_has_no_comments(tmp_path, content):
    path = tmp_path / "script.py"
    path.write_bytes(content)
    place = replace(CUT_FINDING.location, site=CallSite(str(path), 1))
    assert InlineComments()(replace(CUT_FINDING, location=place)) is None


def test_comments_of_what_can_be_read_but_not_parsed(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("pk.plain(1) 2  # mpkgraph: ignore\npk.next(3)\n")
    assert InlineComments()(at(path, "plain")) == "comment"
    assert InlineComments()(at(path, "next")) is None


def test_without_a_line_no_comment_holds():
    assert InlineComments()(WHOLE_FINDING) is None
    gone = replace(CUT_FINDING.location, site=CallSite("/no/such/file.py", 3))
    assert InlineComments()(replace(CUT_FINDING, location=gone)) is None


@pytest.mark.parametrize(
    ("text", "is_suppressed"),
    [
        ("MPK199@linear_hopper", True),
        ("cut-short@linear_*", True),
        ("splits@out", True),
        ("late-read,cut-short@3", True),
        ("cut-short@4", False),
        ("late-read@3", False),
        ("cut-short@linear", False),
    ],
)
def test_rules_at_places(text, is_suppressed):
    assert SuppressedAt(text)(CUT_FINDING) == ("option" if is_suppressed else None)


@pytest.mark.parametrize(
    "text", ["cut-short", "cut-short@", "no-such-rule@out", "@out", "cut-short@a@b"]
)
def test_what_says_no_rule_or_no_place(text):
    with pytest.raises(UsageError):
        SuppressedAt(text)


def test_a_baseline_knows_what_it_was_made_of(tmp_path):
    path = tmp_path / "known.json"
    save_baseline(FINDINGS, path)
    known = Baseline.load(path)
    assert [known(x) for x in FINDINGS] == ["baseline"] * 4
    assert known.num_left == 0


def test_one_more_of_the_same_is_new(tmp_path):
    path = tmp_path / "known.json"
    save_baseline([CUT_FINDING, CUT_FINDING], path)
    known = Baseline.load(path)
    assert [known(CUT_FINDING) for _ in range(3)] == ["baseline", "baseline", None]


def test_what_is_mended_is_left(tmp_path):
    path = tmp_path / "known.json"
    save_baseline(FINDINGS, path)
    known = Baseline.load(path)
    known(LATE_FINDING)
    assert known.num_left == 3


def test_a_baseline_is_sorted_and_does_not_change_with_the_order():
    content = baseline_json([*FINDINGS, CUT_FINDING])
    assert content == baseline_json([CUT_FINDING, *FINDINGS[::-1]])
    assert [x["code"] for x in content["findings"]] == ["MPK199", "MPK199", "MPK299", "MPK599"]
    assert [x["count"] for x in content["findings"]] == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no baseline"),
        ('{"schema": "mpkgraph-baseline/2", "findings": []}', "is no baseline"),
        ('{"schema": "mpkgraph-baseline/1"}', r"findings\[0\]"),
        ('{"schema": "mpkgraph-baseline/1", "findings": [3]}', r"findings\[0\]"),
    ],
)
def test_what_is_no_baseline(tmp_path, content, message):
    path = tmp_path / "known.json"
    path.write_text(content)
    with pytest.raises(GraphReadError, match=message):
        Baseline.load(path)


@pytest.mark.parametrize("count", [0, -1, "1", True, None])
def test_counts_are_at_least_1(tmp_path, count):
    path = tmp_path / "known.json"
    rows = [{"fingerprint": "0", "count": count}]
    path.write_text(json.dumps({"schema": "mpkgraph-baseline/1", "findings": rows}))
    with pytest.raises(GraphReadError, match="at least 1"):
        Baseline.load(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(GraphReadError, match="no such file"):
        Baseline.load(tmp_path / "known.json")
    with pytest.raises(GraphWriteError):
        save_baseline([], tmp_path / "no" / "known.json")


def test_a_baseline_may_know_any_number(tmp_path):
    """A count takes no memory, however large and in however many rows."""
    content = baseline_json([CUT_FINDING])
    (row,) = content["findings"]
    content["findings"] = [row | {"count": 1 << 60}] * 1000
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    known = Baseline.load(path)
    assert known.num_left == 1000 << 60
    assert known(CUT_FINDING) == "baseline"
    assert known.num_left == (1000 << 60) - 1
