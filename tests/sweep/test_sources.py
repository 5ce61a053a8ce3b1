"""Which files a pipeline was made of, by what Python opens: nothing of ours decides what counts."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from mpkgraph.sweep.evaluate import evaluate
from mpkgraph.sweep.points import SweepOptions, points_of
from mpkgraph.sweep.sources import are_unchanged, file_digest, opened_files, source_digests

USES = """
import json
from pathlib import Path

import helper
from package import inner


def build(kernel):
    Path("scratch.txt").write_text("mine")
    assert Path("scratch.txt").read_text() == "mine"
    helper.norm(kernel, json.loads(Path("config.json").read_text())["rows"], inner.COLUMNS)
"""


@pytest.fixture
def uses(work, monkeypatch):
    (work / "uses.py").write_text(USES)
    (work / "helper.py").write_text((work / "pipes.py").read_text())
    (work / "package").mkdir()
    (work / "package" / "__init__.py").write_text("")
    (work / "package" / "inner.py").write_text("COLUMNS = 512\n")
    (work / "config.json").write_text(json.dumps({"rows": 8}))
    return work


FILES = {"config.json", "helper.py", "package/__init__.py", "package/inner.py", "uses.py"}


def evaluated(*sweep, source="uses.py:build"):
    (point,) = points_of(SweepOptions((source,), sweep or ("target=90",)))
    return evaluate(point)


def test_all_that_a_pipeline_reads(uses):
    result = evaluated()
    assert result.error is None
    assert set(result.sources) == FILES
    for path, digest in result.sources.items():
        assert digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_from_compiled_modules_too(uses, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    evaluated()
    assert list(Path("__pycache__").glob("helper.*.pyc"))
    importlib.invalidate_caches()
    assert set(evaluated().sources) == FILES


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_change_is_noticed(uses, name):
    digests = evaluated().sources
    assert are_unchanged(digests, str(uses))
    Path(name).write_text(Path(name).read_text() + " ")
    assert not are_unchanged(digests, str(uses))
    Path(name).unlink()
    assert not are_unchanged(digests, str(uses))


def test_results_may_move_with_their_pipeline(uses, tmp_path):
    digests = evaluated().sources
    uses.rename(tmp_path / "moved")
    assert are_unchanged(digests, str(tmp_path / "moved"))
    assert not are_unchanged(digests, str(uses))


def test_files_of_a_pipeline_that_fails(uses):
    Path("config.json").write_text("{")
    result = evaluated()
    assert result.error.kind == "failed"
    assert set(result.sources) == FILES


def test_only_inside_the_block(tmp_path):
    before, inside, written = (tmp_path / x for x in ("before", "inside", "written"))
    for path in (before, inside, written):
        path.write_text(path.name)
    before.read_text()
    with opened_files() as opened:
        inside.read_text()
        with written.open("a"):
            pass
        os.close(os.open(inside, os.O_RDONLY))
        with opened_files() as nested:
            pass
    before.read_text()
    assert set(source_digests(opened, str(tmp_path))) == {"inside"}
    assert source_digests(nested, str(tmp_path)) == {}


def test_large_files_are_not_hashed(tmp_path, monkeypatch):
    monkeypatch.setattr("mpkgraph.sweep.sources.HASHED_BYTES", 3)
    path = tmp_path / "weights"
    path.write_bytes(b"1234")
    os.utime(path, ns=(5, 6))
    assert file_digest(str(path)) == "4 bytes of 6"
    assert file_digest(str(tmp_path)) is None
