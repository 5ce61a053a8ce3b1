"""`mpkgraph.verify`: what it takes and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

import mpkgraph
from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.io.record import save_record
from mpkgraph.io.writer import save_graph
from mpkgraph.pipeline import PersistentKernel, Target, TensorSpec, use_target

EXAMPLE = Path(__file__).parents[1] / "examples" / "decoder"


def pipeline(rows=8):
    with use_target(Target(cc=90)):
        kernel = PersistentKernel(**PersistentKernel.get_default_init_parameters(), test_mode=True)
    x = kernel.attach_input(TensorSpec((8, 4096), "bfloat16"), name="x")
    w = kernel.attach_input(TensorSpec((4096,), "bfloat16"), name="w")
    y = kernel.attach_input(TensorSpec((8, 4096), "bfloat16"), name="y")
    kernel.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))
    return kernel.record()


@pytest.fixture
def saved(tmp_path):
    """A folder with the graph and the record of a pipeline whose grid does not divide."""
    record = pipeline(3)
    save_record(record, tmp_path / "pipeline_rank0.json")
    save_graph(mpkgraph.plan(record).graph, tmp_path / "task_graph_rank0.json")
    return tmp_path


def codes(result):
    return [x.rule.code for x in result.findings]


def test_a_record():
    assert codes(mpkgraph.verify(pipeline())) == []
    assert codes(mpkgraph.verify(pipeline(3), select=["splits"])) == ["MPK101"]


def test_paths_and_graphs(saved):
    graph = saved / "task_graph_rank0.json"
    for source in (graph, str(saved), saved / "pipeline_rank0.json", mpkgraph.read(graph)):
        result = mpkgraph.verify(source, select=["MPK101"])
        assert codes(result) == ["MPK101"]
        assert result.findings[0].location.record_path == "log[3].lowlevel[0]"


def test_without_its_record(saved):
    result = mpkgraph.verify(saved, find_record=False, select=["map-past-rank"])
    assert [rule.code for rule, _ in result.skipped] == ["MPK103"]


def test_a_record_of_ones_own(saved):
    graph = mpkgraph.read(saved / "task_graph_rank0.json")
    assert codes(mpkgraph.verify(graph, pipeline(3), select=["MPK101"])) == ["MPK101"]
    with pytest.raises(GraphReadError):
        mpkgraph.verify(graph, pipeline(4))
    with pytest.raises(UsageError, match="one graph"):
        mpkgraph.verify(mpkgraph.read_all(EXAMPLE), pipeline())
    with pytest.raises(UsageError, match="one graph"):
        mpkgraph.verify(pipeline(), pipeline())


def test_several_ranks():
    graphs = mpkgraph.read_all(EXAMPLE)
    assert len(mpkgraph.verify(graphs[::-1], select=["ranks"]).rules) > 0
    with pytest.raises(GraphReadError, match="two graphs of rank 0"):
        mpkgraph.verify([graphs[0], graphs[0]])
    with pytest.raises(UsageError, match="nothing is no pipeline"):
        mpkgraph.verify([])


def test_a_word_that_is_no_rule():
    with pytest.raises(UsageError, match="no rule"):
        mpkgraph.verify(pipeline(), ignore=["MPK999"])
