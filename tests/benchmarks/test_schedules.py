"""The sweep of all goldens in all orders says what one run of one order says."""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks import schedules
from benchmarks.schedule_runs import LARGE_ORDERS, LARGE_TASKS, ORDERS, join, run_case
from tests import goldens

CASE = "bad/war_buffer_reuse-cc90"
COSTS = {"cpu_seconds", "peak_mb", "machine"}
FACTS = {"ranks": 1, "tasks": 9, "num_hazards": 2, "unexecuted": [], "errors": ["MPK202"]}
COST = {"cpu_seconds": 1.0, "peak_mb": 5.0}


def _run(order, passes=True, **facts):
    run = {
        "run": order,
        "schedule": f"the order {order}",
        "passes": passes,
        "equal": passes,
        "hangs": False,
        "tensors": 3,
        "calls": 4,
        "unchecked": [],
        "blame": None if passes else {"tensor": "x"},
        "faults": [],
        "fault_operator": None,
    }
    return run | COST | facts


def _facts(row):
    return {key: value for key, value in row.items() if key not in COSTS}


def test_lines_in_any_order_are_one_row():
    lines = [
        FACTS | COST,
        *(_run(x, passes=x not in {"fifo", "random"}) for x in reversed(ORDERS)),
        _run("fifo", passes=False, blame={"tensor": "traced"}),
        {"hazard": 1, "shown": ["MPK202", True, None], **COST},
        {"hazard": 0, "shown": ["MPK203", False, None], **COST},
        {"ended": True},
    ]
    row = join(lines)
    assert (row["orders"], row["right"], row["equal"], row["hangs"]) == (8, 6, 6, 0)
    assert (row["first_wrong"], row["blame"]) == ("the order fifo", {"tensor": "traced"})
    assert [x[0] for x in row["hazards"]] == ["MPK202", "MPK203"]
    assert (row["missing"], row["cpu_seconds"]) == ([], 12.0)


def test_a_process_that_was_stopped_tells_what_it_had_done():
    facts = FACTS | COST | {"tasks": LARGE_TASKS + 1}
    row = join([facts, _run("program"), _run("batched")], "more than 9 s")
    assert (row["orders"], row["missing"]) == (2, ["fifo", "adversarial", "random"])
    assert set(row["missing"]) < set(LARGE_ORDERS)
    words = schedules._good_words(row)
    assert words == (
        "without fifo, adversarial, random, more than 9 s; 2 hazards not replayed, more than 9 s"
    )
    assert join([facts], "more than 9 s") == {"failure": "more than 9 s"}


@pytest.fixture(scope="module")
def row():
    pytest.importorskip("torch")
    if not goldens.index():
        pytest.skip(goldens.ABSENT)
    return join(run_case(CASE, 1))


def test_a_hazard_goes_wrong_in_some_orders_and_is_shown(row):
    assert (row["orders"], row["first_wrong"]) == (8, "reversed")
    assert 0 < row["right"] < 8
    assert row["blame"]["tensor"] in {x["tensor"] for _, _, x in row["hazards"]}
    assert "MPK202" in row["blame"]["by_finding"]
    assert [(code, is_shown) for code, is_shown, _ in row["hazards"]] == [("MPK202", True)] * len(
        row["hazards"]
    )
    assert row["hazards_found"] == len(row["hazards"]) > 0


def test_processes_side_by_side_find_the_same(row, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results.jsonl"
    arguments = ["--case", CASE, "--jobs", "2", "--results", str(results)]
    schedules.main(arguments)
    (line,) = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    assert line.pop("case") == CASE
    # JSON has lists for tuples
    assert _facts(line) == json.loads(json.dumps(_facts(row)))
    assert "wrong in" in " ".join(capsys.readouterr().out.split())

    monkeypatch.setattr(schedules, "_in_a_process", None)
    schedules.main(arguments)  # what is done is not run again


def test_a_pipeline_that_takes_too_long_is_stopped():
    row = schedules._in_a_process(CASE, 2, 0.01)
    assert row == {"failure": "not run: more than 0 s"}


def test_what_fails_says_why(monkeypatch):
    monkeypatch.setattr(schedules.sys, "executable", shutil.which("false") or "false")
    row = schedules._in_a_process(CASE, 1, 60)
    assert row == {"failure": "not run: exit status 1"}
