"""Pipelines that are wrong on purpose: the run fails, blames the right operator, and shows why."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.analysis.verify.run import verify  # noqa: E402
from mpkgraph.errors import UsageError  # noqa: E402
from mpkgraph.reference.interpreter.initial import Given  # noqa: E402
from mpkgraph.reference.validation.validate import RunOptions, validate  # noqa: E402
from tests import goldens  # noqa: E402
from tests.reference.running import contexts  # noqa: E402


@dataclass(frozen=True)
class Fault:
    """What a case's run comes to."""

    tensor: str
    operator: int
    code: str
    """What static verify calls it."""
    elements: str | None = None
    tiles: str | None = None
    unwritten: int = 0
    nan: int | None = None
    by_hazard: bool = False
    """Whether the usual order gives right values."""
    supply_meta: bool = False


EVERY = {
    "consumer_before_producer": Fault("x_c", 0, "MPK209", "everything", "all tasks", nan=32768),
    "grid_larger_than_dim": Fault("out", 0, "MPK102", "everything", unwritten=32768),
    "grid_nondiv_linear": Fault("out", 0, "MPK101", "columns from 4080 on", unwritten=128),
    "grid_nondiv_then_reader": Fault("mid", 0, "MPK101", "rows from 6 on", unwritten=8192),
    "linear_n_mismatch": Fault("out", 0, "MPK111", "columns from 64 on", "grid x >= 1"),
    "map_dim_out_of_range": Fault("out", 0, "MPK103", "rows from 1 on", "grid x >= 1", 28672),
    "map_output_replicated": Fault("out", 0, "MPK107"),
    "map_swap_output": Fault("out", 0, "MPK109", tiles="all tasks", unwritten=25088),
    "map_swap_weight": Fault("out", 0, "MPK109", "nearly everything", "all tasks"),
    "output_rows_smaller": Fault("out", 0, "MPK111", "rows from 1 on", "grid x >= 1"),
    "shuffle_group_mismatch": Fault("out", 1, "MPK112", tiles="all tasks"),
    "residual_map_mismatch": Fault("x_c", 2, "MPK206", by_hazard=True),
    "war_buffer_reuse": Fault("x_b", 1, "MPK202", by_hazard=True),
    "waw_two_writers": Fault("x_a", 0, "MPK203", by_hazard=True),
    "two_outputs_diff_maps": Fault("out", 1, "MPK207", supply_meta=True),
    "hidden_output": Fault("out", 1, "MPK208", by_hazard=True, supply_meta=True),
}
"""By case, on an H100's target. Numbers of unwritten and NaN elements are those of a real H100
where it ran the case (`gpu_runs/runs.json`)."""


def _report(case, **options):
    if not goldens.index():
        pytest.skip(goldens.ABSENT)
    return validate(contexts(f"bad/{case}-cc90"), RunOptions(**options))


@pytest.mark.parametrize("case", EVERY)
def test_the_run_fails_and_blames(case):
    fault = EVERY[case]
    report = _report(case, supply_meta=fault.supply_meta)
    assert report.fails
    outcome = report.failing
    if fault.by_hazard:
        assert outcome is None or outcome.schedule != "batched"
        outcome = next(x.outcome for x in report.replays if x.is_shown)
    blame = outcome.blame
    assert (blame.tensor, blame.operator) == (fault.tensor, fault.operator)
    assert fault.code in [x.rule.code for x in blame.findings]
    verdict = next(x for x in outcome.wrong if x.name == fault.tensor)
    assert verdict.difference.num_unwritten == fault.unwritten
    if fault.elements is not None:
        assert blame.elements == fault.elements
    if fault.tiles is not None:
        assert blame.tiles == fault.tiles
    if fault.nan is not None:
        assert verdict.difference.num_nan == fault.nan
    assert report.to_json()["runs"][0]["schedule"] == "batched"


HAZARDS = [x for x, fault in EVERY.items() if fault.code.startswith("MPK2")]


@pytest.mark.parametrize("case", HAZARDS)
def test_each_hazard_is_replayed(case):
    report = _report(case, replays=[EVERY[case].code])
    assert report.is_replay
    assert report.fails
    assert all(x.is_shown for x in report.replays)
    finding = report.replays[0].finding
    assert report.replays[0].outcome.wrong
    by_operator = f"{finding.rule.code}@{finding.location.operator}"
    again = _report(case, replays=[by_operator, finding.fingerprint[:8]])
    assert [x.is_shown for x in again.replays] == [True, True]


