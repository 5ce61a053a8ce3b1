"""Effects of the kernels that put data on other ranks, or read theirs."""

from __future__ import annotations

from mpkgraph.catalog.effects.common import QO
from mpkgraph.catalog.effects.row import READ_ROWS, WRITE_ROWS, EffectRow, SlotEffect

ROWS: tuple[EffectRow, ...] = (
    # Its output is the plane of this rank in the buffers of all others; nothing is written here
    EffectRow(
        "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT",
        inputs=(READ_ROWS,),
        outputs=(SlotEffect("remote", "rows"),),
        meta=(QO,),
        data_types=("bf16", "bf16"),
    ),
    # Reads the same tile on all ranks
    EffectRow(
        "TASK_NVSHMEM_TILE_ALLREDUCE",
        inputs=(READ_ROWS,),
        outputs=(WRITE_ROWS,),
        meta=(QO,),
        data_types=("bf16", "bf16"),
    ),
    # Reads every plane of the buffer but this rank's own, for which it takes its first input
    EffectRow(
        "TASK_REDUCE",
        inputs=(READ_ROWS, READ_ROWS),
        outputs=(WRITE_ROWS,),
        meta=(QO,),
        data_types=("bf16", "bf16", "bf16"),
    ),
)
