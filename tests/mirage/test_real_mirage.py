"""The real generator on any machine; skipped unless MIRAGE_HOME names a Mirage that is built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpkgraph.mirage.find import find_mirage
from tests.cli.conftest import ROOT

HOME = os.environ.get("MIRAGE_HOME")


def is_built():
    return bool(HOME) and Path(HOME).is_dir() and find_mirage(Path(HOME)).has_core


pytestmark = pytest.mark.skipif(not is_built(), reason="MIRAGE_HOME names no built Mirage")

EXAMPLES = [
    ("rmsnorm.py",),
    ("join.py:build", "--set", "copies=8"),
    ("qwen3.py:build", "--set", "layers=2", "--target", "a100"),
    ("deepseek_moe.py:build", "--target", "b200"),
    ("tensor_parallel.py:build", "--set", "layers=1", "--world-size", "2", "--all-ranks"),
]


@pytest.mark.parametrize("arguments", EXAMPLES, ids=lambda x: x[0])
def test_graphs_equal_the_planners(mpkgraph, arguments):
    name, *rest = arguments
    result = mpkgraph(
        "compile",
        ROOT / "examples" / name,
        *rest,
        *("--backend", "mirage", "--mirage-home", HOME, "--host-only", "--meta", "--dry-run"),
        "--json",
    )
    assert result.code == 0, result.err
    graphs = result.json["graphs"]
    assert len(graphs) == (2 if "--all-ranks" in rest else 1)
    assert all(x["comparison"]["equal"] for x in graphs)


def test_a_pipeline_that_kills_the_generator(mpkgraph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.py").write_text(
        """
def build(kernel):
    from mpkgraph.pipeline import TensorSpec

    def attach(name, *dims):
        return kernel.attach_input(TensorSpec(dims, "bfloat16"), name=name)

    logits, token = attach("logits", 1, 1024), kernel.attach_input(
        TensorSpec((1, 1), "int64"), name="token"
    )
    value, index = attach("value", 1, 8), kernel.attach_input(
        TensorSpec((1, 8), "int64"), name="index"
    )
    grid = (8, 1, 1)
    kernel.argmax_partial_layer(logits, (value, index), grid, (128, 1, 1))
    kernel.argmax_reduce_layer((value, index), token, (1, 1, 1), (128, 1, 1))
    kernel.rmsnorm_layer(value, attach("w", 8), attach("out", 1, 8), (1, 1, 1), (128, 1, 1))
""",
        encoding="utf-8",
    )
    result = mpkgraph(
        "compile", "bad.py:build", "--backend", "mirage", "--mirage-home", HOME, "--host-only"
    )
    assert result.code == 3, result.out
    assert "segmentation fault (SIGSEGV) while generating the task graph" in result.err
    assert "mpkgraph's planner says of this pipeline: " in result.err
    assert sorted(x.name for x in tmp_path.iterdir() if x.is_file()) == ["bad.py"]
