"""Pictures as DOT text and as files: bytes, names of any content, limits, a missing `dot`."""

from __future__ import annotations

import io
import itertools
import math
import os
import shutil
import subprocess
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.drawing import (
    Drawing,
    DrawnCluster,
    DrawnEdge,
    DrawnNode,
    DrawnSlot,
    draw_operators,
    draw_ranks,
    draw_tasks,
    picture,
)
from mpkgraph.analysis.structure import operator_edges
from mpkgraph.catalog import KINDS
from mpkgraph.errors import (
    GraphWriteError,
    MissingDependencyError,
    TooLargeError,
    UsageError,
)
from mpkgraph.io.reader import read_graph
from mpkgraph.render import palette
from mpkgraph.render.dot_text import EDGE_MEANING, MAX_NAME, to_dot
from mpkgraph.render.escape import printable
from mpkgraph.render.graphviz import FORMATS, format_of, render
from mpkgraph.views.operators import recover_operators
from tests import drawn, goldens
from tests.amount import examples

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz: dot is not here")

NASTY = [
    "",
    " ",
    " padded ",
    "two  spaces",
    'a "quoted" name',
    "\\",
    'back\\slash\\"',
    "ends in \\",
    "\\N \\G \\E \\T \\H \\L \\l \\r \\n",
    "<b>bold</b>",
    "<",
    ">",
    "<unclosed",
    "]]>",
    "]",
    "]]",
    "[]",
    "&",
    "&amp",
    "a & b",
    "&lt; &amp; &#65; &nbsp;",
    "&lt",
    "line\nline\r\nline",
    "tab\tnull\x00escape\x1b[31m",
    "a:b:c",
    "[a|b]{c}",
    "node",
    "graph",
    "strict",
    "// no comment /* at */ # all",
    "%s %d {0} $HOME",
    "日本語 ünïcödé 🙂",
    "אבג abc",
    "\u202eevil",
    "zero\u200bwidth",
    "\ufffe\uffff",
    "e\u0301",
    "-1.5",
    "; } digraph {",
    "x" * 10_000,
    "y" * 50_000,
    '\\"<&>' * 2_000,
]


def draw(part: drawn.RankPart, **options: object) -> Drawing:
    return draw_operators(part.graph, part.operators, part.edges, **options)


# DOT text, byte for byte


def nasty_part() -> drawn.RankPart:
    names = {
        "path": '/tmp/"dir"/a<b>&\\N.json',
        "x": 'in "put"',
        "w": "<w>",
        "a": "back\\slash\\N",
        "w_b": "line\nbreak",
        "b": "n" * 10_000,
        "c": "a:b",
    }
    return drawn.renamed(drawn.fork(), names)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("fork", lambda: draw(drawn.fork(), ends=True)),
        ("folded", lambda: draw(drawn.model(4), fold=True)),
        ("two_layers", lambda: draw(drawn.model(2))),
        ("remote", lambda: draw(drawn.put_and_reduce(0, 1))),
        ("ranks", lambda: draw_ranks([drawn.put_and_reduce(0, 1), drawn.put_and_reduce(1, 0)])),
        ("nasty_names", lambda: draw(nasty_part())),
        ("tasks", lambda: draw_tasks(drawn.fork().graph, drawn.fork().operators, [2, 4])),
        ("empty", lambda: Drawing("empty", (), (), ())),
    ],
)
def test_dot_text(
    golden: Callable[[str, str], None], name: str, make: Callable[[], Drawing]
) -> None:
    text = to_dot(make())
    assert text == to_dot(make())
    golden(f"graphviz/{name}.dot", text)


# Names come out as they are


def texts(svg: bytes) -> Counter[str]:
    root = ET.fromstring(svg)
    found = ("".join(x.itertext()) for x in root.iter("{http://www.w3.org/2000/svg}text"))
    return Counter(text.replace("\xa0", " ").strip() for text in found)


def tooltips(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)
    titles = (x.get("{http://www.w3.org/1999/xlink}title") for x in root.iter())
    return [title.replace("\xa0", " ") for title in titles if title is not None]


def shown(name: str, limit: int | None = None) -> str:
    """What a reader should see: the name, its unseen characters escaped, its middle cut."""
    if not name or name != name.strip():
        name = f'"{name}"'
    for character in "\ufffe\uffff":
        name = name.replace(character, f"\\u{ord(character):04x}")
    return printable(name, limit=limit).replace("\xa0", " ")


