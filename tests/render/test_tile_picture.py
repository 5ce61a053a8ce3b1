"""Pictures of tiles: whole files of the right kind, the same every time, text that stays text."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.drawing.tile_map import tile_map
from mpkgraph.errors import MissingDependencyError, UsageError
from mpkgraph.io.reader import read_graph
from mpkgraph.render.tile_picture import write_tiles
from mpkgraph.views.operators import recover_operators
from tests.cli.conftest import EXAMPLE


@pytest.fixture(scope="module")
def maps():
    graph = read_graph(EXAMPLE / "task_graph_rank0.json")
    context = GraphContext(graph, recover_operators(graph))
    return [tile_map(context, 2), tile_map(context, 3, marked=[20])]


def texts(svg):
    root = ET.fromstring(svg)
    return ["".join(item.itertext()) for item in root.iter("{http://www.w3.org/2000/svg}text")]


def test_svg_names_operators_slots_and_tasks(maps, tmp_path):
    pytest.importorskip("matplotlib")
    write_tiles(maps, str(tmp_path / "x.svg"))
    found = texts((tmp_path / "x.svg").read_text())
    for item in maps:
        assert any(
            text.startswith(f"operator {item.operator}: {item.name}, grid") for text in found
        )
        for slot in item.slots:
            side = "output" if slot.is_output else "input"
            assert any(text.startswith(f"{side} {slot.position}: {slot.name}") for text in found)


@pytest.mark.parametrize(
    ("form", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("SVG", b"<?xml")]
)
def test_forms(maps, tmp_path, form, magic):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"x.{form}"
    write_tiles(maps[:1], str(path))
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_every_time(maps, tmp_path, form):
    pytest.importorskip("matplotlib")
    for name in "ab":
        write_tiles(maps[:1], str(tmp_path / f"{name}.{form}"))
    assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


def test_a_name_is_text(maps, tmp_path):
    pytest.importorskip("matplotlib")
    slots = maps[0].slots
    hostile = replace(slots[0], name="<script>$\\frac{1}{0}$\x1b[31m\u202e名")
    item = replace(maps[0], name="</svg>&", slots=(hostile, *slots[1:]), title="$x^2$ <b> " * 90)
    write_tiles([item], str(tmp_path / "x.svg"))
    svg = (tmp_path / "x.svg").read_text()
    assert "<script>" not in svg
    assert "\x1b" not in svg
    assert "\u202e" not in svg
    assert any("<script>$\\frac{1}{0}$\\x1b[31m\\u202e名" in text for text in texts(svg))


def test_an_operator_without_tensors(maps, tmp_path):
    pytest.importorskip("matplotlib")
    write_tiles([replace(maps[0], slots=())], str(tmp_path / "x.svg"))
    assert (tmp_path / "x.svg").exists()


def test_another_kind_of_file(maps, tmp_path):
    with pytest.raises(UsageError, match="SVG, PNG or PDF"):
        write_tiles(maps, str(tmp_path / "x.txt"))
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(maps, tmp_path, monkeypatch):
    for name in [x for x in sys.modules if x.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"mpkgraph\[plot\]"):
        write_tiles(maps, str(tmp_path / "x.svg"))
    assert list(tmp_path.iterdir()) == []
