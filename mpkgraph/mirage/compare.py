"""Mirage's graph beside the planner's for the same record: equal, or where they part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from mpkgraph.errors import MpkGraphError
from mpkgraph.io.writer import text_chunks
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import PipelineRecord
from mpkgraph.planner.plan import Plan, ProcessPlanner

MAX_DIFFERENCES = 5
UNDEFINED = frozenset({"map-past-rank", "undefined-variant"})
"""Warnings of the planner where Mirage's result hangs on memory that it never wrote."""


@dataclass(frozen=True)
class Comparison:
    """`equal` is None where there is nothing to compare with, for the reason `what`."""

    equal: bool | None
    what: str
    differences: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"equal": self.equal, "what": self.what, "differences": list(self.differences)}


def plan_like(
    planner: ProcessPlanner, record: PipelineRecord | None
) -> tuple[Plan | None, MpkGraphError | None]:
    """The planner's graph of a record, or why there is none."""
    if record is None:
        return None, None
    try:
        return planner(record), None
    except MpkGraphError as error:
        return None, error


def compare(text: bytes, plan: Plan | None, error: MpkGraphError | None) -> Comparison:
    """Compare to the byte."""
    if error is not None:
        return Comparison(
            equal=False,
            what="Mirage makes a graph of what mpkgraph's planner refuses",
            differences=(str(error),),
        )
    if plan is None:
        return Comparison(
            equal=None, what="the pipeline could not be recorded, so it was not planned"
        )
    ours = graph_bytes(plan.graph)
    if ours == text:
        return Comparison(equal=True, what="equal to the planner's, byte for byte")
    codes = sorted({x.code for x in plan.warnings} & UNDEFINED)
    if codes:
        return Comparison(
            equal=False,
            what="Mirage's graph is another than the planner's, as was to be expected: it holds "
            f"what Mirage found in memory that it never wrote ({', '.join(codes)})",
            differences=tuple(_differences(orjson.loads(text), orjson.loads(ours))),
        )
    return Comparison(
        equal=False,
        what="Mirage's graph is another than the planner's: a fault of mpkgraph, or news of Mirage",
        differences=tuple(_differences(orjson.loads(text), orjson.loads(ours))),
    )


def graph_bytes(graph: TaskGraph) -> bytes:
    """The text of a graph."""
    return b"".join(text_chunks(graph))


def sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _differences(theirs: Any, ours: Any) -> Iterator[str]:
    """Where two documents part, a line each, the counts before the values."""
    keys = ("all_tasks", "all_events", "first_tasks")
    for key in keys:
        left, right = (x.get(key) or [] for x in (theirs, ours))
        if len(left) != len(right):
            yield f"{key}: Mirage has {len(left):,}, the planner {len(right):,}"
    shown = 0
    for key in keys:
        left, right = (x.get(key) or [] for x in (theirs, ours))
        for index, (one, other) in enumerate(zip(left, right, strict=False)):
            if one == other:
                continue
            yield from (f"{key}[{index}]{x}" for x in _fields(one, other))
            shown += 1
            if shown == MAX_DIFFERENCES:
                yield "..."
                return


def _fields(one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if one.get(key) != other.get(key):
                yield from (f".{key}{x}" for x in _fields(one.get(key), other.get(key)))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            if left != right:
                yield from (f"[{index}]{x}" for x in _fields(left, right))
    else:
        yield f": Mirage has {one!r}, the planner {other!r}"
