"""A diff as one HTML file: changes first, then both graphs side by side. Nothing is loaded."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from mpkgraph.analysis.diff.changes import OperatorChange, OperatorRef
from mpkgraph.analysis.diff.overview import Overview, Row
from mpkgraph.analysis.diff.report import DiffReport
from mpkgraph.analysis.diff.result import Cost, DiffResult, SideFacts
from mpkgraph.render.diff import words
from mpkgraph.render.diff.page import SCRIPT, STYLE
from mpkgraph.render.escape import printable
from mpkgraph.render.text import count

MIN_GAP = 4
"""Fewer rows without a difference in a row are shown as they are."""
MAX_OPEN = 8
"""Changes that are unfolded at first."""


def report_html(report: DiffReport, overviews: Sequence[Overview]) -> bytes:
    """The page; `overviews` go with the report's results."""
    title = f"{report.left_name} -> {report.right_name}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body><main>",
        f"<h1>mpkgraph diff</h1><p class='soft mono'>{_text(title)}</p>",
    ]
    if report.sha256 is not None:
        parts.append(
            f"<p class='headline equal'>identical (sha256 <code>{_text(report.sha256)}</code>)</p>"
        )
    places = {id(x): i for i, x in enumerate(report.results)}
    for result, ranks in words.rank_groups(report):
        name = f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
        heading = f"<h1>{name}</h1>" if len(report.results) > 1 else ""
        overview = overviews[places[id(result)]]
        parts.append(f"<section class='rank'>{heading}{''.join(_result(result, overview))}")
        parts.append("</section>")
    for side, only in (("left", report.left_only), ("right", report.right_only)):
        if only:
            parts.append(f"<p>only on the {side}: rank {', '.join(map(str, only))}</p>")
    parts += [f"<p class='soft'>{_text(note)}</p>" for note in report.notes]
    parts.append(f"</main><script>{SCRIPT}</script></body></html>\n")
    return "\n".join(parts).encode("utf-8", "backslashreplace")


def _result(result: DiffResult, overview: Overview) -> Iterator[str]:
    yield "<div class='sides'>"
    for name, side in (("left", result.left), ("right", result.right)):
        yield f"<span class='soft'>{name}</span><span class='mono'>{_side(side)}</span>"
    yield "</div>"
    equal = " equal" if result.is_equal else ""
    yield f"<p class='headline{equal}'>{_text(words.headline(result))}</p>"
    if result.operators:
        yield "<h2>Changes of operators</h2>"
        for number, change in enumerate(result.operators):
            yield _change(result, change, number)
    yield from _list(
        "Tensors",
        "in all operators that use them",
        (("~", *words.tensor_words(x)) for x in result.tensors),
    )
    own = result.own_events or (() if result.operators or result.tensors else result.events)
    yield from _list(
        "Events",
        "that no change of an operator explains",
        (("~", f"{x.producer} -> {x.consumer}".strip(" ->"), words.edge_words(x)) for x in own),
    )
    yield from _list(
        "Orderings",
        f"{result.num_lost_orders:,} pairs of operators lost their order, "
        f"{result.num_new_orders:,} got one; those here imply the others",
        (
            (
                "+" if x.kind == "new" else "-",
                x.kind,
                f"{words.operator_words(x.earlier)} before {words.operator_words(x.later)}",
            )
            for x in result.orderings
        ),
    )
    yield from _list("Graph", "", (("~", "", words.other_words(x)) for x in result.other))
    yield from _costs(result.costs)
    if result.findings is not None:
        yield from _list(
            "Findings",
            "of static verify: + gained, - no more",
            (
                ("+" if x.is_gained else "-", f"{x.severity} {x.code} {x.name}", x.message)
                for x in result.findings
            ),
        )
    note = "in all places: no difference" if "names" in result.ignored else ""
    yield from _list("Renamed", note, (("=", x, f"-> {y}") for x, y in result.renamed))
    for text in result.notes:
        yield f"<p class='soft'>{_text(text)}</p>"
    yield from _table(overview, result)


