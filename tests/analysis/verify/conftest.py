"""Findings that a test noted are compared with those that are kept."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.analysis.verify import told

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(autouse=True)
def _told(request: pytest.FixtureRequest) -> Iterator[None]:
    told.take()
    yield
    text = told.take()
    if not request.node.stash.get(_PASSED, False):
        return  # a test that was skipped tells nothing
    path = told.FOLDER / f"{request.path.stem}.txt"
    if request.config.getoption("--update-golden"):
        told.update(path, request.node.name, text)
    else:
        kept = told.sections(path).get(request.node.name, "")
        assert text.splitlines() == kept.rstrip().splitlines(), f"{path.name} says otherwise"
