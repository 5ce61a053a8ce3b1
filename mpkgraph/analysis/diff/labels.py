"""What operators are called in a report."""

from __future__ import annotations

from mpkgraph.analysis.diff.changes import OperatorRef
from mpkgraph.analysis.diff.side import Side


def label_of(side: Side, index: int) -> str:
    """An operator in words: its name and a tensor that tells it from its like."""
    operator = side.operators[index]
    return f"{side.operator_name(operator)} {side.subject(operator)}".rstrip()


def ref_of(side: Side, index: int) -> OperatorRef:
    """An operator as a report holds it."""
    operator = side.operators[index]
    layer = side.layer(operator)
    site = None
    if layer is not None and side.record is not None:
        found = side.record.call_site(layer.where)
        site = None if found is None else str(found)
    return OperatorRef(
        index=index,
        name=side.operator_name(operator),
        subject=side.subject(operator),
        layer=side.model_layers[index],
        grid_dim=operator.grid_dim,
        num_tasks=operator.num_tasks,
        first_task_id=int(operator.task_ids.min()) if operator.num_tasks else -1,
        site=site,
    )
