"""Optional packages that are not installed: one message with what to install, nothing written."""

from __future__ import annotations

import subprocess
import sys

import pytest

# As if not installed: the finder of files does not know it
WITHOUT = """
import sys
from importlib.machinery import PathFinder
package, find = sys.argv[1], PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: (
    None if name.split(".")[0] == package else find(name, *rest)
)
from mpkgraph.cli.main import run
sys.exit(run(sys.argv[2:]))
"""
CASES = {
    "torch": lambda s, out: ["verify", s.record, "--run", "--save", out / "x"],
    "matplotlib": lambda s, out: ["show", s.graph, "-p", "1", "--tiles", out / "x.svg"],
    "perfetto": lambda s, out: ["show", s.graph, "--schedule", "--trace", out / "x.pftrace"],
    "pyarrow": lambda s, out: ["show", s.graph, "-l", "tasks", "--parquet", "-o", out / "x"],
    "ray": lambda s, out: ["verify", s.record, "--sweep", "workers=8", "--ray", "auto"],
    "mirage": lambda s, out: ["compile", s.record, "--backend", "mirage", "-o", out],
}


@pytest.mark.parametrize("package", CASES)
def test_missing(package, small, tmp_path, monkeypatch):
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    out = tmp_path / "out"
    out.mkdir()
    command = [str(x) for x in CASES[package](small, out)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, *command],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert package in done.stderr.lower()
    assert not list(out.iterdir())


@pytest.mark.parametrize("command", ["show", "diff", "verify", "schedule"])
def test_static_commands_need_no_torch(command, small):
    graph = str(small.graph)
    arguments = {
        "show": ["show", graph],
        "diff": ["diff", graph, graph],
        "verify": ["verify", graph],
        "schedule": ["show", graph, "--schedule"],
    }[command]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "torch", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1)
    assert not done.stderr
