"""A Mirage that is none, with faults on demand, and the machine around it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.conftest import mpkgraph  # noqa: F401  the same fixture

FAKE = Path(__file__).parent / "fake"
collect_ignore = ["fake"]  # collected as doctests it would be the installed Mirage of all tests
PIPELINE = '''
"""A user's file."""
from mpkgraph.pipeline import TensorSpec


def norm(kernel, rows=8, name="x"):
    x = kernel.attach_input(TensorSpec((rows, 64), "bfloat16"), name=name)
    w = kernel.attach_input(TensorSpec((64,), "bfloat16"), name="w")
    mid = kernel.new_tensor(dims=(rows, 64), name="mid.dle")
    out = kernel.attach_input(TensorSpec((rows, 64), "bfloat16"), name="out")
    kernel.rmsnorm_layer(x, w, mid, (rows, 1, 1), (128, 1, 1))  # first
    kernel.rmsnorm_layer(mid, w, output=out, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))
'''
SCRIPT = """
import sys

import mirage
from mirage.mpk.persistent_kernel import PersistentKernel
from mpkgraph.pipeline import TensorSpec

print("hello from the script")
for rows in map(int, sys.argv[1:]):
    params = PersistentKernel.get_default_init_parameters()
    params.update(test_mode=True, num_workers=4)
    kernel = PersistentKernel(**params)
    x, w, out = (
        kernel.attach_input(TensorSpec(dims, "bfloat16"), name=name)
        for name, dims in (("x", (rows, 64)), ("w", (64,)), ("out", (rows, 64)))
    )
    kernel.rmsnorm_layer(x, w, out, (rows, 1, 1), (128, 1, 1))
    kernel.compile(output_dir=f"asked{rows}" if rows > 8 else None)
    kernel.run()
    kernel.finalize()
if rows == 16:
    raise KeyError("afterwards")
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The fake's source tree; nvcc and the rest of a toolkit are on the path."""
    folder = tmp_path / "home"
    shutil.copytree(FAKE / "mirage", folder / "python" / "mirage")
    shutil.copytree(FAKE / "include", folder / "include")
    for name in ("cutlass/include/cutlass/cutlass.h", "json/include/nlohmann/json.hpp"):
        file = folder / "deps" / name
        file.parent.mkdir(parents=True)
        file.touch()
    (folder / "deps" / "cutlass" / "tools" / "util" / "include").mkdir(parents=True)
    toolkit = tmp_path / "cuda"
    (toolkit / "bin").mkdir(parents=True)
    (toolkit / "include").mkdir()
    (toolkit / "include" / "cuda_runtime.h").touch()
    shutil.copy(FAKE / "nvcc", toolkit / "bin" / "nvcc")
    (toolkit / "bin" / "g++").write_text("#!/bin/sh\necho g++ of tests\n")
    (toolkit / "bin" / "g++").chmod(0o755)
    (toolkit / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{toolkit / 'bin'}:/bin")
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("MIRAGE_ROOT", raising=False)
    for name in list(os.environ):
        if name.startswith("FAKE_"):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's working folder, with `pipes.py` and `script.py` in it."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Path("pipes.py").write_text(PIPELINE, encoding="utf-8")
    Path("script.py").write_text(SCRIPT, encoding="utf-8")
    return path


PROBED = {
    "libcuda": {"ok": False, "error": "libcuda.so.1: no"},
    "torch": {"ok": True, "version": "2.11", "cuda": None, "gpus": []},
    "mirage": {"ok": True},
}


@pytest.fixture
def compile_(mpkgraph, home, folder, monkeypatch):  # noqa: F811
    """`mpkgraph compile --backend mirage` of the fake, on a machine without a GPU.

    What importing torch finds is given: it takes seconds.
    """
    monkeypatch.setattr("mpkgraph.mirage.facts.probe", lambda *_: (PROBED, None))
    monkeypatch.setenv("MIRAGE_HOME", str(home))

    def call(*arguments):
        return mpkgraph("compile", "--backend", "mirage", *arguments)

    return call
