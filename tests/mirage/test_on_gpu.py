"""The real Mirage on a real GPU; skipped without. MIRAGE_HOME names a Mirage that is built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    pytest.mark.skipif(
        not os.environ.get("MIRAGE_HOME"), reason="MIRAGE_HOME names no built Mirage"
    ),
]

HOME = os.environ.get("MIRAGE_HOME", "")
"""Read here: commands of tests run without it."""
CACHE = os.environ.get("MPKGRAPH_CACHE_DIR")
"""With it, kernels that a run compiled serve the next: nvcc takes half a minute for each."""
EXAMPLES = ("rmsnorm", "fork", "join", "diamond", "residual", "qwen3_mlp")
BAD = """
from mpkgraph.pipeline import TensorSpec


def attach(kernel, name, *dims):
    return kernel.attach_input(TensorSpec(dims, "bfloat16"), name=name)


def small_k(kernel):
    x, w = attach(kernel, "x", 8, 64), attach(kernel, "w", 512, 64)
    out = attach(kernel, "out", 8, 512)
    kernel.linear_layer(input=x, weight=w, output=out, grid_dim=(8, 1, 1), block_dim=(256, 1, 1))


def two_writers(kernel):
    w, out = attach(kernel, "w", 4096), attach(kernel, "out", 16, 4096)
    for name in ("a", "b"):
        x = attach(kernel, name, 16, 4096)
        kernel.rmsnorm_layer(x, w, out, (16, 1, 1), (256, 1, 1))
"""


@pytest.fixture
def on_gpu(mpkgraph, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if CACHE:
        monkeypatch.setenv("MPKGRAPH_CACHE_DIR", CACHE)
    Path("bad.py").write_text(BAD, encoding="utf-8")

    def call(command, *arguments):
        return mpkgraph(command, "--mirage-home", HOME, *arguments)

    return call


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(on_gpu, name):
    result = on_gpu("verify", ROOT / "examples" / f"{name}.py", "--run", "gpu", "--repeat", "3")
    assert result.code == 0, result.out + result.err
    assert "GPU, run 1" in result.out


def test_a_kernel_that_does_not_end(on_gpu):
    result = on_gpu("verify", "bad.py:small_k", "--run", "gpu", "--launch-limit", "5")
    assert result.code == 1
    assert "MPK411" in result.out
    assert "a kernel of these operators does not" in result.out


def test_a_decoder(on_gpu):
    """Of two layers, launched often: begins each time with memory that says nothing."""
    script = ROOT / "examples" / "qwen3.py"
    model = ("--", "--size", "0.6B", "--layers", "2")
    result = on_gpu("verify", script, "--run", "gpu", "--repeat", "20", *model)
    assert result.code == 0, result.out + result.err
    assert "further run" not in result.out


def test_shared_memory_that_nobody_wrote(on_gpu):
    """Hopper's attention multiplies rows of V by zero that it has not loaded."""
    script = ROOT / "examples" / "qwen3.py"
    model = ("--", "--size", "0.6B", "--layers", "1")
    result = on_gpu("verify", script, "--run", "gpu", "--poison-shared", *model)
    assert result.code == 1
    assert "shared memory was full of NaN" in result.out


LOADS = """
import sys
from pathlib import Path

from mirage.mpk.persistent_kernel import PersistentKernel

made = Path(__file__).with_name("out")
PersistentKernel.compile = lambda kernel, **_: kernel.load_mpk_kernel(str(made))
sys.path.insert(0, {examples!r})
import rmsnorm

rmsnorm.main()
"""


def test_a_kernel_that_was_compiled_before(on_gpu):
    examples = ROOT / "examples"
    made = on_gpu(
        "compile", examples / "rmsnorm.py", "--backend", "mirage", "--kernel", "-o", "out"
    )
    assert made.code == 0, made.err
    Path("loads.py").write_text(LOADS.format(examples=str(examples)), encoding="utf-8")
    result = on_gpu("verify", "loads.py", "--run", "gpu", "--repeat", "3")
    assert result.code == 0, result.out + result.err


def test_a_race(on_gpu):
    result = on_gpu("verify", "bad.py:two_writers", "--run", "gpu", "--repeat", "9")
    assert result.code == 1
    assert "MPK203 may be why" in result.out
