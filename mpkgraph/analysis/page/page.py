"""All that a page of a graph holds: a header of names and shapes, and columns over tasks and slots.

`render/html` writes it; the page's scripts read it. Numbers that a browser would change are text
or split in two; text is made printable here, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.extents import ViewKey
from mpkgraph.analysis.integers import json_integers
from mpkgraph.analysis.page.columns import PageColumn, TaskOrder, extra_tables, graph_columns
from mpkgraph.analysis.page.layout import (
    CARD_HEIGHT,
    CARD_WIDTH,
    GRID_HEIGHT,
    GRID_TOP,
    GRID_WIDTH,
    MAX_CELL,
    PageLayout,
    follows_grid,
    lay_out,
)
from mpkgraph.analysis.page.overlay import Overlay
from mpkgraph.errors import UsageError
from mpkgraph.model.operator import Operator, OperatorSlot
from mpkgraph.model.record import PipelineRecord

SCHEMA: Final = "mpkgraph-page/1"


@dataclass(frozen=True)
class Page:
    """What one HTML page shows. `header` is JSON; columns are named in `header` by the renderer."""

    title: str
    header: dict[str, Any]
    columns: tuple[PageColumn, ...]
    num_slots: int

    def to_json(self) -> dict[str, Any]:
        """The header, with the columns as lists."""
        return {
            "schema": SCHEMA,
            **self.header,
            "columns": {x.name: x.values.tolist() for x in self.columns},
        }


def make_page(
    context: GraphContext,
    record: PipelineRecord | None = None,
    overlays: Sequence[Overlay] = (),
    *,
    notes: Sequence[str] = (),
    title: str | None = None,
) -> Page:
    """The page of one rank's graph.

    `record` is the one that the operators are from, for the user's lines; `title` is what a graph
    without a file is called. Raises UsageError for overlays of one name, SelectionError for one
    that does not fit the graph.
    """
    graph = context.graph
    for overlay in overlays:
        overlay.check(graph.num_tasks, graph.rank)
    names = [x.name for x in overlays]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two overlays are called {name!r}", remedy="Rename one")
    layout = lay_out(context.operators.operators, context.operator_edges)
    order = TaskOrder.of(context)
    columns = graph_columns(context, order)
    title = title or page_title(graph.source.path)
    header = {
        "title": title,
        "rank": graph.rank,
        "num_tasks": graph.num_tasks,
        "num_events": graph.num_events,
        "num_slots": graph.tasks.num_slots,
        "depth": context.levels.depth,
        "cycle": list(context.levels.cycle),
        "origin": context.operators[0].origin if len(context.operators) else "recovered",
        "names_from": context.catalog.source,
        "target_cc": None if record is None else record.target_cc,
        "notes": list(notes),
        "card": [CARD_WIDTH, CARD_HEIGHT, GRID_TOP, GRID_WIDTH, GRID_HEIGHT, MAX_CELL],
        "blocks": [x.to_json() for x in layout.blocks],
        **_names(context),
        **_tensors(context),
        "operators": [_operator(context, record, layout, x) for x in context.operators],
        "edges": [
            column.astype(np.int64).tolist()
            for column in (
                context.operator_edges.producers,
                context.operator_edges.consumers,
                context.operator_edges.num_events,
                context.operator_edges.is_remote,
            )
        ],
        "extras": [
            extra_tables(graph.tasks.extras),
            extra_tables(graph.events.extras),
            dict(graph.extras),
        ],
        "overlays": [
            _overlay(x, i, order, graph.num_tasks, columns) for i, x in enumerate(overlays)
        ],
    }
    return Page(title, json_integers(header), tuple(columns), graph.tasks.num_slots)


def page_title(path: str | None) -> str:
    """The file with its folder: all ranks and models have the same file names."""
    if path is None:
        return "task graph"
    return "/".join(Path(path).absolute().parts[-2:])


def _names(context: GraphContext) -> dict[str, Any]:
    """Tables from number to name, for the numbers that occur."""
    graph, catalog = context.graph, context.catalog
    types = {}
    for number in np.unique(graph.tasks.task_types).tolist():
        row = catalog.task_type_row(number)
        types[str(number)] = [
            catalog.task_type_name(number),
            catalog.layer_kind(number),
            row.kind,
            [list(x) for x in row.metadata],
        ]
    data = sorted({x.data_type for x in graph.layouts})
    events = np.unique(graph.events.event_types).tolist()
    return {
        "task_types": types,
        "data_types": {
            str(x): [catalog.data_type_name(x), catalog.data_type_size(x)] for x in data
        },
        "event_types": {str(x): catalog.event_type_name(x) for x in events},
    }


def _tensors(context: GraphContext) -> dict[str, Any]:
    """Tensor names, the views that slots have of them, and the layouts of slots."""
    graph = context.graph
    views = list(context.tensor_extents)
    place = {key: i for i, key in enumerate(views)}
    position = {name: i for i, name in enumerate(graph.tensors)}
    sizes = context.layout_extents.num_bytes.tolist()
    layouts = []
    for layout, num_bytes in zip(graph.layouts, sizes, strict=True):
        view = -1
        if not layout.is_null:
            view = place[ViewKey(layout.base_ptr, layout.data_type, layout.strides)]
        row: list[Any] = [
            view,
            layout.data_type,
            list(layout.dims),
            list(layout.strides),
            num_bytes,
        ]
        layouts.append([*row, dict(layout.extra)] if layout.extra else row)
    return {
        "tensors": list(graph.tensors),
        "views": [
            [
                position.get(key.base_ptr, -1),
                key.data_type,
                list(key.strides),
                list(context.tensor_extents[key].dims),
                [int(x) for x in context.tensor_extents[key].known],
            ]
            for key in views
        ],
        "layouts": layouts,
    }


def _operator(
    context: GraphContext, record: PipelineRecord | None, layout: PageLayout, operator: Operator
) -> dict[str, Any]:
    index = operator.index
    row: dict[str, Any] = {
        "name": context.operator_names[index],
        "type": operator.task_type,
        "variants": list(operator.variant_ids),
        "grid": list(operator.grid_dim),
        "known": [int(x) for x in operator.known_grid],
        "sub": operator.num_subtasks,
        "count": operator.num_tasks,
        "block": int(layout.block_of[index]),
        "x": int(layout.x[index]),
        "y": int(layout.y[index]),
        "columns": int(layout.columns[index]),
        "slots": [_slot(x) for x in operator.slots],
    }
    missing = operator.grid_volume * operator.num_subtasks - operator.num_tasks
    if missing:
        row["missing"] = missing
    if not follows_grid(operator) and operator.grid_positions is not None:
        row["points"] = operator.grid_positions.tolist()
    if operator.layer_method is not None:
        row["method"] = operator.layer_method
    if operator.ambiguities:
        row["doubts"] = list(operator.ambiguities)
    if record is not None and operator.layer_index is not None:
        where = record.layers[operator.layer_index].where
        site = record.call_site(where)
        row["where"] = where
        if site is not None:
            row["site"] = str(site)
    return row


def _slot(slot: OperatorSlot) -> list[Any]:
    return [
        int(slot.is_output),
        slot.data_type,
        list(slot.tile_dims),
        list(slot.tensor_dims),
        [int(x) for x in slot.known_dims],
        list(slot.input_map),
        [int(x) for x in slot.known_map],
        slot.name,
    ]


def _overlay(
    overlay: Overlay, index: int, order: TaskOrder, num_tasks: int, columns: list[PageColumn]
) -> dict[str, Any]:
    """Its names in the header; its columns are appended to `columns`."""
    for name, column, missing in (
        ("values", overlay.values, np.nan),
        ("codes", overlay.codes, -1),
        ("labels", overlay.label_codes, -1),
    ):
        if column is not None:
            whole = overlay.by_task(column, num_tasks, missing)
            columns.append(PageColumn(f"overlay.{index}.{name}", whole[order.task_ids]))
    return {
        "name": overlay.name,
        "title": overlay.title,
        "description": overlay.description,
        "kind": overlay.kind,
        "unit": overlay.unit,
        "scale": overlay.scale,
        "center": overlay.center,
        "categories": [[x.name, x.role] for x in overlay.categories],
        "labels": list(overlay.labels),
        "has_labels": overlay.label_codes is not None,
        "items": [
            {
                "title": x.title,
                "text": x.text,
                "category": -1 if x.category is None else x.category,
                "tasks": list(x.tasks),
                "operators": list(x.operators),
                "events": list(x.events),
                "tensors": list(x.tensors),
            }
            for x in overlay.items
        ],
    }
