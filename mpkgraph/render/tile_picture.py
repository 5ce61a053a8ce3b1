"""Pictures of tiles, with matplotlib: tensors as rectangles, each task's tiles in its colour."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from mpkgraph.analysis.drawing.tile_map import Rectangle, SlotMap, TileMap
from mpkgraph.errors import MissingDependencyError, UsageError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.render.escape import printable

FORMATS = ("svg", "png", "pdf")
COLUMN_WIDTH = 6.2
"""Inches of inputs, and of outputs."""
ROW_HEIGHT, LOW_ROW_HEIGHT = 1.9, 0.95
"""Of a row of slots, and of one in which every slot is one rectangle."""
HEAD_HEIGHT, LINE_HEIGHT = 0.46, 0.18
TITLE_WIDTH, MAX_TITLE_LINES = 150, 4
MAX_LABELS = 40
"""Tiles of a slot that are labelled with their tasks at most."""
MAX_TICKS = 9
MIN_LABEL_WIDTH, MIN_TURNED_WIDTH, MIN_LABEL_HEIGHT = 0.013, 0.025, 0.09
"""Parts of a slot's width that a character takes and that a line takes which is turned, and of its
height, roughly."""
THIN = 0.012
"""Part of a slot's width or height below which a marked tile is filled, not framed."""
MAX_NAME = 44
MARK = "#C00000"
BORDER = "#404040"
OUTSIDE = "#F3F3F3"
SHARED = "#D9D9D9"
"""Of a tile that all tasks have."""
COLOURS = "viridis"
DPI = 110


def write_tiles(maps: Sequence[TileMap], path: str) -> None:
    """Writes a picture of operators' tiles, one operator below the other.

    Raises MissingDependencyError without matplotlib, UsageError for a file of another kind.
    """
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise UsageError(
            "tiles are drawn as SVG, PNG or PDF", where=path, remedy="End the name in .svg or .png"
        )
    library = _matplotlib()
    settings = {
        "svg.hashsalt": "mpkgraph",
        "svg.fonttype": "none",
        "font.size": 8.0,
        "font.family": ["DejaVu Sans"],
    }
    with warnings.catch_warnings(), library.rc_context(settings):
        # A name in a script that the font lacks is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure = _figure(maps)
        # The same picture every time
        metadata = {
            "svg": {"Date": None, "Creator": "mpkgraph"},
            "png": {"Software": "mpkgraph"},
            "pdf": {"CreationDate": None, "Creator": "mpkgraph", "Producer": None},
        }[form]
        with atomic_file(path) as stream:
            figure.savefig(stream, format=form, dpi=DPI, metadata=metadata)


def check_matplotlib() -> None:
    """Raises MissingDependencyError without matplotlib."""
    _matplotlib()


def _matplotlib() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingDependencyError(
            "pictures of tiles need the package matplotlib",
            remedy="Install it with: pip install 'mpkgraph[plot]'",
        ) from None
    return mpl


def _figure(maps: Sequence[TileMap]) -> Any:
    from matplotlib.figure import Figure

    heights = [_row_heights(item) for item in maps]
    wholes = [_head_height(x) + sum(rows) for x, rows in zip(maps, heights, strict=True)]
    figure = Figure(figsize=(2 * COLUMN_WIDTH, sum(wholes)))
    parts = figure.subfigures(len(maps), 1, squeeze=False, height_ratios=wholes)
    for item, rows, part in zip(maps, heights, parts[:, 0], strict=True):
        _draw_operator(part, item, rows)
    return figure


def _side(item: TileMap, *, is_output: bool) -> list[SlotMap]:
    return [slot for slot in item.slots if slot.is_output == is_output]


def _row_heights(item: TileMap) -> list[float]:
    """Inches of each row: inputs on the left, outputs on the right."""
    sides = [_side(item, is_output=x) for x in (False, True)]
    rows = zip_longest(*sides)
    heights = [
        ROW_HEIGHT
        if any(slot is not None and (slot.num_tiles > 1 or slot.regions) for slot in row)
        else LOW_ROW_HEIGHT
        for row in rows
    ]
    return heights or [LOW_ROW_HEIGHT]


