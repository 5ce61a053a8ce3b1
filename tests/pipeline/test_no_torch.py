"""Without torch: scripts that do not ask for it run, others get one clear message."""

from __future__ import annotations

import sys

import pytest

from mpkgraph.errors import MissingDependencyError
from tests.pipeline.scripts import KERNEL, RMSNORM, call, run, write


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    for name in [x for x in sys.modules if x == "torch" or x.startswith("torch.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)


def test_a_script_without_torch_runs(tmp_path):
    script = write(tmp_path, KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\n")
    assert len(run(script).compiled) == 1
    assert len(call(write(tmp_path, KERNEL, "function.py"), "norm").compiled) == 1


def test_a_script_that_can_do_without_runs(tmp_path):
    text = "try:\n    import torch\nexcept ImportError:\n    torch = None\n"
    script = write(tmp_path, text + KERNEL + "pk = kernel()\nnorm(pk)\npk.compile()\n")
    assert len(run(script).compiled) == 1


def test_a_script_with_torch_says_what_to_install(tmp_path):
    script = write(tmp_path, RMSNORM)
    with pytest.raises(MissingDependencyError) as caught:
        run(script)
    error = caught.value
    assert (error.exit_code, error.where) == (2, f"{script}:2 in <module>")
    assert "torch, which is not installed" in error.what
    assert "pip install 'mpkgraph[torch]'" in error.remedy
