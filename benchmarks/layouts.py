"""Measure reading of one graph in many legal layouts: `python -m benchmarks.layouts`.

The same generated graph is written in each layout and read by all subjects in one alternating run.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.generate import WRITE_BUFFER_BYTES, generate, spec_for_size
from benchmarks.harness import ROOT, Series, measure_warm
from benchmarks.report import layouts_table, print_table, publish
from benchmarks.subjects import available, layout_subjects
from benchmarks.text import COMPACT, MIRAGE, Layout

SIZE_MB = 100.0
DEFAULT_ROUNDS = 3
DOCUMENT = ROOT / "docs" / "layouts-speed.md"
PACKAGES = ("numpy", "orjson", "pysimdjson")

LAYOUTS: Mapping[str, Layout] = {
    "Mirage's": MIRAGE,
    "compact": COMPACT,
    "indent 4": Layout(indent=4),
    "tabs": Layout(indent="\t"),
    "CRLF, byte-order mark": Layout(newline="\r\n", byte_order_mark=True),
    "escaped keys": Layout(escaped_keys=True),
    "another key order": Layout(key_order="shuffled"),
    "another key order, compact": Layout(indent=None, key_order="shuffled"),
    "blanks at random": Layout(indent=None, odd_space=True),
    "another order of the metadata in every task": Layout(
        key_order="random", random_level="metadata"
    ),
    "another order of keys in every task": Layout(key_order="random", random_level="task"),
    "another order of keys in every slot": Layout(key_order="random", random_level="slot"),
    "another order of keys in every object": Layout(key_order="random"),
    "... compact": Layout(indent=None, key_order="random"),
    "... tabs, CRLF": Layout(indent="\t", newline="\r\n", key_order="random"),
    "... escaped keys": Layout(key_order="random", escaped_keys=True),
    "... blanks at random, escaped keys": Layout(
        indent=None, odd_space=True, key_order="random", escaped_keys=True
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        table = layouts_table(list(_runs(options, Path(folder) / "layout.json")))
    print_table(table)
    publish([table], PACKAGES, DOCUMENT if options.write_docs else None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--size-mb", type=float, default=SIZE_MB, help="in Mirage's layout (default: 100)"
    )
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--layouts", nargs="*", default=list(LAYOUTS), choices=LAYOUTS)
    parser.add_argument("--only", nargs="*", help="names of subjects, as of benchmarks.reading")
    parser.add_argument("--write-docs", action="store_true", help=f"table into {DOCUMENT.name}")
    return parser


def _runs(options: argparse.Namespace, path: Path) -> Iterator[tuple[str, int, list[Series]]]:
    spec = spec_for_size(options.size_mb)
    subjects, _ = available(layout_subjects(), options.only)
    for name in options.layouts:
        with path.open("wb", buffering=WRITE_BUFFER_BYTES) as stream:
            num_bytes = generate(stream, spec, LAYOUTS[name])
        yield name, num_bytes, measure_warm(subjects, path, options.rounds)


if __name__ == "__main__":
    main()
