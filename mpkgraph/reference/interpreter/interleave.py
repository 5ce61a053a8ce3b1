"""How a shuffled weight interleaves the columns of what is computed with it.

A layer that pairs gates with ups takes its tile for one group. What is right is not what its grid
makes of the columns, but what the weight's groups made of them.
"""

from __future__ import annotations

from mpkgraph.model.record import TensorCall
from mpkgraph.reference.interpreter.operators import OperatorPlan
from mpkgraph.reference.interpreter.program import RankProgram

PAIRING = frozenset({"TASK_SILU_MUL", "TASK_SILU_MUL_HOPPER"})
WEIGHT = 1
"""Slot of a linear's weight."""


def groups_of_input(rank: RankProgram, plan: OperatorPlan) -> int | None:
    """The groups in which gates and ups of a layer's input take turns; None where nothing tells."""
    record = rank.record
    if record is None or plan.task_type not in PAIRING or not plan.slots:
        return None
    layer = plan.context.layer(plan.operator)
    if layer is None:
        return None
    source = layer.slots[0].tensor
    for other in reversed(rank.order):
        made = other.context.layer(other.operator)
        if made is None or (other.operator.layer_index or 0) >= (plan.operator.layer_index or 0):
            continue
        if source in {made.slots[x.position].tensor for x in other.slots if x.is_output}:
            return _groups(rank, other, len(made.slots) > WEIGHT and made.slots[WEIGHT].tensor)
    return None


def _groups(rank: RankProgram, producer: OperatorPlan, weight: int | bool | None) -> int | None:
    if "LINEAR" not in producer.task_type or rank.record is None or isinstance(weight, bool):
        return None
    call: TensorCall | None = None if weight is None else rank.record.calls.get(weight)
    if call is None or call.op not in {"shuffle_tensors", "fuse_tensors"}:
        return None
    return call.num_groups if len(call.inputs or ()) == 2 else None
