"""How long commands take to start: `python -m benchmarks.startup`, beside `python -c pass`."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparing import Entry, compare, process
from benchmarks.harness import ROOT
from benchmarks.report import Table, print_table, publish
from benchmarks.subjects import NO_MIRAGE, mirage_script

DEFAULT_ROUNDS = 7
DOCUMENT = ROOT / "docs" / "startup-speed.md"
EXAMPLE = "examples/diamond.py:build"
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--version",),
    ("--help",),
    ("show", "--help"),
    ("show", "GRAPH"),
    ("show", "GRAPH", "--task", "3"),
    ("show", "GRAPH", "--list", "slots", "--csv"),
    ("show", "GRAPH", "--schedule"),
    ("show", "GRAPH", "--html", "OUT"),
    ("diff", "GRAPH", "OTHER"),
    ("verify", "GRAPH"),
    ("verify", "--list-rules"),
    ("compile", EXAMPLE, "--dry-run"),
    ("compile", "RECORD", "--dry-run"),
    ("verify", "RECORD", "--run"),
)
IMPORTS = ("numpy", "click", "mpkgraph", "mpkgraph.cli.main", "networkx", "torch")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=DEFAULT_ROUNDS)
    parser.add_argument("--only", nargs="*", help="words, one of which a command holds")
    parser.add_argument("--write-docs", action="store_true", help=f"table into {DOCUMENT.name}")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mpkgraph-bench-") as folder:
        tables = _tables(Path(folder), options.rounds, options.only)
    for table in tables:
        print_table(table)
    publish(
        tables, ("numpy", "click", "networkx", "torch"), DOCUMENT if options.write_docs else None
    )


def _tables(folder: Path, rounds: int, only: Sequence[str] | None) -> list[Table]:
    import mpkgraph

    for name, hidden in (("one", 128), ("other", 256)):
        settings = {"rows": 2, "hidden": hidden}
        mpkgraph.compile(str(ROOT / EXAMPLE), settings=settings, output=folder / name)
    places = {
        "GRAPH": str(folder / "one" / "task_graph_rank0.json"),
        "OTHER": str(folder / "other" / "task_graph_rank0.json"),
        "RECORD": str(folder / "one" / "pipeline_rank0.json"),
        "OUT": str(folder / "out.html"),
    }
    wanted = [x for x in COMMANDS if not only or set(only) & set(x)]
    names = [x for x in IMPORTS if not only or x in only]
    commands = compare(
        "Commands on a graph of ten tasks",
        [_python("pass"), *(_command(x, places, folder) for x in wanted), *_mirage(places, only)],
        folder,
        rounds,
    )
    imports = compare(
        "Imports", [_python("pass"), *(_python(f"import {x}") for x in names)], folder, rounds
    )
    return [commands, imports]


def _python(code: str) -> Entry:
    package = code.partition(" ")[2].partition(".")[0]
    found = not package or importlib.util.find_spec(package) is not None
    return process(
        f"`python -c '{code}'`",
        lambda _: [sys.executable, "-c", code],
        missing=None if found else f"{package} is not installed",
    )


def _command(words: Sequence[str], places: dict[str, str], folder: Path) -> Entry:
    given = [places.get(x, x) for x in words]
    needs_torch = "--run" in words and importlib.util.find_spec("torch") is None
    # Codes that mean findings or differences are no failure here
    code = "import sys; from mpkgraph.cli.main import run; sys.exit(run(sys.argv[1:]) > 1)"
    start = ["-m", "mpkgraph"] if words[0] not in {"diff", "verify"} else ["-c", code]
    return process(
        f"`mpkgraph {' '.join(words)}`",
        lambda _: [sys.executable, *start, *given],
        missing="torch is not installed" if needs_torch else None,
        environment={"MPKGRAPH_CACHE_DIR": str(folder / "cache")},
    )


def _mirage(places: dict[str, str], only: Sequence[str] | None) -> list[Entry]:
    if only:
        return []
    script = mirage_script()
    return [
        process(
            "Mirage's `parse_task_graph.py GRAPH`",
            lambda _: [sys.executable, str(script), places["GRAPH"]],
            missing=None if script else NO_MIRAGE,
        )
    ]


if __name__ == "__main__":
    main()
