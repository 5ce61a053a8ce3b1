"""How far a value may be from the right one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpkgraph.errors import UsageError
from mpkgraph.reference.row import BF16, EXACT, FP32, TaskFunction, Tolerance

UNIT = 2.0**-22
"""Error of a float32 sum of one product, relative to the sum; it grows with the square root of how
many there are."""
OTHER_TYPES: Mapping[str, Tolerance] = {
    "bf16": BF16,
    "fp16": Tolerance(2.0**-10, 2.0**-11),
    "fp32": FP32,
    "fp64": Tolerance(1e-12, 1e-12),
    "fp8": Tolerance(2.0**-3, 2.0**-6),
}
"""For tensors of no function that has tolerances of its own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A value passes when `|value - right| <= atol + rtol * |right|`."""

    rtol: float
    atol: float
    reason: str
    """`bf16, sums of 4096`; `given` where the user said."""

    def to_json(self) -> dict[str, Any]:
        return {"rtol": self.rtol, "atol": self.atol, "reason": self.reason}


@dataclass(frozen=True)
class GivenLimits:
    """What the user says: for all tensors, or by name."""

    rtol: float | None = None
    atol: float | None = None
    rtol_of: Mapping[str, float] = field(default_factory=dict)
    atol_of: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, rtol: Iterable[str], atol: Iterable[str]) -> GivenLimits:
        """From `--rtol 1e-2` and `--rtol out=1e-2`. Raises UsageError for what is no number.

        >>> GivenLimits.parse(["0.01", "out=0.1"], []).rtol_of
        {'out': 0.1}
        """
        everywhere: dict[str, float | None] = {"--rtol": None, "--atol": None}
        by_name: dict[str, dict[str, float]] = {"--rtol": {}, "--atol": {}}
        for option, texts in (("--rtol", rtol), ("--atol", atol)):
            for text in texts:
                name, equals, number = text.rpartition("=")
                value = _number(option, number)
                if equals:
                    by_name[option][name] = value
                else:
                    everywhere[option] = value
        return cls(everywhere["--rtol"], everywhere["--atol"], by_name["--rtol"], by_name["--atol"])

    @property
    def names(self) -> set[str]:
        return {*self.rtol_of, *self.atol_of}

    def apply(self, name: str, limits: Limits) -> Limits:
        """The user's word over the default; what is not given of the two stays."""
        rtol = self.rtol_of.get(name, self.rtol)
        atol = self.atol_of.get(name, self.atol)
        if rtol is None and atol is None:
            return limits
        return Limits(
            limits.rtol if rtol is None else rtol, limits.atol if atol is None else atol, "given"
        )


def default_limits(
    function: TaskFunction | None, data_type: str, reduction: int, size: float
) -> Limits:
    """By type, by how many products a sum has, and by the size (rms) of the right values."""
    tolerance = OTHER_TYPES.get(data_type, EXACT)
    if function is not None:
        tolerance = function.tolerance_of(data_type)
    if tolerance.is_exact:
        return Limits(0.0, 0.0, f"{data_type}, equal")
    atol = size * (tolerance.atol + UNIT * math.sqrt(max(reduction, 1)))
    return Limits(tolerance.rtol, atol, f"{data_type}, sums of {reduction}")


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0.0:
        raise UsageError(
            f"{option} takes a number, or NAME=NUMBER, not {text!r}", remedy="Such as out=1e-2"
        )
    return value
