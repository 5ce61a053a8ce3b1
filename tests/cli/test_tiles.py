"""`show --tiles` and `verify --tiles` from the outside."""

from __future__ import annotations

import pytest

from tests import goldens


@pytest.mark.parametrize(
    "options", [("--operator", "2"), ("--task", "20"), ("-p", "2-3", "-t", "20")]
)
def test_tiles_of_operators(options, example, mpkgraph, tmp_path):
    pytest.importorskip("matplotlib")
    result = mpkgraph("show", example, *options, "--tiles", tmp_path / "x.svg")
    assert (result.code, result.out, result.err) == (0, "", f"wrote {tmp_path / 'x.svg'}\n")
    assert "operator " in (tmp_path / "x.svg").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tiles", "x.svg"), "--tiles needs an operator"),
        (("--tiles", "x.svg", "--task", "0"), "the selection has no task of a layer"),
        (("--tiles", "x.gif", "--operator", "2"), "tiles are drawn as SVG, PNG or PDF"),
        (("--tiles", "x.svg", "--operator", "0-34"), "a picture of 35 operators"),
        (("--tiles", "x.svg", "--operator", "99"), "99"),
        (("--tiles", "x.svg", "--operator", "2", "-o", "y"), "-o has nothing to do here"),
        (("--tiles", "x.svg", "--operator", "2", "--schedule"), "--schedule and --tiles"),
        (("--operator", "2", "--force"), "--force does nothing here"),
    ],
)
def test_wrong_questions(options, message, example, mpkgraph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = mpkgraph("show", example, *options)
    assert result.code == 2
    assert message in result.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == []


def test_pictures_of_findings(mpkgraph, tmp_path):
    pytest.importorskip("matplotlib")
    graph = goldens.get("bad/grid_nondiv_linear-cc90").write_both(tmp_path)
    result = mpkgraph("verify", graph, "--tiles", tmp_path / "pictures")
    assert result.code == 1
    assert f"wrote 2 pictures to {tmp_path / 'pictures'}" in result.err
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [
        "000-MPK101-grid-remainder-operator0.svg",
        "001-MPK421-misaligned-tile-operator0.svg",
    ]
    assert "hatched: where" in (tmp_path / "pictures" / names[0]).read_text()


def test_no_findings_are_no_pictures(mpkgraph, example, tmp_path):
    options = ("--select", "MPK101", "--tiles", tmp_path / "pictures")
    result = mpkgraph("verify", example, *options)
    assert "wrote 0 pictures" in result.err


def test_a_folder_that_is_a_file(mpkgraph, example, tmp_path):
    (tmp_path / "x").write_text("")
    result = mpkgraph("verify", example, "--tiles", tmp_path / "x")
    assert result.code == 2
    assert (tmp_path / "x").read_text() == ""
