"""Commands beside peers that answer the same: `python -m benchmarks.commands`.

Show, diff and the interpreter; reading, planning, verify and schedules have pages of their own.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.comparing import Entry, compare, process, way
from benchmarks.decoder import DecoderSpec
from benchmarks.generate import WRITE_BUFFER_BYTES, generate, spec_for_size
from benchmarks.harness import ROOT
from benchmarks.report import Table, print_table, publish
from benchmarks.subjects import NO_MIRAGE, mirage_script

SIZE_MB, SMALL_MB = 30.0, 1.0
DEFAULT_ROUNDS = 3
DOCUMENT = ROOT / "docs" / "commands-speed.md"
PACKAGES = ("numpy", "orjson", "networkx", "duckdb", "jq", "torch")
TASK = 100
BFLOAT16_TOLERANCE = 0.02
"""Means of outputs whose layers were rounded at other places."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        tables = []
        for table in _tables(options, Path(folder)):
            print_table(table)
            tables.append(table)
    publish(tables, PACKAGES, DOCUMENT if options.write_docs else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size-mb", type=float, default=SIZE_MB, help="graph to show")
    parser.add_argument("--small-mb", type=float, default=SMALL_MB, help="graphs to compare")
    parser.add_argument("--hidden", type=int, default=4096, help="columns of the MLP")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--write-docs", action="store_true", help=f"tables into {DOCUMENT.name}")
    return parser


def _tables(options: argparse.Namespace, folder: Path) -> Iterator[Table]:
    rounds = options.rounds
    spec = spec_for_size(options.size_mb, num_ranks=1)
    graph, size = _generated(folder / "graph.json", spec), f"{options.size_mb:g} MB"
    for title, entries in _show_processes():
        yield compare(f"{title}: {size}", entries, graph, rounds)
    counts = [way(f"counts-{x}") for x in ("mpkgraph", "orjson", "duckdb", "jq")]
    yield compare(f"Tasks by type, without imports: {size}", counts, graph, rounds)
    order = [way(f"order-{x}") for x in ("mpkgraph", "networkx")]
    yield compare(f"Depth and width of the order: {size}", order, graph, rounds)
    before = [way(f"before-{x}") for x in ("mpkgraph", "networkx")]
    yield compare(f"All that one task waits for: {size}", before, graph, rounds)
    small = spec_for_size(options.small_mb, num_ranks=1)
    left = _generated(folder / "left.json", small)
    other = _generated(folder / "other.json", replace(small, down_tasks=small.down_tasks // 2))
    names = ("same-mpkgraph", "same-networkx", "same-hashes")
    for title, right in (("equal", left), ("of another grid", other)):
        yield compare(
            f"Diff of two graphs, {title}: {options.small_mb:g} MB",
            [way(name, right) for name in names],
            left,
            rounds,
        )
    tiny, tiny_other = (_planned(folder / x, "diamond", rows=1, hidden=h) for x, h in _TINY)
    yield compare(
        "Diff of two graphs of a few tasks",
        [way(x, tiny_other) for x in ("same-mpkgraph", "same-networkx", "edits-networkx")],
        tiny,
        rounds,
    )
    record = _planned(
        folder / "mlp", "qwen3_mlp", hidden=options.hidden, intermediate=options.hidden // 2
    ).with_name("pipeline_rank0.json")
    yield compare(
        f"A decoder's MLP executed: 8 rows, {options.hidden} columns",
        [way(x) for x in ("mlp-torch", "mlp-mpkgraph", "mlp-one-by-one")],
        record,
        rounds,
        tolerance=BFLOAT16_TOLERANCE,
    )


_TINY = (("tiny", 64), ("tiny_other", 128))


def _show_processes() -> Iterator[tuple[str, list[Entry]]]:
    script = mirage_script()
    no_jq = None if shutil.which("jq") else "jq is not installed"

    def ours(*options: str) -> Entry:
        told = " ".join(("mpkgraph show", *options))
        return process(
            f"`{told}`",
            lambda path: [
                *(sys.executable, "-m", "mpkgraph", "show", str(path), "--no-cache", *options)
            ],
        )

    def mirages(*options: str) -> Entry:
        return process(
            f"Mirage's `parse_task_graph.py{''.join(f' {x}' for x in options)}`",
            lambda path: [sys.executable, str(script), str(path), *options],
            missing=None if script else NO_MIRAGE,
        )

    def jq(program: str) -> Entry:
        return process(
            f"`jq '{program}'`", lambda path: ["/usr/bin/env", "jq", program, str(path)],
            missing=no_jq,
        )  # fmt: skip

    by_type = ".all_tasks|group_by(.task_type)|map([.[0].task_type,length])"
    yield "Summary, whole process", [ours(), mirages(), jq(by_type)]
    yield (
        "One task, whole process",
        [
            ours("--task", str(TASK)),
            mirages("--task", str(TASK)),
            jq(f".all_tasks[{TASK}]"),
        ],
    )


def _generated(path: Path, spec: DecoderSpec) -> Path:
    with path.open("wb", buffering=WRITE_BUFFER_BYTES) as stream:
        generate(stream, spec)
    return path


def _planned(folder: Path, example: str, **settings: int) -> Path:
    import mpkgraph

    function = f"{ROOT / 'examples' / example}.py:build"
    mpkgraph.compile(function, settings=settings, output=folder)
    return folder / "task_graph_rank0.json"


if __name__ == "__main__":
    main()
