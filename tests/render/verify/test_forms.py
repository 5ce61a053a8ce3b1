"""Each form of a report, byte for byte; and that hostile names do no harm in any."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from mpkgraph.render.text import TextOptions, TextWriter
from mpkgraph.render.verify import render_report
from mpkgraph.render.verify.text import report_text
from mpkgraph.render.verify.words import repeat_words
from tests.verdicts import HOSTILE, LATE_FINDING, clean, hostile, pipeline, report

REPORTS = {"ordinary": report, "clean": clean, "hostile": hostile}
ENDINGS = {"text": "txt", "json": "json", "sarif": "sarif", "github": "github.txt", "junit": "xml"}


def rendered(form, what, *, color=False):
    if form != "text":
        return render_report(what, form).decode()
    stream = io.StringIO()
    report_text(TextWriter(stream, TextOptions(color=color)), what)
    return stream.getvalue()


@pytest.mark.parametrize("form", ENDINGS)
@pytest.mark.parametrize("name", REPORTS)
def test_form(form, name, golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    golden(f"verify/{name}.{ENDINGS[form]}", rendered(form, REPORTS[name]()))


@pytest.mark.parametrize("form", ["text", "sarif", "github", "junit"])
def test_hostile_text_is_printable(form):
    text = rendered(form, hostile())
    assert all(line.isprintable() for line in text.split("\n"))


def test_color_only_wraps_words():
    plain, colored = rendered("text", report()), rendered("text", report(), color=True)
    assert "\x1b[31m" in colored
    assert re.sub(r"\x1b\[\d+m", "", colored) == plain


def test_json_has_names_as_they_are():
    document = json.loads(rendered("json", hostile()))
    tensor = document["pipelines"][0]["findings"][0]["location"]["tensor"]
    # A lone surrogate has no UTF-8
    assert tensor == HOSTILE.replace("\ud800", "\\ud800")


def test_json_keeps_integers_that_readers_would_change():
    far = replace(LATE_FINDING, location=replace(LATE_FINDING.location, byte_range=(0, 2**60)))
    document = json.loads(rendered("json", report(pipelines=(pipeline((far,)),))))
    assert document["pipelines"][0]["findings"][0]["location"]["byte_range"] == [0, str(2**60)]


def test_annotations_are_one_line_a_finding():
    lines = rendered("github", hostile()).splitlines()
    commands = [line for line in lines if line.startswith("::")]
    assert len(commands) == 2
    pattern = r"::(error|warning|notice) file=[^:,]*,line=\d+,title=[^:,]*::[^\n]*"
    assert all(re.fullmatch(pattern, line) for line in commands)
    assert all(line.startswith("mpkgraph verify: ") for line in lines[2:])
    # What is left of a percent sign is an escape that the runner undoes
    assert all(re.fullmatch(r"(%(25|3A|2C)|[^%])*", line) for line in lines)


def test_annotations_undone_say_what_the_report_says():
    line = rendered("github", hostile()).splitlines()[0]
    properties, message = line[2:].split("::", 1)
    undone = message.replace("%25", "%")
    assert r"writes 'w\x1b[31m\n::error::x%0A]]><script>" in undone
    title = properties.partition("title=")[2]
    assert title.replace("%3A", ":").replace("%2C", ",").replace("%25", "%").startswith("MPK199")


def test_the_worst_annotations_come_first():
    commands = re.findall(r"^::(\w+) ", rendered("github", report()), re.MULTILINE)
    assert commands == ["error", "warning", "warning", "notice"]


@pytest.mark.parametrize("name", REPORTS)
def test_junit_is_xml_with_true_totals(name):
    root = ET.fromstring(rendered("junit", REPORTS[name]()))
    for element in (root, *root.iter("testsuite")):
        assert int(element.get("tests")) == len(list(element.iter("testcase")))
        assert int(element.get("failures")) == len(list(element.iter("failure")))
        assert int(element.get("skipped")) == len(list(element.iter("skipped")))


def test_junit_text_is_what_was_meant():
    root = ET.fromstring(rendered("junit", hostile()))
    failure = root.find(".//failure")
    assert "]]><script>alert(1)</script>" in failure.text
    assert failure.get("type") == "error"


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [("error", ["MPK199"]), ("warning", ["MPK199", "MPK299"])],
)
def test_junit_fails_what_fails_the_run(fail_on, failing):
    root = ET.fromstring(rendered("junit", report(fail_on=fail_on)))
    cases = [x for x in root.iter("testcase") if x.find("failure") is not None]
    assert [x.get("name").split()[0] for x in cases] == failing


def test_an_unknown_form_is_a_bug():
    with pytest.raises(ValueError, match="no form"):
        render_report(report(), "yaml")


@pytest.mark.parametrize(
    ("count", "operators", "words"),
    [
        (1, 1, ""),
        (2, 1, "2 tasks"),
        (1, 2, "1 more operator like this one"),
        (1234, 3, "1,234 tasks, and 2 more operators like this one"),
    ],
)
def test_repeats(count, operators, words):
    finding = replace(LATE_FINDING, count=count, count_of="tasks", num_operators=operators)
    assert repeat_words(finding) == words
