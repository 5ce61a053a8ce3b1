"""A summary as bytes, to be shown again without the graph, and without numpy.

`Summary.to_json` is for people's programs; this is compact, and what it gives back is equal to
the summary. What is kept of `load` is nothing: it follows from the number of tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from mpkgraph.analysis.kept_values import as_int, as_str
from mpkgraph.analysis.summary_result import (
    Repeat,
    Summary,
    SummaryOperator,
    SummarySlot,
    SummaryTensor,
)
from mpkgraph.model.source import GraphSource

Value = TypeVar("Value")

_COUNTS = (
    "rank",
    "num_tasks",
    "num_null_tasks",
    "num_events",
    "num_first_tasks",
    "num_tensors",
    "depth",
    "width",
    "num_remote_triggers",
)


class SummaryStoreError(ValueError):
    """The bytes are no summary, or the summary can't be kept."""


def summary_to_bytes(summary: Summary) -> bytes:
    """All but `load` and the paths, which are not the graph's own.

    Raises SummaryStoreError when it holds what JSON does not keep.
    """
    slots: dict[SummarySlot, int] = {}

    def numbers(found: tuple[SummarySlot, ...]) -> list[int]:
        return [slots.setdefault(slot, len(slots)) for slot in found]

    document = {
        "sha256": summary.source.sha256,
        "num_bytes": summary.source.num_bytes,
        "mirage_version": summary.mirage_version,
        "catalog_source": summary.catalog_source,
        "counts": [getattr(summary, name) for name in _COUNTS],
        "task_types": dict(summary.task_types),
        "event_types": dict(summary.event_types),
        "operators": [
            [
                x.index,
                x.name,
                x.task_type_name,
                x.kind,
                x.layer_method,
                x.grid_dim,
                x.known_grid,
                x.num_subtasks,
                x.num_tasks,
                x.first_task_id,
                x.variant_ids,
                numbers(x.inputs),
                numbers(x.outputs),
                x.num_events_in,
                x.num_events_out,
                x.bytes_read,
                x.bytes_written,
                x.layer,
            ]
            for x in summary.operators
        ],
        "slots": [[x.tensor, x.data_type_name, x.tile_dims] for x in slots],
        "operators_origin": summary.operators_origin,
        "repeats": [[x.first, x.period, x.count, x.layers] for x in summary.repeats],
        "cycle": summary.cycle,
        "largest_tensors": [
            [x.name, x.data_type_name, x.dims, x.known_dims, x.num_bytes]
            for x in summary.largest_tensors
        ],
        "extras": dict(summary.extras),
    }
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise SummaryStoreError(f"the summary holds what is no JSON: {error}") from error


def summary_from_bytes(data: bytes, *, source: GraphSource) -> Summary:
    """The summary that `summary_to_bytes` was given, without load, its paths those of `source`.

    Raises SummaryStoreError for any bytes but those of a summary.
    """
    try:
        return _summary(orjson.loads(data), source)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise SummaryStoreError(f"no summary: {error}") from error


def _summary(document: dict[str, Any], source: GraphSource) -> Summary:
    slots = [
        SummarySlot(as_str(tensor), as_str(data_type_name), _ints(dims))
        for tensor, data_type_name, dims in document["slots"]
    ]
    counts = dict(zip(_COUNTS, _ints(document["counts"]), strict=True))
    return Summary(
        source=GraphSource(
            path=source.path,
            sha256=_optional(as_str, document["sha256"]),
            num_bytes=_optional(as_int, document["num_bytes"]),
            record_path=source.record_path,
        ),
        mirage_version=_optional(as_str, document["mirage_version"]),
        catalog_source=as_str(document["catalog_source"]),
        task_types={name: as_int(count) for name, count in document["task_types"].items()},
        event_types={name: as_int(count) for name, count in document["event_types"].items()},
        operators=tuple(_operator(row, slots) for row in document["operators"]),
        operators_origin=_optional(as_str, document["operators_origin"]),
        repeats=tuple(
            Repeat(as_int(first), as_int(period), as_int(count), _optional(_pair, layers))
            for first, period, count, layers in document["repeats"]
        ),
        cycle=_ints(document["cycle"]),
        load=None,
        largest_tensors=tuple(
            SummaryTensor(
                as_str(name), as_str(data_type_name), _ints(dims), _flags(known), as_int(num_bytes)
            )
            for name, data_type_name, dims, known, num_bytes in document["largest_tensors"]
        ),
        extras=dict(document["extras"]),
        **counts,
    )


def _operator(row: list[Any], slots: list[SummarySlot]) -> SummaryOperator:
    (
        index,
        name,
        task_type_name,
        kind,
        layer_method,
        (x, y, z),
        known_grid,
        num_subtasks,
        num_tasks,
        first_task_id,
        variant_ids,
        inputs,
        outputs,
        num_events_in,
        num_events_out,
        bytes_read,
        bytes_written,
        layer,
    ) = row
    known_x, known_y, known_z = _flags(known_grid)
    return SummaryOperator(
        index=as_int(index),
        name=as_str(name),
        task_type_name=as_str(task_type_name),
        kind=as_str(kind),
        layer_method=_optional(as_str, layer_method),
        grid_dim=(as_int(x), as_int(y), as_int(z)),
        known_grid=(known_x, known_y, known_z),
        num_subtasks=as_int(num_subtasks),
        num_tasks=as_int(num_tasks),
        first_task_id=as_int(first_task_id),
        variant_ids=_ints(variant_ids),
        inputs=tuple([slots[slot] for slot in inputs]),
        outputs=tuple([slots[slot] for slot in outputs]),
        num_events_in=as_int(num_events_in),
        num_events_out=as_int(num_events_out),
        bytes_read=_optional(as_int, bytes_read),
        bytes_written=_optional(as_int, bytes_written),
        layer=_optional(as_int, layer),
    )


def _optional(kind: Callable[[Any], Value], value: Any) -> Value | None:
    return None if value is None else kind(value)


def _ints(values: Any) -> tuple[int, ...]:
    if type(values) is not list or not set(map(type, values)) <= {int}:
        raise TypeError("a list of numbers is missing")
    return tuple(values)


def _flags(values: Any) -> tuple[bool, ...]:
    if type(values) is not list or not set(map(type, values)) <= {bool}:
        raise TypeError("a list of flags is missing")
    return tuple(values)


def _pair(values: Any) -> tuple[int, int]:
    first, last = _ints(values)
    return first, last
