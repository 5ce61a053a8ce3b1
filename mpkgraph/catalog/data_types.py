"""Element types of Mirage at `de8745d` (`include/mirage/type.h`, `src/base/data_type.cc`)."""

from __future__ import annotations

from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class DataTypeRow:
    """One element type. `size_bytes` is None where Mirage has no size for it (sub-byte types)."""

    value: int
    name: str
    short_name: str
    size_bytes: int | None


DT_UNKNOWN = 999

DATA_TYPES: tuple[DataTypeRow, ...] = (
    # 4 bit
    DataTypeRow(920, "DT_FLOAT4", "float4", None),
    DataTypeRow(925, "DT_INT4", "int4", None),
    DataTypeRow(926, "DT_UINT4", "uint4", None),
    # 8 bit
    DataTypeRow(930, "DT_FLOAT8", "float8", 1),
    DataTypeRow(935, "DT_INT8", "int8", 1),
    DataTypeRow(936, "DT_UINT8", "uint8", 1),
    # 16 bit
    DataTypeRow(940, "DT_FLOAT16", "float16", 2),
    DataTypeRow(941, "DT_BFLOAT16", "bfloat16", 2),
    DataTypeRow(945, "DT_INT16", "int16", 2),
    DataTypeRow(946, "DT_UINT16", "uint16", 2),
    # 32 bit
    DataTypeRow(950, "DT_FLOAT32", "float32", 4),
    DataTypeRow(955, "DT_INT32", "int32", 4),
    DataTypeRow(956, "DT_UINT32", "uint32", 4),
    # 64 bit
    DataTypeRow(960, "DT_DOUBLE", "double", 8),
    DataTypeRow(965, "DT_INT64", "int64", 8),
    DataTypeRow(966, "DT_UINT64", "uint64", 8),
    # Slots whose tensor was given as None
    DataTypeRow(DT_UNKNOWN, "DT_UNKNOWN", "none", None),
)
