"""The tiles that a finding is about: its operator's, and those of the tasks that show it."""

from __future__ import annotations

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.drawing.tile_map import Region, TileMap, region_of, tile_map
from mpkgraph.analysis.verify.finding import Finding

MAX_OPERATORS = 3
"""Operators in one picture."""


def finding_tiles(context: GraphContext, finding: Finding) -> tuple[TileMap, ...]:
    """Tiles of the operators concerned, the witness's marked and the elements pointed out.

    Empty for a finding that is about no operator.

    Raises TooLargeError for an operator with more tiles than can be drawn.
    """
    where = finding.location
    named = [where.operator, *(x.operator for x in finding.witness)]
    places = list(dict.fromkeys(x for x in named if x is not None))[:MAX_OPERATORS]
    marked = frozenset(x.task_id for x in finding.witness)
    maps: list[TileMap] = []
    for place in places:
        regions: tuple[Region, ...] = ()
        slots = context.operators[place].slots
        if where.elements is not None and where.tensor is not None:
            regions = tuple(
                region_of(slot.position, where.elements)
                for slot in slots
                if where.tensor in slot.base_ptrs
                and (where.slot is None or place != where.operator or slot.position == where.slot)
            )
        title = ""
        if not maps:
            title = f"{finding.rule.code} {finding.rule.name}: {finding.message}"
        maps.append(tile_map(context, place, marked=marked, regions=regions, title=title))
    return tuple(maps)
