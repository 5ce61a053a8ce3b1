"""The command line run in this process: exit code, standard output and error."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpkgraph.cli.main import run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "decoder"


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def example():
    """Rank 0 of the example graph: 364 tasks, 58 events, 35 operators."""
    return EXAMPLE / "task_graph_rank0.json"


@pytest.fixture
def mpkgraph(capfd, monkeypatch, tmp_path):
    """Run `mpkgraph` with arguments; the cache is a folder of its own."""
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Result(code, out, err)

    return call
