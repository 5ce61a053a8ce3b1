"""The library as `import mpkgraph` gives it: what results are asked, and what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

import mpkgraph
from mpkgraph.errors import UsageError
from mpkgraph.pipeline import TensorSpec

EXAMPLES = Path(__file__).parents[1] / "examples"


TWO = """
import mirage as mi
from mpkgraph.pipeline import TensorSpec
for rows in (8, 4):
    parameters = mi.PersistentKernel.get_default_init_parameters()
    kernel = mi.PersistentKernel(**parameters, test_mode=True)
    x, y = (kernel.attach_input(TensorSpec((8, 4096), "bfloat16"), name=name) for name in "xy")
    w = kernel.attach_input(TensorSpec((4096,), "bfloat16"), name="w")
    kernel.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))
    kernel.compile(output_dir="unused")
"""


@pytest.fixture(scope="module")
def compiled():
    return mpkgraph.compile(EXAMPLES / "qwen3.py:build", target="h100", settings={"layers": 1})


@pytest.fixture(scope="module")
def ranks():
    pipeline = EXAMPLES / "tensor_parallel.py:build"
    return mpkgraph.compile(pipeline, target="h100", world_size=2, all_ranks=True)


def test_a_compiled_pipeline_has_its_graph(compiled, ranks):
    assert compiled.graph is compiled.compiled[0].graph
    assert [x.rank for x in ranks.graphs] == [0, 1]
    with pytest.raises(UsageError, match="2 graphs were compiled"):
        _ = ranks.graph


def test_what_was_compiled_is_verified_with_its_record(compiled, ranks):
    by_record = mpkgraph.verify(compiled.compiled[0].record)
    assert not by_record.skipped
    assert mpkgraph.verify(compiled).to_json() == by_record.to_json()
    assert mpkgraph.verify(compiled.compiled[0]).to_json() == by_record.to_json()
    assert mpkgraph.verify(compiled.graph).skipped, "a graph alone lacks what the record says"
    # One rank of two can't be asked what both do
    assert len(mpkgraph.verify(ranks).rules) >= len(mpkgraph.verify(ranks.compiled[0]).rules)


def test_what_was_compiled_is_compared(compiled, ranks):
    assert mpkgraph.diff(compiled, compiled.graph).is_equal
    assert not mpkgraph.diff(compiled, ranks.compiled[0]).is_equal
    assert len(mpkgraph.diff(ranks, ranks).results) == 2


def test_several_pipelines_are_not_one(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO)
    result = mpkgraph.compile(script, target="h100")
    assert len(result.graphs) == 2
    for ask in (mpkgraph.verify, lambda x: mpkgraph.diff(x, result.graphs[0])):
        with pytest.raises(UsageError, match="2 pipelines were compiled"):
            ask(result)
    assert not mpkgraph.diff(*result.compiled).is_equal


def test_results_print_in_a_line(compiled, ranks):
    graph = compiled.graph
    bad = mpkgraph.verify(graph, select=["advice"])
    results = {
        "compiled": compiled,
        "rank": compiled.compiled[0],
        "record": compiled.compiled[0].record,
        "graph": graph,
        "summary": mpkgraph.summarise(graph),
        "operators": mpkgraph.operators(graph),
        "verify": bad,
        "diff": mpkgraph.diff(compiled, ranks.compiled[0]),
        "schedule": mpkgraph.schedule(graph, cost="h100"),
    }
    printed = {name: repr(result) for name, result in results.items()}
    for name, text in printed.items():
        assert len(text) < 300, name
        assert text.startswith("<"), name
        assert text.endswith(">"), name
        assert "\n" not in text, name
    tasks = f"{graph.num_tasks} tasks, {graph.num_events} events"
    assert tasks in printed["graph"]
    assert tasks in printed["compiled"]
    assert tasks in printed["summary"]
    assert "rank 0 of 1, cc 90" in printed["record"]
    assert f"by {len(bad.rules)} rules" in printed["verify"]
    assert "differences" in printed["diff"]
    assert " us on 128 workers, cost model h100" in printed["schedule"]


def norm(kernel, rows: int = 8, names=("x", "y")):
    """Of a notebook, say: it lies in no file that is named."""
    x, y = (kernel.attach_input(TensorSpec((rows, 4096), "bfloat16"), name=n) for n in names)
    w = kernel.attach_input(TensorSpec((4096,), "bfloat16"), name="w")
    kernel.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))


def test_a_function_is_compiled():
    """As it is called by name; its parameters are values, or text that is read as one."""
    result = mpkgraph.compile(norm, target="h100", settings={"rows": 4, "names": ("a", "b")})
    assert set(result.graph.tensors) == {"a", "w", "b"}
    record = result.compiled[0].record
    assert record.origin["function"] == f"{__name__}:norm"
    assert record.origin["settings"] == {"rows": "4", "names": "('a', 'b')"}
    by_text = mpkgraph.compile(norm, target="h100", settings={"rows": "4"})
    by_name = mpkgraph.compile(f"{__file__}:norm", target="h100", settings={"rows": 4})
    assert mpkgraph.diff(by_text, by_name).is_equal
    with pytest.raises(UsageError, match="no parameter 'columns'"):
        mpkgraph.compile(norm, settings={"columns": 1})


@pytest.mark.parametrize("ask", [mpkgraph.verify, lambda x: mpkgraph.diff(x, x), mpkgraph.compile])
@pytest.mark.parametrize("odd", [3, None])
def test_what_is_no_pipeline(ask, odd):
    with pytest.raises(UsageError, match="is no pipeline"):
        ask(odd)


def test_a_graph_is_a_network(compiled):
    graph = compiled.graph
    assert len(graph.to_networkx()) == graph.num_tasks + graph.num_events
    operators = graph.to_networkx(kind="operators")
    assert set(operators) == set(mpkgraph.to_networkx(graph, kind="operators"))
