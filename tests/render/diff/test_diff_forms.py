"""The forms of a diff: text, page and picture, for an ordinary change and for hostile names."""

from __future__ import annotations

import io
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.options import DiffOptions
from mpkgraph.analysis.diff.report import DiffReport
from mpkgraph.analysis.diff.side import Side
from mpkgraph.model.record import LayerCall
from mpkgraph.planner.plan import plan
from mpkgraph.render.diff.html import report_html
from mpkgraph.render.diff.overlay import to_dot
from mpkgraph.render.diff.text import report_text, stat_text
from mpkgraph.render.text import TextWriter
from mpkgraph.views.recorded import recorded_operators
from tests.mutations import edit
from tests.mutations.subjects import model_subjects

HOSTILE = "\x1b[31m</td><script>alert('x')</script>\n\u202e\\N\">&lt;"


def side(record, name):
    planned = plan(record)
    return Side.of(planned.graph, recorded_operators(planned.graph, record), record, name=name)


def ordinary():
    """One grid in every model layer, a tensor's type, a layer removed."""
    subject = model_subjects()[2]
    record = subject.record
    silus = [x.index for x in subject.layers if x.register_name == "silu_mul"]
    for index in silus:
        record = edit.with_grid(record, record.layers[index], (4, 1, 1))
    cache = next(x for x in record.tensors if "k_cache" in x.name)
    record = edit.with_tensor(record, cache.id, dtype="fp16")
    last = max(i for i, x in enumerate(record.log) if isinstance(x, LayerCall))
    return subject.record, edit.without_entry(record, last)


def hostile():
    """The same, of a tensor with a name that is markup, escapes and a reversed line."""
    left, right = ordinary()
    cache = next(x for x in left.tensors if "k_cache" in x.name)
    return tuple(edit.with_tensor(x, cache.id, name=HOSTILE) for x in (left, right))


CASES = {"ordinary": ordinary, "hostile": hostile}


@pytest.fixture(params=CASES)
def case(request):
    left, right = CASES[request.param]()
    found = compare(side(left, "before"), side(right, "after"), DiffOptions())
    report = DiffReport((found.result,), "before", "after")
    return request.param, report, found.overview


def written(write, *arguments, **options):
    stream = io.StringIO()
    write(TextWriter(stream), *arguments, **options)
    return stream.getvalue()


def test_text(case, golden):
    name, report, _ = case
    golden(f"diff/{name}.txt", written(report_text, report))
    golden(f"diff/{name}-full.txt", written(report_text, report, full=True))
    stat = written(stat_text, report)
    golden(f"diff/{name}-stat.txt", stat)
    assert stat.count("\n") == 1


def test_page(case, golden):
    name, report, overview = case
    page = report_html(report, [overview]).decode("utf-8")
    golden(f"diff/{name}.html", page)
    check = Checker()
    check.feed(page)
    check.close()
    assert not check.open
    assert check.scripts == 1
    assert "http" not in page.replace("http-equiv", "")
    assert "\x1b" not in page
    assert "\u202e" not in page


class Checker(HTMLParser):
    """Every element is closed, and nothing is loaded from elsewhere."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self):
        super().__init__()
        self.open = []
        self.scripts = 0

    def handle_starttag(self, tag, attrs):
        assert not {"src", "onclick", "onload"} & dict(attrs).keys()
        assert not dict(attrs).get("href", "#").lstrip("#").startswith(("http", "javascript"))
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_picture(case, golden):
    name, report, overview = case
    text = to_dot(report.results[0], overview)
    golden(f"diff/{name}.dot", text)
    if shutil.which("dot"):
        done = subprocess.run(
            ["dot", "-Tsvg"], input=text.encode(), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert b"<script" not in done.stdout


def test_long_graphs_are_folded_in_the_picture(monkeypatch):
    monkeypatch.setattr("mpkgraph.render.diff.overlay.MAX_ALL", 5)
    left, right = ordinary()
    found = compare(side(left, "before"), side(right, "after"))
    text = to_dot(found.result, found.overview)
    assert "operators" in text
    # Of the two that differ alike only the first: once in its label, once in its tooltip
    assert text.count("48x1x1 -> 4x1x1") == 2


def test_equal():
    left, _ = ordinary()
    found = compare(side(left, "before"), side(left, "after"))
    report = DiffReport((found.result,), "before", "after")
    assert "no difference" in written(report_text, report)
    assert b"no difference" in report_html(report, [found.overview])
    assert "the same" in to_dot(found.result, found.overview)
