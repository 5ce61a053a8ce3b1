"""A point says what the commands say of the same pipeline, one by one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from mpkgraph.pipeline.compile import CompileOptions
from mpkgraph.sweep.evaluate import evaluate
from mpkgraph.sweep.points import CheckOptions, SweepOptions, points_of
from mpkgraph.sweep.result import RANK_BY, ranked
from tests.pipelines import warned

MLP = "examples/qwen3_mlp.py:build"
PARALLEL = "examples/tensor_parallel.py:build"


def points(source, *sweep, **options):
    plan = options.pop("plan", CompileOptions())
    check = options.pop("check", CheckOptions())
    return points_of(
        SweepOptions((source,), sweep, plan, check, frozenset({"graph", "record"}), **options)
    )


@pytest.mark.parametrize(
    ("source", "sweep", "arguments"),
    [
        (MLP, ("tasks=48", "target=h200"), ("--set", "tasks=48", "--target", "h200")),
        (MLP, ("tasks=32", "workers=16"), ("--set", "tasks=32", "--workers", "16")),
        (PARALLEL, ("ranks=2", "layers=1"), ("--world-size", "2", "--set", "layers=1")),
        ("script.py", ("--rows=4",), ("--", "--rows", "4")),
    ],
)
def test_as_the_commands_say(work, mpkgraph, tmp_path, source, sweep, arguments):
    stage = tmp_path / "stage"
    stage.mkdir()
    (point,) = points(source, *sweep)
    result = evaluate(point, stage)
    assert result.error is None
    (graph,) = result.graphs

    ranks = ("--all-ranks",) if "--world-size" in arguments else ()
    compiled = mpkgraph("compile", source, "-o", "out", "--json", *ranks, *arguments).json
    assert graph.num_tasks == sum(x["num_tasks"] for x in compiled["graphs"])
    assert graph.num_events == sum(x["num_events"] for x in compiled["graphs"])
    assert graph.ranks == len(compiled["graphs"])
    assert len(result.warnings) == sum(len(x["warnings"]) for x in compiled["graphs"])
    files = [Path(x).relative_to("out") for x in compiled["graphs"][0]["files"]]
    assert set(map(str, files)) <= set(result.files)
    for name in result.files:
        assert (stage / name).read_bytes() == Path("out", name).read_bytes()

    verified = mpkgraph("verify", source, "--json", *arguments).json
    found = verified["pipelines"][0]["findings"]
    assert [{**x} for x in found] == [
        {name: value for name, value in finding.items() if name != "graph"}
        for finding in result.to_json()["findings"]
    ]

    workers = ("--workers", "16") if "--workers" in arguments else ()
    cost = ("--cost", "h200") if "h200" in arguments else ()
    shown = mpkgraph("show", "out", "--schedule", "--json", *workers, *cost).json
    assert graph.makespan_ns == shown["makespan_ns"]
    assert (graph.num_workers, graph.num_schedulers) == (
        shown["num_workers"],
        shown["num_schedulers"],
    )
    summaries = mpkgraph("show", "out", "--json", "--rank", "0").json
    assert f'"depth": {graph.depth}' in str(summaries).replace("'", '"')


def test_several_graphs_of_a_process(work, tmp_path):
    stage = tmp_path / "stage"
    stage.mkdir()
    plan = CompileOptions(arguments=("{again}",))
    once, twice = points("script.py", "again=,--again", plan=plan)
    one, two = evaluate(once), evaluate(twice, stage)
    assert [len(x.graphs) for x in (one, two)] == [1, 2]
    assert two.num_tasks == 2 * one.num_tasks
    assert two.makespan_ns == 2 * one.makespan_ns
    assert (stage / "compile2" / "task_graph_rank0.json").exists()


def test_what_hangs_has_no_makespan_and_comes_last(work):
    shutil.copy(Path(warned.__file__), "warned.py")
    stuck, clean = map(evaluate, points("warned.py:stuck_event", "clean=no,yes"))
    assert (stuck.hangs, stuck.makespan_ns) == (True, None)
    assert [x["code"] for x in stuck.warnings] == ["stuck-event"]
    assert not clean.hangs
    assert clean.makespan_ns > 0
    for rank_by in RANK_BY[:2]:
        assert ranked([stuck, clean], rank_by) == (clean, stuck)


def test_suppressed_findings(work):
    (point,) = points(MLP, "tasks=48")
    assert evaluate(point).rules
    (point,) = points(MLP, "tasks=48", check=CheckOptions(ignore=("all",)))
    assert not evaluate(point).rules
    where = CheckOptions(suppress=("all@*",))
    (point,) = points(MLP, "tasks=48", check=where)
    assert not evaluate(point).rules


def test_errors_are_results(work):
    kinds = {}
    for point in points("traps.py:trap", "kind=raise,quit,refused", show_traceback=True):
        result = evaluate(point)
        kinds[dict(point.values)["kind"]] = result.error
        assert result.graphs == ()
    assert {kind: error.kind for kind, error in kinds.items()} == {
        "raise": "failed",
        "quit": "failed",
        "refused": "refused",
    }
    assert "not today" in kinds["raise"].message
    assert "ValueError: not today" in kinds["raise"].traceback


def test_an_error_names_no_line_of_ours(work):
    (point,) = points(MLP, "workers=200")
    assert evaluate(point).error.message.startswith("200 workers leave no SM of 132")


def test_where_the_users_folder_is_not(work):
    """On a machine of a cluster, which has a copy of it as its working folder."""
    (point,) = points(MLP, "tasks=32")
    here = evaluate(point)
    elsewhere = evaluate(dataclasses.replace(point, folder=str(work / "gone")))
    assert elsewhere.error is None
    assert elsewhere.sources == here.sources
    assert set(here.sources) == {"examples/common.py", "examples/qwen3_mlp.py"}


def test_a_bug_of_ours_is_a_row_that_says_so(work, monkeypatch):
    def broken(*_arguments):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("mpkgraph.sweep.evaluate._graph_row", broken)
    (point,) = points(MLP, "tasks=32")
    error = evaluate(point).error
    assert error.kind == "internal"
    assert "ZeroDivisionError: oops" in error.message
    assert "in broken" in error.traceback
