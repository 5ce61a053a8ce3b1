"""Figures as tables: on the terminal with rich, in the documentation as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Series, Spread, is_busy, machine_facts, pairwise_ratios
from benchmarks.subjects import MB, OTHER_LAYOUT_MB_PER_S, OURS, title_of, verdicts

BEGIN_MARK = "<!-- measured: begin (make bench writes what follows) -->"
END_MARK = "<!-- measured: end -->"
COMPETITOR = "orjson-nogc"
"""What other layouts are compared with."""
MET = {True: "met", False: "NOT met", None: ""}


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table of texts; the first column is aligned left, the others right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def reading_table(title: str, file_bytes: int, series: Sequence[Series]) -> Table:
    """Seconds, speed, peak and goals of all subjects on one file."""
    run = {one.subject.name: one for one in series}
    ours = run.get(OURS)
    rows = []
    for one in series:
        if not one.samples or one.failure is not None:
            continue
        held = verdicts(one.subject, run, file_bytes)
        rows.append(
            (
                title_of(one.subject),
                spread_text(one.seconds),
                f"{Spread.of(one.cpu_seconds).median:.3g}",
                f"{file_bytes / MB / Spread.of(one.seconds).median:.0f}",
                f"{one.peak_bytes / MB:.0f}",
                _ratio(one, ours),
                "; ".join(verdict.goal for verdict in held),
                "; ".join(MET[verdict.met] for verdict in held if verdict.met is not None),
            )
        )
    return Table(
        f"{title}: {file_bytes / MB:.0f} MB",
        ("", "seconds (least to most)", "CPU s", "MB/s", "peak MB", "times mpkgraph's", "goal", ""),
        tuple(rows),
        _failures(series),
    )


def layouts_table(runs: Sequence[tuple[str, int, Sequence[Series]]]) -> Table:
    """One row a layout: its size, the speed of each subject in MB/s of the file, how many times
    mpkgraph's CPU time the parser needs that it competes with, and the goals, which a busy machine
    can meet but not miss.
    """
    subjects = [one.subject for one in runs[0][2]]
    rows = []
    for name, file_bytes, series in runs:
        run = {one.subject.name: one for one in series}
        ours = run[OURS]
        speeds = [_speed(file_bytes, one) for one in series]
        fast: bool | None = bool(ours.samples) and (
            file_bytes / MB / Spread.of(ours.seconds).median >= OTHER_LAYOUT_MB_PER_S
        )
        if not fast and is_busy():
            fast = None
        rows.append(
            (
                name,
                f"{file_bytes / MB:.0f}",
                *speeds,
                _cpu_ratio(run.get(COMPETITOR), ours),
                f"{ours.peak_bytes / MB:.0f}",
                MET[fast],
            )
        )
    return Table(
        "The same graph in other layouts, MB/s of the file",
        (
            "layout",
            "MB",
            *(title_of(subject) for subject in subjects),
            "orjson's CPU time / mpkgraph's",
            "peak MB",
            f"goal: {OTHER_LAYOUT_MB_PER_S} MB/s",
        ),
        tuple(rows),
        tuple(note for _, _, series in runs for note in _failures(series)),
    )


def _speed(file_bytes: int, series: Series) -> str:
    if not series.samples:
        return "failed"
    return f"{file_bytes / MB / Spread.of(series.seconds).median:.0f}"


def _cpu_ratio(slow: Series | None, fast: Series) -> str:
    """Round by round, as CPU time is what a busy machine stretches least."""
    if slow is None or len(slow.samples) != len(fast.samples):
        return ""
    pairs = zip(slow.cpu_seconds, fast.cpu_seconds, strict=True)
    return spread_text([a / b for a, b in pairs], ".2f")


def markdown(tables: Iterable[Table], facts: Sequence[str]) -> str:
    """The tables with the machine that they were taken on."""
    parts = ["Machine: " + "; ".join(facts) + "."]
    for table in tables:
        lines = [
            f"## {table.title}",
            "",
            _markdown_row(table.columns),
            _markdown_row(["---", *(["---:"] * (len(table.columns) - 1))]),
            *(_markdown_row(row) for row in table.rows),
        ]
        parts.append("\n".join(lines))
        parts.extend(table.notes)
    return "\n\n".join(parts) + "\n"


def print_table(table: Table) -> None:
    """Draw a table on the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left")
    for position, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if position else "left")
    for row in table.rows:
        drawn.add_row(*row)
    console = Console()
    console.print(drawn)
    for note in table.notes:
        console.print(note, markup=False, highlight=False)


def spread_text(values: Sequence[float] | Spread, form: str = ".3g") -> str:
    """`median (least to greatest)`; one value alone is its own spread."""
    spread = values if isinstance(values, Spread) else Spread.of(values)
    if spread.least == spread.greatest:
        return format(spread.median, form)
    return f"{spread.median:{form}} ({spread.least:{form}} to {spread.greatest:{form}})"


def publish(tables: Iterable[Table], packages: Sequence[str], page: Path | None) -> None:
    """Say on which machine tables were measured; with a page, put both between its marks."""
    facts = list(machine_facts(packages))
    print("; ".join(facts))
    if page is not None:
        write_between_marks(page, markdown(tables, facts))


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks of a Markdown page.

    Raises ValueError when the page lacks a mark.
    """
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(BEGIN_MARK)
    _, end, after = rest.partition(END_MARK)
    if not begin or not end:
        raise ValueError(f"{path}: no {BEGIN_MARK!r} and {END_MARK!r} to write between")
    path.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _ratio(series: Series, ours: Series | None) -> str:
    """How many times longer than mpkgraph's reader in one process, round by round."""
    if ours is None or ours is series or len(ours.samples) != len(series.samples):
        return ""
    return spread_text(pairwise_ratios(series, ours), ".2f")


def _failures(series: Sequence[Series]) -> tuple[str, ...]:
    return tuple(
        f"{title_of(one.subject)} failed: {one.failure}."
        for one in series
        if one.failure is not None
    )
