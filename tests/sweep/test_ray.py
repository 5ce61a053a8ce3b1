"""The same work on a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mpkgraph._version import __version__
from mpkgraph.errors import UsageError
from mpkgraph.sweep.points import SweepOptions
from mpkgraph.sweep.run import RunOptions, sweep

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 << 20
"""Ray's object store on each node: it takes a third of the memory otherwise."""


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster with two nodes of one core each."""
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        # What a node needs to have: mpkgraph
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        started = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "object_store_memory": STORE_BYTES,
            },
        )
        try:
            started.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
            started.wait_for_nodes()
            yield started.address
        finally:
            started.shutdown()


pytestmark = pytest.mark.filterwarnings("ignore")
"""Ray's own."""


def test_both_nodes_find_what_is_found_here(cluster, work):
    options = SweepOptions(
        ("examples/qwen3_mlp.py:build",),
        ("tasks=32,48", "target=h100,a100"),
        emit=frozenset({"graph", "record"}),
    )
    here = sweep(options, RunOptions(Path("here"), Path("tables"), jobs=1))
    there = sweep(options, RunOptions(Path("there"), Path("far"), ray=cluster))
    assert (there.num_nodes, there.num_known) == (2, 0)
    assert there.result.to_json() == here.result.to_json()
    assert contents("there") == contents("here")
    assert contents("far").keys() == contents("tables").keys()
    assert sweep(options, RunOptions(Path("there"), Path("far"), ray=cluster)).num_known == 4
    # ... and each takes up what the other has done
    assert sweep(options, RunOptions(Path("there"), Path("far"), jobs=1)).num_known == 4


def contents(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_one_failed_point_spoils_no_other(cluster, work):
    options = SweepOptions(("traps.py:trap",), ("kind=good,exit,kill,raise,forever,stdin",))
    run = sweep(options, RunOptions(ray=cluster, point_timeout=10))
    errors = {x.values[0][1]: x.error for x in run.result.points}
    assert {kind: error and error.kind for kind, error in errors.items()} == {
        "good": None,
        "stdin": None,
        "exit": "crashed",
        "kill": "crashed",
        "forever": "crashed",
        "raise": "failed",
    }
    assert "the last words" in errors["kill"].message


def test_from_the_command_line(cluster, work, mpkgraph):
    result = mpkgraph("verify", "pipes.py:norm", "--sweep", "rows=4,8,16,32", "--ray", cluster)
    assert result.code == 0
    assert "4 points ran on" in result.err


def test_a_node_with_another_version(cluster, work, monkeypatch):
    monkeypatch.setattr("mpkgraph.sweep.ray_cluster.__version__", "99")
    run = sweep(SweepOptions(("pipes.py:norm",), ("rows=4",)), RunOptions(ray=cluster))
    (point,) = run.result.failed
    assert f"has mpkgraph {__version__}, and the sweep is of 99" in point.error.message


def test_no_cluster(work, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(UsageError, match="no Ray cluster answers at 'nowhere'"):
        sweep(SweepOptions(("pipes.py:norm",), ("rows=4",)), RunOptions(ray="nowhere"))


def test_without_ray(work, mpkgraph, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = mpkgraph("verify", "pipes.py:norm", "--sweep", "rows=8", "--ray", "auto")
    assert result.code == 2
    assert "pip install 'mpkgraph[ray]'" in result.err
