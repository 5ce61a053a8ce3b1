"""Whole lists and the picture of operators: kept once asked for, and the same ever after."""

from __future__ import annotations

import os
import subprocess
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.drawing import (
    Drawing,
    DrawnCluster,
    DrawnEdge,
    DrawnNode,
    DrawnSlot,
    picture,
    store,
)
from mpkgraph.analysis.kept_values import KeptResultError
from mpkgraph.analysis.table import Column, Table
from mpkgraph.analysis.table_store import table_from_bytes, table_to_bytes
from mpkgraph.cli import kept_views
from mpkgraph.io import cache as cache_module
from mpkgraph.io import content
from mpkgraph.render.dot_text import to_dot
from tests import strategies
from tests.amount import examples
from tests.cli.conftest import EXAMPLE, ROOT

NEVER = -(10**18)
LISTS = {
    f"{what} {form}": ("--list", what, *([f"--{form}"] if form != "text" else []))
    for what in ("operators", "tensors")
    for form in ("text", "json", "csv")
}
TABLE = Table(
    "operators",
    {
        "operator": Column([0, 2**64 - 1], "index"),
        "name": Column(["a\n\x00", None], "of the layer"),
        "grid_dim": Column([(1, 2), ()], "x, y"),
        "is_known": Column([True, False], "whether"),
    },
)
SLOT = DrawnSlot(is_output=True, tensor="w", tile="8x8")
DRAWING = Drawing(
    title="a.json",
    facts=("rank 0",),
    nodes=(
        DrawnNode("op0", "card", "linear", "0 é", ("1",), (SLOT,), "layer0"),
        DrawnNode("begin", "event", "event", "begin", remote=True),
    ),
    edges=(DrawnEdge("begin", "op0", ("w",), "1 task", "remote"),),
    clusters=(DrawnCluster("layer0", "layer 0"),),
    notes=("Folded",),
    direction="right",
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Small files are cached too, and count as settled at once."""
    monkeypatch.setattr(cache_module, "MIN_TEXT_BYTES", 0)
    monkeypatch.setattr(cache_module, "MIN_FILE_BYTES", 0)
    monkeypatch.setattr(content, "TICK_NS", NEVER)
    monkeypatch.setattr(content, "COARSE_TICK_NS", NEVER)


@pytest.fixture
def graph(tmp_path, example):
    path = tmp_path / "task_graph_rank0.json"
    path.write_bytes(example.read_bytes())
    return path


@pytest.fixture
def reads(monkeypatch):
    """Graphs taken from the cache or read."""
    from mpkgraph.cli import loading

    done = []
    read = loading.read_through_cache

    def counted(path, *arguments, **options):
        done.append(path)
        return read(path, *arguments, **options)

    monkeypatch.setattr(loading, "read_through_cache", counted)
    return done


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_kept_once_asked_for(mpkgraph, graph, reads, name):
    wanted = mpkgraph("show", graph, *LISTS[name], "--no-cache")
    for number in range(3):
        reads.clear()
        assert mpkgraph("show", graph, *LISTS[name]) == wanted
        assert len(reads) == (number == 0)
    # what is kept is the list, not its text
    for other in LISTS.values():
        if other[1] == LISTS[name][1]:
            reads.clear()
            mpkgraph("show", graph, *other)
            assert not reads


def test_part_of_a_list_is_not_the_whole(mpkgraph, graph):
    whole = mpkgraph("show", graph, "--list", "operators", "--json").json["num_rows"]
    part = mpkgraph("show", graph, "--list", "operators", "--operator", "1-3", "--json").json
    assert part["num_rows"] == 3 < whole
    assert mpkgraph("show", graph, "--list", "operators", "--json").json["num_rows"] == whole


@pytest.mark.parametrize("options", [(), ("--reduce",), ("--full",)], ids=str)
def test_a_drawing_is_kept_once_asked_for(mpkgraph, graph, reads, tmp_path, options):
    texts = []
    for number, more in enumerate(((), (), ("--no-cache",))):
        reads.clear()
        target = tmp_path / f"{number}.dot"
        assert mpkgraph("show", graph, "--draw", target, *options, *more).code == 0
        texts.append(target.read_bytes())
        assert len(reads) == (number != 1)
    assert texts[0] == texts[1] == texts[2]


def test_options_of_a_drawing_count(mpkgraph, graph, tmp_path):
    def text(*options):
        assert mpkgraph("show", graph, "--draw", tmp_path / "a.dot", *options).code == 0
        return (tmp_path / "a.dot").read_bytes()

    for _ in range(2):
        assert text("--reduce") != text()
    assert text("--reduce") == text("--reduce", "--no-cache")


def test_a_kept_drawing_is_refused_where_a_new_one_is(mpkgraph, graph, tmp_path, monkeypatch):
    target = tmp_path / "a.dot"
    monkeypatch.setattr(picture, "MAX_NODES", 3)
    refused = mpkgraph("show", graph, "--draw", target)
    assert refused.code != 0
    assert mpkgraph("show", graph, "--draw", target, "--force").code == 0
    assert mpkgraph("show", graph, "--draw", target) == refused


@pytest.mark.parametrize("view", [("--list", "tensors"), ("--list", "operators", "--json")])
def test_another_content_has_another_list(mpkgraph, graph, example, view):
    first = mpkgraph("show", graph, *view).out
    mpkgraph("show", graph, *view)
    graph.write_text(example.read_text().replace('"embed_tokens"', '"embed_other"'))
    second = mpkgraph("show", graph, *view)
    assert "embed_other" in second.out
    assert "embed_other" not in first


def test_ranks_are_told_apart(mpkgraph, tmp_path):
    for rank in (0, 1):
        name = f"task_graph_rank{rank}.json"
        (tmp_path / name).write_bytes((EXAMPLE / name).read_bytes())
    several = mpkgraph("show", tmp_path, "--list", "operators")
    assert several.code == 2
    for _ in range(2):
        for rank in (0, 1):
            path = tmp_path / f"task_graph_rank{rank}.json"
            for chosen in ((path,), (tmp_path, "--rank", rank)):
                found = mpkgraph("show", *chosen, "--list", "operators", "--json").json
                assert (found["rank"], found["path"]) == (rank, str(path))
    assert mpkgraph("show", tmp_path, "--list", "operators") == several
    assert mpkgraph("show", path, "--rank", 0, "--list", "operators").code == 2


def test_what_is_large_is_not_kept(mpkgraph, graph, reads, monkeypatch):
    monkeypatch.setattr(kept_views, "MAX_KEPT_BYTES", 100)
    first, second = (mpkgraph("show", graph, "--list", "operators") for _ in range(2))
    assert first == second
    assert len(reads) == 2


def test_kept_views_need_no_numpy(mpkgraph, graph, tmp_path):
    code = (
        "import sys\n"
        "sys.modules['numpy'] = None\n"
        "from mpkgraph.io import cache, content\n"
        "cache.MIN_FILE_BYTES = 0\n"
        "content.TICK_NS = content.COARSE_TICK_NS = -10**18\n"
        "from mpkgraph.cli.main import run\n"
        f"sys.exit(run(['show', {str(graph)!r}, *sys.argv[1:]]))"
    )
    environment = {**os.environ, "MPKGRAPH_CACHE_DIR": str(tmp_path / "cache")}
    environment.pop("MIRAGE_HOME", None)
    for view in (*LISTS.values(), ("--draw", str(tmp_path / "a.dot"))):
        wanted = mpkgraph("show", graph, *view).out
        done = subprocess.run(
            [sys.executable, "-c", code, *view],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
            cwd=ROOT,
        )
        assert done.stdout == wanted


def test_what_comes_back_is_what_was_kept():
    again, rank = table_from_bytes(table_to_bytes(TABLE, 3))
    assert (again, rank) == (TABLE, 3)
    assert again.to_json() == TABLE.to_json()
    assert store.drawing_from_bytes(store.drawing_to_bytes(DRAWING)) == DRAWING


def test_names_that_are_no_unicode_are_not_kept():
    with pytest.raises(KeptResultError):
        table_to_bytes(Table("t", {"a": Column(["\udc80"], "")}), 0)
    with pytest.raises(KeptResultError):
        store.drawing_to_bytes(Drawing("\udc80", (), (), ()))


@given(st.data())
@settings(deadline=None, max_examples=examples(100))
def test_forged_bytes_are_refused_or_hold_together(data):
    """Any value in any place of what is kept."""
    kept = data.draw(st.sampled_from([table_to_bytes(TABLE, 3), store.drawing_to_bytes(DRAWING)]))
    document = orjson.loads(kept)
    place = document
    while True:
        at = data.draw(st.integers(0, len(place) - 1))
        if not isinstance(place[at], list) or not place[at] or data.draw(st.booleans()):
            break
        place = place[at]
    place[at] = data.draw(strategies.json_values(6) | st.sampled_from(["card", "layout", "moe"]))
    forged = orjson.dumps(document)
    try:
        table, rank = table_from_bytes(forged)
    except KeptResultError:
        pass
    else:
        assert type(rank) is int
        assert len(table.to_json()) == len(list(table.rows())) == table.num_rows
    try:
        drawing = store.drawing_from_bytes(forged)
    except KeptResultError:
        return
    assert to_dot(drawing).startswith("digraph")


@given(
    st.binary(max_size=8) | strategies.json_values(12).map(lambda x: orjson.dumps({"columns": x}))
)
@settings(deadline=None)
def test_other_bytes_are_refused(data):
    for load in (table_from_bytes, store.drawing_from_bytes):
        with pytest.raises(KeptResultError):
            load(data)
