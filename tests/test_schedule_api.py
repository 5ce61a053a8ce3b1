"""`mpkgraph.schedule`: what the command line says, from Python."""

from __future__ import annotations

import pytest

import mpkgraph
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.errors import UsageError
from tests import goldens
from tests.cli.conftest import EXAMPLE


def test_it_is_the_schedule_of_the_command(mpkgraph_json):
    graphs = mpkgraph.read_all(EXAMPLE)
    assert mpkgraph.schedule(graphs).to_json() == mpkgraph_json(EXAMPLE)
    rank = ("--rank", "1", "--workers", "16", "--cost", "a100", "--what-if", "linear=0.5")
    alone = mpkgraph.schedule(graphs[1], num_workers=16, cost="a100", what_if=["linear=0.5"])
    assert alone.to_json() == mpkgraph_json(EXAMPLE, *rank)


@pytest.fixture
def mpkgraph_json(capfd, monkeypatch, tmp_path):
    import json

    from mpkgraph.cli.main import run

    monkeypatch.setenv("MPKGRAPH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("MIRAGE_HOME", raising=False)

    def call(*arguments):
        assert run(["show", *map(str, arguments), "--schedule", "--json"]) == 0
        document = json.loads(capfd.readouterr().out)
        return {key: document[key] for key in document if key not in {"schema", "view", "paths"}}

    return call


def test_a_record_beside_the_graph_says_where_it_runs(tmp_path):
    path = goldens.get("models/qwen3_demo-Qwen3-0.6B-b1-L2-cc80").write_both(tmp_path)
    graph = mpkgraph.read(path)
    found = mpkgraph.schedule(graph)
    assert found.model.name == "a100"
    assert found.model.workload.kv_length == 512
    again = mpkgraph.schedule(graph, cost=CostModel.of_gpu("h200"), kv_length=9)
    assert (again.model.name, again.model.workload.kv_length) == ("h200", 9)
    assert mpkgraph.schedule(graph, find_record=False).model.workload.kv_length == 1024


def test_what_can_not_be_asked():
    graphs = mpkgraph.read_all(EXAMPLE)
    with pytest.raises(UsageError, match="no graph"):
        mpkgraph.schedule([])
    with pytest.raises(UsageError, match="one graph"):
        mpkgraph.schedule(graphs, "pipeline_rank0.json")
    with pytest.raises(UsageError, match="one rank"):
        mpkgraph.schedule(graphs, profile="x.npy")
