"""What the pages show of `mpkgraph verify` is what it prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mpkgraph.cli.main import run

ROOT = Path(__file__).parents[1]
PAGE = "docs/how-to/verify.md"
SHOWN = (PAGE, "README.md")

_BLOCK = re.compile(r"^```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
_SESSION = re.compile(r"^```text\n(\$ mpkgraph verify [^\n]*\n)(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the file that the how-to tells to save."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    first = _BLOCK.search((ROOT / PAGE).read_text())
    (tmp_path / "my_model.py").write_text(first[1])
    return tmp_path


@pytest.mark.parametrize("name", SHOWN)
def test_sessions(name, folder, capfd, golden):
    """With `--update-golden` the pages get what the command prints."""

    def printed(match):
        run(shlex.split(match[1])[2:])
        return f"```text\n{match[1]}{capfd.readouterr().out}```"

    text = (ROOT / name).read_text()
    assert _SESSION.search(text)
    golden(f"../../{name}", _SESSION.sub(printed, text))


def test_the_baseline_of_the_page(folder):
    commands = re.findall(r"^mpkgraph (verify .*)$", (ROOT / PAGE).read_text(), re.MULTILINE)
    codes = [run(shlex.split(x)) for x in commands if "baseline" in x]
    assert codes == [0, 0]


def test_the_comment_of_the_page(folder, capfd):
    source = (folder / "my_model.py").read_text()
    (comment,) = re.findall(
        r"^( *# .*mpkgraph: ignore.*)$", (ROOT / PAGE).read_text(), re.MULTILINE
    )
    (folder / "my_model.py").write_text(source.replace("    pk.lin", f"{comment}\n    pk.lin"))
    assert run(["verify", "my_model.py:build", "--select", "splits"]) == 0
    assert "suppressed: 1 by comment" in capfd.readouterr().out
