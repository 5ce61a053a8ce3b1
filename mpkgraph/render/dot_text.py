"""A drawing as DOT text, through the graphviz package; names of any content stay as they are."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

import graphviz

from mpkgraph.analysis.drawing import Drawing, DrawnCluster, DrawnEdge, DrawnNode, DrawnSlot
from mpkgraph.catalog import KINDS
from mpkgraph.render import palette
from mpkgraph.render.escape import printable

FONT = "Arial"
"""Fonts of its widths are everywhere (Helvetica, Liberation Sans): what fits here fits there."""
FONT_SIZE = "11"
SMALL = "9"

MAX_NAME = 40
"""Characters of a tensor's name on a card; the middle is cut, the tooltip has the whole."""
MAX_TITLE = 56
MAX_LINE = 120
MAX_EDGE_NAME = 28
MAX_EDGE_NAMES = 2
LEGEND_COLUMNS = 5
MAX_TOKEN = 1000
"""The scanner of `dot` refuses 16,384 characters in one piece; an escaped one may take ten."""

EDGE_MEANING = {
    "order": "leads to what waits",
    "remote": "through an event of another rank",
    "repeat": "into a later one of the folded layers",
    "outside": "tasks that are not drawn",
}
# Across the page, edges that leave a node's sides fan out; by default they also take its corners.
_SIDES: dict[str, dict[str, str]] = {"down": {}, "right": {"tailport": "e", "headport": "w"}}
_EDGE_LINES = {"order": "solid", "remote": "dashed", "repeat": "dashed", "outside": "dotted"}
_EDGE_SIGNS = {"order": "———", "remote": "— —", "repeat": "— —", "outside": "· · ·"}

# U+FFFE and U+FFFF are no characters, and the XML parser of HTML-like labels refuses them.
_NOT_XML = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}


def to_dot(drawing: Drawing) -> str:
    """The DOT text of a drawing: the same bytes for the same drawing."""
    dot = graphviz.Digraph(
        "mpkgraph",
        graph_attr={
            "rankdir": "TB" if drawing.direction == "down" else "LR",
            "label": _heading(drawing),
            "labelloc": "t",
            "labeljust": "l",
            "fontname": FONT,
            "fontsize": FONT_SIZE,
            "bgcolor": palette.BACKGROUND,
            "nodesep": "0.3",
            "ranksep": "0.4" if drawing.direction == "down" else "0.9",
            "pad": "0.2",
        },
        node_attr={
            "shape": "plain",
            "fontname": FONT,
            "fontsize": FONT_SIZE,
            "fontcolor": palette.TEXT,
            "color": palette.BORDER,
        },
        edge_attr=_SIDES[drawing.direction]
        | {
            "fontname": FONT,
            "fontsize": SMALL,
            "fontcolor": palette.FAINT_TEXT,
            "arrowsize": "0.7",
        },
    )
    members: dict[str | None, list[DrawnNode]] = {}
    for node in drawing.nodes:
        members.setdefault(node.cluster, []).append(node)
    _add_nodes(dot, members.get(None, ()))
    for cluster in drawing.clusters:
        if cluster.parent is None:
            _add_cluster(dot, cluster, drawing.clusters, members)
    # Where ranks stand side by side, invisible edges rank the nodes instead of those between.
    across = any(edge.style == "layout" for edge in drawing.edges)
    for edge in drawing.edges:
        _add_edge(dot, edge, across=across)
    return str(dot.source)


def plain_text(*lines: str, limit: int | None = None) -> str:
    r"""Lines as a value of a label in which nothing is interpreted.

    Graphviz substitutes `\N`, `\G`, `\l`, reads `&lt;` as an entity, and takes a value within
    angle brackets as HTML: backslashes are doubled, ampersands made entities, and the type of
    what is returned keeps the package from taking it as HTML.

    >>> print(plain_text("a\\Nb", "x&lt;"))
    a\\Nb\nx&amp;lt;
    """
    text: str = graphviz.nohtml("\\n".join(_escaped(_visible(line, limit)) for line in lines))
    return text


def _escaped(text: str) -> str:
    """A line as part of a quoted string; a long one with line continuations, which are dropped."""
    parts = (text[i : i + MAX_TOKEN] for i in range(0, len(text), MAX_TOKEN))
    return "\\\n".join(graphviz.escape(part).replace("&", "&amp;") for part in parts)


