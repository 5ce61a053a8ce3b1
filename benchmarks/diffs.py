"""`python -m benchmarks.diffs`: how exactly `diff` names seeded edits, and how long it takes.

One edit at a time goes into a good pipeline at random, which is planned anew; what
tests/analysis/diff makes of the report is a table on the terminal, and with `--write-docs` in
docs/diff-exactness.md.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson

from benchmarks.decoder import DecoderSpec, scaled_spec
from benchmarks.generate import WRITE_BUFFER_BYTES, generate
from benchmarks.report import Table, markdown, print_table, write_between_marks
from mpkgraph.analysis.diff.compare import compare
from mpkgraph.analysis.diff.patch import apply_patch, canonical_sha256, make_patch
from mpkgraph.analysis.diff.side import Side
from mpkgraph.io.reader import read_graph
from mpkgraph.model.graph import TaskGraph
from mpkgraph.views.operators import recover_operators
from tests.analysis.diff.edits import EDITS, EditResult, EditTally, run_edit
from tests.mutations.subjects import model_subjects, small_subjects

PAGE = Path(__file__).parents[1] / "docs" / "diff-exactness.md"
SEED, COUNT = 6, 40
SIZES = ((8, 24), (32, 61), (272, 61))
"""(units, layers) of the decoders that are compared: some 12,000, 130,000 and a million tasks."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw edits and print how their reports are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT, help="edits of each kind")
    parser.add_argument("--missed", action="store_true", help="list what was not exact")
    parser.add_argument("--no-scale", action="store_true", help="leave the large graphs out")
    parser.add_argument(
        "--write-docs", action="store_true", help=f"write the tables in {PAGE.name}"
    )
    given = parser.parse_args(arguments)
    subjects = (*small_subjects(), *model_subjects())
    results = [
        run_edit(edit, subjects, Random(f"{given.seed} {edit.name}"), given.count) for edit in EDITS
    ]
    tables = [edits_table(results)]
    if not given.no_scale:
        tables.append(scale_table(SIZES))
    for table in tables:
        print_table(table)
    if given.missed:
        for result in results:
            for way, tally in (("recorded", result.recorded), ("alone", result.alone)):
                for line in tally.misses:
                    print(f"{result.name}, {way}: {line}")
    if given.write_docs:
        facts = (f"seed {given.seed}", f"at most {given.count} edits of a kind")
        text = markdown(tables, facts).replace("Machine: ", "Run: ", 1)
        write_between_marks(PAGE, text)


def edits_table(results: Sequence[EditResult]) -> Table:
    """By kind of edit: reports that name it and nothing else, with the record and without."""
    rows = [
        (
            result.name,
            str(result.recorded.tried),
            str(result.recorded.exact),
            _rate(result.recorded),
            str(result.alone.tried),
            str(result.alone.exact),
            _rate(result.alone),
        )
        for result in results
    ]
    columns = ("edit", "with records", "exact", "rate", "graphs alone", "exact", "rate")
    return Table("Reports on one edit", columns, tuple(rows))


def scale_table(sizes: Sequence[tuple[int, int]]) -> Table:
    """A decoder against one with half the tasks of each down projection and a layer less."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for units, layers in sizes:
            spec = scaled_spec(units, layers)
            other = replace(spec, down_tasks=spec.down_tasks // 2, num_layers=layers - 1)
            left, right = (_decoder(Path(folder), x) for x in (spec, other))
            times: list[float] = []
            size = 0
            for one, two in ((left, right), (left, left)):
                start = time.process_time()
                sides = [Side.of(x, recover_operators(x)) for x in (one, two)]
                middle = time.process_time()
                found = compare(*sides)
                times += [middle - start, time.process_time() - middle]
                if two is right:
                    patch = make_patch(left, right, found.tasks, found.names)
                    if canonical_sha256(apply_patch(patch, left)) != canonical_sha256(right):
                        raise ValueError("the patch gives another graph")
                    size = len(orjson.dumps(patch))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            rows.append(
                (
                    f"{left.num_tasks:,} against {right.num_tasks:,} tasks",
                    f"{times[0]:.2f}",
                    f"{times[1]:.2f}",
                    f"{times[3]:.2f}",
                    f"{size:,}",
                    f"{peak:,.0f}",
                )
            )
    columns = (
        "graphs",
        "recovery of operators, s",
        "diff, s",
        "diff with itself, s",
        "patch, bytes",
        "peak memory, MB",
    )
    note = (
        "Seconds of one core, after reading; the report says that the grids and the layer differ."
    )
    return Table("Large graphs", columns, tuple(rows), (note,))


def _decoder(folder: Path, spec: DecoderSpec) -> TaskGraph:
    path = folder / "graph.json"
    with path.open("wb", buffering=WRITE_BUFFER_BYTES) as stream:
        generate(stream, spec)
    return read_graph(path)


def _rate(tally: EditTally) -> str:
    return f"{100 * tally.rate:.0f}%" if tally.tried else "none to tell"


if __name__ == "__main__":
    main()
