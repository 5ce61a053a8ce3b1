"""What ranks do for each other."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall, TaskExecutionError, Tensor


def allgather_put(call: TaskCall) -> None:
    """Copy the rows in use to this rank's plane of the buffer on another rank.

    Input (rows, columns). Output views start where the task's slot does, at the plane of this rank
    in the buffer (ranks, rows, columns): here nothing is written. Without a target rank all others
    get it.
    """
    rows = call.num_active_rows
    mine = call.input(0)[:rows]
    others = [rank for rank in call.peers if rank != call.settings.rank]
    for rank in others if call.target_rank is None else [call.target_rank]:
        plane = _peer(call, rank, 1)[0]
        plane[:rows] = mine


def tile_allreduce(call: TaskCall) -> None:
    """`out[b, n]` is the sum of `x[b, n]` of all ranks, in float32 and rounded, rows in use."""
    rows = call.num_active_rows
    ranks = sorted(call.peers) or [call.settings.rank]
    parts = (
        [_peer(call, rank, 0)[:rows].float() for rank in ranks]
        if call.peers
        else [call.input(0)[:rows].float()]
    )
    call.output(0)[:rows] = torch.stack(parts).double().sum(0).float().to(call.output(0).dtype)


def reduction(call: TaskCall) -> None:
    """`out[b, n]` is the sum of this rank's `x[b, n]` and the other ranks' planes, rows in use.

    Inputs (rows, columns) and the buffer (ranks, rows, columns). Params: ranks, this rank.
    """
    rows = call.num_active_rows
    ranks = call.param(0, call.settings.world_size)
    this = call.param(1, call.settings.rank)
    planes = call.input(1)[:ranks, :rows].double()
    planes = planes.clone()
    planes[this] = call.input(0)[:rows].double()
    call.output(0)[:rows] = planes.sum(0).float().to(call.output(0).dtype)


def _peer(call: TaskCall, rank: int, slot: int) -> Tensor:
    view = call.peers.get(rank, ())
    if slot >= len(view) or view[slot] is None:
        raise TaskExecutionError(
            f"the tensors of rank {rank} are not known",
            where=call.task_type,
            remedy="Execute the graphs of all ranks together",
        )
    return view[slot]
