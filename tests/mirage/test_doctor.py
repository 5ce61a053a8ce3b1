"""`compile --doctor`: each thing that can be missing is told with its remedy."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from mpkgraph.mirage.doctor import diagnose
from mpkgraph.mirage.facts import Facts
from mpkgraph.mirage.find import find_mirage
from tests.mirage.conftest import PROBED

WORKING = Facts(
    mirage=None,
    nvcc=Path("/cuda/bin/nvcc"),
    nvcc_on_path=True,
    nvcc_version="13.0.88",
    cuda_headers=True,
    cutlass=True,
    nlohmann=True,
    runtime_header=True,
    python_headers=True,
    compiler="g++ 13",
    smi=({"name": "NVIDIA H100", "compute_cap": "9.0", "driver_version": "580.1"},),
    probed={
        "libcuda": {"ok": True, "cuda": "13.0"},
        "torch": {
            "ok": True,
            "version": "2.11",
            "cuda": "13.0",
            "gpus": [{"name": "NVIDIA H100", "cc": 90, "num_sms": 132}],
        },
        "mirage": {"ok": True},
    },
)


@pytest.fixture
def working(home):
    return dataclasses.replace(WORKING, mirage=find_mirage(home))


def probed(facts, step, **fields):
    return dataclasses.replace(
        facts, probed={**facts.probed, step: {**facts.probed[step], **fields}}
    )


def test_all_is_there(working):
    diagnosis = diagnose(working)
    assert diagnosis.can("run")
    assert diagnosis.summary == (
        "Mirage can generate graphs (host only), compile kernels, run on the GPU"
    )


MISSING = [
    ({"nvcc": None}, "kernel", "nvcc", "Install the CUDA toolkit"),
    ({"cuda_headers": False}, "kernel", "CUDA headers", "cuda-cudart-dev"),
    ({"cutlass": False}, "kernel", "cutlass headers", "git submodule update"),
    ({"nlohmann": False}, "kernel", "nlohmann json", "git submodule update"),
    ({"runtime_header": False}, "kernel", "Mirage's headers", "git submodule update"),
    ({"python_headers": False}, "kernel", "Python.h", "python3-dev"),
    ({"compiler": None}, "kernel", "g++", "Install g++"),
    ({"nvcc_version": "14.1.3"}, "run", "CUDA versions", "Update the driver"),
]


@pytest.mark.parametrize(("change", "need", "name", "remedy"), MISSING, ids=[x[2] for x in MISSING])
def test_missing(working, change, need, name, remedy):
    diagnosis = diagnose(dataclasses.replace(working, **change))
    (blocker,) = diagnosis.blockers("run")
    assert blocker.name == name
    assert remedy in blocker.remedy
    assert blocker.needed_for == need
    assert diagnosis.can("graph")


STEPS = [
    ("torch", {"ok": False, "error": "ImportError: no torch", "gpus": []}, "torch", "pip install"),
    ("torch", {"cuda": None, "gpus": []}, "GPU", "Install torch for CUDA"),
    ("torch", {"gpus": []}, "GPU", "CUDA_VISIBLE_DEVICES"),
    ("torch", {"cuda": "14.0"}, "CUDA versions", "Update the driver, or install torch for CUDA 13"),
    ("libcuda", {"ok": False, "error": "libcuda.so.1: no"}, "driver", "Install NVIDIA's driver"),
    ("mirage", {"ok": False, "error": "E", "module": "z3"}, "import mirage", "z3-solver"),
    ("mirage", {"ok": False, "error": "libcuda.so.1: no"}, "import mirage", "stub"),
]


@pytest.mark.parametrize(("step", "fields", "name", "remedy"), STEPS)
def test_steps_of_the_probe(working, step, fields, name, remedy):
    blockers = diagnose(probed(working, step, **fields)).blockers("run")
    assert name in {x.name for x in blockers}
    assert any(remedy in x.remedy for x in blockers)


def test_a_probe_that_dies(working):
    facts = dataclasses.replace(
        working, probed={"libcuda": {"ok": False}}, probe_end="it ended with signal 11"
    )
    found = next(x for x in diagnose(facts).checks if x.name == "import mirage")
    assert found.found == "the process died while importing torch: it ended with signal 11"


def test_a_core_for_another_python(home):
    package = home / "python/mirage"
    (package / "core.py").rename(package / "core.cpython-38-x86_64-linux-gnu.so")
    check = next(
        x
        for x in diagnose(dataclasses.replace(WORKING, mirage=find_mirage(home))).checks
        if x.name == "core"
    )
    assert check.status == "missing"
    assert "cpython-38" in check.found
    assert str(sysconfig.get_config_var("SOABI")) in check.found


def test_a_core_that_is_not_built(home):
    (home / "python/mirage/core.py").unlink()
    diagnosis = diagnose(dataclasses.replace(WORKING, mirage=find_mirage(home)))
    assert "pip install -e ." in diagnosis.blockers("graph")[0].remedy


def test_quirks_are_told(mpkgraph, home, monkeypatch):
    monkeypatch.setattr("mpkgraph.mirage.facts.probe", lambda *_: (PROBED, None))
    result = mpkgraph("compile", "--doctor", "--mirage-home", home, "--json")
    checks = {x["name"]: x for x in result.json["checks"]}
    assert "is_test_mode, which it never sets" in checks["test-mode-unset"]["found"]
    assert checks["no-run"]["status"] == "worked around"
    assert "asserts that there are 10 meta tensors and reads 11" in checks["meta-tensors"]["found"]
    assert checks["first-printf"]["status"] == "worked around"
    assert result.json["can"]["graph"] is True
    text = mpkgraph("compile", "--doctor", "--mirage-home", home)
    assert text.code == result.code
    assert "Mirage can generate graphs" in text.out


def install(folder, name, version, mpk):
    package = folder / "mirage"
    package.mkdir()
    (package / "__init__.py").touch()
    if mpk:
        (package / "mpk").mkdir()
        (package / "mpk" / "persistent_kernel.py").touch()
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("mirage", "1.0.3", "PyPI's mirage 1.0.3, a simulator for astronomers"),
        ("mirage-project", "0.2.2", "mirage-project 0.2.2 without MPK"),
    ],
)
def test_another_mirage(mpkgraph, tmp_path, monkeypatch, name, version, said):
    install(tmp_path, name, version, mpk=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    result = mpkgraph("compile", "--doctor")
    assert result.code == 1
    assert said in " ".join(result.out.split())
    assert "branch mpk" in result.out
    refused = mpkgraph("compile", "x.py", "--backend", "mirage")
    assert refused.code == 2
    assert said in refused.err


def test_doctor_compiles_nothing(mpkgraph, home):
    result = mpkgraph("compile", "x.py", "--doctor", "--mirage-home", home)
    assert result.code == 2


def test_no_mirage_there(mpkgraph, tmp_path):
    result = mpkgraph("compile", "--doctor", "--mirage-home", tmp_path)
    assert result.code == 2
    assert "there is no Mirage here" in result.err


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_commit_is_read_without_git(home):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
            cwd=home,
            check=True,
            capture_output=True,
        )

    git("init")
    git("commit", "--allow-empty", "-m", "x")
    git("tag", "x")
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=home, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert find_mirage(home).commit == head
    git("pack-refs", "--all")
    assert find_mirage(home).commit == head
    git("checkout", "x")
    assert find_mirage(home).commit == head
    assert head[:8] in find_mirage(home).describe()
