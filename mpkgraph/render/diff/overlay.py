"""Both graphs in one picture: green is new, red is gone, amber differs."""

from __future__ import annotations

from collections.abc import Iterable

import graphviz

from mpkgraph.analysis.diff.changes import OperatorChange
from mpkgraph.analysis.diff.overview import Overview, Row
from mpkgraph.analysis.diff.result import DiffResult
from mpkgraph.render import palette
from mpkgraph.render.diff import words
from mpkgraph.render.dot_text import FONT, FONT_SIZE, SMALL, html_text, plain_text, tooltip_text
from mpkgraph.render.text import count

FILLS = {
    "added": "#C9EFCB",
    "removed": "#F8CFCB",
    "changed": "#FCE5A8",
    "moved": "#FCE5A8",
    "split": "#FCE5A8",
    "fused": "#FCE5A8",
    "tensors": "#FFF8E1",
    "same": "#F5F6F8",
}
LINES = {"both": "#6F7680", "left": "#C4261D", "right": "#1A7F37"}
"""Of edges, and of the frames of what is gone and new: told apart by the style too."""
STYLES = {"both": "solid", "left": "dashed", "right": "bold"}
MAX_ALL = 60
"""Beyond as many operators those that differ in nothing are put together."""
MAX_LINES = 5
MAX_TITLE = 60
MAX_LINE = 72


def to_dot(result: DiffResult, overview: Overview) -> str:
    """The DOT text of the overlay: the same bytes for the same diff."""
    dot = graphviz.Digraph(
        "mpkgraph_diff",
        graph_attr={
            "rankdir": "TB",
            "label": _heading(result),
            "labelloc": "t",
            "labeljust": "l",
            "fontname": FONT,
            "fontsize": FONT_SIZE,
            "bgcolor": palette.BACKGROUND,
            "nodesep": "0.3",
            "ranksep": "0.4",
            "pad": "0.2",
        },
        node_attr={
            "shape": "box",
            "style": "filled,rounded",
            "fontname": FONT,
            "fontsize": FONT_SIZE,
            "fontcolor": palette.TEXT,
            "margin": "0.12,0.06",
        },
        edge_attr={"fontname": FONT, "fontsize": SMALL, "arrowsize": "0.7"},
    )
    nodes = _nodes(overview)
    for number, row in enumerate(overview.rows):
        if nodes[number] == number:
            _add_row(dot, number, row, result)
    for node, members in _hidden(overview, nodes).items():
        _add_hidden(dot, node, members)
    drawn: dict[tuple[int, int], set[str]] = {}
    remote: set[tuple[int, int]] = set()
    for edge in overview.edges:
        pair = nodes[edge.tail], nodes[edge.head]
        if pair[0] != pair[1]:
            drawn.setdefault(pair, set()).add(edge.presence)
            if edge.is_remote:
                remote.add(pair)
    for pair, presences in sorted(drawn.items()):
        presence = presences.pop() if len(presences) == 1 else "both"
        attributes = {"color": LINES[presence], "style": STYLES[presence]}
        if pair in remote:
            attributes |= {"label": "  other rank", "fontcolor": palette.FAINT_TEXT}
        dot.edge(_name(pair[0]), _name(pair[1]), **attributes)
    return str(dot.source)


def _nodes(overview: Overview) -> list[int]:
    """For each row the node that shows it: itself, or (negative) one for a run of many."""
    rows = overview.rows
    shown = [x.change is not None for x in rows]
    if len(rows) > MAX_ALL:
        # Of operators that differ alike the first, with what it is next to
        shown = [x.is_first for x in rows]
        for edge in overview.edges:
            ends = (edge.tail, edge.head)
            if any(rows[x].is_first for x in ends):
                shown[edge.tail] = shown[edge.head] = True
    else:
        shown = [True] * len(rows)
    nodes: list[int] = []
    for number, is_shown in enumerate(shown):
        if is_shown:
            nodes.append(number)
        elif nodes and nodes[-1] < 0:
            nodes.append(nodes[-1])
        else:
            nodes.append(-1 - number)
    return nodes


def _hidden(overview: Overview, nodes: list[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row, node in zip(overview.rows, nodes, strict=True):
        if node < 0:
            found.setdefault(node, []).append(row)
    return found


def _name(node: int) -> str:
    return f"r{node}" if node >= 0 else f"more{-node}"


def _add_row(dot: graphviz.Digraph, number: int, row: Row, result: DiffResult) -> None:
    change = None if row.change is None else result.operators[row.change]
    kind = ("tensors" if row.tensors else "same") if change is None else change.kind
    ref = row.left or row.right
    assert ref is not None
    title = words.operator_words(ref)
    if row.left is not None and row.right is not None and row.left.name != row.right.name:
        title = f"{row.left.name} -> {row.right.name} {ref.subject}"
    lines = [f"{words.value_words(ref.grid_dim)}, {count(ref.num_tasks, 'task')}"]
    if change is not None and row.presence == "both":
        lines = _lines(change)
    shown = [title, *lines[:MAX_LINES]]
    sign = "" if change is None else f"{words.SIGNS[change.kind]} "
    label = "".join(
        f"{plain_text(text, limit=MAX_TITLE if i == 0 else MAX_LINE)}\\l"
        for i, text in enumerate([sign + shown[0], *shown[1:]])
    )
    dot.node(
        _name(number),
        label=graphviz.nohtml(label),
        tooltip=tooltip_text(title, *lines),
        fillcolor=FILLS[kind],
        color=LINES[row.presence],
        penwidth="2" if row.presence != "both" else "1",
    )


def _lines(change: OperatorChange) -> list[str]:
    rows = [words.change_words(x) for x in change.changes]
    found = [f"{label} {text}" for label, text in rows]
    if len(change.members) > 1:
        found.append(f"{len(change.members)} alike")
    return found


def _add_hidden(dot: graphviz.Digraph, node: int, members: list[Row]) -> None:
    differing = sum(x.change is not None for x in members)
    lines = [f"{count(len(members), 'operator')}"]
    if differing:
        lines.append(f"{differing} of them differ like those shown")
    else:
        lines.append("without a difference")
    dot.node(
        _name(node),
        label=plain_text(*lines),
        style="dotted,rounded",
        color=palette.EDGE_COLOURS["outside"],
        fontcolor=palette.FAINT_TEXT,
        fontsize=SMALL,
    )


def _heading(result: DiffResult) -> str:
    lines = [f"{result.left.name} -> {result.right.name}", words.headline(result)]
    rows = [f"<B>{html_text(lines[0], limit=120)}</B>"]
    rows.append(f'<FONT POINT-SIZE="{SMALL}">{html_text(lines[1], limit=160)}</FONT>')
    rows.append(_legend(["added", "removed", "changed", "tensors", "same"]))
    body = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in rows)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{body}</TABLE>>'


def _legend(kinds: Iterable[str]) -> str:
    names = {
        "added": "only on the right",
        "removed": "only on the left",
        "changed": "differs",
        "tensors": "its tensors differ",
        "same": "the same",
    }
    cells = "".join(
        f'<TD BORDER="1" COLOR="{palette.BORDER}" BGCOLOR="{FILLS[kind]}">'
        f'<FONT POINT-SIZE="{SMALL}">{names[kind]}</FONT></TD>'
        for kind in kinds
    )
    return f'<TABLE ALIGN="LEFT" BORDER="0" CELLBORDER="0" CELLSPACING="3"><TR>{cells}</TR></TABLE>'
