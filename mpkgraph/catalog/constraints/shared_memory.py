"""Dynamic shared memory: what a target has, and what kernels with row buffers need.

`MAX_DYNAMIC_SHARED_MEMORY_SIZE` of `persistent_kernel.cuh` and the buffers of the kernels, at
`de8745d`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mpkgraph.catalog.registered import TaskFacts, UndefinedVariantError

LIMITS: tuple[tuple[str, int, int, int], ...] = (
    # (modes, cc from, cc below, bytes), the first that fits
    ("token-free", 90, 91, 219_136),
    ("token-free", 100, 101, 219_136),
    ("token-free", 90, 1000, 222_208),
    ("token-free", 86, 90, 98_304),
    ("token-free", 80, 86, 160_768),
    ("token-free", 0, 80, 163_840),
    ("other", 90, 91, 205_824),
    ("other", 100, 101, 205_824),
    ("other", 90, 1000, 208_896),
    ("other", 86, 90, 98_304),
    ("other", 0, 86, 163_840),
)
TOKEN_FREE_MODES = frozenset({"online_notoken", "online_multi_turn"})

BF16_BYTES = 2


def dynamic_limit_bytes(target_cc: int, mode: str) -> int:
    """Bytes of dynamic shared memory of a worker."""
    kind = "token-free" if mode in TOKEN_FREE_MODES else "other"
    return next(
        size for modes, start, stop, size in LIMITS if modes == kind and start <= target_cc < stop
    )


def _norm(facts: TaskFacts) -> int:
    return 3 * BF16_BYTES * facts.input(0).dims[1] + 16


def _norm_hopper(facts: TaskFacts) -> int:
    return 3 * BF16_BYTES * facts.input(0).dims[1] + 32


def _norm_linear(facts: TaskFacts) -> int:
    return BF16_BYTES * facts.output(0).tile[0] * facts.input(0).dims[1]


NEEDS: Mapping[str, Callable[[TaskFacts], int]] = MappingProxyType(
    {
        "rmsnorm": _norm,
        "rmsnorm_hopper": _norm_hopper,
        # The input alone; the kernel's stages come on top
        "rmsnorm_linear": _norm_linear,
    }
)
"""By registered name, for kernels that keep whole rows."""


def needed_bytes(name: str, facts: TaskFacts) -> int | None:
    """Bytes that a layer's kernel needs at least; None where no size of the layer decides it."""
    need = NEEDS.get(name)
    if need is None:
        return None
    try:
        return need(facts)
    except UndefinedVariantError:
        return None
