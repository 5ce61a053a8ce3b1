"""The scripts and commands of the how-to page do what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from mpkgraph.cli.main import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "compile.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def block(start):
    """The one block that begins so."""
    (found,) = [x for x in BLOCKS if x.startswith(start)]
    return found


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    Path("norm.py").write_text(block("import mirage as mi"))
    Path("script.py").write_text(block("import sys"))


def tensors():
    return json.loads(Path("out/pipeline_rank0.json").read_bytes())["tensors"]


def test_the_function(capfd):
    assert run(shlex.split(block("mpkgraph compile norm.py"))[1:]) == 0
    assert tensors()[0]["dims"] == [16, 512]
    assert Path("out/task_graph_rank0.json").exists()


@pytest.mark.parametrize("meta", [[], ["--meta"]])
def test_the_script(capfd, meta):
    pytest.importorskip("torch")
    command = shlex.split(block("mpkgraph compile script.py"))
    assert run([*command[1:-2], *meta, *command[-2:]]) == 0
    assert tensors()[0]["dims"] == [16, 4096]
    out, err = capfd.readouterr()
    assert "nothing is executed" in err
    assert "AssertionError: nothing was computed" in out + err
