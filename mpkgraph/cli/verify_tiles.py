"""`mpkgraph verify --tiles DIR`: a picture for each finding about an operator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.errors import GraphWriteError, TooLargeError
from mpkgraph.render.escape import printable

MAX_PICTURES = 100
"""Findings of one pipeline that are drawn at most, in the report's order."""


def draw_findings(pipeline: Pipeline, findings: Sequence[Finding], folder: str, first: int) -> int:
    """Draws findings into a folder, which is made; the number after the last picture's.

    Raises GraphWriteError for a folder that can't be made, MissingDependencyError without
    matplotlib.
    """
    from mpkgraph.analysis.drawing.finding_tiles import finding_tiles
    from mpkgraph.render.tile_picture import check_matplotlib, write_tiles

    check_matplotlib()  # no folder is made for pictures that can't be drawn
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphWriteError(
            f"can't be made: {error.strerror}", where=folder, remedy="Name another folder"
        ) from None
    contexts = {context.graph.rank: context.view for context in pipeline.ranks}
    number = first
    for finding in findings[:MAX_PICTURES]:
        context = contexts.get(finding.location.rank)
        if context is None:
            continue
        try:
            maps = finding_tiles(context, finding)
        except TooLargeError as error:
            click.echo(f"mpkgraph: {printable(str(error))}", err=True)
            continue
        if not maps:
            continue
        name = f"{number:03d}-{finding.rule.code}-{finding.rule.name}-operator{maps[0].operator}"
        write_tiles(maps, str(Path(folder) / f"{name}.svg"))
        number += 1
    if len(findings) > MAX_PICTURES:
        click.echo(f"mpkgraph: only the first {MAX_PICTURES} findings are drawn", err=True)
    return number
