"""A diff for people: one screen first, everything with `--full`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mpkgraph.analysis.diff.changes import EdgeChange, OperatorChange
from mpkgraph.analysis.diff.report import DiffReport
from mpkgraph.analysis.diff.result import DiffResult, SideFacts
from mpkgraph.render.diff import words
from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter, count

MAX_OPERATORS = 12
MAX_DETAILS = 6
"""Lines that an operator has in the summary."""
MAX_ROWS = 6
"""Lines that any other section has in the summary."""
WIDTH = 200
"""Longer lines are cut in the summary."""

STYLES: dict[str, dict[str, Any]] = {
    "added": {"fg": "green", "bold": True},
    "removed": {"fg": "red", "bold": True},
    "changed": {"fg": "yellow", "bold": True},
    "moved": {"fg": "cyan", "bold": True},
    "split": {"fg": "magenta", "bold": True},
    "fused": {"fg": "magenta", "bold": True},
}


def stat_text(out: TextWriter, report: DiffReport) -> None:
    """One line for each group of ranks that differ alike."""
    if report.sha256 is not None:
        out.line(f"identical (sha256 {report.sha256})")
        return
    for result, ranks in words.rank_groups(report):
        prefix = f"{_ranks(ranks)}: " if len(report.results) > 1 else ""
        out.line(printable(prefix + words.headline(result)))
    for line in _missing_ranks(report):
        out.line(line)


def report_text(out: TextWriter, report: DiffReport, *, full: bool = False) -> None:
    """The whole report."""
    if report.sha256 is not None:
        out.line(f"{printable(report.left_name)} and {printable(report.right_name)} are identical")
        out.fields([("sha256", report.sha256)])
        return
    _Text(out, full=full).report(report)


class _Text:
    def __init__(self, out: TextWriter, *, full: bool) -> None:
        self.out = out
        self.full = full
        self.cut = False

    def report(self, report: DiffReport) -> None:
        first: DiffResult | None = None
        for result, ranks in words.rank_groups(report):
            if first is not None:
                self.out.line()
            several = len(report.results) > 1
            self._result(result, ranks, several=several, first=None if self.full else first)
            first = first or result
        for line in _missing_ranks(report):
            self.out.line(line)
        for note in report.notes:
            self.out.line(f"note: {printable(note)}")
        if self.cut:
            self.out.line()
            self.out.line("--full shows what was left out")

    def _result(
        self,
        result: DiffResult,
        ranks: Sequence[int],
        *,
        several: bool,
        first: DiffResult | None,
    ) -> None:
        out = self.out
        out.fields([("left", _side(result.left)), ("right", _side(result.right))], indent=0)
        if several:
            out.line(f"{_ranks(ranks)}{' differ alike' * (len(ranks) > 1)}")
        style = {"fg": "green"} if result.is_equal else {"bold": True}
        out.line(out.style(printable(words.headline(result)), **style))
        if first is not None:
            out.line(f"differs as rank {first.right.rank} does, but for:")
            result = words.beyond(result, first)
        self._operators(result)
        self._rows(
            "tensors",
            (("~", *words.tensor_words(x)) for x in result.tensors),
            "of all operators that use them",
        )
        self._events(result)
        self._orderings(result)
        self._rows("graph", (("~", "", words.other_words(x)) for x in result.other))
        self._costs(result)
        self._findings(result)
        self._renamed(result)
        for note in result.notes:
            self.out.line(f"note: {printable(note)}")

    def _operators(self, result: DiffResult) -> None:
        if not result.operators:
            return
        self.out.heading("operators")
        shown = result.operators if self.full else result.operators[:MAX_OPERATORS]
        for change in shown:
            self._operator(result, change)
        self._more(len(result.operators) - len(shown))

    def _operator(self, result: DiffResult, change: OperatorChange) -> None:
        out = self.out
        sign = words.SIGNS[change.kind]
        title = self._cut(words.title_words(change))
        head = out.style(f"{sign} {printable(title)}", **STYLES[change.kind])
        where = out.style(printable(words.where_words(change)), dim=True)
        out.line(f"  {head}  {where}".rstrip())
        rows = [words.change_words(x) for x in change.changes]
        if change.kind in {"added", "removed"}:
            ref = change.first
            rows.append(
                ("grid", f"{words.value_words(ref.grid_dim)}, {count(ref.num_tasks, 'task')}")
            )
        rows += words.effect_rows(result, change)
        limit = len(rows) if self.full else MAX_DETAILS
        out.fields([(label, self._cut(text)) for label, text in rows[:limit]], indent=6)
        if len(rows) > limit:
            self.cut = True
            out.line(f"      ... {count(len(rows) - limit, 'line')} more")

    def _events(self, result: DiffResult) -> None:
        shown = result.own_events
        if self.full:
            told = {id(edge) for x in result.operators for _, edge in words.edges_of(result, x)}
            shown = tuple(x for x in result.events if id(x) not in told)
        elif not result.operators and not result.tensors:
            shown = result.events
        self._rows("events", (("~", *_event_row(x)) for x in shown))

    def _orderings(self, result: DiffResult) -> None:
        names = {"lost": "-", "new": "+", "reversed": ">"}
        rows = [
            (
                names[x.kind],
                x.kind,
                f"{words.operator_words(x.earlier)} before {words.operator_words(x.later)}"
                + _alike(x.layers, x.num_alike),
            )
            for x in result.orderings
        ]
        if rows:
            note = (
                f"{result.num_lost_orders:,} pairs of operators lost their order, "
                f"{result.num_new_orders:,} got one; those here imply the others"
            )
            self._rows("orderings", rows, note)

    def _costs(self, result: DiffResult) -> None:
        rows = [x for x in result.costs if x.is_changed]
        if not rows:
            return
        self.out.heading("costs")
        self.out.table(
            {
                "": [x.name for x in rows],
                "left": [words.cost_value(x, x.left) for x in rows],
                "right": [words.cost_value(x, x.right) for x in rows],
                "change": ["" if x.ratio is None else f"{x.ratio:+.1%}" for x in rows],
            }
        )

    def _findings(self, result: DiffResult) -> None:
        if result.findings is None:
            return
        rows = [
            (
                "+" if x.is_gained else "-",
                f"{x.severity} {x.code} {x.name}",
                x.message + (f" ({x.count} alike)" if x.count > 1 else ""),
            )
            for x in result.findings
        ]
        if rows:
            self._rows("findings", rows, "of static verify: + gained, - no more")
        else:
            self.out.heading("findings", "of static verify: the same on both sides")

    def _renamed(self, result: DiffResult) -> None:
        if not result.renamed:
            return
        note = "" if "names" not in result.ignored else "in all places: no difference"
        self._rows("renamed", (("=", x, f"-> {y}") for x, y in result.renamed), note)

    def _rows(self, title: str, rows: Iterable[tuple[str, str, str]], note: str = "") -> None:
        found = list(rows)
        if not found:
            return
        self.out.heading(title, note)
        shown = found if self.full else found[:MAX_ROWS]
        width = max((len(label) for _, label, _ in shown if len(label) < 40), default=0)
        for sign, label, text in shown:
            style = {"+": "green", "-": "red", "~": "yellow", ">": "cyan"}.get(sign)
            mark = self.out.style(sign, fg=style) if style else sign
            line = f"{printable(label).ljust(width)}  {printable(self._cut(text))}".strip()
            self.out.line(f"  {mark} {line}")
        self._more(len(found) - len(shown))

    def _more(self, number: int) -> None:
        if number > 0:
            self.cut = True
            self.out.line(f"  ... {number:,} more")

    def _cut(self, text: str) -> str:
        if self.full or len(text) <= WIDTH:
            return text
        self.cut = True
        return f"{text[: WIDTH - 1]}…"


def _event_row(x: EdgeChange) -> tuple[str, str]:
    ends = x.producer if x.what is not None else f"{x.producer} -> {x.consumer}"
    return "", f"{ends}: {words.edge_words(x)}{_alike(x.layers, x.num_alike)}"


def _alike(layers: Sequence[int], number: int) -> str:
    if number < 2:
        return ""
    where = f"{words.layer_words(layers)}, " if layers else ""
    return f" ({where}{number} alike)"


def _side(side: SideFacts) -> str:
    return (
        f"{side.name}  rank {side.rank}, {count(side.num_operators, 'operator')} "
        f"({side.origin}), {count(side.num_tasks, 'task')}"
    )


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"


def _missing_ranks(report: DiffReport) -> list[str]:
    found = []
    for sign, side, ranks in (
        ("-", "left", report.left_only),
        ("+", "right", report.right_only),
    ):
        if ranks:
            found.append(f"{sign} {_ranks(ranks)} only on the {side}")
    return found
