"""`python -m fuzz`, which `make fuzz` runs: each target for a while, and a table of what was found.

Needs atheris (Python 3.11 to 3.13): pip install -e '.[fuzz]'. Corpora are kept, so that a further
run goes on where the last one ended.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.harness import machine_facts
from benchmarks.report import Table, markdown, print_table, write_between_marks
from fuzz.command import be_a_new_user
from fuzz.targets import NAMES

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "fuzzing.md"
FOLDER = ROOT / ".fuzz"
"""Corpora and what was found; not part of the repository."""
DEFAULT_SECONDS = 60.0
MB = 1_000_000
_COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_MAX_STARTS = 20
"""A hang or too much memory ends a process; the target starts again for the rest of its time."""


@dataclass(frozen=True)
class Tally:
    """What one target's run came to."""

    name: str
    inputs: int = 0
    cpu_seconds: float = 0.0
    slowest_seconds: float = 0.0
    peak_bytes: int = 0
    edges: int = 0
    corpus: int = 0
    failures: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    """Hangs and memory limits: the files that libFuzzer wrote."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", help=f"default: all ({', '.join(NAMES)})")
    parser.add_argument("--cpu-seconds", type=float, default=DEFAULT_SECONDS, help="of each target")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for corpora and findings")
    parser.add_argument("--report", action="store_true", help="run nothing: the runs so far")
    parser.add_argument("--write-docs", action="store_true", help="all runs, into docs/fuzzing.md")
    parser.add_argument("--python", default=sys.executable, help="one that has atheris")
    parser.add_argument("--replay", type=Path, help="run one kept input on the target, and end")
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    be_a_new_user()
    if options.replay:
        for name in options.targets or parser.error("--replay goes with a target"):
            importlib.import_module(f"fuzz.targets.{name}").try_input(options.replay.read_bytes())
        return 0
    failed = False
    for name in () if options.report else options.targets or NAMES:
        tally = _run(name, options)
        print_table(table([tally]))
        failed = failed or bool(tally.failures or tally.stopped)
        _keep(options.folder, tally)
    total = table([_kept(options.folder, name) for name in NAMES])
    print_table(total)
    if options.write_docs:
        facts = [*machine_facts(()), f"atheris {_version(options.python)}"]
        write_between_marks(DOCUMENT, markdown([total], facts))
    return int(failed)


def _kept(folder: Path, name: str) -> Tally:
    """All runs of a target so far, as long as the folder is kept."""
    path = folder / "found" / name / "tally.json"
    return Tally(**json.loads(path.read_text())) if path.exists() else Tally(name)


def _keep(folder: Path, new: Tally) -> None:
    old = _kept(folder, new.name)
    total = replace(
        new,
        inputs=old.inputs + new.inputs,
        cpu_seconds=old.cpu_seconds + new.cpu_seconds,
        slowest_seconds=max(old.slowest_seconds, new.slowest_seconds),
        peak_bytes=max(old.peak_bytes, new.peak_bytes),
        edges=max(old.edges, new.edges),
        failures=tuple(sorted({*old.failures, *new.failures})),
        stopped=tuple(sorted({*old.stopped, *new.stopped})),
    )
    path = folder / "found" / new.name / "tally.json"
    path.write_text(json.dumps(asdict(total), indent=2))


def _version(python: str) -> str:
    code = "from importlib.metadata import version; print(version('atheris'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not installed"


def _run(name: str, options: argparse.Namespace) -> Tally:
    corpus, found = options.folder / "corpus" / name, options.folder / "found" / name
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(importlib.import_module(f"fuzz.targets.{name}").SEEDS()):
        (corpus / f"seed{number:03}").write_bytes(seed)
    tally = Tally(name)
    for _ in range(_MAX_STARTS):
        left = options.cpu_seconds - tally.cpu_seconds
        if left < 1:
            break
        tally = _once(name, corpus, found, left, options.python, tally)
    return tally


def _once(
    name: str, corpus: Path, found: Path, seconds: float, python: str, before: Tally
) -> Tally:
    """One process of a target, which ends with its time, or with a hang."""
    counts_file = found / "counts.json"
    counts_file.unlink(missing_ok=True)
    started = time.time()
    log = found / "log.txt"
    command = [python, "-m", "fuzz.worker", name, str(corpus), str(found)]
    with log.open("wb") as stream:
        done = subprocess.run(
            [*command, f"--cpu-seconds={seconds}"], stderr=stream, stdout=stream, check=False
        )
    if not counts_file.exists():
        text = log.read_text(errors="replace").strip().splitlines()
        raise SystemExit(f"{name}: exit {done.returncode}: {text[-1] if text else 'no message'}")
    counts = json.loads(counts_file.read_text())
    covered = _COVERED.findall(log.read_text(errors="replace")) or [("0", "0", "0")]
    return Tally(
        name,
        before.inputs + counts["inputs"],
        before.cpu_seconds + counts["cpu_seconds"],
        max(before.slowest_seconds, counts["slowest_seconds"]),
        max(before.peak_bytes, counts["peak_bytes"]),
        int(covered[-1][0]),
        int(covered[-1][2]),
        tuple(sorted({*before.failures, *counts["failures"]})),
        (*before.stopped, *_stopped(found, started)),
    )


def _stopped(found: Path, since: float) -> Iterator[str]:
    for path in sorted(found.iterdir()):
        if path.name.startswith(("timeout-", "oom-", "crash-")) and path.stat().st_mtime >= since:
            yield path.name


def table(tallies: Sequence[Tally]) -> Table:
    columns = (
        "target",
        "inputs",
        "CPU s",
        "inputs a second",
        "slowest s",
        "peak MB",
        "edges of mpkgraph's code covered",
        "inputs kept",
        "ways to fail",
        "hangs, memory limits",
    )
    rows = [
        (
            x.name,
            f"{x.inputs:,}",
            f"{x.cpu_seconds:.0f}",
            f"{x.inputs / max(x.cpu_seconds, 1e-9):.0f}",
            f"{x.slowest_seconds:.2f}",
            f"{x.peak_bytes / MB:.0f}",
            f"{x.edges:,}",
            f"{x.corpus:,}",
            ", ".join(x.failures) or "0",
            ", ".join(x.stopped) or "0",
        )
        for x in tallies
    ]
    return Table("Inputs tried", columns, tuple(rows))


if __name__ == "__main__":
    sys.exit(main())
