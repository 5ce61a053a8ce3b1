"""All-reduce over several GPUs (`persistent_kernel.py:1800-1823`, `mpk/multigpu.py`)."""

from __future__ import annotations

from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import ranks
from mpkgraph.pipeline.layers.run import emit_block
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    SlotSpec,
    tensors,
)

_RANKS = ("kernel.world_size", "kernel.mpi_rank")
_INPUT = SlotSpec("input", (1, -1, -1), shape="[batch, hidden]")
_BUFFER = SlotSpec("buffer", (2, -1, -1), shape="[world_size, batch, hidden], NVSHMEM memory")
_OUTPUT = SlotSpec("output", (1, -1, -1), shape="[batch, hidden]")

TILE_ALLREDUCE = BlockSpec(
    (_INPUT, _OUTPUT), (Dispatch("nvshmem_tile_allreduce", range(90, 1000), _RANKS),)
)
ALLGATHER = BlockSpec(
    (_INPUT, _BUFFER), (Dispatch("nvshmem_allgather_strided_put", params=_RANKS),)
)
REDUCE = BlockSpec((_INPUT, _BUFFER, _OUTPUT), (Dispatch("reduction", params=_RANKS),))


def allreduce(call: Call) -> None:
    """Over NVLink multicast where the target has it; else put everywhere, then add up.

    The number of NVSHMEM teams is that of the last such layer, not the largest.
    """
    if call.kernel.target.has_tile_allreduce(call.kernel.world_size):
        emit_block(call, TILE_ALLREDUCE)
        x, y, z = call["grid_dim"]
        call.kernel.allocate_nvshmem_teams = x * y * z
        return
    emit_block(call, ALLGATHER)
    emit_block(call, REDUCE)


ROWS = (
    LayerSpec(
        method="allreduce_layer",
        family="multigpu",
        doc="Sum of the input over all ranks.",
        parameters=(*tensors("input buffer output"), *LAUNCH),
        steps=(ranks(input=2, buffer=3, output=2),),
        expand=allreduce,
        blocks=(TILE_ALLREDUCE, ALLGATHER, REDUCE),
        notes="The first task needs compute capability 90, NVLink multicast and peer access "
        "between all GPUs, and leaves the buffer alone; the other two are for all other targets.",
    ),
)
