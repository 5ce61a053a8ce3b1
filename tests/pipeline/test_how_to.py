"""The script of the how-to page, without memory for its tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mpkgraph.cli.main import run
from tests.docs_pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "compile.md"


def test_the_script_without_memory(tmp_path, monkeypatch, capfd):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    (script,) = [x for x in blocks(PAGE.read_text("utf-8")) if x.value == "script.py"]
    Path("script.py").write_text(script.text, encoding="utf-8")
    assert run(["compile", "script.py", "--meta", "-o", "out", "--", "16"]) == 0
    record = json.loads(Path("out/pipeline_rank0.json").read_bytes())
    assert record["tensors"][0]["dims"] == [16, 4096]
    out, err = capfd.readouterr()
    assert "nothing is executed" in err
    assert "AssertionError: nothing was computed" in out + err
