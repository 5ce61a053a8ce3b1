"""The page as a file: what it holds equals the graph, text stays text, nothing is asked for."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.page import make_page
from mpkgraph.analysis.page.columns import PageColumn
from mpkgraph.render.html import render_page, save_page
from mpkgraph.render.html.bundle import bundle, page_file, script
from mpkgraph.render.html.encode import encode_column
from mpkgraph.views.operators import recover_operators
from tests import goldens, strategies
from tests.amount import examples
from tests.cli.conftest import EXAMPLE
from tests.render.html.decoded import decode
from tests.render.html.hostile import NAMES, hostile_graph

FIXED_BYTES = 200_000
"""The page's scripts and style, and names: what a graph of ten tasks takes."""
MAX_SLOT_BYTES = 8


def page_of(graph):
    return make_page(GraphContext(graph, recover_operators(graph)))


@given(strategies.task_graphs())
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
def test_holds_every_number_of_any_graph(graph):
    found = decode(render_page(page_of(graph)))
    columns, tasks, events = found.columns, graph.tasks, graph.events
    order = columns["task_id"]
    assert sorted(order.tolist()) == list(range(graph.num_tasks))
    for name in ("task_type", "request_id", "kv_idx", "expert_offset", "task_offset"):
        assert columns[name].tolist() == getattr(tasks, f"{name}s")[order].tolist()
    for name in ("dependent_event", "trigger_event", "variant_id"):
        wanted = getattr(tasks, f"{name}s")[order].astype(np.uint64)
        assert found.wide(name).tolist() == wanted.tolist()
    for name in ("first_task_id", "last_task_id"):
        assert found.wide(name).tolist() == getattr(events, f"{name}s").tolist()
    assert slots_of(found) == {
        task: [(s.layout.base_ptr != "nullptr", s.offset) for s in graph.slots(task)]
        for task in range(graph.num_tasks)
    }


def slots_of(found):
    """Slots by task as the page's scripts find them: slot 0 of an operator's tasks, then slot 1."""
    header, columns = found.header, found.columns
    offsets = found.wide("slot_offset").astype(np.int64)
    slots = {}
    row = base = 0
    for operator in header["operators"]:
        for place in range(operator["count"]):
            at = [base + p * operator["count"] + place for p in range(len(operator["slots"]))]
            slots[int(columns["task_id"][row])] = at
            row += 1
        base += operator["count"] * len(operator["slots"])
    for rest in range(row, header["num_tasks"]):
        count = int(columns["num_slots"][rest])
        slots[int(columns["task_id"][rest])] = list(range(base, base + count))
        base += count

    def is_tensor(slot):
        view = header["layouts"][int(columns["slot_layout"][slot])][0]
        return view >= 0 and header["tensors"][header["views"][view][0]] != "nullptr"

    return {
        task: [(is_tensor(slot), int(offsets[slot])) for slot in at] for task, at in slots.items()
    }


@pytest.mark.parametrize(
    "values",
    [
        [],
        [7],
        [0, 0, 0],
        [5, 4, 3, 100_000, 3],
        [0, (1 << 32) - 1, 0],
        [-1, 2**31 - 1, -(2**31)],
        [3] * 1000,
    ],
)
def test_integers_survive(values):
    spec, planes = encode_column(PageColumn("x", np.array(values, dtype=np.int64)))
    assert len(planes) == spec[4]
    from tests.render.html.decoded import _column

    assert _column(spec[1], spec[2], spec[3], planes).tolist() == values


@pytest.mark.parametrize("values", [[-1, 1 << 31], [1 << 32]])
def test_what_does_not_fit_is_no_column(values):
    with pytest.raises(ValueError, match="beyond 32 bits"):
        encode_column(PageColumn("x", np.array(values, dtype=np.int64)))


def test_floats_survive_with_nan():
    values = np.array([0.0, -1.5, np.nan, 1e300])
    spec, planes = encode_column(PageColumn("x", values))
    from tests.render.html.decoded import _column

    assert np.array_equal(_column(*spec[1:4], planes), values, equal_nan=True)


