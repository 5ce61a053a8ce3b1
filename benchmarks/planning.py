"""Measure planning beside Mirage's own generator: `python -m benchmarks.planning`.

The peer is the real generator: each recorded pipeline holds the seconds that it took
(`generate.seconds`) where the record was made. Ours are measured here: the whole command,
from the start of Python to the written files, and within it planning and writing the text.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import (
    ROOT,
    MeasurementError,
    Spread,
    Subject,
    measure,
)
from benchmarks.report import Table, print_table, publish, spread_text

MB = 1_000_000
WANTED_RATIO = 4.0
"""How many times faster than Mirage's generator planning a full model is to be."""
DEFAULT_ROUNDS = 5
RECORDS = ROOT.parent / "shared" / "goldens" / "models"
DOCUMENT = ROOT / "docs" / "planning-speed.md"
SELF_TIMED = "--plan-once"


@dataclass(frozen=True, slots=True)
class Model:
    """A recorded pipeline and what Mirage's generator needed for it."""

    name: str
    path: Path
    mirage_seconds: float
    graph_bytes: int


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    if options.plan_once:
        _plan_once(options.plan_once)
        return
    models = list(_models(options.records, options.min_seconds))
    if not models:
        print(f"skipped: no recorded models in {options.records} (see --records)")
        return
    table = _measure_all(models, options.rounds)
    print_table(table)
    publish([table], ("numpy", "orjson"), DOCUMENT if options.write_docs else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of recorded models")
    parser.add_argument(
        "--min-seconds",
        type=float,
        default=0.4,
        help="models that cost Mirage at least this (default: 0.4)",
    )
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument(
        "--write-docs", action="store_true", help="put the table into docs/planning-speed.md"
    )
    parser.add_argument(SELF_TIMED, type=Path, metavar="RECORD", help=argparse.SUPPRESS)
    return parser


def _models(folder: Path, min_seconds: float) -> Iterator[Model]:
    from mpkgraph.io.record import read_record

    for path in sorted(folder.glob("*/pipeline_rank0.json.zst")):
        generate = read_record(path).generate or {}
        seconds = generate.get("seconds", 0.0)
        if seconds >= min_seconds:
            yield Model(path.parent.name, path, seconds, generate["json_bytes"])


def _plan_once(path: Path) -> None:
    """In a process of its own: seconds of planning and of the text, without imports and reading."""
    from mpkgraph.io.record import read_record
    from mpkgraph.io.writer import save_graph
    from mpkgraph.planner.plan import plan

    record = read_record(path)
    with tempfile.TemporaryDirectory() as folder:
        started, cpu_started = time.perf_counter(), time.process_time()
        graph = plan(record).graph
        save_graph(graph, Path(folder) / "graph.json")
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}))


def _measure_all(models: Sequence[Model], rounds: int) -> Table:
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        output = str(Path(folder) / "out")
        command = Subject(
            "command",
            lambda path: [
                sys.executable,
                "-m",
                "mpkgraph",
                "compile",
                str(path),
                "-o",
                output,
                "-q",
            ],
        )
        inside = Subject(
            "inside",
            lambda path: [sys.executable, "-m", "benchmarks.planning", SELF_TIMED, str(path)],
            times_itself=True,
        )
        rows = tuple(_row(model, command, inside, rounds) for model in models)
    return Table(
        "Planning full models",
        (
            "model",
            "graph MB",
            "Mirage's generator s",
            "plan + text s",
            "times faster",
            "whole command s",
            "times faster",
            "peak MB",
            f"goal: {WANTED_RATIO:g} x",
        ),
        rows,
    )


def _row(model: Model, command: Subject, inside: Subject, rounds: int) -> tuple[str, ...]:
    try:
        samples = [
            (measure(inside, model.path), measure(command, model.path)) for _ in range(rounds)
        ]
    except MeasurementError as error:
        return (model.name, f"failed: {error}", *[""] * 7)
    within = Spread.of([x.seconds for x, _ in samples])
    whole = Spread.of([y.seconds for _, y in samples])
    peak = max(y.peak_bytes for _, y in samples)
    ratio = model.mirage_seconds / within.median
    goal = "met" if ratio >= WANTED_RATIO else "NOT met"
    return (
        model.name,
        f"{model.graph_bytes / MB:.0f}",
        f"{model.mirage_seconds:.2f}",
        spread_text(within, ".2f"),
        f"{ratio:.1f}",
        spread_text(whole, ".2f"),
        f"{model.mirage_seconds / whole.median:.1f}",
        f"{peak / MB:.0f}",
        goal,
    )


if __name__ == "__main__":
    main()