def _draw_operator(part: Any, item: TileMap, rows: list[float]) -> None:
    whole = _head_height(item) + sum(rows)
    head = (
        f"operator {item.operator}: {item.name}, grid {'x'.join(map(str, item.grid_dim))}, "
        f"{item.num_tasks:,} tasks"
    )
    _title(part, head, _title_lines(item), whole)
    below = sum(rows)
    sides = [_side(item, is_output=x) for x in (False, True)]
    for row, height in enumerate(rows):
        for left, slots in zip((0.07, 0.56), sides, strict=True):
            if row < len(slots):
                # Room for the heading above and the ticks below
                box = (left, (below - height + 0.36) / whole, 0.42, (height - 0.66) / whole)
                _draw_slot(part.add_axes(box), slots[row], item)
        below -= height


def _title(part: Any, head: str, lines: Sequence[str], whole: float) -> None:
    part.text(
        0.07, 1 - 0.26 / whole, _safe(head, 110), fontsize=11, weight="bold", parse_math=False
    )
    for number, line in enumerate(lines):
        y = 1 - (0.45 + LINE_HEIGHT * number) / whole
        part.text(0.07, y, line, fontsize=9, color=MARK, parse_math=False)


def _title_lines(item: TileMap) -> list[str]:
    lines = textwrap.wrap(printable(item.title), TITLE_WIDTH)
    if len(lines) > MAX_TITLE_LINES:
        lines = [*lines[: MAX_TITLE_LINES - 1], f"{lines[MAX_TITLE_LINES - 1]} …"]
    return lines


def _head_height(item: TileMap) -> float:
    return HEAD_HEIGHT + LINE_HEIGHT * len(_title_lines(item))


def _draw_slot(axes: Any, slot: SlotMap, item: TileMap) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle as Patch

    height, width = (max(x, 1) for x in slot.extents)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_facecolor(OUTSIDE)
    colours = colormaps[COLOURS]
    marked = [x for x in slot.rectangles if item.marked.intersection(x.task_ids)]
    for rectangle in (*(x for x in slot.rectangles if x not in marked), *marked):
        is_marked = bool(item.marked) and rectangle in marked
        is_shared = len(rectangle.task_ids) == item.num_tasks > 1
        is_thin = (
            rectangle.right - rectangle.left < THIN * width
            or rectangle.bottom - rectangle.top < 3 * THIN * height
        )
        colour = SHARED if is_shared else colours(0.12 + 0.85 * rectangle.shade)
        axes.add_patch(
            Patch(
                (rectangle.left, rectangle.top),
                rectangle.right - rectangle.left,
                rectangle.bottom - rectangle.top,
                facecolor=MARK if is_marked and is_thin else colour,
                edgecolor=MARK if is_marked else "white",
                linewidth=1.6 if is_marked else 0.4,
                alpha=0.25 if item.marked and not is_marked else 1.0,
            )
        )
    _label_tiles(axes, slot, item)
    for top, bottom, left, right in slot.regions:
        axes.add_patch(
            Patch(
                (left, top),
                max(right - left, width / 400),
                max(bottom - top, height / 60),
                fill=False,
                hatch="////",
                edgecolor=MARK,
                linewidth=1.2,
            )
        )
    down, across = slot.tensor_extents
    axes.add_patch(Patch((0, 0), across, down, fill=False, edgecolor=BORDER, linewidth=1.4))
    _ticks(axes, slot)
    axes.set_title(_heading(slot), loc="left", fontsize=8.5, parse_math=False)


def _heading(slot: SlotMap) -> str:
    dims = "x".join(
        f"{dim}{'' if known else '?'}"
        for dim, known in zip(slot.tensor_dims, slot.known_dims, strict=False)
    )
    side = "output" if slot.is_output else "input"
    text = (
        f"{side} {slot.position}: {_safe(slot.name, MAX_NAME)}  {slot.data_type} {dims}, "
        f"tile {'x'.join(map(str, slot.tile_dims)) or '-'}, map {_map_text(slot.input_map)}"
    )
    if slot.regions:
        text += "  (hatched: where)"
    if slot.num_not_drawn:
        text += f"  ({slot.num_not_drawn:,} tiles are no boxes)"
    return text


