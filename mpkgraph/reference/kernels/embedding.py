"""Embedding by token ids (`tasks/ampere/embedding.cuh`)."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall, TaskExecutionError
from mpkgraph.reference.kernels.memory import as_type, reach

FROM_TOKENS = 0
"""Param 0: ids are `tokens` from the first request's `step` on, and not the first slot."""


def embedding(call: TaskCall) -> None:
    """`out[b] = table[ids[b]]`; zeros for a negative id. All rows of the tile.

    Ids are read one after the other from where the tile starts, whatever its shape.
    """
    table, out = call.input(1), call.output(0)
    rows = out.shape[0]
    if call.param(0) == FROM_TOKENS:
        step = int(call.meta_tensor("step").flatten()[0])
        tokens = call.meta_tensor("tokens")
        ids = reach(call, tokens, (rows,), (1,), step)
    else:
        ids = reach(call, as_type(call.input(0), torch.int64), (rows,), (1,))
    ids = ids.long()
    if rows and int(ids.max()) >= table.shape[0]:
        raise TaskExecutionError(
            f"token id {int(ids.max())} is beyond the table of {table.shape[0]} rows",
            where=call.task_type,
            remedy="The kernel does not check ids and reads what lies there",
        )
    unused = (ids < 0).unsqueeze(-1)
    out.copy_(table.index_select(0, ids.clamp(min=0)).masked_fill(unused, 0))
