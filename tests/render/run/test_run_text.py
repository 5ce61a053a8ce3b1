"""What a run looks like: text, JSON and pictures of hand-made results, hostile names included."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

pytest.importorskip("torch")

from mpkgraph.analysis.execution.hang import Blocker, Hang, Wait
from mpkgraph.analysis.verify.finding import Finding, Location, TaskRef
from mpkgraph.analysis.verify.run import find_rules
from mpkgraph.reference.interpreter.faults import Fault
from mpkgraph.reference.interpreter.unknown import Skipped
from mpkgraph.reference.validation.blame import Blame, HeatMap
from mpkgraph.reference.validation.compare import Difference
from mpkgraph.reference.validation.limits import Limits
from mpkgraph.reference.validation.result import (
    Replayed,
    RunOutcome,
    RunReport,
    TensorVerdict,
    Unchecked,
)
from mpkgraph.render.run.heat_map import heat_map_page
from mpkgraph.render.run.json_form import run_json
from mpkgraph.render.run.text import run_text
from mpkgraph.render.text import TextWriter

HOSTILE = "w\x1b[31m<b>\n"


def _difference(wrong=0, unwritten=0):
    return Difference(
        num_elements=1024,
        num_mismatches=wrong,
        max_abs_error=0.5 if wrong else 0.0,
        mean_abs_error=0.125 if wrong else 0.0,
        max_rel_error=2.0 if wrong else 0.0,
        mean_rel_error=0.25 if wrong else 0.0,
        max_ulps=300 if wrong else 0,
        cosine=0.75 if wrong else 1.0,
        num_nan=unwritten,
        num_inf=0,
        num_right_nan=0,
        num_unwritten=unwritten,
        needed_rtol=None if unwritten else 2.0 if wrong else 0.0,
        needed_atol=None if unwritten else 0.5 if wrong else 0.0,
        first=(1, 2) if wrong else None,
        first_values=(float("nan") if unwritten else 1.5, 1.0) if wrong else None,
    )


def _verdict(name, wrong=0, unwritten=0):
    limits = Limits(2.0**-7, 0.004, "bf16, sums of 64")
    difference = _difference(wrong, unwritten)
    return TensorVerdict(0, name, (2, 512), "bf16", 1, "linear", limits, difference, is_output=True)


def _finding():
    (rule,) = find_rules("MPK202")
    witness = (TaskRef(5, 1, "linear", (0, 0, 0)), TaskRef(9, 2, "norm", (1, 0, 0)))
    return Finding(rule, f"task 9 overwrites {HOSTILE}", Location(operator=2), "Wait", witness)


def _heat_map():
    error = np.array([[0.0, 0.5, np.inf], [0.25, np.nan, 0.0]])
    wrong = np.array([[0.0, 0.5, 1.0], [0.1, np.nan, 0.0]])
    return HeatMap(HOSTILE, 1, "linear", (0, 1), (0, 8, 16), wrong, error)


def _blame():
    return Blame(
        rank=0,
        tensor=HOSTILE,
        operator=1,
        operator_name="linear",
        layer_method="linear_layer",
        task_type="TASK_LINEAR",
        grid_dim=(3, 2, 1),
        slot=2,
        input_map=(1, 0, -1),
        tile_dims=(1, 8),
        elements="columns from 8 on",
        tiles="grid x >= 1",
        num_tasks=4,
        num_operator_tasks=6,
        tasks=(TaskRef(5, 1, "linear", (1, 0, 0)),),
        num_unwritten=3,
        num_outside_tiles=2,
        intended_operator=2,
        intended_name="norm",
        findings=(_finding(),),
        site="my.py:7",
        heat_map=_heat_map(),
    )


def _report():
    right = RunOutcome("batched", 40, 4, 0.1, (_verdict("y"),))
    wrong = RunOutcome(
        "random (seed 1)",
        40,
        40,
        0.1,
        (_verdict("y"), _verdict(HOSTILE, 12, 3)),
        (Unchecked(0, "z", "no reference: it reads what has no reference"),),
        (Fault("read-outside", 0, 1, "linear", 5, HOSTILE, "bytes 8:16 of 8", 2),),
        blame=_blame(),
    )
    wait = Wait(0, 7, 3, 0, 4, 8, 6, (Blocker(0, 9, "behind task 7 in the queue of worker 3"),), 2)
    hang = RunOutcome(
        "fifo of 4 workers", 30, 30, 0.1, (), hang=Hang(10, (wait,), ((0, 7), (0, 9)))
    )
    skipped = Skipped(0, 3, "odd", "TASK_ODD", 8, "there is no function of this task type")
    return RunReport(
        name=HOSTILE,
        graph_hashes={0: "ab" * 32},
        seed=1,
        source="the script and made up (seed 1)",
        against="whole layers",
        outcomes=(right, wrong, hang),
        skipped=(skipped,),
        replays=(Replayed(_finding(), wrong, 2), Replayed(_finding(), None, 9)),
        notes=("a note",),
        num_layers=4,
    )


def test_text(golden):
    stream = io.StringIO()
    run_text(TextWriter(stream), _report())
    text = stream.getvalue()
    assert "\x1b" not in text
    golden("run/report.txt", text)


def test_json(golden):
    data = run_json([_report()])
    golden("run/report.json", data.decode())
    both = json.loads(run_json([_report(), _report()]))
    assert len(both["pipelines"]) == 2
    assert both["fails"]


def test_page_of_a_heat_map(golden):
    page = heat_map_page(_heat_map())
    assert "<b>" not in page
    golden("run/heat-map.html", page)
