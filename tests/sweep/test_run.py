"""Sweeps in processes: one failed point spoils no other, and only what is missing is done."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from mpkgraph.pipeline.compile import CompileOptions
from mpkgraph.sweep import processes
from mpkgraph.sweep import run as module
from mpkgraph.sweep.points import SweepOptions
from mpkgraph.sweep.processes import run_in_processes
from mpkgraph.sweep.result import PointResult
from mpkgraph.sweep.run import RunOptions, sweep
from mpkgraph.sweep.store import Store

BOTH = frozenset({"graph", "record"})
ROWS = SweepOptions(("pipes.py:norm",), ("rows=8,16,32",), emit=BOTH)


@pytest.fixture
def evaluated(monkeypatch):
    """Names of the points that processes were asked for; grows."""
    names: list[str] = []

    def spy(points, *rest):
        names.extend(dict(point.values).popitem()[1] for point in points)
        return run_in_processes(points, *rest)

    monkeypatch.setattr(module, "run_in_processes", spy)
    return names


def temporary(folder):
    return [x.name for x in Path(folder).rglob("*") if x.name.startswith(".mpkgraph-")]


def by_value(run):
    return {point.values[0][1]: point for point in run.result.points}


def test_one_failed_point_spoils_no_other(work):
    kinds = "good,exit,kill,raise,quit,stdin,closed,refused,forever"
    options = SweepOptions(("traps.py:trap",), (f"kind={kinds}",))
    run = sweep(options, RunOptions(jobs=2, point_timeout=15))
    points = by_value(run)
    assert set(points) == set(kinds.split(","))
    for kind in ("good", "stdin", "closed"):
        assert points[kind].error is None, points[kind].error
        assert points[kind].num_tasks == points["good"].num_tasks
    errors = {kind: x.error for kind, x in points.items() if x.error is not None}
    assert {kind: error.kind for kind, error in errors.items()} == {
        "exit": "crashed",
        "kill": "crashed",
        "forever": "crashed",
        "raise": "failed",
        "quit": "failed",
        "refused": "refused",
    }
    assert "its process ended with status 7" in errors["exit"].message
    assert "this is said by the script" in errors["exit"].message
    assert "signal 9 (SIGKILL)" in errors["kill"].message
    assert "the last words" in errors["kill"].message
    assert "took longer than 15 s" in errors["forever"].message
    assert [x.error is None for x in run.result.points] == [True] * 3 + [False] * 6
    assert run.result.exit_code == 3


def test_a_second_run_does_only_what_is_missing(work, evaluated):
    first = sweep(ROWS, RunOptions(Path("out"), jobs=1))
    assert evaluated == ["8", "16", "32"]
    evaluated.clear()
    second = sweep(ROWS, RunOptions(Path("out"), jobs=1))
    assert (evaluated, second.num_known) == ([], 3)
    assert orjson.dumps(second.result.to_json()) == orjson.dumps(first.result.to_json())

    more = SweepOptions(("pipes.py:norm",), ("rows=64,8,16",), emit=BOTH)
    assert sweep(more, RunOptions(Path("out"), jobs=1)).num_known == 2
    assert evaluated == ["64"]
    evaluated.clear()

    (place,) = Path("out", "points").glob("rows-16-*")
    (place / "task_graph_rank0.json").unlink()
    assert sweep(ROWS, RunOptions(Path("out"), jobs=1)).num_known == 2
    assert evaluated == ["16"]
    assert (place / "task_graph_rank0.json").exists()
    evaluated.clear()

    for name in ("{", '{"schema": "other/1"}', "[]", "null"):
        (place / "result.json").write_text(name)
        assert sweep(ROWS, RunOptions(Path("out"), jobs=1)).num_known == 2
    assert temporary(work) == []


def test_what_was_changed_is_done_again(work, evaluated):
    sweep(ROWS, RunOptions(Path("out"), jobs=1))
    text = Path("pipes.py").read_text()
    Path("pipes.py").write_text(text + "\n# changed\n")
    assert sweep(ROWS, RunOptions(Path("out"), jobs=1)).num_known == 0
    Path("pipes.py").write_text(text.replace('name="y"', 'name="z"'))
    assert sweep(ROWS, RunOptions(Path("out"), jobs=1)).num_known == 0
    graphs = list(Path("out", "points").rglob("task_graph_rank0.json"))
    assert len(graphs) == 3
    assert all('"z"' in path.read_text() for path in graphs)
    plan = CompileOptions(settings={"columns": "1024"})
    other = SweepOptions(("pipes.py:norm",), ROWS.sweep, plan, emit=BOTH)
    assert sweep(other, RunOptions(Path("out"), jobs=1)).num_known == 0
    assert sweep(ROWS, RunOptions(Path("out"), jobs=1)).num_known == 3


def test_what_failed_is_tried_again_and_what_was_refused_is_known(work, evaluated):
    options = SweepOptions(("traps.py:trap",), ("kind=good,refused,raise,exit",))
    sweep(options, RunOptions(Path("out"), jobs=1))
    evaluated.clear()
    assert sweep(options, RunOptions(Path("out"), jobs=1)).num_known == 2
    assert evaluated == ["raise", "exit"]


def test_results_of_a_record(work, mpkgraph, evaluated):
    assert mpkgraph("compile", "pipes.py:norm", "-o", "recorded").code == 0
    options = SweepOptions(("recorded/pipeline_rank0.json",), ("workers=16,32", "target=80,90"))
    run = sweep(options, RunOptions(Path("out"), jobs=1))
    assert not run.result.failed
    assert sweep(options, RunOptions(Path("out"), jobs=1)).num_known == 4
    assert set(run.result.points[0].sources) == {"recorded/pipeline_rank0.json"}


def test_leaving_early_ends_the_processes_and_leaves_nothing(work):
    options = SweepOptions(("traps.py:trap",), ("kind=good,forever,exit", "rows=8,16"))
    store = Store(Path("out"), Path("data"))
    store.prepare()
    before = children()
    results = run_in_processes(module.points_of(options), store, 2)
    assert isinstance(next(results), PointResult)
    results.close()
    assert temporary(work) == []
    assert children() <= before


def test_a_process_that_is_made_while_all_are_stopped_ends(work, monkeypatch):
    class Late(processes.WorkerProcess):
        def __init__(self, threads=None):
            super().__init__(threads)
            server.stop()

    monkeypatch.setattr(processes, "WorkerProcess", Late)
    store = Store(Path("out"), Path("data"))
    store.prepare()
    waiting = queue.SimpleQueue()
    for point in module.points_of(SweepOptions(("traps.py:trap",), ("kind=forever",))):
        waiting.put(point)
    before = children()
    server = processes._Server(waiting, queue.Queue(), store, 1, None)
    server.start()
    server.join(timeout=60)
    assert not server.is_alive()
    assert children() <= before


def children():
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_an_interrupt_ends_all_and_what_is_done_stays(work):
    command = [sys.executable, "-m", "mpkgraph", "verify", "traps.py:trap", "--results", "out"]
    command += ["--sweep", "kind=good,stdin,forever", "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    # What a shell starts in the background ignores interrupts, and what that starts does too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        until(lambda: len(list(Path("out").rglob("result.json"))) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read().strip() == b""
    assert temporary(work) == []
    assert len(list(Path("out").rglob("result.json"))) == 2


def until(condition):
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it does not happen")


def test_errors_of_the_disk_end_the_sweep(work, monkeypatch):
    from mpkgraph.errors import GraphWriteError

    Path("file").write_text("")
    with pytest.raises(GraphWriteError, match="can't make the folder"):
        sweep(ROWS, RunOptions(Path("file", "out"), jobs=1))

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mpkgraph.sweep.store._swap", full)
    with pytest.raises(GraphWriteError, match="no space left"):
        sweep(ROWS, RunOptions(Path("out"), jobs=1))
    assert temporary(work) == []
    assert not list(Path("out").rglob("result.json"))


def test_two_sweeps_of_one_folder(work):
    command = [sys.executable, "-m", "mpkgraph", "compile", "pipes.py:norm", "-o", "out", "-j", "1"]
    command += ["--sweep", "rows=8,16,32", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert sweep(ROWS, RunOptions(Path("out"), jobs=1)).num_known in {0, 3}
    assert len(list(Path("out").rglob("result.json"))) == 3
    assert temporary(work) == []


def test_examples_take_their_modules_along(work):
    options = SweepOptions(("examples/qwen3_mlp.py:build",), ("tasks=32,64",), emit=BOTH)
    run = sweep(options, RunOptions(Path("out"), jobs=1))
    assert set(run.result.points[0].sources) == {"examples/common.py", "examples/qwen3_mlp.py"}
    shutil.move("out", "kept")
    assert sweep(options, RunOptions(Path("kept"), jobs=1)).num_known == 2