def test_the_same_graph_is_the_same_file():
    graph = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    assert render_page(page_of(graph)) == render_page(page_of(graph))


def test_hostile_names_are_no_markup(tmp_path):
    graph = hostile_graph(tmp_path)
    file = render_page(page_of(graph)).decode("ascii", "replace")
    for name in NAMES:
        assert name not in file
    assert file.count("<script") == 2
    assert len(re.findall(r"</script", file, re.IGNORECASE)) == 2
    title = re.search(r"<title>(.*?)</title>", file, re.DOTALL)[1]
    assert "<" not in title
    assert html.unescape(title).endswith("<img src=x onerror=alert(1)>.json")


def test_the_policy_allows_this_script_and_style_and_nothing_else():
    graph = mpkgraph.read(EXAMPLE / "task_graph_rank0.json")
    file = render_page(page_of(graph)).decode()
    policy = html.unescape(re.search(r'Security-Policy" content="([^"]*)"', file)[1])
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    code = re.search(r'<script type="module">(.*?)</script>', file, re.DOTALL)[1]
    style = re.search(r"<style>(.*?)</style>", file, re.DOTALL)[1]
    for rule, text in (("script-src", code), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_no_address_is_in_the_page():
    for name in ("page.html", "page.css"):
        assert not re.search(r"https?:|//[a-z]", page_file(name))
    assert not re.search(r"https?:|import\(|\.innerHTML|insertAdjacentHTML|eval\(", script())


def test_a_bundle_holds_each_module_once_after_what_it_needs():
    text = script()
    names = re.findall(r"^const module_(\w+) = ", text, re.MULTILINE)
    assert len(names) == len(set(names))
    for name, needed in re.findall(r"^const \{[^}]*\} = module_(\w+);$|^const module_(\w+)", text):
        assert name or needed
    assert names[-1] == "app"
    assert not re.search(r"^(import|export) ", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (
            {
                "a": 'import { x } from "./b.js";\n',
                "b": 'import { y } from "./a.js";\nexport const x = 1;\n',
            },
            "imports itself",
        ),
        ({"a": 'const text = "</SCRIPT>";\n'}, "would end"),
        ({"a": "// <!-- \n"}, "would end"),
    ],
)
def test_a_bundle_that_would_break_is_refused(sources, said):
    with pytest.raises(ValueError, match=said):
        bundle("a", sources.__getitem__)


@pytest.mark.parametrize(
    "golden", goldens.graphs(max_bytes=4_000_000, group="models")[::9], ids=str
)
def test_a_slot_takes_no_more_than_eight_bytes(golden, tmp_path):
    graph = mpkgraph.read(golden.graph_path)
    path = tmp_path / "page.html"
    save_page(page_of(graph), path)
    assert path.stat().st_size <= FIXED_BYTES + MAX_SLOT_BYTES * graph.tasks.num_slots


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")
    page = page_of(mpkgraph.read(EXAMPLE / "task_graph_rank0.json"))

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mpkgraph.render.html.encode_page", fail)
    with pytest.raises(mpkgraph.MpkGraphError, match="no space left"):
        save_page(page, path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_wheel_has_the_page(tmp_path):
    from setuptools.build_meta import build_wheel

    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.chdir(EXAMPLE.parents[1])
        # A build leaves its folders beside the sources: build from a copy of what it needs
        copy = tmp_path / "copy"
        shutil.copytree(
            "mpkgraph", copy / "mpkgraph", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
        for name in ("pyproject.toml", "setup.cfg", "setup.py", "README.md", "LICENSE"):
            shutil.copy(name, copy)
        patch.chdir(copy)
        wheel = build_wheel(str(tmp_path))
    names = set(zipfile.ZipFile(tmp_path / wheel).namelist())
    for name in ("page.html", "page.css", "app.js", "tiles.js"):
        assert f"mpkgraph/render/html/page/{name}" in names
    schemas = {f"mpkgraph/schemas/{x.name}" for x in (copy / "mpkgraph/schemas").glob("*.json")}
    assert schemas
    assert schemas <= names