def test_every_hazard_of_the_goldens_is_in_the_table():
    """Whatever static verify calls a certain hazard there is shown above."""
    if not goldens.index():
        pytest.skip(goldens.ABSENT)
    for golden in goldens.all_graphs():
        if golden.group != "bad" or not golden.case.endswith("cc90") or golden.num_null_tasks:
            continue
        name = golden.case.removeprefix("bad/").removesuffix("-cc90")
        findings = verify(contexts(golden.case), select=["hazards"]).findings
        if any(x.severity == "error" for x in findings):
            assert name in EVERY, name


def test_an_unknown_finding_is_refused():
    with pytest.raises(UsageError, match="no finding 'MPK999'"):
        _report("war_buffer_reuse", replays=["MPK999"])


def test_ok_pipelines_are_right():
    for case in ("fork_lcm_12_4_6", "nested_fork", "in_place"):
        assert not _report(case).fails


def test_one_memory_under_two_names():
    """What no record tells: the consumer does not wait for the producer."""
    assert not _report("alias_two_names").fails
    given = Given(aliases={"x_a_alias": "x_a"})
    report = _report("alias_two_names", given=[given])
    assert report.fails
    outcome = report.failing
    assert outcome.blame.tensor == "x_c"
    assert outcome.blame.operator == 1
    # Which rows are wrong hangs on the order: an H100 gave NaN everywhere
    found = _report("alias_two_names", given=[given], schedules=["adversarial"]).failing
    assert found.wrong[0].difference.num_nan > 0


def test_a_missing_meta_tensor_is_a_crash():
    if not goldens.index():
        pytest.skip(goldens.ABSENT)
    case = contexts("gpu/small_mlp_noqo-cc90")
    report = validate(case)
    assert report.fails
    (fault,) = report.failing.faults
    assert (fault.kind, fault.operator, fault.count) == ("failed", 1, 8)
    assert "qo_indptr_buffer" in fault.message
    assert "MPK451" in [x.rule.code for x in report.failing.findings]
    assert not validate(case, RunOptions(supply_meta=True)).fails


def test_all_orders_of_a_small_graph():
    report = _report("waw_two_writers", schedules=["exhaustive"], max_orders=8)
    assert report.fails
    assert report.failing.blame.tensor == "x_a"
    good = _report("fork_lcm_12_4_6", schedules=["exhaustive"])
    assert not good.fails
    assert good.outcomes[0].schedule == "all 1 orders that differ"


NOT_FILLED = {"bad_map_output_replicated"}
"""Runs whose outputs did not begin as NaN."""


def test_what_an_h100_left_unwritten_stays_unwritten_here():
    """The number of NaN elements by tensor, wherever runs.json has some."""
    path = goldens.FOLDER / "gpu_runs" / "runs.json"
    if not path.exists():
        pytest.skip(goldens.ABSENT)
    checked = 0
    for name, runs in json.loads(path.read_text(encoding="utf-8")).items():
        case = name.removeprefix("bad_")
        counts = [
            {tensor: x["nan"] for tensor, x in run.get("tensors", {}).items() if x["nan"]}
            for run in runs
        ]
        if not name.startswith("bad_") or not any(counts) or name in NOT_FILLED:
            continue
        options = {"schedules": ["reversed"]}
        if case == "alias_two_names":
            options["given"] = [Given(aliases={"x_a_alias": "x_a"})]
        elif case != "consumer_before_producer":
            options["schedules"] = ["batched"]
        else:
            options["schedules"] = ["program"]
        outcome = _report(case, **options).outcomes[0]
        found = {x.name: x.difference.num_nan for x in outcome.verdicts if x.difference.num_nan}
        for count in counts:
            assert {k: v for k, v in found.items() if k in count} == count, name
        checked += 1
    assert checked >= 5


def test_a_race_that_an_h100_lost_is_lost_here_by_rows():
    """`waw_two_writers` was wrong in other rows each time: each row can be, alone."""
    from mpkgraph.analysis.execution.schedulers import delaying
    from mpkgraph.reference.interpreter.initial import Initial, InitialOptions
    from mpkgraph.reference.interpreter.program import Program
    from mpkgraph.reference.validation.check import Checker

    if not goldens.index():
        pytest.skip(goldens.ABSENT)
    program = Program.of(contexts("bad/waw_two_writers-cc90"))
    checker = Checker(program, Initial(program, InitialOptions()))
    first = program.ranks[0].plans[0].operator.task_ids.tolist()
    for row in (2, 3, 5):
        outcome = checker.run(delaying([first[row]]), "one row late")
        assert outcome.blame.tensor == "x_a"
        assert outcome.blame.tiles == f"grid x = {row}"
        assert [x.task_id for x in outcome.blame.tasks] == [first[row]]
