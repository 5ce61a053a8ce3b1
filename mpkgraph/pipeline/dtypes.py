"""Element types by the names of Mirage's Python, and torch's names for them.

Source: `python/mirage/_cython/core.pyx` (`dtype`, `convert_torch_type_to_dtype`).
"""

from __future__ import annotations

from typing import Any

from mpkgraph.model.record import RECORD_DATA_TYPES
from mpkgraph.pipeline.refusal import refuse

CORE_NAMES = {"fp8_e4m3": "fp8"}
"""Types that the core keeps as another: a tensor made as fp8_e4m3 says fp8."""

TORCH_TYPES = {
    "float8_e4m3fn": "fp8",
    "float8_e4m3fnuz": "fp8",
    "float8_e5m2": "fp8",
    "float8_e5m2fnuz": "fp8",
    "float8_e8m0fnu": "fp8",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
    "int32": "int32",
    "uint32": "uint32",
    "int64": "int64",
    "float64": "fp64",
}
"""torch's name of a type that `attach_input` takes, to Mirage's."""


class dtype:  # noqa: N801  Mirage's name
    """An element type: `dtype("bf16")`. Equal by name."""

    SINT_TYPES = ("int8", "int16", "int32", "int64")
    UINT_TYPES = ("uint8", "uint16", "uint32", "uint64")
    FP_TYPES = ("fp8", "fp8_e4m3", "fp16", "bf16", "fp32", "fp64")

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if name not in RECORD_DATA_TYPES:
            refuse(
                AssertionError,
                f"{name!r} is no element type",
                remedy=f"Use one of {', '.join(sorted(RECORD_DATA_TYPES))}",
                upstream=str(name),
            )
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dtype) and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.name,))

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"dtype({self.name!r})"

    def __getattr__(self, attribute: str) -> Any:
        """`is_bf16()` and so on, one for each name."""
        name = attribute.removeprefix("is_")
        if name != attribute and (name in RECORD_DATA_TYPES or name == "int1"):
            return lambda: self.name == name
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")

    @staticmethod
    def is_dtype(type_str: str) -> bool:
        return type_str in RECORD_DATA_TYPES


int8 = dtype("int8")
int16 = dtype("int16")
int32 = dtype("int32")
int64 = dtype("int64")
uint8 = dtype("uint8")
uint16 = dtype("uint16")
uint32 = dtype("uint32")
uint64 = dtype("uint64")
float8 = dtype("fp8")
float16 = dtype("fp16")
bfloat16 = dtype("bf16")
float32 = dtype("fp32")
float64 = dtype("fp64")
float8_e4m3 = dtype("fp8_e4m3")


def torch_name(torch_type: Any) -> str:
    """Torch's name of a type without the module: `bfloat16` for `torch.bfloat16` or a string."""
    return str(torch_type).removeprefix("torch.")


def from_torch(torch_type: Any) -> dtype:
    """Mirage's element type of a torch type.

    Raises an error that is a RuntimeError when Mirage has none (bool, complex, uint64).
    """
    name = TORCH_TYPES.get(torch_name(torch_type))
    if name is None:
        refuse(
            RuntimeError,
            f"Mirage has no element type for {torch_type}",
            remedy=f"Use one of {', '.join(TORCH_TYPES)}",
            upstream=f"Unsupported dtype: {torch_type}",
        )
    return dtype(name)


def in_core(given: dtype) -> dtype:
    """The type that a tensor has once the core holds it."""
    return dtype(CORE_NAMES.get(given.name, given.name))
