"""Names of the kernels that move or reduce data between GPUs."""

from __future__ import annotations

from mpkgraph.catalog.registered.row import (
    ARCHITECTURES,
    RegisteredTaskRow,
    TaskFacts,
    VariantKey,
)

_RANKS = ("num_gpus", "my_gpu_id")


def _reduction(facts: TaskFacts) -> VariantKey:
    return (
        facts.param(0),
        facts.param(1),
        *facts.input(0).tile[:2],
        facts.output(0).stride(0),
    )


def _transfer(facts: TaskFacts) -> VariantKey:
    """The input's stride serves for the output too; the ranks are asked for at run time."""
    source = facts.input(0)
    return (*source.tile[:2], source.stride(0))


ROWS: tuple[RegisteredTaskRow, ...] = (
    RegisteredTaskRow(
        "nvshmem_allgather_strided_put",
        "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT",
        num_inputs=1,
        num_outputs=1,
        params=_RANKS,
        variant_key=_transfer,
        compiled_for=ARCHITECTURES,
        needs_nvshmem=True,
    ),
    RegisteredTaskRow(
        "reduction",
        "TASK_REDUCE",
        num_inputs=2,
        num_outputs=1,
        params=_RANKS,
        variant_key=_reduction,
        compiled_for=ARCHITECTURES,
        needs_nvshmem=True,
    ),
    # Mirage chooses it on Hopper too, whose kernels leave it out.
    RegisteredTaskRow(
        "nvshmem_tile_allreduce",
        "TASK_NVSHMEM_TILE_ALLREDUCE",
        num_inputs=1,
        num_outputs=1,
        params=_RANKS,
        variant_key=_transfer,
        compiled_for=("blackwell",),
        needs_nvshmem=True,
    ),
)
