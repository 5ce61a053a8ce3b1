"""A row of the table of task functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from types import MappingProxyType

from mpkgraph.errors import MissingDependencyError
from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.gpu_checked import GPU_CHECKED
from mpkgraph.reference.joins import Joins

KERNELS = "mpkgraph.reference.kernels"
INSTALL = "Install torch: pip install 'mpkgraph[torch]'"

Run = Callable[[TaskCall], None]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """`|value - reference| <= atol + rtol * |reference|`; both 0 means equal to the bit."""

    rtol: float
    atol: float

    @property
    def is_exact(self) -> bool:
        return self.rtol == 0 and self.atol == 0


EXACT = Tolerance(0.0, 0.0)
BF16 = Tolerance(2.0**-7, 2.0**-8)
"""One unit in the last place of bfloat16 (2**-7 at most), and as much where sums cancel."""
FP32 = Tolerance(1e-5, 1e-5)
"""Sums in another order."""
FP8 = Tolerance(2.0**-3, 2.0**-9)
"""One unit in the last place of e4m3."""


@dataclass(frozen=True)
class TaskFunction:
    """The function of one task type, how tasks of it are joined, and what vouches for it."""

    task_type: str
    function: str
    """`module.function` under `mpkgraph.reference.kernels`."""
    joins: Joins | None
    """None: every task is a call of its own."""
    checked_against: str
    """The independent formulation, for the documentation."""
    tolerance: Mapping[str, Tolerance] = field(
        default_factory=lambda: MappingProxyType({"bf16": BF16})
    )
    """By short dtype name (`bf16`, `fp32`, `fp8`, `int32`, `int64`) of an output: how far a right
    kernel may be from this function. A type that is not named must be equal."""
    deviations: tuple[str, ...] = ()
    """Where Mirage's kernel does something else than what it means, a sentence each."""

    @cached_property
    def run(self) -> Run:
        """The function itself: writes into the views of the call it is given.

        Raises MissingDependencyError without torch.
        """
        module, _, name = self.function.rpartition(".")
        try:
            run: Run = getattr(import_module(f"{KERNELS}.{module}"), name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != "torch":
                raise
            raise MissingDependencyError(
                "executing tasks needs torch, which is not installed", remedy=INSTALL
            ) from None
        return run

    @property
    def is_gpu_checked(self) -> bool:
        """Whether an H100 ran Mirage's kernel, and its results agree but for what the row says.

        Where not, what the kernel computes is known from reading its source alone.
        """
        return self.task_type in GPU_CHECKED

    def tolerance_of(self, data_type: str) -> Tolerance:
        """For an output of this type (short name)."""
        return self.tolerance.get(data_type, EXACT)