def picture_of(names: list[str]) -> Drawing:
    """Every name in every place that takes one."""
    cards = tuple(
        DrawnNode(
            node_id=f"card{i}",
            shape="card",
            kind="linear",
            title=name,
            lines=(name,),
            slots=(DrawnSlot(is_output=False, tensor=name, tile=name, detail=name),),
            cluster="c",
        )
        for i, name in enumerate(names)
    )
    others = tuple(
        DrawnNode(f"event{i}", "event", "event", name, (name,)) for i, name in enumerate(names)
    )
    edges = tuple(DrawnEdge(f"card{i}", f"event{i}", (name,), name) for i, name in enumerate(names))
    return Drawing(
        title=names[0],
        facts=(names[0],),
        nodes=cards + others,
        edges=edges,
        clusters=(DrawnCluster("c", names[0]),),
        notes=(names[0],),
    )


@needs_dot
@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=12))
@example(NASTY)
def test_names_survive_dot(names: list[str]) -> None:
    stream = io.BytesIO()
    render(picture_of(names), stream, "svg")
    found = texts(stream.getvalue())
    for name in names:
        short = len(shown(name)) <= 28
        wanted = shown(name) if short else shown(name, MAX_NAME)
        # Title, line and three cells of the card, title and line of the event, tensor and note of
        # the edge. Notes and cells other than names are left out when empty; a cut name is cut at
        # each place's own width.
        places = 1 if not short else 9 if name else 6
        assert found[wanted] >= places, (name, found)
    tips = tooltips(stream.getvalue())
    for name in names:
        whole = shown(name)
        assert any(tip.startswith(f"{whole}\n{whole}\nin {whole}") for tip in tips), name


@needs_dot
def test_an_operator_picture_with_nasty_names() -> None:
    stream = io.BytesIO()
    warnings = render(draw(nasty_part()), stream, "svg")
    assert warnings == ()
    found = texts(stream.getvalue())
    for name in ('in "put"', "<w>", "back\\slash\\N", "line\\nbreak", "a:b", "a<b>&\\N.json"):
        assert found[name] >= 1, name
    assert any("n" * 10_000 in tip for tip in tooltips(stream.getvalue()))


def test_an_empty_name_is_seen() -> None:
    assert "&quot;&quot;" in to_dot(picture_of([""]))


# Files