def tooltip_text(*lines: str) -> str:
    r"""Lines as a tooltip, which goes through two rounds of backslash escapes, not one.

    >>> print(tooltip_text("a\\Nb"))
    a\\\\Nb
    """
    doubled = (_escaped(_visible(line, None).replace("\\", "\\\\")) for line in lines)
    text: str = graphviz.nohtml("\\n".join(doubled))
    return text


def html_text(text: str, *, limit: int | None = None) -> str:
    r"""Text for an HTML-like label, where `\N` is substituted too (after entities are decoded).

    >>> print(html_text('<a href="\\N">&'))
    &lt;a href=&quot;\\N&quot;&gt;&amp;
    """
    escaped = html.escape(_visible(text, limit)).replace("\\", "\\\\")
    # The XML parser holds a closing bracket back (it may begin the end of a CDATA section), and
    # `dot` then takes a text that is nothing else for a missing one.
    return escaped.replace("]", "&#93;")


def _visible(text: str, limit: int | None) -> str:
    """The text with control characters shown as escapes; quoted where a reader would miss it."""
    return printable(_quoted(text).translate(_NOT_XML), limit=limit)


def _quoted(text: str) -> str:
    """The text, in quotes if it is empty or begins or ends in space."""
    return text if text and text == text.strip() else f'"{text}"'


def _add_cluster(
    dot: graphviz.Digraph,
    cluster: DrawnCluster,
    clusters: Iterable[DrawnCluster],
    members: dict[str | None, list[DrawnNode]],
) -> None:
    with dot.subgraph(
        name=f"cluster_{cluster.cluster_id}",
        graph_attr={
            "label": plain_text(cluster.title, limit=MAX_TITLE),
            "labeljust": "l",
            "fontcolor": palette.FAINT_TEXT,
            "style": "rounded,filled",
            "color": palette.FRAME,
            "fillcolor": palette.FRAME_FILL if cluster.parent is None else palette.BACKGROUND,
            "margin": "12",
        },
    ) as inner:
        _add_nodes(inner, members.get(cluster.cluster_id, ()))
        for child in clusters:
            if child.parent == cluster.cluster_id:
                _add_cluster(inner, child, clusters, members)


def _add_nodes(dot: graphviz.Digraph, nodes: Iterable[DrawnNode]) -> None:
    for node in nodes:
        attributes = {"tooltip": tooltip_text(*_tooltip(node))}
        if node.shape == "card":
            attributes["label"] = f"<{_card(node)}>"
        else:
            attributes["label"] = plain_text(node.title, *node.lines, limit=MAX_TITLE)
            attributes |= _OUTLINES[node.shape]
            if node.remote:
                attributes |= {"style": "dashed", "color": palette.EDGE_COLOURS["remote"]}
        dot.node(node.node_id, **attributes)


_OUTLINES = {
    "event": {"shape": "ellipse", "margin": "0.04,0.02", "fontsize": SMALL},
    "note": {
        "shape": "box",
        "style": "rounded,dotted",
        "color": palette.EDGE_COLOURS["outside"],
        "fontcolor": palette.FAINT_TEXT,
        "fontsize": SMALL,
    },
}


_LINE_END = '<BR ALIGN="LEFT"/>'
_INNER_TABLE = '<TABLE ALIGN="LEFT" BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">'


def _card(node: DrawnNode) -> str:
    """The HTML-like label of an operator or task: a coloured head, then a row per slot."""
    head = f"<B>{html_text(node.title, limit=MAX_TITLE)}</B>{_LINE_END}"
    head += "".join(_small(html_text(x, limit=MAX_TITLE)) + _LINE_END for x in node.lines)
    rows = [f'<TR><TD ALIGN="LEFT" BGCOLOR="{palette.KIND_COLOURS[node.kind]}">{head}</TD></TR>']
    if node.slots:
        slots = "".join(_slot_row(slot) for slot in node.slots)
        rows.append(f'<TR><TD ALIGN="LEFT">{_INNER_TABLE}{slots}</TABLE></TD></TR>')
    return (
        f'<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" '
        f'BGCOLOR="{palette.BACKGROUND}" COLOR="{palette.BORDER}">{"".join(rows)}</TABLE>'
    )