def _change(result: DiffResult, change: OperatorChange, number: int) -> str:
    rows = [(label, text, True) for label, text in map(words.change_words, change.changes)]
    if change.kind in {"added", "removed"}:
        ref = change.first
        rows.append(
            ("grid", f"{words.value_words(ref.grid_dim)}, {count(ref.num_tasks, 'task')}", True)
        )
    rows += [(label, text, False) for label, text in words.effect_rows(result, change)]
    body = "".join(
        f"<dt>{_text(label)}</dt><dd{' class=own' if own else ''}>{_text(text)}</dd>"
        for label, text, own in rows
    )
    opened = " open" if number < MAX_OPEN else ""
    return (
        f"<details class='change {change.kind}' id='c{number}'{opened}><summary>"
        f"<span class='sign'>{html.escape(words.SIGNS[change.kind])}</span>"
        f"<b class='mono'>{_text(words.title_words(change))}</b> "
        f"<span class='soft'>{words.KIND_WORDS[change.kind]} "
        f"{_text(words.where_words(change))}</span></summary>"
        f"<dl class='rows'>{body}</dl></details>"
    )


def _list(title: str, note: str, rows: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    found = list(rows)
    if not found:
        return
    yield f"<h2>{title} <small>{_text(note)}</small></h2><table>"
    for sign, label, text in found:
        yield (
            f"<tr><td class='sign'>{html.escape(sign)}</td><td class='label'>{_text(label)}</td>"
            f"<td>{_text(text)}</td></tr>"
        )
    yield "</table>"


def _costs(costs: Sequence[Cost]) -> Iterator[str]:
    yield "<h2>Costs</h2><table><tr><th></th><th class='num'>left</th>"
    yield "<th class='num'>right</th><th class='num'>change</th></tr>"
    for cost in costs:
        ratio = cost.ratio
        change = "" if not ratio else f"{ratio:+.1%}"
        yield (
            f"<tr><td>{_text(cost.name)}</td>"
            f"<td class='num'>{_text(words.cost_value(cost, cost.left))}</td>"
            f"<td class='num'>{_text(words.cost_value(cost, cost.right))}</td>"
            f"<td class='num'>{change}</td></tr>"
        )
    yield "</table>"


def _table(overview: Overview, result: DiffResult) -> Iterator[str]:
    """All operators side by side; long runs without a difference are folded away."""
    yield "<h2>Side by side</h2><div class='tools'>"
    yield "<input type='search' placeholder='operator or tensor' aria-label='search'>"
    yield "<label><input type='checkbox'> all operators</label></div>"
    yield "<table class='side-by-side'><thead><tr><th>left</th><th></th><th>right</th></tr></thead>"
    for is_same, group in groupby(overview.rows, key=lambda x: x.change is None and not x.tensors):
        rows = list(group)
        folded = is_same and len(rows) >= MIN_GAP
        if folded:
            yield (
                "<tbody class='gap'><tr><td colspan='3'>"
                f"{count(len(rows), 'operator')} without a difference</td></tr></tbody>"
            )
        yield f"<tbody{' class=same' if folded else ''}>"
        yield from (_row(x, result) for x in rows)
        yield "</tbody>"
    yield "</table>"


def _row(row: Row, result: DiffResult) -> str:
    change = None if row.change is None else result.operators[row.change]
    sign, name = "", "tensors" if row.tensors else "same"
    if change is not None:
        name = {"both": "changed", "left": "removed", "right": "added"}[row.presence]
        sign = f"<a href='#c{row.change}'>{html.escape(words.SIGNS[change.kind])}</a>"
    return (
        f"<tr class='{name}'><td>{_operator(row.left)}</td><td class='sign'>{sign}</td>"
        f"<td>{_operator(row.right)}</td></tr>"
    )


def _operator(ref: OperatorRef | None) -> str:
    if ref is None:
        return ""
    return (
        f"<span class='soft'>{ref.index}</span> {_text(words.operator_words(ref))} "
        f"<span class='soft'>{words.value_words(ref.grid_dim)}, "
        f"{count(ref.num_tasks, 'task')}</span>"
    )


def _side(side: SideFacts) -> str:
    return (
        f"{_text(side.name)} · rank {side.rank} · {count(side.num_operators, 'operator')} "
        f"({side.origin}) · {count(side.num_tasks, 'task')} · {count(side.num_events, 'event')}"
    )


def _text(text: str) -> str:
    """Untrusted text: nothing in it is markup, and nothing is hidden or reordered."""
    return html.escape(printable(text))
