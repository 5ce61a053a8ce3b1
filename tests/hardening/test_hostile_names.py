"""Names that try to be more than names, in every form that they are shown in."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from mpkgraph.cli.main import run

NAMES = {
    "html": "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "dot": 'a"];b[label="c\\"\\N<&>|{}\\l',
    "svg": "]]></text><script>alert(1)</script>&amp;&x;",
    "csv": '=HYPERLINK("http://x","y")',
    "csv at": "@SUM(A1)\t|cmd",
    "terminal": "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m",
    "direction": "\u202egnp.exe\u2066\u2028x",
    "lines": "a\r\n::error::b\n##[error]c",
    "format": "%s%n{0}{x.__class__}$(touch x)`touch x`",
    "path": "../../../etc/passwd\x00.json",
    "markup": "[red]x[/red][link=file:///etc]y[/link]",
    "long": "n" * 5000,
    "empty": "",
}
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069]")
TEXTS = [
    ("show",),
    ("show", "-n", "*"),
    ("show", "-t", "2-5"),
    ("show", "-p", "1"),
    ("show", "-l", "slots"),
    ("verify", "-s", "all"),
    ("verify", "-s", "all", "-f", "github"),
    ("diff", "--full"),
]


@pytest.fixture(params=[0, len(NAMES) // 2], ids=["first", "rest"])
def hostile(request, small, tmp_path):
    """A graph whose tensors have some of the names; two graphs have them all."""
    document = json.loads(small.graph.read_text())
    names = [*NAMES.values(), *NAMES.values()][request.param :]
    given: dict[str, str] = {}
    for task in document["all_tasks"]:
        for slot in [*(task["inputs"] or ()), *(task["outputs"] or ())]:
            slot["base_ptr"] = given.setdefault(slot["base_ptr"], names[len(given)])
    assert len(given) > len(NAMES) // 2
    path = tmp_path / "task_graph_rank0.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def asked(hostile, small, capfdbinary):
    """The bytes that a command writes about the graph."""

    def ask(command, *options, codes=(0, 1)):
        other = [small.graph] if command == "diff" else []
        arguments = [command, hostile, *other, *options, "--no-cache"]
        code = run([str(x) for x in arguments])
        out, err = capfdbinary.readouterr()
        assert code in codes, err
        assert not CONTROLS.search(err.decode())
        return out

    return ask


def test_text_moves_no_cursor_and_begins_no_line(asked):
    for command in TEXTS:
        shown = asked(*command).decode()
        assert not CONTROLS.search(shown)
        assert not re.search(r"(?m)^(::error::b|##\[error\])", shown)


def test_json_and_sarif_give_the_name_back(asked, hostile):
    names = _names(hostile)
    tensors = json.loads(asked("show", "-l", "tensors", "--json"))
    assert names <= {x["tensor"] for x in tensors["rows"]}
    for command in (("verify", "-f", "sarif", "-s", "all"), ("diff", "-f", "json")):
        out = asked(*command)
        json.loads(out)
        assert not re.search(rb"[\x00-\x09\x0b-\x1f]", out)


def test_csv_holds_no_formula(asked, hostile):
    text = asked("show", "-l", "slots", "--csv").decode()
    names = _names(hostile)
    if sys.version_info < (3, 11):  # whose reader refuses it
        text, names = text.replace("\0", ""), [x.replace("\0", "") for x in names]
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len({len(x) for x in rows}) == 1
    cells = {cell for row in rows for cell in row}
    assert not [x for x in cells if x.startswith(("=", "@", "+", "\t", "\r"))]
    assert {x.removeprefix("'") for x in cells} >= {x.removeprefix("'") for x in names}


def test_junit_is_xml(asked):
    ET.fromstring(asked("verify", "-s", "all", "-f", "junit"))


def test_svg_is_xml_without_scripts(asked, tmp_path):
    path = tmp_path / "x.svg"
    asked("show", "--schedule", "--gantt", path)
    tree = ET.parse(path)
    assert not [x for x in tree.iter() if x.tag.endswith(("script", "img"))]


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.handlers = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@pytest.mark.parametrize("command", ["show", "diff"])
def test_html_has_no_element_of_the_name(command, asked, hostile, small, tmp_path):
    def tags(graph, name):
        path = tmp_path / name
        other = [str(small.graph)] if command == "diff" else []
        form = ["-f", "html", "-o"] if command == "diff" else ["--html"]
        assert run([command, str(graph), *other, *form, str(path), "--no-cache"]) in (0, 1)
        parser = _Tags()
        parser.feed(path.read_text(encoding="utf-8"))
        return parser

    found = tags(hostile, "hostile.html")
    assert not found.handlers
    assert "img" not in found.tags
    good = tags(small.other if command == "diff" else small.graph, "good.html")
    assert found.tags.count("script") == good.tags.count("script")


@pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz")
def test_dot_is_drawn_with_the_nodes_of_a_good_graph(asked, hostile, small, tmp_path):
    def drawn(graph):
        path = tmp_path / "x.dot"
        assert run(["show", str(graph), "-t", "all", "-d", str(path), "--no-cache"]) == 0
        done = subprocess.run(["dot", "-Tplain", path], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        return len(re.findall(rb"(?m)^node ", done.stdout))

    assert drawn(hostile) == drawn(small.graph)


def test_an_extracted_graph_has_the_names(asked, hostile, tmp_path):
    path = tmp_path / "part.json"
    asked("show", "-t", "all", "-x", path)
    assert _names(path) == _names(hostile)


def _names(path):
    tasks = json.loads(path.read_text())["all_tasks"]
    slots = [x for task in tasks for x in [*(task["inputs"] or ()), *(task["outputs"] or ())]]
    return {x["base_ptr"] for x in slots}


def test_the_names_are_hostile():
    assert any(html.escape(x) != x for x in NAMES.values())
    assert any(CONTROLS.search(x) for x in NAMES.values())
