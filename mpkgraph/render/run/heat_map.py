"""The error of a tensor by tile, as a picture: PNG or SVG by matplotlib, or a page of its own."""

from __future__ import annotations

import html
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from mpkgraph.errors import MissingDependencyError, UsageError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.reference.validation.blame import HeatMap
from mpkgraph.render.escape import printable

MAX_LABELS = 16
MAX_CELLS = 1 << 16
"""Of a page."""
UNWRITTEN = "#7b2d8b"
"""Colour of a tile with a NaN, or that nobody wrote."""
ABSENT = "#d9d9d9"
INSTALL = "Install it: pip install 'mpkgraph[plot]'"


def draw_heat_map(heat_map: HeatMap, path: Path) -> None:
    """Draw it into a file, by its suffix.

    Raises UsageError for another suffix, MissingDependencyError without matplotlib.
    """
    suffix = path.suffix.lower()
    if suffix == ".html":
        data = heat_map_page(heat_map).encode()
    elif suffix in {".png", ".svg"}:
        data = _picture(heat_map, suffix[1:])
    else:
        raise UsageError(
            "a heat map is drawn as .png, .svg or .html", where=str(path), remedy="Name such a file"
        )
    with atomic_file(str(path)) as stream:
        stream.write(data)


def title(heat_map: HeatMap) -> str:
    """What the picture shows."""
    name = printable(heat_map.tensor, limit=48)
    operator = printable(heat_map.operator_name, limit=48)
    return f"Error of {name} by tile (operator {heat_map.operator} {operator})"


def _picture(heat_map: HeatMap, form: str) -> bytes:
    try:
        import matplotlib as mpl
    except ImportError as reason:
        raise MissingDependencyError(
            "a heat map as a picture needs matplotlib, which is not installed", remedy=INSTALL
        ) from reason
    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.colors import ListedColormap

    error = heat_map.error
    rows, columns = error.shape
    width = min(max(4.5, 1.8 + columns * 0.28), 14.0)
    height = min(max(2.4, 1.7 + rows * 0.28), 10.0)
    with mpl.rc_context({"svg.hashsalt": "mpkgraph", "font.size": 9, "text.parse_math": False}):
        figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
        finite = np.where(np.isfinite(error), error, np.nan)
        colours = mpl.colormaps["YlOrRd"].with_extremes(bad=ABSENT)
        top = float(np.nanmax(finite)) if np.isfinite(finite).any() else 0.0
        image = axes.imshow(
            np.ma.masked_invalid(finite),
            cmap=colours,
            aspect="auto",
            vmin=0.0,
            vmax=top or 1.0,
            interpolation="nearest",
        )
        holes = np.isinf(error)
        if holes.any():
            shown = np.ma.masked_where(~holes, np.ones_like(error))
            axes.imshow(
                shown, cmap=ListedColormap([UNWRITTEN]), aspect="auto", interpolation="nearest"
            )
        _ticks(axes, heat_map)
        axes.set_title(title(heat_map), fontsize=9.5, loc="left", wrap=True)
        axes.set_xlabel("first column of the tile")
        axes.set_ylabel("first row of the tile")
        figure.colorbar(image, ax=axes, label="largest absolute error")
        if holes.any():
            handle = plt.Rectangle((0, 0), 1, 1, color=UNWRITTEN)
            figure.legend(
                [handle],
                ["NaN or never written"],
                loc="outside lower left",
                frameon=False,
                fontsize=8.5,
            )
        stream = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(stream, format=form, dpi=140, metadata=metadata)
        plt.close(figure)
    return stream.getvalue()


def _ticks(axes: Any, heat_map: HeatMap) -> None:
    for set_ticks, starts in (
        (axes.set_xticks, heat_map.column_starts),
        (axes.set_yticks, heat_map.row_starts),
    ):
        step = max(1, math.ceil(len(starts) / MAX_LABELS))
        places = list(range(0, len(starts), step))
        set_ticks(places, [str(starts[x]) for x in places])
    axes.tick_params(axis="x", labelrotation=45)


def heat_map_page(heat_map: HeatMap) -> str:
    """A page without scripts: one cell a tile, what it is when the mouse is over it.

    Raises UsageError for more tiles than a page shows.
    """
    error, wrong = heat_map.error, heat_map.wrong
    if error.size > MAX_CELLS:
        raise UsageError(f"{error.size} tiles are too many for a page", remedy="Draw it as .png")
    finite = error[np.isfinite(error)]
    top = float(finite.max()) if len(finite) else 0.0
    lines = [f"<caption>{html.escape(title(heat_map))}</caption>"]
    head = "".join(f"<th>{x}</th>" for x in _sparse(heat_map.column_starts))
    lines.append(f"<tr><th></th>{head}</tr>")
    for row, start in enumerate(_sparse(heat_map.row_starts)):
        cells = []
        for column in range(error.shape[1]):
            value, share = float(error[row, column]), float(wrong[row, column])
            place = f"row {heat_map.row_starts[row]}, column {heat_map.column_starts[column]}"
            if math.isnan(value):
                cells.append(f'<td style="background:{ABSENT}" title="{place}: no tile"></td>')
                continue
            if math.isinf(value):
                colour, said = UNWRITTEN, "NaN or never written"
            else:
                colour, said = _colour(value / top if top else 0.0), f"largest error {value:.3g}"
            text = html.escape(f"{place}: {said}, {share:.1%} wrong")
            cells.append(f'<td style="background:{colour}" title="{text}"></td>')
        lines.append(f"<tr><th>{start}</th>{''.join(cells)}</tr>")
    table = "\n".join(lines)
    legend = (
        f'<p><span style="background:{_colour(0.0)}"></span> right '
        f'<span style="background:{_colour(1.0)}"></span> error {top:.3g} '
        f'<span style="background:{UNWRITTEN}"></span> NaN or never written</p>'
    )
    return PAGE.format(title=html.escape(title(heat_map)), table=table, legend=legend)


def _sparse(starts: tuple[int, ...]) -> list[str]:
    step = max(1, math.ceil(len(starts) / MAX_LABELS))
    return [str(x) if i % step == 0 else "" for i, x in enumerate(starts)]


def _colour(share: float) -> str:
    """From nearly white to red."""
    low, high = (255, 247, 236), (179, 0, 0)
    parts = [round(a + (b - a) * share) for a, b in zip(low, high, strict=True)]
    return "#" + "".join(f"{x:02x}" for x in parts)


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff; }}
table {{ border-collapse: collapse; }}
caption {{ font-weight: 600; text-align: left; padding-bottom: .6rem; white-space: nowrap; }}
th {{ font-weight: 400; font-size: 11px; color: #555; padding: 0 4px; text-align: right; }}
tr:first-of-type th {{ writing-mode: vertical-rl; transform: rotate(180deg); padding: 4px 0; }}
td {{ width: 14px; min-width: 10px; height: 18px; border: 1px solid #fff; }}
p span {{ display: inline-block; width: 1em; height: 1em; vertical-align: -2px; }}
p span:not(:first-child) {{ margin-left: 1em; }}
</style>
<table>
{table}
</table>
{legend}
</html>
"""
