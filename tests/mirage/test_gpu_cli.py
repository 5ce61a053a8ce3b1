"""`verify --run gpu` without a GPU: what it refuses, and how it is asked."""

from __future__ import annotations

import pytest

from mpkgraph.cli.gpu_options import GpuRequest, VerifyCommand
from mpkgraph.cli.verify import verify


def parsed(*arguments):
    with verify.make_context("verify", list(arguments), resilient_parsing=True) as context:
        return context.params


@pytest.mark.parametrize(
    ("arguments", "where", "sources"),
    [
        (("--run", "gpu", "x.py"), "gpu", ("x.py",)),
        (("x.py", "--run=gpu"), "gpu", ("x.py",)),
        (("--run", "--where", "gpu", "x.py"), "gpu", ("x.py",)),
        (("--run", "x.py"), "cpu", ("x.py",)),
        (("--run", "cpu", "x.py"), "cpu", ("x.py",)),
        (("x.py", "--run"), "cpu", ("x.py",)),
        (("x.py", "--run", "gpu", "--", "--run", "gpu"), "gpu", ("x.py",)),
    ],
)
def test_run_gpu_is_short(arguments, where, sources):
    assert isinstance(verify, VerifyCommand)
    found = parsed(*arguments)
    assert (found["where"], found["run"], found["sources"]) == (where, True, sources)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--repeat", "3"), "--repeat is for a run on the GPU"),
        (("--measure", "x.npy"), "--measure is for a run on the GPU"),
        (("--where", "gpu"), "--where does nothing without --run"),
        (("--run", "gpu", "--seed", "1"), "--seed is for a run without a GPU"),
        (("--run", "gpu", "--world-size", "2"), "one GPU is used, for one rank"),
        (("--run", "gpu", "--meta"), "--meta gives tensors no values"),
        (("--run", "gpu", "--format", "sarif"), "a run is told as text or json"),
    ],
)
def test_wrong_usage(mpkgraph, arguments, says):
    result = mpkgraph("verify", "x.py", *arguments)
    assert result.code == 2
    assert says in result.err


def test_nothing_to_run(mpkgraph):
    assert "there is nothing to run" in mpkgraph("verify", "--run", "gpu").err


def test_without_mirage(mpkgraph):
    pytest.importorskip("torch")
    result = mpkgraph("verify", "x.py", "--run", "gpu")
    assert result.code == 2
    assert "nothing can be run here: Mirage: " in result.err


def test_without_a_gpu(mpkgraph, home, folder, monkeypatch):
    pytest.importorskip("torch")
    from tests.mirage.conftest import PROBED

    monkeypatch.setattr("mpkgraph.mirage.facts.probe", lambda *_: (PROBED, None))
    monkeypatch.setenv("MIRAGE_HOME", str(home))
    result = mpkgraph("verify", "pipes.py:norm", "--run", "gpu")
    assert result.code == 2
    assert "nothing can be run here: driver" in result.err


def test_options_are_taken_out():
    options = {
        "where": "gpu",
        "repeat": 2,
        "launch_limit": None,
        "time_limit": None,
        "sanitize": None,
        "measure": None,
        "no_poison": False,
        "poison_shared": False,
        "no_kernel_cache": False,
        "other": 1,
    }
    assert GpuRequest.take(options).repeat == 2
    assert options == {"other": 1}
