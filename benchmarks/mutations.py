"""`python -m benchmarks.mutations`: how many seeded faults `verify` finds, by class.

One fault at a time goes into a good pipeline or graph at random; what tests/mutations makes of it
is a table on the terminal, and with `--write-docs` in docs/verify-detection.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Table, markdown, print_table, write_between_marks
from tests.mutations.harness import FaultResult, Tally, run_all
from tests.mutations.subjects import model_subjects, parallel_subjects, small_subjects

PAGE = Path(__file__).parents[1] / "docs" / "verify-detection.md"
SEED, COUNT = 4, 40
SHOWN_CODES = 4
"""Codes that a row names: those found most often."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Seed faults and print what was found of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--count", type=int, default=COUNT, help="mutants of each class")
    parser.add_argument("--small", action="store_true", help="only pipelines of a few layers")
    parser.add_argument("--missed", action="store_true", help="list what was missed")
    parser.add_argument("--write-docs", action="store_true", help=f"write the table in {PAGE.name}")
    given = parser.parse_args(arguments)
    subjects = small_subjects() if given.small else (*small_subjects(), *model_subjects())
    records, graphs = run_all(
        subjects, subjects, parallel_subjects(), seed=given.seed, count=given.count
    )
    tables = (records_table(records), graphs_table(graphs))
    for table in tables:
        print_table(table)
    if given.missed:
        for result in (*records, *graphs):
            for tally in filter(None, (result.alone, result.recorded)):
                for line in (*tally.missed, *tally.crashed):
                    print(f"{result.name}: {line}")
    if given.write_docs:
        facts = (f"seed {given.seed}", f"at most {given.count} mutants of a class")
        text = markdown(tables, facts).replace("Machine: ", "Run: ", 1)
        write_between_marks(PAGE, text)


def records_table(results: Sequence[FaultResult]) -> Table:
    """Faults of records, which are planned and verified with the record."""
    rows = [
        (
            result.name,
            str(result.recorded.tried),
            str(result.recorded.detected),
            str(result.recorded.tried - result.recorded.detected),
            _rate(result.recorded),
            _codes(result.recorded),
        )
        for result in results
    ]
    return Table(
        "Faults in pipelines", ("fault", "tried", "found", "missed", "rate", "by"), tuple(rows)
    )


def graphs_table(results: Sequence[FaultResult]) -> Table:
    """Faults of graphs, which are looked at alone and with the record of the good pipeline."""
    rows = []
    for result in results:
        alone, recorded = result.alone or Tally(), result.recorded
        refused = f" ({recorded.refused} as another's record)" if recorded.refused else ""
        rows.append(
            (
                result.name,
                str(recorded.tried),
                f"{alone.detected}",
                _rate(alone),
                f"{recorded.detected}{refused}",
                _rate(recorded),
                _codes(alone),
            )
        )
    columns = ("fault", "tried", "found alone", "rate", "found with the record", "rate", "by")
    return Table("Faults in graphs", columns, tuple(rows))


def _rate(tally: Tally) -> str:
    return f"{100 * tally.rate:.0f}%" if tally.tried else "none tried"


def _codes(tally: Tally) -> str:
    ranked = sorted(tally.codes.items(), key=lambda x: (-x[1], x[0]))
    return ", ".join(code for code, _ in ranked[:SHOWN_CODES])


if __name__ == "__main__":
    main()
