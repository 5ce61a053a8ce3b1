"""Rows of the kernels that have no family of their own: norms, linears, elementwise, argmax."""

from __future__ import annotations

from types import MappingProxyType

from mpkgraph.reference.joins import Joins
from mpkgraph.reference.row import EXACT, TaskFunction

LINEAR = Joins(("b.", "n.", "bn"))
LINEAR_WITH_RESIDUAL = Joins(("b.", "n.", "bn", "bn"))
SUMS_OF_PRODUCTS = "torch.nn.functional.linear in float64"

ROWS: tuple[TaskFunction, ...] = (
    *(
        TaskFunction(name, "norm.rmsnorm", Joins(("b.", ".", "b.")), "torch.nn.functional.rms_norm")
        for name in ("TASK_RMS_NORM", "TASK_RMS_NORM_HOPPER")
    ),
    *(
        TaskFunction(name, "linear.linear", LINEAR, SUMS_OF_PRODUCTS)
        for name in (
            "TASK_LINEAR",
            "TASK_LINEAR_HOPPER",
            "TASK_LINEAR_SWAPAB_HOPPER",
            "TASK_LINEAR_CUTLASS_HOPPER",
            "TASK_LINEAR_SM100",
        )
    ),
    *(
        TaskFunction(name, "linear.linear_with_residual", LINEAR_WITH_RESIDUAL, SUMS_OF_PRODUCTS)
        for name in (
            "TASK_LINEAR_WITH_RESIDUAL",
            "TASK_LINEAR_WITH_RESIDUAL_HOPPER",
            "TASK_LINEAR_SWAPAB_WITH_RESIDUAL_HOPPER",
            "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
            "TASK_LINEAR_WITH_RESIDUAL_SM100",
        )
    ),
    *(
        TaskFunction(name, "elementwise.silu_mul", Joins((".c", ".c")), "torch.nn.functional.silu")
        for name in ("TASK_SILU_MUL", "TASK_SILU_MUL_HOPPER")
    ),
    *(
        # Ids are read from the start of the tile, whatever its shape: rows stay together
        TaskFunction(
            name,
            "embedding.embedding",
            Joins(("..", ".c", ".c")),
            "torch.nn.functional.embedding",
            MappingProxyType({"bf16": EXACT}),
        )
        for name in ("TASK_EMBEDDING", "TASK_EMBEDDING_HOPPER")
    ),
    *(
        TaskFunction(
            name,
            "argmax.argmax_partial",
            Joins((".c", ".c", ".c")),
            "torch.topk of each chunk",
            MappingProxyType({"bf16": EXACT}),
        )
        for name in ("TASK_ARGMAX_PARTIAL", "TASK_ARGMAX_PARTIAL_SM100")
    ),
    *(
        TaskFunction(name, "argmax.argmax_reduce", None, "torch.argmax of the whole row")
        for name in ("TASK_ARGMAX_REDUCE", "TASK_ARGMAX_REDUCE_SM100")
    ),
)
