"""Runs as overlays: the tasks behind wrong elements, found where they were put."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import mpkgraph  # noqa: E402
from mpkgraph.analysis.page.run import run_overlays, worst_ranks  # noqa: E402
from mpkgraph.analysis.verify.subjects import context_of  # noqa: E402
from mpkgraph.errors import GraphReadError, SelectionError  # noqa: E402
from mpkgraph.io.graph_hash import graph_sha256  # noqa: E402
from mpkgraph.reference.validation.validate import RunOptions, Validation  # noqa: E402

ROWS, COLUMNS, GRID = 4, 512, 8
TILE = COLUMNS // GRID
SCRIPT = f"""
def build(pk):
    import torch

    torch.manual_seed(3)
    def given(name, *dims):
        return pk.attach_input(torch.randn(*dims).to(torch.bfloat16), name=name)

    x, w, norm = given("x", {ROWS}, {COLUMNS}), given("w", {COLUMNS}, {COLUMNS}), given("n", 512)
    y = pk.new_tensor(dims=({ROWS}, {COLUMNS}), name="y")
    out = given("out", {ROWS}, {COLUMNS})
    block = (256, 1, 1)
    pk.rmsnorm_layer(input=x, weight=norm, output=y, grid_dim=({ROWS}, 1, 1), block_dim=block)
    pk.linear_layer(input=y, weight=w, output=out, grid_dim=({GRID}, 1, 1), block_dim=block)
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """Two operators: 4 tasks that normalise a row each, 8 that write 64 columns each."""
    path = tmp_path_factory.mktemp("script") / "model.py"
    path.write_text(SCRIPT, encoding="utf-8")
    compiled = mpkgraph.compile(f"{path}:build", target="h100").compiled[0]
    return context_of(compiled.graph, compiled.record)


@pytest.fixture(scope="module")
def right(context):
    """What the pipeline gives for inputs that are made up."""
    run = Validation("model", [context], RunOptions(schedules=["batched"]))
    assert not run.report().fails
    return {name: value.clone() for name, value in run.memories[0].tensors()}


def document(context, values):
    """A run's JSON, held against these values."""
    options = RunOptions(schedules=["batched"], right=[values], right_source="a file")
    return Validation("model", [context], options).report().to_json()


@pytest.fixture(scope="module")
def wrong(context, right):
    """Values that the run misses in 5 columns of task 3 (by 100), and by a NaN in task 6; one row
    of y too.
    """
    values = {name: x.clone() for name, x in right.items()}
    values["out"][:, 3 * TILE + 1 : 3 * TILE + 6] += 100
    values["out"][2, 6 * TILE] = float("nan")
    values["y"][1, ::2] += 50
    return document(context, values)


def test_the_tasks_that_wrote_wrong_elements_are_coloured(context, wrong):
    run, error, share = run_overlays(wrong, context.operators, 0)
    normalise, linear = (x.task_ids for x in context.operators)
    names = [x.name for x in run.categories]
    by_task = {task: names[code] for task, code in enumerate(run.codes.tolist()) if code >= 0}
    assert by_task == {
        normalise[1]: "wrong, or a fault",
        linear[3]: "wrong, or a fault",
        linear[6]: "NaN, infinite or not written",
    }
    assert set(np.flatnonzero(np.isfinite(error.values))) == {normalise[1], linear[3]}
    assert error.values[linear[3]] == pytest.approx(100, abs=1)
    assert error.values[normalise[1]] == pytest.approx(50, abs=1)
    assert share.values[linear[3]] == pytest.approx(100 * 5 / TILE)
    assert share.values[linear[6]] == pytest.approx(100 / (ROWS * TILE))
    assert share.values[normalise[1]] == pytest.approx(50)
    label = run.labels[run.label_codes[linear[3]]]
    assert label == "out: error 100, 20 of 256 elements wrong"


def test_the_blamed_tensor_comes_first_and_items_lead_there(context, wrong):
    run = run_overlays(wrong, context.operators, 0)[0]
    assert [x.title.split(" · ")[0] for x in run.items] == ["first wrong: y", "wrong: out"]
    assert run.items[1].tasks == tuple(context.operators[1].task_ids[[3, 6]].tolist())
    assert run.items[1].tensors == ("out",)
    assert "2 of 2 tensors are wrong" in run.description
    assert list(worst_ranks(wrong)) == [0]


def test_a_right_run_is_green_all_over(context, right):
    run = run_overlays(document(context, right), context.operators, 0)[0]
    assert [x.name for x in run.categories] == ["right"]
    assert (run.codes >= 0).sum() == ROWS + GRID
    assert run.items == ()


def test_the_pipeline_is_found_by_its_graph(context, right, wrong):
    several = {"schema": "mpkgraph-run/1", "pipelines": [document(context, right), wrong]}
    text = graph_sha256(context.graph)
    assert run_overlays(several, context.operators, 0, text)[0].items == ()
    other = copy.deepcopy(wrong)
    other["graphs"]["0"] = "0" * 64
    with pytest.raises(SelectionError, match="of another graph"):
        run_overlays(other, context.operators, 0, text)
    with pytest.raises(SelectionError, match="run is of rank 0, the graph of rank 1"):
        run_overlays(wrong, context.operators, 1, text)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("runs"),
        lambda d: d.update(runs=3),
        lambda d: d.update(pipelines=[1]),
        lambda d: d["runs"][0]["tensors"][0].update(operator=99),
        lambda d: d["runs"][0]["task_errors"][0]["tasks"].append(1),
        lambda d: d["runs"][0]["task_errors"][0].update(tasks=[1 << 70]),
        lambda d: d["runs"][0]["task_errors"][0].update(tasks=[-1]),
        lambda d: d["runs"][0]["task_errors"][0].update(tensor="nobody"),
        lambda d: d["runs"][0].update(faults=[{"rank": 0}]),
        lambda d: d["runs"][0].update(hang={"waits": "x"}),
    ],
)
def test_a_damaged_run_is_refused(context, wrong, damage):
    damaged = copy.deepcopy(wrong)
    damage(damaged)
    with pytest.raises(GraphReadError, match="is no run"):
        run_overlays(damaged, context.operators, 0)
