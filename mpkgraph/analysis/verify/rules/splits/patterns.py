"""Tiles that no grid of one layer explains: what a changed offset or a lost task leaves behind."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.model.operator import Operator
from mpkgraph.views.partial import GAPS, NO_GRID
from mpkgraph.views.slot_splits import UNEXPLAINED, UNTOLD

NO_PATTERN = Rule(
    code="MPK118",
    name="tiles-fit-no-grid",
    severity="warning",
    summary="no grid and input_maps give the tiles that the tasks of an operator have",
    why="Mirage cuts every tensor of a layer by one grid, so tiles lie in even steps. Tasks that "
    "break the pattern read or write other elements than the layer asks for, or were left out.",
    remedy="Compile the graph again; if Mirage wrote it so, the generator or a later edit of the "
    "file went wrong.",
)


def find_broken_patterns(context: VerifyContext) -> Iterator[Finding]:
    """Operators that were recovered from tiles of which some do not fit the others."""
    if context.graph.tasks.is_null.any():
        return  # the generator lost tasks, and that is reported as such
    for operator in context.operators:
        what = _broken(operator)
        if what is None:
            continue
        yield Finding(
            rule=NO_PATTERN,
            message=f"{context.name(operator)} has {operator.num_tasks} tasks, and {what}",
            location=context.location(operator),
            remedy="Give verify the record of the pipeline: it names the task whose tile is wrong",
            witness=(context.task_ref(int(operator.task_ids[0])),),
            count=operator.num_tasks,
            key=(operator.task_type, operator.grid_dim, what),
        )


def _broken(operator: Operator) -> str | None:
    """What does not fit, for a sentence that begins with the operator's tasks."""
    for note in operator.ambiguities:
        if note == NO_GRID:
            return "no grid explains their tiles and order"
        if note == GAPS:
            return "their tiles and metadata do not fill a grid"
        slot, _, about = note.partition(": ")
        if slot.startswith("Slot ") and about.startswith((UNTOLD, UNEXPLAINED)):
            tensor = operator.slots[int(slot.removeprefix("Slot "))].name
            return f"the tiles of {tensor!r} do not lie in even steps along the grid's axes"
    return None


CHECKS = (CheckRow(find_broken_patterns, (NO_PATTERN,)),)
