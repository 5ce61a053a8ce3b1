"""The examples in docstrings do what they say.

Pytest's own collection of them imports and inspects every module of the package and of the tests
in each process, which takes longer than all examples.
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import mpkgraph

PACKAGE = Path(mpkgraph.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_examples() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        module = importlib.import_module(name.removesuffix(".__init__"))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "mpkgraph":
            raise
        pytest.skip(f"an optional package is missing: {error.name}")
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0, capsys.readouterr().out
