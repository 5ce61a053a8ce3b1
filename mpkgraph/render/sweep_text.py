"""A sweep for people: the ranking as a table, then why points could not be planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mpkgraph.analysis.verify.rule import SEVERITIES
from mpkgraph.render.escape import printable
from mpkgraph.render.schedule_text import time
from mpkgraph.render.text import TextWriter, count
from mpkgraph.sweep.result import PointResult, SweepResult

MAX_RULES = 4
"""Rules that a row names; the rest is in the JSON."""


def sweep_text(out: TextWriter, result: SweepResult) -> None:
    """All points, the best first."""
    number, failed = len(result.points), len(result.failed)
    note = count(number, "point")
    if failed:
        note += f", {failed} of them not planned"
    out.heading(result.pipeline, note)
    planned = [x for x in result.points if x.error is None]
    if planned:
        out.table(*_table(result, planned))
    if failed:
        out.line()
        out.line("  " + out.style("not planned", bold=True))
        for point in result.failed:
            _failure(out, point)
    notes = {note for point in result.points for note in point.notes}
    for text in sorted(notes):
        out.line(f"note: {printable(text)}")


def _table(result: SweepResult, points: Sequence[PointResult]) -> tuple[dict[str, Any]]:
    columns: dict[str, Any] = {"#": list(range(1, len(points) + 1))}
    for label, _ in result.axes:
        columns[label] = _numbers([dict(x.values)[label] for x in points])
    for severity in SEVERITIES:
        if severity == "error" or any(x.count(severity) for x in points):
            name = severity if severity == "advice" else f"{severity}s"
            columns[_free(columns, name)] = [x.count(severity) for x in points]
    _add(columns, "planning", points, lambda x: len(x.warnings))
    _add(columns, "graphs", points, lambda x: len(x.graphs), usual=1)
    _add(columns, "ranks", points, lambda x: x.graphs[0].ranks, usual=1)
    columns[_free(columns, "tasks")] = [x.num_tasks for x in points]
    columns[_free(columns, "events")] = [x.num_events for x in points]
    columns[_free(columns, "depth")] = [x.depth for x in points]
    columns[_free(columns, "makespan")] = [_makespan(x) for x in points]
    _add_unless_axis(columns, "workers", [x.graphs[0].num_workers for x in points])
    _add_unless_axis(columns, "gpu", [x.graphs[0].gpu for x in points])
    if any(x.rules for x in points):
        columns[_free(columns, "rules")] = [_rules(x) for x in points]
    return (columns,)


def _add(
    columns: dict[str, Any],
    name: str,
    points: Sequence[PointResult],
    of: Callable[[PointResult], int],
    usual: int = 0,
) -> None:
    """A column that is shown when it has anything unusual to say."""
    values = [of(x) for x in points]
    if any(x != usual for x in values):
        columns[_free(columns, name)] = values


def _add_unless_axis(columns: dict[str, Any], name: str, values: list[Any]) -> None:
    """A column that an axis does not say already (`workers`, `target`)."""
    shown = [[str(x).lower() for x in column] for column in columns.values()]
    if [str(x) for x in values] not in shown:
        columns[_free(columns, name)] = values


def _free(columns: dict[str, Any], name: str) -> str:
    """A heading that no axis has taken, as an axis `tasks` has ours."""
    while name in columns:
        name = f"num_{name}"
    return name


def _numbers(texts: list[str]) -> list[Any]:
    """Numbers as such, so that they stand to the right."""
    return [int(x) for x in texts] if all(x.isdecimal() and x.isascii() for x in texts) else texts


def _makespan(point: PointResult) -> str:
    if point.hangs:
        return "hangs"
    return "unknown" if point.makespan_ns is None else time(point.makespan_ns)


def _rules(point: PointResult) -> str:
    rules = [f"{code} x{n}" if n > 1 else code for code, n in point.rules.items()]
    more = [f"and {len(rules) - MAX_RULES} more"] if len(rules) > MAX_RULES else []
    return " ".join(rules[:MAX_RULES] + more)


def _failure(out: TextWriter, point: PointResult) -> None:
    assert point.error is not None
    values = ", ".join(f"{name}={value}" for name, value in point.values)
    head = out.style(printable(values), fg="red")
    out.line(f"    {head}  {printable(' '.join(point.error.message.split()))}")
    if point.error.traceback is not None:
        for line in point.error.traceback.splitlines():
            out.line(f"      {printable(line)}")
