"""Docs that can't rot: every example runs, every option and link is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mpkgraph.cli.main import cli, run

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(language):
    return list(_blocks(language))


def _blocks(language):
    for page in PAGES:
        for number, match in enumerate(_BLOCK.finditer(page.read_text())):
            if match[1] == language:
                yield pytest.param(match[2], id=f"{page.relative_to(ROOT)}-{number}")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A working folder where the paths of the docs exist and nothing of ours is overwritten."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("text", blocks("sh"))
def test_commands_run(text, checkout, capfd):
    lines = [line for line in text.splitlines() if line.startswith("mpkgraph ")]
    for line in lines:
        arguments = shlex.split(line, comments=True)[1:]
        assert run(arguments) == 0, line
    if not lines:
        assert "venv" in text


@pytest.mark.parametrize("text", blocks("python"))
def test_python_runs(text, checkout, request):
    page = ROOT / request.node.callspec.id.rpartition("-")[0]
    namespace = {}
    for match in _BLOCK.finditer(page.read_text()):
        if match[1] == "python":
            exec(match[2], namespace)
            if match[2] == text:
                break


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_option_is_documented(command):
    page = (ROOT / "docs" / "reference" / f"{command}.md").read_text()
    for parameter in cli.commands[command].params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("-"):
                assert f"`{name}" in page or f"{name} " in page, f"{name} is not in {command}.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_a_table_of_contents():
    """What the site's build says too, without Sphinx."""
    docs = ROOT / "docs"
    found = {docs / "index.md"}
    for page in DOCS:
        for entries in _TOCTREE.findall(page.read_text()):
            for entry in entries.split():
                if not entry.startswith(":"):
                    found |= {x.resolve() for x in page.parent.glob(f"{entry}.md")}
    missing = [str(x.relative_to(docs)) for x in DOCS if x not in found]
    assert not missing, f"name them in a toctree (docs/how-to/index.md, ...): {missing}"
