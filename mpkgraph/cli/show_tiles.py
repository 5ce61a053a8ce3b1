"""`mpkgraph show --tiles`: the tiles of operators on their tensors."""

from __future__ import annotations

import click

from mpkgraph.cli.loading import LoadOptions, load_one
from mpkgraph.cli.request import ShowRequest
from mpkgraph.errors import SelectionError, TooLargeError
from mpkgraph.render.escape import printable

MAX_OPERATORS = 12
"""Operators of one picture at most, unless forced."""


def run_tiles(request: ShowRequest, options: LoadOptions, target: str) -> None:
    """The tiles of the operators asked for, or of those that the tasks asked for are of."""
    import numpy as np

    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.drawing.tile_map import tile_map
    from mpkgraph.analysis.select import TaskFilter, select_operators, select_tasks
    from mpkgraph.render.tile_picture import write_tiles

    loaded = load_one(options, "a picture of tiles")
    context = GraphContext(loaded.graph, loaded.operators, loaded.catalog)
    marked = np.empty(0, dtype=np.int64)
    if request.task:
        chosen = TaskFilter(task_ids=request.task)
        marked = select_tasks(context.graph, context.operators, chosen, context.catalog)
    if request.operator:
        places = select_operators(request.operator, context.operators, context.catalog)
    else:
        owners = context.operators.task_operators[marked]
        places = np.unique(owners[owners >= 0]).astype(np.int64)
    if not len(places):
        raise SelectionError(
            "the selection has no task of a layer", remedy="Select tasks from 2 on"
        )
    if len(places) > MAX_OPERATORS and not request.force:
        raise TooLargeError(
            f"a picture of {len(places):,} operators would be too long to read",
            where=loaded.path,
            remedy=f"Choose at most {MAX_OPERATORS} with --operator, or --force it",
        )
    maps = [
        tile_map(context, place, marked=marked.tolist(), force=request.force)
        for place in places.tolist()
    ]
    write_tiles(maps, target)
    click.echo(f"wrote {printable(target)}", err=True)
