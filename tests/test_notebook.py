"""What notebooks show of graphs and findings."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import mpkgraph
from mpkgraph import diff
from mpkgraph.model.graph import TaskGraph
from mpkgraph.notebook import MAX_ROWS, text_html

EXAMPLES = Path(__file__).parents[1] / "examples"
HOSTILE = "<script>alert(1)</script>&\"'\x1b[31m\u202e"


class Shown(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def graph() -> TaskGraph:
    result = mpkgraph.compile(f"{EXAMPLES}/fork.py:build", target="h100")
    return result.compiled[0].graph


def named(graph: TaskGraph, name: str) -> TaskGraph:
    layouts = tuple(x if x.is_null else replace(x, base_ptr=name) for x in graph.layouts)
    return replace(graph, layouts=layouts)


def test_a_graph_shows_its_operators(graph):
    shown = Shown(graph._repr_html_())
    assert shown.tags.count("tr") == 1 + len(mpkgraph.operators(graph))
    for operator in mpkgraph.operators(graph):
        for slot in operator.slots:
            assert slot.name in shown.text
    assert f"tasks {graph.num_tasks}" in shown.text


def test_names_can_not_become_markup_or_move_the_cursor(graph):
    page = named(graph, HOSTILE)._repr_html_()
    shown = Shown(page)
    assert "script" not in shown.tags
    assert "<script>alert(1)" in shown.text
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_long_table_is_cut_and_says_so():
    record = f"{EXAMPLES}/qwen3.py:build"
    graph = mpkgraph.compile(record, target="h100", settings={"layers": 8}).compiled[0].graph
    shown = Shown(graph._repr_html_())
    assert shown.tags.count("tr") == 1 + MAX_ROWS
    assert f"and {len(mpkgraph.operators(graph)) - MAX_ROWS} more" in shown.text


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")
def test_a_graph_draws_its_operators(graph):
    root = ET.fromstring(graph._repr_svg_())
    assert root.tag.endswith("svg")
    ET.fromstring(named(graph, HOSTILE.replace("\x1b", ""))._repr_svg_())


def test_without_dot_there_is_no_drawing(graph, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert graph._repr_svg_() is None


def test_findings_are_a_table(graph):
    broken = replace(
        graph, events=replace(graph.events, num_triggers=graph.events.num_triggers + 1)
    )
    result = mpkgraph.verify(broken)
    assert result.findings
    shown = Shown(result._repr_html_())
    assert shown.tags.count("tr") == 1 + len(result.findings)
    for finding in result.findings:
        assert finding.rule.code in shown.text
    clean = Shown(mpkgraph.verify(graph)._repr_html_())
    assert "nothing found" in clean.text
    assert "table" not in clean.tags


def test_a_diff_shows_its_screen(graph):
    other = named(graph, HOSTILE)
    page = diff(graph, other)._repr_html_()
    assert page.startswith("<pre>")
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "no difference" in Shown(diff(graph, graph)._repr_html_()).text


def test_repr_is_short(graph):
    assert repr(graph) == f"<TaskGraph: rank 0, {graph.num_tasks} tasks, {graph.num_events} events>"


def test_text_is_escaped():
    assert text_html("a<b\n\x07") == "<pre>a&lt;b\n\\x07</pre>"
