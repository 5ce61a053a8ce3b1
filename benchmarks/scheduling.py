"""Measure the simulation of schedules: `python -m benchmarks.scheduling`.

The peer is a plain simulation with an object a task and a heap (`heap_schedule.py`), on the smaller
graph, in turns with mpkgraph's; both must give the same makespan. A million tasks are mpkgraph's
alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.generate import generate, spec_for_size
from benchmarks.harness import (
    ROOT,
    MeasurementError,
    Sample,
    Spread,
    Subject,
    measure,
)
from benchmarks.report import Table, print_table, publish, spread_text

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.cost.model import CostModel
    from mpkgraph.analysis.csr import IntArray

MB = 1_000_000
SMALL_MB, LARGE_MB = 142.0, 1420.0
"""Graphs of about 100,000 and 1,000,000 tasks."""
WANTED_SECONDS = 20.0
"""Within which a million tasks are to be simulated, costs and result included."""
DEFAULT_ROUNDS = 5
PLACEMENT = (128, 16)
DOCUMENT = ROOT / "docs" / "scheduling-speed.md"
ONCE = "--once"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.once:
        print(json.dumps(ONCE_WAYS[options.once](options.file)))
        return
    table = _measure_all(options)
    print_table(table)
    publish([table], ("numpy",), DOCUMENT if options.write_docs else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small-mb", type=float, default=SMALL_MB, help="graph for the peer too")
    parser.add_argument("--large-mb", type=float, default=LARGE_MB, help="0 for none")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/scheduling-speed.md"
    )
    parser.add_argument(ONCE, choices=ONCE_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("file", nargs="?", type=Path, help=argparse.SUPPRESS)
    return parser


def _once_simulation(path: Path) -> dict[str, object]:
    """Placement and times of all tasks."""
    from mpkgraph.analysis.schedule.simulate import simulate
    from mpkgraph.analysis.schedule.system import build_system

    context, model, durations = _costed(path)
    start, cpu = time.perf_counter(), time.process_time()
    system = build_system([context.graph], *PLACEMENT)
    makespan = simulate(system, durations, model.runtime).makespan
    return _facts(start, cpu, makespan, context.graph.num_tasks)


def _once_heap(path: Path) -> dict[str, object]:
    """The peer's: columns are made lists before."""
    from benchmarks.heap_schedule import makespan
    from mpkgraph.analysis.event_graph import EventGraph

    context, model, durations = _costed(path)
    events = EventGraph.of(context.graph, mirror=True)
    columns = (
        events.dependent_nodes.tolist(),
        events.trigger_nodes.tolist(),
        context.graph.events.num_triggers.tolist(),
        durations.tolist(),
    )
    start, cpu = time.perf_counter(), time.process_time()
    found = makespan(*columns, PLACEMENT, asdict(model.runtime))
    return _facts(start, cpu, found, context.graph.num_tasks)


def _once_schedule(path: Path) -> dict[str, object]:
    """All of `--schedule` but reading, operators and rendering: costs, bounds, stalls, path, ..."""
    from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule

    context, model, _ = _costed(path)
    start, cpu = time.perf_counter(), time.process_time()
    options = ScheduleOptions(*PLACEMENT, model, vary=False)
    makespan = schedule([context], options).makespan_ns
    return _facts(start, cpu, makespan, context.graph.num_tasks)


def _costed(path: Path) -> tuple[GraphContext, CostModel, IntArray]:
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.cost.durations import model_costs
    from mpkgraph.analysis.cost.model import CostModel
    from mpkgraph.io.reader import read_graph
    from mpkgraph.views.operators import recover_operators

    graph = read_graph(path)
    context = GraphContext(graph, recover_operators(graph))
    model = CostModel.of_gpu("h100")
    return context, model, model_costs(context, model, PLACEMENT[0]).durations


def _facts(start: float, cpu: float, makespan: int, num_tasks: int) -> dict[str, object]:
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "makespan": makespan,
        "num_tasks": num_tasks,
    }


ONCE_WAYS: dict[str, Callable[[Path], dict[str, object]]] = {
    "simulation": _once_simulation,
    "heap": _once_heap,
    "schedule": _once_schedule,
}


def _subject(way: str) -> Subject:
    return Subject(
        way,
        lambda path: [sys.executable, "-m", "benchmarks.scheduling", ONCE, way, str(path)],
        times_itself=True,
    )


def _command() -> Subject:
    return Subject(
        "command",
        lambda path: [
            *(sys.executable, "-m", "mpkgraph", "show", str(path)),
            *("--schedule", "--no-cache", "-o", "/dev/null"),
        ],
    )


def _measure_all(options: argparse.Namespace) -> Table:
    rows = []
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        path = Path(folder) / "graph.json"
        for size_mb, with_peer in ((options.small_mb, True), (options.large_mb, False)):
            if not size_mb:
                continue
            with path.open("wb") as stream:
                generate(stream, spec_for_size(size_mb))
            rows.append(_row(path, options.rounds, with_peer=with_peer))
    return Table(
        f"Simulating schedules on {PLACEMENT[0]} workers",
        (
            "tasks",
            "graph MB",
            "simulation s",
            "heap and objects s",
            "times faster",
            "schedule in all s",
            "whole command s",
            "its peak MB",
            f"goal: a million in {WANTED_SECONDS:g} s",
        ),
        tuple(rows),
    )


def _row(path: Path, rounds: int, *, with_peer: bool) -> tuple[str, ...]:
    ways = [_subject("simulation"), _subject("schedule"), _command()]
    if with_peer:
        ways.append(_subject("heap"))
    try:
        samples = [{way.name: measure(way, path) for way in ways} for _ in range(rounds)]
    except MeasurementError as error:
        return (path.name, f"failed: {error}", *[""] * 7)
    makespans = {x[way].result["makespan"] for x in samples for way in x if way != "command"}
    if len(makespans) != 1:
        raise AssertionError(f"makespans differ: {sorted(map(str, makespans))}")
    num_tasks = int(str(samples[0]["simulation"].result["num_tasks"]))
    in_all = Spread.of([x["schedule"].seconds for x in samples])
    goal = "met" if in_all.median <= WANTED_SECONDS else "NOT met"
    return (
        f"{num_tasks:,}",
        f"{path.stat().st_size / MB:.0f}",
        _spread(samples, "simulation"),
        _spread(samples, "heap") if with_peer else "",
        spread_text(list(_ratios(samples)), ".1f") if with_peer else "",
        _spread(samples, "schedule"),
        _spread(samples, "command"),
        f"{max(x['command'].peak_bytes for x in samples) / MB:.0f}",
        goal if num_tasks >= 1_000_000 else "",
    )


def _spread(samples: Sequence[dict[str, Sample]], way: str) -> str:
    return spread_text([x[way].seconds for x in samples], ".2f")


def _ratios(samples: Sequence[dict[str, Sample]]) -> Iterator[float]:
    """Of neighbours in one round."""
    for x in samples:
        yield x["heap"].seconds / x["simulation"].seconds


if __name__ == "__main__":
    main()
