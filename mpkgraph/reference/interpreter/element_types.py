"""Element types of torch by Mirage's numbers, and what fills memory that nobody wrote."""

from __future__ import annotations

from functools import cache
from typing import Any

from mpkgraph.catalog import DEFAULT
from mpkgraph.errors import UsageError
from mpkgraph.model.record import RECORD_DATA_TYPES, RecordedTensor

TORCH_NAMES = {
    "DT_FLOAT8": "float8_e4m3fn",
    "DT_INT8": "int8",
    "DT_UINT8": "uint8",
    "DT_FLOAT16": "float16",
    "DT_BFLOAT16": "bfloat16",
    "DT_INT16": "int16",
    "DT_UINT16": "uint16",
    "DT_FLOAT32": "float32",
    "DT_INT32": "int32",
    "DT_UINT32": "uint32",
    "DT_DOUBLE": "float64",
    "DT_INT64": "int64",
    "DT_UINT64": "uint64",
}

POISON = {
    "DT_FLOAT8": b"\x7f",
    "DT_FLOAT16": b"\xa5\x7d",
    "DT_BFLOAT16": b"\xa5\x7f",
    "DT_FLOAT32": b"\xa5\xa5\xa5\x7f",
    "DT_DOUBLE": b"\xa5\xa5\xa5\xa5\xa5\xa5\xf5\x7f",
}
"""One element that nobody wrote: a NaN that no operation makes. Of other types every byte is
`POISON_BYTE`, a number that no index reaches."""
POISON_BYTE = b"\xa5"


@cache
def torch_type(name: str) -> Any:
    """Type in torch of `DT_BFLOAT16` and the like, or of a torch name. Raises UsageError."""
    import torch

    found = getattr(torch, TORCH_NAMES.get(name, name), None)
    if found is None:
        raise UsageError(f"tensors of type {name} can't be executed: torch has no such type")
    return found


def type_name(data_type: int) -> str:
    """`DT_BFLOAT16` for 941. Raises UsageError for a type without a size."""
    name = DEFAULT.data_types.get(data_type)
    if name is None or name not in TORCH_NAMES:
        raise UsageError(f"tensors of type {name or data_type} can't be executed")
    return name


def recorded_type(tensor: RecordedTensor) -> str:
    """The name of a recorded tensor's type, or Mirage's where torch's is not known."""
    mirage = RECORD_DATA_TYPES.get(tensor.dtype, tensor.dtype)
    is_other_fp8 = mirage == "DT_FLOAT8" and tensor.torch_dtype is not None
    return tensor.torch_dtype if is_other_fp8 and tensor.torch_dtype else mirage


def poison_of(name: str) -> bytes:
    """What one unwritten element holds: the type by Mirage's name, else bytes of POISON_BYTE."""
    return POISON.get(name, POISON_BYTE)
