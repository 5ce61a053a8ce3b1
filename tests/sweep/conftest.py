"""A working folder with pipelines in it, and the command line run there."""

from __future__ import annotations

import pytest

from tests.cli.conftest import mpkgraph
from tests.sweep import pipes

__all__ = ["mpkgraph"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The user's working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return pipes.write(folder)
