"""A small graph and its record, and the command line run as a hostile user would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpkgraph.cli.main import run
from mpkgraph.io.atomic import TEMPORARY_PREFIX

DIAMOND = Path(__file__).parents[2] / "examples" / "diamond.py"


@dataclass(frozen=True)
class Small:
    """Ten tasks of four layers, and the same pipeline with other tiles."""

    graph: Path
    record: Path
    other: Path


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    for name, hidden in (("one", 128), ("other", 256)):
        sizes = ["--set", "rows=2", "--set", f"hidden={hidden}"]
        assert run(["compile", f"{DIAMOND}:build", *sizes, "-q", "-o", str(folder / name)]) == 0
    one = folder / "one"
    return Small(
        one / "task_graph_rank0.json",
        one / "pipeline_rank0.json",
        folder / "other" / "task_graph_rank0.json",
    )


@pytest.fixture
def refuse(capfd, monkeypatch, tmp_path):
    """Run a command that must end in one message: what it says."""
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)

    def call(*arguments, codes=(2, 3)):
        before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
        code = run([str(x) for x in arguments])
        out, err = capfd.readouterr()
        assert code in codes, (code, out, err)
        assert "Traceback" not in err
        assert "\x1b" not in err
        assert len([x for x in err.splitlines() if "rror: " in x]) == 1, err
        after = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
        new = {path for path in after - before if not path.is_dir()}
        assert not new, "a refused command left files"
        return err

    return call


@pytest.fixture
def accept(capfd, monkeypatch, tmp_path):
    """Run a command on input that may be anything: its code."""
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))

    def call(*arguments):
        code = run([str(x) for x in arguments])
        out, err = capfd.readouterr()
        assert code in (0, 1, 2, 3)
        assert code in (0, 1) or "rror: " in err
        assert "Traceback" not in err
        assert "\x1b" not in out + err
        assert not list(tmp_path.rglob(f"{TEMPORARY_PREFIX}*"))
        return code

    return call


@pytest.fixture
def patch(small, tmp_path_factory):
    """A good patch from the small graph to the other, as an object."""
    path = tmp_path_factory.mktemp("patch") / "patch.json"
    assert run(["diff", str(small.graph), str(small.other), "--patch", str(path)]) == 1
    return json.loads(path.read_text(encoding="utf-8"))