def _map_text(input_map: Sequence[int]) -> str:
    """Which grid axis splits which dim: `x->1`; `-` for none.

    >>> _map_text((1, -1, -1)), _map_text((-1, -1, -1))
    ('x->1', '-')
    """
    parts = [f"{axis}->{dim}" for axis, dim in zip("xyz", input_map, strict=False) if dim >= 0]
    return " ".join(parts) or "-"


def _label_tiles(axes: Any, slot: SlotMap, item: TileMap) -> None:
    """Task ids in the tiles, where they have the room."""
    width = max(slot.extents[1], 1)
    shown = slot.rectangles if len(slot.rectangles) <= MAX_LABELS else ()
    if len(slot.rectangles) > MAX_LABELS and item.marked:
        shown = tuple(x for x in slot.rectangles if item.marked.intersection(x.task_ids))[:8]
    for rectangle in shown:
        text = _label(rectangle, item)
        room = (rectangle.right - rectangle.left) / width
        height = (rectangle.bottom - rectangle.top) / max(slot.extents[0], 1)
        fits = room >= MIN_LABEL_WIDTH * len(text) and height >= MIN_LABEL_HEIGHT
        turned = room >= MIN_TURNED_WIDTH and height >= MIN_LABEL_HEIGHT * len(text) / 2
        if not fits and not turned:
            continue
        is_dark = rectangle.shade < 0.55 and len(rectangle.task_ids) < item.num_tasks
        is_faint = bool(item.marked) and not item.marked.intersection(rectangle.task_ids)
        axes.text(
            (rectangle.left + rectangle.right) / 2,
            (rectangle.top + rectangle.bottom) / 2,
            text,
            ha="center",
            va="center",
            rotation=0 if fits else 90,
            color="white" if is_dark and not is_faint else "black",
            fontsize=7,
            parse_math=False,
        )


def _label(rectangle: Rectangle, item: TileMap) -> str:
    if len(rectangle.task_ids) == item.num_tasks > 1:
        return f"all {item.num_tasks:,} tasks"
    text = rectangle.label
    return text if len(text) <= 12 else f"{len(rectangle.task_ids):,} tasks"


def _ticks(axes: Any, slot: SlotMap) -> None:
    """Where tiles begin and end, as far as there is room, and the tensor's ends."""
    down = slot.shown_dims[0]
    edges_x = {x for r in slot.rectangles for x in (r.left, r.right)}
    axes.set_xticks(_some(edges_x, slot.extents[1], slot.tensor_extents[1]))
    axes.set_xlabel(_across(slot), fontsize=7, labelpad=1)
    if down < 0:
        axes.set_yticks([])
    else:
        edges_y = {y for r in slot.rectangles for y in (r.top, r.bottom)}
        axes.set_yticks(_some(edges_y, slot.extents[0], slot.tensor_extents[0], most=5))
        axes.set_ylabel(f"dim {down}", fontsize=7, labelpad=1)
    axes.tick_params(labelsize=6.5, length=2, pad=1)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _across(slot: SlotMap) -> str:
    """The dim across, and those that are not shown: tiles that differ there only are one here."""
    hidden = [d for d in range(len(slot.tensor_dims)) if d not in slot.shown_dims]
    text = f"dim {slot.shown_dims[1]}"
    if hidden:
        text += f" (not shown: dim {', '.join(map(str, hidden))})"
    return text


def _some(edges: set[int], extent: int, end: int, most: int = MAX_TICKS) -> list[int]:
    """At most so many of some edges, the ends among them, none too near another.

    >>> _some({0, 64, 128, 192, 256}, 256, 256, most=3)
    [0, 128, 256]
    """
    inner = sorted(edges - {0, end, extent})
    step = -(-len(inner) // max(most - 2, 1)) if inner else 1
    kept = inner[(step - 1) // 2 :: step] if len(inner) > most - 2 else inner
    near = extent / (2.2 * most)
    ends = sorted({0, end, extent})
    ends = [x for i, x in enumerate(ends) if not i or x - ends[i - 1] > near or x == end]
    return sorted({*(x for x in kept if all(abs(x - y) > near for y in ends)), *ends})


def _safe(text: str, limit: int) -> str:
    return printable(text, limit=limit)
