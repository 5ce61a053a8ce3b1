"""Graphs and results in a notebook: HTML without scripts or styles of its own, and SVG.

Names of tensors, paths and messages are untrusted text, and are escaped.
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.diff.report import DiffReport
    from mpkgraph.analysis.summary_result import Summary
    from mpkgraph.analysis.verify.run import VerifyResult
    from mpkgraph.model.graph import TaskGraph

MAX_ROWS = 40
"""Of a table; what is left out is counted."""
MAX_NAME = 60
_COLOURS = {"error": "#c62828", "warning": "#b26a00", "advice": "#1565c0"}


def graph_html(graph: TaskGraph) -> str:
    """A graph's counts and its operators."""
    from mpkgraph.api import summarise

    return summary_html(summarise(graph))


def graph_svg(graph: TaskGraph) -> str | None:
    """The drawing of a graph's operators; None without Graphviz, or where it would be too large."""
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.drawing import draw_operators
    from mpkgraph.api import operators
    from mpkgraph.errors import MissingDependencyError, TooLargeError
    from mpkgraph.render.graphviz import render

    found = operators(graph)
    stream = io.BytesIO()
    try:
        drawing = draw_operators(graph, found, GraphContext(graph, found).operator_edges)
        render(drawing, stream, "svg")
    except (MissingDependencyError, TooLargeError):
        return None
    return stream.getvalue().decode("utf-8")


def summary_html(summary: Summary) -> str:
    facts = (
        ("rank", summary.rank),
        ("tasks", f"{summary.num_tasks:,}"),
        ("null tasks", f"{summary.num_null_tasks:,}" if summary.num_null_tasks else None),
        ("events", f"{summary.num_events:,}"),
        ("operators", f"{len(summary.operators):,} ({summary.operators_origin})"),
        ("depth", f"{summary.depth:,}"),
        ("width", f"{summary.width:,}"),
    )
    heading = ", ".join(f"{name} {value}" for name, value in facts if value is not None)
    rows = [
        (
            str(x.index),
            x.name,
            "x".join(map(str, x.grid_dim)),
            f"{x.num_tasks:,}",
            ", ".join(slot.tensor for slot in x.inputs),
            ", ".join(slot.tensor for slot in x.outputs),
        )
        for x in summary.operators
    ]
    columns = ("op", "name", "grid", "tasks", "reads", "writes")
    return f"<p>{_escaped(summary.source.path or 'task graph')}: {_escaped(heading)}</p>" + _table(
        columns, rows
    )


def findings_html(result: VerifyResult) -> str:
    """Findings, worst first."""
    counts = ", ".join(f"{n} {x}" for x in _COLOURS if (n := result.count(x)))  # type: ignore[arg-type]
    heading = f"<p>{counts or 'nothing found'}, by {len(result.rules)} rules</p>"
    rows = [
        (x.severity, f"{x.rule.code} {x.rule.name}", x.message, x.remedy) for x in result.findings
    ]
    if not rows:
        return heading
    return heading + _table(("severity", "rule", "what", "remedy"), rows, limit=None)


def diff_html(report: DiffReport) -> str:
    """The screen that `mpkgraph diff` shows."""
    from mpkgraph.render.diff.text import report_text
    from mpkgraph.render.text import TextWriter

    stream = io.StringIO()
    report_text(TextWriter(stream), report)
    return text_html(stream.getvalue())


def text_html(text: str) -> str:
    """Lines as they are."""
    lines = "\n".join(printable(line) for line in text.splitlines())
    return f"<pre>{html.escape(lines)}</pre>"


def _table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, limit: int | None = MAX_NAME
) -> str:
    head = "".join(f"<th>{_escaped(x)}</th>" for x in columns)
    body = "".join(_row(x, limit) for x in rows[:MAX_ROWS])
    more = len(rows) - MAX_ROWS
    note = f"<p>and {more:,} more</p>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _row(cells: Iterable[str], limit: int | None) -> str:
    shown = []
    for cell in cells:
        colour = _COLOURS.get(cell)
        style = "text-align:left" + (f";color:{colour}" if colour else "")
        shown.append(f'<td style="{style}">{_escaped(cell, limit)}</td>')
    return f"<tr>{''.join(shown)}</tr>"


def _escaped(text: str, limit: int | None = None) -> str:
    return html.escape(printable(text, limit=limit))
