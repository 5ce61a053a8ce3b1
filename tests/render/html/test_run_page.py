"""The page of a run in a real browser: errors are seen, listed and led to."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.analysis.page.run import run_overlays  # noqa: E402
from mpkgraph.analysis.verify.subjects import context_of  # noqa: E402
from mpkgraph.io.reader import read_graph  # noqa: E402
from mpkgraph.reference.validation.validate import RunOptions, validate  # noqa: E402
from mpkgraph.views.operators import recover_operators  # noqa: E402
from tests import goldens  # noqa: E402
from tests.render.html.test_browser import pixel, state  # noqa: E402


@pytest.fixture(scope="module")
def graph():
    return read_graph(goldens.get("bad/linear_n_mismatch-cc90").graph_path)


def test_the_first_wrong_tensor_is_one_key_away(graph, open_page):
    document = validate([context_of(graph)], RunOptions(schedules=["batched"])).to_json()
    operators = recover_operators(graph)
    page = open_page(graph, run_overlays(document, operators, graph.rank))
    assert state(page)["colour"] == "run"
    errors = document["runs"][0]["task_errors"][0]
    first = errors["tasks"][0]
    page.press("n")
    assert state(page)["selection"] == {"kind": "task", "id": first}
    assert "elements wrong" in page.text("#details")
    row = f"mpkgraph.graph.rows[{first}]"
    assert tuple(pixel(page, f"mpkgraph.map.cellRect({row})"))[:3] in {
        (0xE5, 0x48, 0x4D),
        (0x8E, 0x4E, 0xC6),
    }
    assert "first wrong: out" in page.text("#items")
    page.evaluate("mpkgraph.setColouring('wrong')")
    page.settle()
    share = 100 * errors["num_wrong"][0] / errors["num_elements"][0]
    assert page.evaluate(f"mpkgraph.colouring.valueOf({row})") == pytest.approx(share, rel=1e-6)
