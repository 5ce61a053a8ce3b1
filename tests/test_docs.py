"""Docs that can't rot: every block runs, every option, link and page is there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import mpkgraph
from mpkgraph.cli.main import cli, run
from tests.docs_pages import Reader, blocks, matches, needs

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", *DOCS]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}

NOT_RUN = {
    "a part of a file": 2,
    "installs packages": 4,
    "needs Spark": 1,
    "needs a GPU with Mirage": 8,
    "needs a Ray cluster": 1,
    "needs a build of Mirage": 3,
    "usage": 6,
}
"""How many blocks are not run, by the reason that stands before them on their page."""

_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.DOTALL | re.MULTILINE)


def named(pages):
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A working folder where the paths of the docs exist and nothing of ours is overwritten."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("page", named(x for x in PAGES if blocks(TEXTS[x])))
def test_a_page_does_what_it_says(page, checkout, request):
    """With `--update-golden` sessions get what their commands print."""
    for package in needs(TEXTS[page]):
        pytest.importorskip(package)
    reader = Reader(TEXTS[page])
    reader.follow()
    if request.config.getoption("--update-golden"):
        page.write_text(reader.done, encoding="utf-8")
    else:
        assert not reader.differences, "prints something else:\n" + "\n".join(reader.differences)


def test_what_is_not_run():
    found = Counter(x.value for text in TEXTS.values() for x in blocks(text) if x.mark == "not run")
    assert found == NOT_RUN


def test_a_wrong_page_is_told(checkout):
    for wrong in (
        "```sh\nmpkgraph show nothing.json\n```\n",
        "```python\nassert 1 == 2\n```\n",
        "```text\nmpkgraph show x\n```\n",
        "```fortran\nEND\n```\n",
        "<!-- maybe: later -->\n```python\n```\n",
        "```sh\nrm -r build\n```\n",
    ):
        with pytest.raises(AssertionError):
            Reader(wrong).follow()
    reader = Reader("```console\n$ mpkgraph --version\nmpkgraph 0\n$ echo $?\n0\n```\n")
    reader.follow()
    assert len(reader.differences) == 1
    assert not matches("a\n...\nc\n", "a\nb\nd\n")
    assert matches("a\n...\nc\n", "a\nb\nb\nc\n")


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_option_is_documented(command):
    page = TEXTS[ROOT / "docs" / "reference" / f"{command}.md"]
    for parameter in cli.commands[command].params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("-"):
                assert f"`{name}" in page or f"{name} " in page, f"{name} is not in {command}.md"


def test_links_lead_somewhere():
    for page, text in TEXTS.items():
        for target in _LINK.findall(text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_in_a_table_of_contents():
    """What the site's build says too, without Sphinx."""
    docs = ROOT / "docs"
    found = {docs / "index.md"}
    for page in DOCS:
        for entries in _TOCTREE.findall(TEXTS[page]):
            for entry in re.findall(r"^[^\s:<]*$|(?<=<)[^>]*", entries, re.MULTILINE):
                if not entry.startswith(":"):
                    found |= {x.resolve() for x in page.parent.glob(f"{entry}.md")}
    missing = [str(x.relative_to(docs)) for x in DOCS if x not in found]
    assert not missing, f"name them in a toctree (docs/how-to/index.md, ...): {missing}"


def test_the_comment_that_a_page_shows(checkout, capfd):
    """It stands in a block that is a part of a file."""
    found = blocks(TEXTS[ROOT / "docs" / "how-to" / "verify.md"])
    (model,) = [x.text for x in found if x.value == "my_model.py"]
    (part,) = [x.text for x in found if x.value == "a part of a file"]
    call = "    pk.linear_layer(\n"
    assert part.endswith(call)
    Path("my_model.py").write_text(model.replace(call, part), encoding="utf-8")
    assert run(["verify", "my_model.py:build", "--select", "splits"]) == 0
    assert "suppressed: 1 by comment" in capfd.readouterr().out


def test_every_public_name_is_documented():
    page = TEXTS[ROOT / "docs" / "reference" / "python.md"]
    documented = re.findall(r"^\.\. auto\w+:: mpkgraph\.(\w+)$", page, re.MULTILINE)
    assert sorted(documented) == sorted(mpkgraph.__all__)