def _slot_row(slot: DrawnSlot) -> str:
    cells = (
        _small("out" if slot.is_output else "in", palette.FAINT_TEXT),
        _small(html_text(slot.tensor, limit=MAX_NAME)),
        _small(html_text(slot.tile, limit=MAX_TITLE)) if slot.tile else "",
        _small(html_text(slot.detail, limit=MAX_NAME), palette.FAINT_TEXT) if slot.detail else "",
    )
    row = "".join(f'<TD ALIGN="LEFT">{cell}</TD>' for cell in cells)
    return f"<TR>{row}</TR>"


def _small(content: str, colour: str | None = None) -> str:
    """Small type; `content` is HTML and not empty, which Graphviz would refuse."""
    ink = f' COLOR="{colour}"' if colour else ""
    return f'<FONT POINT-SIZE="{SMALL}"{ink}>{content}</FONT>'


def _tooltip(node: DrawnNode) -> Iterator[str]:
    """Everything about a node, names in full."""
    yield node.title
    yield from node.lines
    for slot in node.slots:
        role = "out" if slot.is_output else "in"
        yield f"{role} {_quoted(slot.tensor)} {slot.tile} {slot.detail}".rstrip()


def _add_edge(dot: graphviz.Digraph, edge: DrawnEdge, *, across: bool) -> None:
    if edge.style == "layout":
        dot.edge(edge.tail, edge.head, style="invis")
        return
    colour = palette.EDGE_COLOURS[edge.style]
    attributes = {"color": colour, "style": _EDGE_LINES[edge.style]}
    lines = [plain_text(x, limit=MAX_EDGE_NAME) for x in edge.tensors[:MAX_EDGE_NAMES]]
    if len(edge.tensors) > MAX_EDGE_NAMES:
        lines.append(f"and {len(edge.tensors) - MAX_EDGE_NAMES} more")
    if edge.note:
        lines.append(plain_text(edge.note, limit=MAX_TITLE))
    if lines:
        # The spaces keep the text off the line; \\l sets lines flush left.
        place = "label"
        if across and edge.style == "remote":
            # Edges there and back cross in the middle, where their labels would collide.
            place, attributes["labeldistance"] = "headlabel", "2.5"
        attributes[place] = graphviz.nohtml("".join(f"  {line}\\l" for line in lines))
        attributes["tooltip"] = tooltip_text(*edge.tensors, *((edge.note,) if edge.note else ()))
        attributes["labeltooltip"] = attributes["tooltip"]
    if edge.style != "order":
        attributes["fontcolor"] = colour
    if edge.style == "repeat" or (across and edge.style == "remote"):
        # It leads back up, or across: it must not take part in ranking the nodes.
        attributes["constraint"] = "false"
    dot.edge(edge.tail, edge.head, **attributes)


def _heading(drawing: Drawing) -> str:
    """Title, counts, notes and legend, above the picture."""
    rows = [f"<B>{html_text(drawing.title, limit=MAX_TITLE)}</B>"]
    lines = (" · ".join(drawing.facts), *drawing.notes)
    rows += [_small(html_text(x, limit=MAX_LINE), palette.FAINT_TEXT) for x in lines if x]
    legend = _legend(drawing)
    if legend:
        rows.append(legend)
    body = "".join(f'<TR><TD ALIGN="LEFT">{row}</TD></TR>' for row in rows)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{body}</TABLE>>'


_LEGEND_TABLE = '<TABLE ALIGN="LEFT" BORDER="0" CELLBORDER="0" CELLSPACING="3">'


def _legend(drawing: Drawing) -> str:
    """A table with the colours of the kinds and the lines of the edges that are in the drawing."""
    cells = [
        f'<TD BORDER="1" COLOR="{palette.BORDER}" BGCOLOR="{palette.KIND_COLOURS[kind]}">'
        f"{_small(kind)}</TD>"
        for kind in KINDS
        if kind in drawing.kinds
    ]
    lines = [cells[i : i + LEGEND_COLUMNS] for i in range(0, len(cells), LEGEND_COLUMNS)]
    rows = [f"<TR>{''.join(line)}</TR>" for line in lines]
    rows += [
        f'<TR><TD COLSPAN="{LEGEND_COLUMNS}" ALIGN="LEFT">'
        f"{_small(f'{_EDGE_SIGNS[style]} {meaning}', palette.EDGE_COLOURS[style])}</TD></TR>"
        for style, meaning in EDGE_MEANING.items()
        if style in drawing.edge_styles and drawing.edge_styles != {"order"}
    ]
    if not rows:
        return ""
    return f"{_LEGEND_TABLE}{''.join(rows)}</TABLE>"
