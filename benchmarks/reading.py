"""Measure reading beside peers: `python -m benchmarks.reading` (or `make bench`).

Generated graphs of several sizes and the largest real one that is at hand, each read by all
subjects in one alternating run. `--full` adds 1 GB; peers need up to six times the file's size in
memory.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.generate import generate, spec_for_size
from benchmarks.harness import ROOT, measure_warm
from benchmarks.report import Table, print_table, publish, reading_table
from benchmarks.subjects import available, reading_subjects, title_of

DEFAULT_SIZES_MB = (10.0, 100.0, 300.0)
FULL_SIZE_MB = 1000.0
DEFAULT_ROUNDS = 3
REAL_GRAPH = (
    ROOT.parent / "shared/goldens/models/deepseek_v3-full-b1-cc100/task_graph_rank0.json.zst"
)
"""The largest graph of Mirage's own that a checkout may have beside it: 188 MB."""
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("numpy", "orjson", "msgspec", "pysimdjson", "ijson", "duckdb")


@dataclass(frozen=True, slots=True)
class Input:
    """A file to measure on, and what to call it."""

    title: str
    path: Path

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        tables = list(_measure_all(options, Path(folder)))
    publish(tables, PACKAGES, DOCUMENT if options.write_docs else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--sizes-mb",
        type=float,
        nargs="*",
        default=list(DEFAULT_SIZES_MB),
        help="generated graphs (default: 10 100 300)",
    )
    parser.add_argument("--full", action="store_true", help="also a generated graph of 1 GB")
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--no-real", action="store_true", help="leave the real graph out")
    parser.add_argument("--real", type=Path, default=REAL_GRAPH, help="a real graph, plain or .zst")
    parser.add_argument("--only", nargs="*", help="names of subjects (see --list)")
    parser.add_argument("--list", action="store_true", help="list the subjects and end")
    parser.add_argument(
        "--write-docs", action="store_true", help="put the tables into docs/benchmarks.md"
    )
    return parser


def _measure_all(options: argparse.Namespace, folder: Path) -> Iterator[Table]:
    subjects = reading_subjects(folder / "cache")
    if options.list:
        for subject in subjects:
            print(f"{subject.name:16} {title_of(subject)}")
        return
    subjects, absent = available(subjects, options.only)
    for item in _inputs(options, folder):
        series = measure_warm(subjects, item.path, options.rounds)
        table = reading_table(item.title, item.num_bytes, series)
        table = replace(table, notes=(*table.notes, *absent))
        print_table(table)
        item.path.unlink()
        yield table


def _inputs(options: argparse.Namespace, folder: Path) -> Iterator[Input]:
    sizes = [*options.sizes_mb, *([FULL_SIZE_MB] if options.full else [])]
    real_is_next = not options.no_real
    for size_mb in sorted(sizes):
        if real_is_next and size_mb > 200:
            yield from _real_input(options.real, folder)
            real_is_next = False
        path = folder / f"generated_{size_mb:g}mb.json"
        with path.open("wb") as stream:
            generate(stream, spec_for_size(size_mb))
        yield Input("Generated", path)
    if real_is_next:
        yield from _real_input(options.real, folder)


def _real_input(source: Path, folder: Path) -> Iterator[Input]:
    if not source.exists():
        print(f"skipped: the real graph: no {source.name} beside this checkout (see --real)")
        return
    path = folder / "real.json"
    if source.suffix == ".zst":
        import zstandard

        with source.open("rb") as packed, path.open("wb") as stream:
            zstandard.ZstdDecompressor().copy_stream(packed, stream)
    else:
        shutil.copyfile(source, path)
    yield Input("DeepSeek-V3, real" if source == REAL_GRAPH else "Real", path)


if __name__ == "__main__":
    main()
