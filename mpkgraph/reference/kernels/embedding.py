"""Embedding by token ids (`tasks/ampere/embedding.cuh`)."""

from __future__ import annotations

from mpkgraph.reference.call import TaskCall, TaskExecutionError

FROM_TOKENS = 0
"""Param 0: ids are `tokens` from the first request's `step` on, and not the first slot."""


def embedding(call: TaskCall) -> None:
    """`out[b] = table[ids[b]]`; zeros for a negative id. All rows of the tile."""
    table, out = call.input(1), call.output(0)
    rows = out.shape[0]
    if call.param(0) == FROM_TOKENS:
        start = int(call.meta_tensor("step").flatten()[0])
        ids = call.meta_tensor("tokens").flatten()[start : start + rows]
    else:
        ids = call.input(0).flatten()[:rows]
    if len(ids) and int(ids.max()) >= table.shape[0]:
        raise TaskExecutionError(
            f"token id {int(ids.max())} is beyond the table of {table.shape[0]} rows",
            where=call.task_type,
            remedy="The kernel does not check ids and reads what lies there",
        )
    unused = (ids < 0).unsqueeze(-1)
    out[: len(ids)] = table.index_select(0, ids.clamp(min=0)).masked_fill(unused, 0)
