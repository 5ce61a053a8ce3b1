"""The fuzzer's targets, without a fuzzer: their seeds and what bytes say by chance."""

from __future__ import annotations

import importlib
import random
import shutil

import pytest

from fuzz import command
from fuzz.targets import NAMES

NUM_SEEDS, NUM_RANDOM = 10, 4


@pytest.fixture(scope="session", autouse=True)
def scratch():
    """The folder of the targets, which a fuzzing process leaves."""
    yield
    shutil.rmtree(command.scratch(), ignore_errors=True)


@pytest.mark.parametrize("name", NAMES)
def test_target(name, monkeypatch):
    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(command.scratch() / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)
    target = importlib.import_module(f"fuzz.targets.{name}")
    draw = random.Random(name)
    drawn = [draw.randbytes(draw.randrange(60)) for _ in range(NUM_RANDOM)]
    for data in (*target.SEEDS()[:NUM_SEEDS], *drawn):
        target.try_input(data)
