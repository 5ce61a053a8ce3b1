"""How time and memory grow with a graph: `python -m benchmarks.growth`.

Each step is measured on graphs of several sizes in alternating rounds, and a line is fitted to the
logarithms of CPU seconds and tasks, once a round: 1 is linear. Pipelines to plan are a decoder of
more and more layers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.comparing import way
from benchmarks.generate import WRITE_BUFFER_BYTES, generate, spec_for_size
from benchmarks.harness import ROOT, MeasurementError, measure
from benchmarks.report import Table, print_table, publish, spread_text

MB = 1_000_000
SIZES_MB = (10.0, 30.0, 100.0, 300.0)
FULL_MB = 1000.0
LAYERS = (2, 6, 18, 36)
DEFAULT_ROUNDS = 3
DOCUMENT = ROOT / "docs" / "growth-speed.md"
STEPS = ("step-read", "step-summary", "step-verify", "step-diff", "step-schedule")


@dataclass(frozen=True)
class Input:
    """A graph, or for planning a record, and what a step is given besides."""

    label: str
    path: Path
    more: tuple[Path, ...] = ()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes-mb", type=float, nargs="+", default=list(SIZES_MB))
    parser.add_argument("--layers", type=int, nargs="*", default=list(LAYERS))
    parser.add_argument("--full", action="store_true", help="also a graph of 1 GB")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=STEPS)
    parser.add_argument("--write-docs", action="store_true", help=f"tables into {DOCUMENT.name}")
    options = parser.parse_args(arguments)
    sizes = sorted({*options.sizes_mb, *([FULL_MB] if options.full else [])})
    tables = []
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as name:
        folder = Path(name)
        if options.steps:
            graphs = [_graph(folder, size) for size in sizes]
            tables += _grown("Graphs", options.steps, graphs, options.rounds)
        if options.layers:
            records = [_record(folder, layers) for layers in options.layers]
            tables += _grown("Records of Qwen3-8B", ("step-plan",), records, options.rounds)
    for table in tables:
        print_table(table)
    publish(tables, ("numpy", "orjson"), DOCUMENT if options.write_docs else None)


def _graph(folder: Path, size_mb: float) -> Input:
    spec = spec_for_size(size_mb, num_ranks=1)
    paths = []
    for name, one in (("left", spec), ("right", replace(spec, down_tasks=spec.down_tasks // 2))):
        paths.append(folder / f"{name}{size_mb:g}.json")
        with paths[-1].open("wb", buffering=WRITE_BUFFER_BYTES) as stream:
            generate(stream, one)
    return Input(f"{paths[0].stat().st_size / MB:.3g} MB", paths[0], (paths[1],))


def _record(folder: Path, layers: int) -> Input:
    import mpkgraph

    output = folder / f"qwen3-{layers}"
    settings = {"size": "8B", "layers": layers}
    mpkgraph.compile(str(ROOT / "examples" / "qwen3.py:build"), settings=settings, output=output)
    return Input(f"{layers} layers", output / "pipeline_rank0.json")


def _grown(
    title: str, steps: Sequence[str], inputs: Sequence[Input], rounds: int
) -> tuple[Table, Table]:
    """CPU seconds with the exponent, and peak memory with the bytes for each further task."""
    seconds, peaks = [], []
    tasks: list[int] = []
    for step in steps:
        entry = way(step)
        try:
            by_round = [[measure(_with(step, x), x.path) for x in inputs] for _ in range(rounds)]
        except MeasurementError as error:
            failed = (entry.title, f"failed: {error}", *[""] * len(inputs))
            seconds.append(failed)
            peaks.append(failed)
            continue
        tasks = [int(str(x.result["answer"])) for x in by_round[0]]
        by_input = list(zip(*by_round, strict=True))
        exponents = [fit_exponent(tasks, [x.cpu_seconds for x in one]) for one in by_round]
        seconds.append(
            (
                entry.title,
                *(spread_text([x.cpu_seconds for x in column]) for column in by_input),
                spread_text(exponents),
            )
        )
        most = [max(x.peak_bytes for x in column) for column in by_input]
        slope = (most[-1] - most[0]) / max(tasks[-1] - tasks[0], 1)
        peaks.append((entry.title, *(f"{x / MB:.0f}" for x in most), f"{slope:.0f}"))
    labels = [
        f"{x.label}, {n:,} tasks" if tasks else x.label
        for x, n in zip(inputs, tasks or [0] * len(inputs), strict=True)
    ]
    return (
        Table(f"{title}: CPU seconds", ("", *labels, "exponent"), tuple(seconds)),
        Table(f"{title}: peak MB", ("", *labels, "bytes a further task"), tuple(peaks)),
    )


def _with(step: str, given: Input):  # noqa: ANN202
    return way(step, *(given.more if step == "step-diff" else ())).subject


def fit_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log(seconds) over log(sizes); 0 for one size.

    >>> round(fit_exponent([10, 100, 1000], [0.2, 2, 20]), 6)
    1.0
    """
    if len(set(sizes)) < 2:
        return 0.0
    slope, _ = np.polyfit(np.log(sizes), np.log(np.maximum(seconds, 1e-6)), 1)
    return float(slope)


if __name__ == "__main__":
    main()