@needs_dot
@pytest.mark.parametrize(
    ("format_", "magic"),
    [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF"), ("dot", b"digraph mpkgraph {")],
)
def test_formats(tmp_path: Path, format_: str, magic: bytes) -> None:
    path = tmp_path / f"graph.{format_}"
    assert render(draw(drawn.fork()), path, format_) == ()
    stream = io.BytesIO()
    render(draw(drawn.fork()), stream, format_)
    assert path.read_bytes().startswith(magic)
    assert stream.getvalue().startswith(magic)
    assert list(tmp_path.iterdir()) == [path]


@needs_dot
def test_dot_draws_every_node_and_edge() -> None:
    text = to_dot(draw(drawn.model(4), ends=True))
    plain = subprocess.run(
        ["dot", "-Tplain"], input=text.encode(), capture_output=True, check=True
    ).stdout.decode()
    kinds = Counter(line.split()[0] for line in plain.splitlines())
    assert (kinds["node"], kinds["edge"]) == (16, 15)


@pytest.mark.parametrize(
    ("name", "format_"), [("a.svg", "svg"), ("a.b.PDF", "pdf"), ("x.gv", "dot"), ("x.dot", "dot")]
)
def test_format_of_a_file_name(name: str, format_: str) -> None:
    assert format_of(name) == format_


@pytest.mark.parametrize("name", ["graph", "graph.jpg", ".svg", "svg"])
def test_a_file_name_without_a_format(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.dot, \.svg, \.png, \.pdf"):
        format_of(name)


def test_an_unknown_format() -> None:
    with pytest.raises(UsageError, match="jpg"):
        render(draw(drawn.fork()), io.BytesIO(), "jpg")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GraphWriteError, match="gone"):
        render(draw(drawn.fork()), tmp_path / "gone" / "a.dot", "dot")


# Limits


def test_only_what_must_be_laid_out_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    small = draw(drawn.fork())
    monkeypatch.setattr(picture, "MAX_EDGES", 1)
    with pytest.raises(TooLargeError, match=r"2 edges.*Draw the operator graph"):
        render(small, io.BytesIO(), "svg")
    render(small, io.BytesIO(), "dot")


@needs_dot
def test_force_draws_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    small = draw(drawn.fork())
    monkeypatch.setattr(picture, "MAX_EDGES", 1)
    stream = io.BytesIO()
    render(small, stream, "svg", force=True)
    assert b"linear_hopper" in stream.getvalue()


# The program


def fake_dot(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    folder.mkdir()
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin")


@pytest.mark.parametrize("format_", [f for f in FORMATS if f != "dot"])
def test_without_dot_the_text_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, format_: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    target = tmp_path / f"graph.{format_}"
    with pytest.raises(MissingDependencyError) as caught:
        render(draw(drawn.fork()), target, format_)
    message = str(caught.value)
    assert "apt-get install graphviz" in message
    assert "brew install graphviz" in message
    assert f"{target}.dot" in message
    assert not target.exists()
    assert Path(f"{target}.dot").read_text(encoding="utf-8") == to_dot(draw(drawn.fork()))


def test_without_dot_a_stream_gets_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    stream = io.BytesIO()
    with pytest.raises(MissingDependencyError, match="format dot"):
        render(draw(drawn.fork()), stream, "svg")
    assert stream.getvalue() == b""


def test_without_dot_the_text_format_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    stream = io.BytesIO()
    render(draw(drawn.fork()), stream, "dot")
    assert stream.getvalue().decode() == to_dot(draw(drawn.fork()))


def test_dot_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    fake_dot(monkeypatch, tmp_path / "bin", f"echo $$ > {pid_file}; exec sleep 60")
    target = tmp_path / "graph.svg"
    target.write_text("what was there", encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(TooLargeError, match=r"within 0\.5 s.*sfdp.*graph\.svg\.dot"):
        render(draw(drawn.fork()), target, "svg", timeout_s=0.5)
    assert time.monotonic() - start < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text(encoding="utf-8")), 0)
    assert target.read_text(encoding="utf-8") == "what was there"
    assert Path(f"{target}.dot").exists()


def test_dot_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_dot(monkeypatch, tmp_path / "bin", 'cat >/dev/null; echo "no such renderer" >&2; exit 1')
    with pytest.raises(GraphWriteError, match=r"no such renderer.*graph\.pdf\.dot"):
        render(draw(drawn.fork()), tmp_path / "graph.pdf", "pdf")
    assert not (tmp_path / "graph.pdf").exists()


def test_dot_that_crashes_without_a_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_dot(monkeypatch, tmp_path / "bin", "kill -9 $$")
    with pytest.raises(GraphWriteError, match="status -9"):
        render(draw(drawn.fork()), io.BytesIO(), "png")


def test_warnings_of_dot_are_returned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_dot(monkeypatch, tmp_path / "bin", 'cat; echo "dot: scaled by 0.5" >&2')
    stream = io.BytesIO()
    assert render(draw(drawn.fork()), stream, "png") == ("scaled by 0.5",)
    assert stream.getvalue()


def test_a_bitmap_that_was_scaled_down_comes_with_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = "graph is too large for cairo-renderer bitmaps. Scaling by 0.7 to fit"
    fake_dot(monkeypatch, tmp_path / "bin", f'cat; echo "dot: {words}" >&2')
    (warning,) = render(draw(drawn.fork()), io.BytesIO(), "png")
    assert warning == f"{words}; svg has no such limit"


# Colours


def test_every_kind_and_edge_style_has_its_colour() -> None:
    assert set(palette.KIND_COLOURS) == set(KINDS)
    assert set(palette.EDGE_COLOURS) == set(EDGE_MEANING)


def linear(colour: str) -> list[float]:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_text_can_be_read_on_every_colour(kind: str) -> None:
    assert contrast(palette.TEXT, palette.KIND_COLOURS[kind]) >= 6.5


def test_faint_text_and_lines_can_be_seen() -> None:
    for ground in (palette.BACKGROUND, palette.FRAME_FILL):
        assert contrast(palette.FAINT_TEXT, ground) >= 7
        for colour in palette.EDGE_COLOURS.values():
            assert contrast(colour, ground) >= 3


# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def lab(colour: str, vision: str) -> tuple[float, float, float]:
    seen = [sum(a * b for a, b in zip(row, linear(colour), strict=True)) for row in VISIONS[vision]]
    red, green, blue = (min(1.0, max(0.0, value)) for value in seen)

    def root(value: float) -> float:
        return value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116

    x = root((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047)
    y = root(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    z = root((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("vision", VISIONS)
def test_kinds_are_told_apart(vision: str) -> None:
    colours = {k: lab(c, vision) for k, c in palette.KIND_COLOURS.items() if c != "#FFFFFF"}
    for one, other in itertools.combinations(colours, 2):
        assert math.dist(colours[one], colours[other]) >= 15, (one, other)


# Graphs of the real Mirage


@needs_dot
@pytest.mark.parametrize(
    "case",
    [
        "tests/test_fork_point-cc90",
        "tests/test_residual_stripping-cc90",
        "bad/fork_duplicate_edges_second-cc80",
        "bad/empty_graph-cc90",
        "models/qwen3_demo-Qwen3-0.6B-b8-full-cc90",
        "models/deepseek_v3-L0,3-b1-cc100",
    ],
)
def test_golden_pictures_render(case: str) -> None:
    graph = read_graph(goldens.get(case).graph_path)
    operators = recover_operators(graph)
    drawing = draw_operators(graph, operators, operator_edges(graph, operators))
    stream = io.BytesIO()
    assert render(drawing, stream, "svg") == ()
    found = texts(stream.getvalue())
    for node in drawing.nodes:
        assert found[node.title] >= 1, node.title
