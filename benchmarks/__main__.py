"""`python -m benchmarks`, which `make bench` runs: measure, and write the tables in docs/.

    python -m benchmarks [NAME...] [--quick | --full] [--write-docs]

Without a size it takes a quarter of an hour on two quiet, fast cores, an hour on slow ones;
`--quick` takes seconds, at sizes that say nothing, to see that all of it works; `--full` adds
graphs of 1 GB and a million tasks. Peers that are not installed, and Mirage's script without
MIRAGE_HOME, are named as not measured.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """A module with a `main`, and its arguments by how long one has."""

    module: str
    quick: str
    usual: str
    full: str


BENCHMARKS = {
    "reading": Benchmark(
        "reading",
        "--sizes-mb 0.3 --rounds 1 --no-real --only mpkgraph json",
        "--rounds 3",
        "--rounds 5 --full",
    ),
    "layouts": Benchmark(
        "layouts", "--size-mb 0.3 --rounds 1 --only mpkgraph json", "--rounds 3", "--rounds 5"
    ),
    "commands": Benchmark(
        "commands", "--size-mb 0.5 --small-mb 0.3 --hidden 512 --rounds 1", "", "--rounds 5"
    ),
    "startup": Benchmark("startup", "--rounds 1 --only click diff", "", "--rounds 15"),
    "growth": Benchmark(
        "growth",
        "--sizes-mb 0.3 0.6 --layers --steps step-read --rounds 1",
        "",
        "--full --rounds 5",
    ),
    "planning": Benchmark(
        "planning", "--min-seconds 9 --rounds 1", "--min-seconds 1 --rounds 3", "--rounds 5"
    ),
    "verify": Benchmark(
        "verifying", "--size-mb 0.3 --no-real --rounds 1", "--size-mb 300 --rounds 3", "--rounds 5"
    ),
    "schedule": Benchmark(
        "scheduling",
        "--small-mb 0.3 --large-mb 0 --rounds 1",
        "--large-mb 0 --rounds 3",
        "--rounds 5",
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("names", nargs="*", help=f"default: all ({', '.join(BENCHMARKS)})")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick")
    size.add_argument("--full", dest="size", action="store_const", const="full")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    for name in options.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        given = getattr(benchmark, options.size or "usual").split()
        if options.write_docs:
            given.append("--write-docs")
        started = time.perf_counter()
        importlib.import_module(f"benchmarks.{benchmark.module}").main(given)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
