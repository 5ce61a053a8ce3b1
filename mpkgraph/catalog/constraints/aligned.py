"""Slots whose addresses must be aligned: TMA descriptors and vector loads.

A TMA descriptor is built of the tile's own address, which must be a multiple of 16 bytes
(`include/mirage/persistent_kernel/tma.cuh`); one that is not makes the kernel die of an illegal
instruction, as an H100 shows. Norms load and store vectors of up to 16 bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mpkgraph.catalog.registered import TaskFacts

TMA_BYTES = 16
THREADS = 256
AMPERE_THREADS = 128
BF16_BYTES = 2

TMA_SLOTS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        # By position among all slots, inputs first
        "TASK_LINEAR_HOPPER": (0, 1, 2),
        "TASK_LINEAR_WITH_RESIDUAL_HOPPER": (0, 1, 2, 3),
        "TASK_LINEAR_SWAPAB_HOPPER": (0, 1, 2),
        "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER": (0, 1, 2, 3),
        "TASK_SPLITK_LINEAR_SWAPAB_HOPPER": (0, 1, 2),
        "TASK_LINEAR_CUTLASS_HOPPER": (0, 1, 2),
        "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER": (0, 1, 3),
        "TASK_PAGED_ATTENTION_HOPPER": (0, 1, 2, 7),
        "TASK_MOE_W13_LINEAR_SM90": (1,),
        "TASK_MOE_W2_LINEAR_SM90": (1,),
        "TASK_LINEAR_SM100": (0, 1, 2),
        "TASK_LINEAR_WITH_RESIDUAL_SM100": (0, 1, 3),
        "TASK_SPLITK_LINEAR_SM100": (0, 1, 2),
        "TASK_MOE_W13_LINEAR_SM100": (1,),
        "TASK_MOE_W2_LINEAR_SM100": (1,),
        "TASK_MOE_W13_FP8_SM100": (2,),
        "TASK_MOE_W2_FP8_SM100": (2,),
        "TASK_LINEAR_FP8_SM100": (0, 1, 2, 3, 4),
        "TASK_LINEAR_FP8_WITH_RESIDUAL_SM100": (0, 1, 2, 3, 4, 5),
        "TASK_MLA_MTP_DECODE_SM100": (0, 1),
        "TASK_MLA_MTP_DECODE_TP2_SM100": (0, 1),
        "TASK_MLA_MTP_DECODE_TP4_SM100": (0, 1),
        "TASK_MLA_MTP_DECODE_TP8_SM100": (0, 1),
        "TASK_MLA_DECODE_SM100": (0, 1),
        "TASK_MLA_PREFILL_TP8_SM100": (2, 3),
    }
)


def _norm_vector(threads: int) -> Callable[[TaskFacts], int]:
    """A thread's share of a row, in the largest of 16, 8 and 4 bytes that divides it."""

    def width(facts: TaskFacts) -> int:
        share = facts.input(0).dims[1] * BF16_BYTES // threads
        return next((size for size in (16, 8) if share % size == 0), 4)

    return width


VECTOR_BYTES: Mapping[str, Callable[[TaskFacts], int]] = MappingProxyType(
    {
        "TASK_RMS_NORM": _norm_vector(AMPERE_THREADS),
        "TASK_RMS_NORM_HOPPER": _norm_vector(THREADS),
    }
)
"""By task type the bytes that its loads and stores of all slots take at once."""
