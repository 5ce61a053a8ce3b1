"""One browser for all tests of the page; they skip with a reason where there is none."""

from __future__ import annotations

import pytest

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.page import make_page
from mpkgraph.render.html import save_page
from mpkgraph.views.operators import recover_operators
from tests.cli.conftest import EXAMPLE
from tests.render.html.browser import CHROMIUM, Browser


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium is installed: apt-get install chromium")
    with Browser() as one:
        yield one


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens the page of a graph; at the end of the test nothing may be said on its console, and
    nothing asked of the network.
    """
    opened = []

    def open_graph(graph, overlays=(), anchor="", **options):
        page = make_page(GraphContext(graph, recover_operators(graph)), overlays=overlays)
        path = tmp_path / f"page{len(opened)}.html"
        save_page(page, path)
        shown = browser.open(f"{path.as_uri()}{anchor}", **options)
        opened.append(shown)
        return shown

    yield open_graph
    for shown in opened:
        assert shown.console == []
        assert shown.requests == []
        shown.close()


@pytest.fixture(scope="session")
def example_graph():
    """364 tasks in 35 operators: two equal model layers, what comes before and after."""
    return mpkgraph.read(EXAMPLE / "task_graph_rank0.json")


@pytest.fixture
def example(open_page, example_graph):
    return open_page(example_graph)
