"""From conflicts among the tasks of one operator to findings."""

from __future__ import annotations

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rules.hazards import table
from mpkgraph.analysis.verify.rules.hazards.places import label, shared_place
from mpkgraph.analysis.verify.rules.hazards.siblings import SiblingConflict


def sibling_finding(context: VerifyContext, conflict: SiblingConflict) -> Finding:
    """One finding of an operator and a tensor."""
    writer, other = conflict.writer, conflict.other
    operator = writer.operator
    name, tensor = label(context, operator), writer.tensor
    place = shared_place(writer, conflict.first, other, conflict.second)
    first, second = context.task_ref(conflict.first), context.task_ref(conflict.second)
    grid = "x".join(map(str, operator.grid_dim))
    slot = writer.use.slot
    if conflict.reads:
        rule = table.SIBLING_READ
        message = (
            f"{second} reads {tensor}{place}, which {first} overwrites: tasks of one layer run in "
            f"any order, and in its grid {grid} a tile that is read is not only its own"
        )
        remedy = f"Let {name} write another tensor than {tensor}"
    else:
        rule = table.SIBLING_WRITES
        message = (
            f"{first} and {second} both write {tensor}{place}, from different input: the output's "
            f"map {slot.input_map} does not split what the grid {grid} splits elsewhere"
        )
        remedy = _remedy(conflict, name)
    return Finding(
        rule=rule,
        message=message,
        location=context.location(
            operator, slot, tensor=tensor, elements=place.elements, byte_range=place.byte_range
        ),
        remedy=remedy,
        witness=(first, second),
        count=conflict.count,
        count_of="task pairs",
        key=(
            operator.task_type,
            operator.grid_dim,
            slot.position,
            other.use.slot.position,
            slot.tile_dims,
            conflict.count,
        ),
    )


def _remedy(conflict: SiblingConflict, name: str) -> str:
    operator, slot = conflict.writer.operator, conflict.writer.use.slot
    axes = [
        axis
        for number, axis in enumerate("xyz")
        if operator.grid_dim[number] > 1 and slot.input_map[number] < 0
    ]
    if not axes:
        return f"Map the output of {name} so that its tiles do not meet"
    words, tensor = " and ".join(axes), conflict.writer.tensor
    return f"Map grid axis {words} to a dim of {tensor} too, or use a grid of 1 along it"
