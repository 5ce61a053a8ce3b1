"""docs/architecture.md tells who may import whom; the imports agree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mpkgraph"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(\w+)` \| .* \| ?([^|]*) \|$", re.MULTILINE)


def allowed() -> dict[str, set[str]]:
    """By package those that it may import, and theirs."""
    direct = {}
    for name, text in _ROW.findall(PAGE):
        direct[name] = set(re.findall(r"\b[a-z]+\b", re.sub(r"\(.*?\)", "", text)))
    whole: dict[str, set[str]] = {}

    def closed(name: str) -> set[str]:
        if name not in whole:
            whole[name] = {name}
            for other in direct.get(name, ()):
                whole[name] |= closed(other)
        return whole[name]

    for name in direct:
        closed(name)
    return whole


def imports(file: Path) -> Iterator[tuple[str, int, str]]:
    """(Package, line, function around it or "") of each import of ours."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    around = {
        child: node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mpkgraph"):
            parts = (node.module or "").split(".")
            names = [parts[1]] if len(parts) > 1 else [x.name for x in node.names]
        elif isinstance(node, ast.Import):
            names = [x.name.split(".")[1] for x in node.names if x.name.startswith("mpkgraph.")]
        else:
            continue
        for name in names:
            yield name, node.lineno, around.get(node, "")


PACKAGES = sorted(x.name for x in PACKAGE.iterdir() if (x / "__init__.py").exists())


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_are_those_of_the_page(package):
    rules = allowed()
    assert package in rules, "docs/architecture.md has no row for it"
    if package == "cli":
        return  # "everything"
    wrong = []
    for file in sorted((PACKAGE / package).rglob("*.py")):
        for name, line, function in imports(file):
            if name in rules[package] | {"errors", "frozen", "_version"}:
                continue
            if function.startswith("_repr_") and name == "notebook":
                continue  # what notebooks ask objects for
            if (file.name, name) in {("graph.py", x) for x in ("api", "analysis", "views")}:
                continue  # TaskGraph.summary and to_networkx, what users ask a graph for
            wrong.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_file_that_the_page_names_is_there():
    names = set(re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE))
    assert names
    missing = [x for x in sorted(names) if not ((PACKAGE / x).exists() or (ROOT / x).exists())]
    assert not missing
