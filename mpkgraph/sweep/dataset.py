"""Tables of graphs as a Parquet dataset: `run=NAME/table=tasks/graph0-rank0.parquet`.

All files of a table have the same columns and types, whatever graph they are of, so that DuckDB,
Spark or pyarrow read thousands of them as one table, with `run` as a column.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mpkgraph.analysis.lists import event_list, operator_list, slot_list, task_list
from mpkgraph.analysis.table import Column, Table
from mpkgraph.analysis.verify.rule import SEVERITIES
from mpkgraph.errors import MissingDependencyError
from mpkgraph.sweep.result import PointResult

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.finding import Finding
    from mpkgraph.analysis.verify.report import Pipeline

INTEGER_TUPLES = {"dims", "strides", "variant_ids", "grid_dim"}
INTEGERS = {"bytes_read", "bytes_written"}
"""Columns of the listings that are lists of these; other lists are of texts."""

TABLES = ("tasks", "slots", "events", "operators", "findings", "runs", "parameters")

_FINDINGS = {
    "graph": "int64",
    "rank": "int64",
    "code": "string",
    "name": "string",
    "family": "string",
    "severity": "string",
    "message": "string",
    "remedy": "string",
    "operator": "int64",
    "operator_name": "string",
    "slot": "int64",
    "tensor": "string",
    "event": "int64",
    "file": "string",
    "line": "int64",
    "record_path": "string",
    "count": "int64",
    "count_of": "string",
    "num_operators": "int64",
    "fingerprint": "string",
}

_RUNS = {
    "pipeline": "string",
    "graph": "int64",
    "ranks": "int64",
    "target_cc": "int64",
    "gpu": "string",
    "num_workers": "int64",
    "num_schedulers": "int64",
    "num_layers": "int64",
    "num_operators": "int64",
    "num_tasks": "int64",
    "num_events": "int64",
    "depth": "int64",
    "width": "int64",
    "makespan_ns": "int64",
    "hangs": "bool",
    "errors": "int64",
    "warnings": "int64",
    "advice": "int64",
    "plan_warnings": "int64",
}

_PARAMETERS = {"name": "string", "value": "string"}


def load_pyarrow() -> Any:
    """The package. Raises MissingDependencyError without it."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "a dataset needs the package pyarrow",
            remedy="Install it: pip install 'mpkgraph[parquet]'",
        ) from error
    return pa


def write_tables(folder: Path, graph: int, pipeline: Pipeline, findings: Sequence[Finding]) -> None:
    """The listings of one graph of a run, a file a table and rank, and what was found in it."""
    for context in pipeline.ranks:
        name = f"graph{graph}-rank{context.graph.rank}"
        for make in (task_list, slot_list, event_list, operator_list):
            _write_listing(folder, name, make(context.view), graph, context.graph.rank)
    rows = [_finding_row(graph, finding) for finding in findings]
    _write_rows(folder, "findings", f"graph{graph}", rows, _FINDINGS)


def write_run(folder: Path, pipeline: str, result: PointResult) -> None:
    """One row a graph with its numbers, and one row a parameter of the run."""
    rows: list[dict[str, Any]] = []
    for graph in result.graphs:
        known = graph.to_json()
        row = {name: known[name] for name in _RUNS if name in known}
        row |= {"pipeline": pipeline, "graph": graph.index}
        for severity in SEVERITIES:
            here = [x for x in result.findings if x["graph"] == graph.index]
            number = sum(x["severity"] == severity for x in here)
            row["advice" if severity == "advice" else f"{severity}s"] = number
        row["plan_warnings"] = sum(x["graph"] == graph.index for x in result.warnings)
        rows.append(row)
    _write_rows(folder, "runs", "graphs", rows, _RUNS)
    values = [{"name": name, "value": value} for name, value in result.values]
    _write_rows(folder, "parameters", "parameters", values, _PARAMETERS)


def _write_listing(folder: Path, name: str, table: Table, graph: int, rank: int) -> None:
    pa = load_pyarrow()
    count = table.num_rows
    arrays = {
        "graph": pa.array(np.full(count, graph, dtype=np.int64)),
        "rank": pa.array(np.full(count, rank, dtype=np.int64)),
    }
    for label, column in table.columns.items():
        arrays[label] = _array(pa, label, column)
    _write(folder, table.name, name, pa.table(arrays))


def _array(pa: Any, label: str, column: Column) -> Any:
    values = column.values
    if isinstance(values, np.ndarray):
        if values.dtype != np.bool_:
            # one type in all files, however small the numbers of one graph are
            values = values.astype(np.uint64 if values.dtype == np.uint64 else np.int64)
        return pa.array(values, mask=column.missing)
    kind = pa.int64() if label in INTEGERS else pa.string()
    return pa.array(values, pa.list_(pa.int64()) if label in INTEGER_TUPLES else kind)


def _finding_row(graph: int, finding: Finding) -> dict[str, Any]:
    where = finding.location
    return {
        "graph": graph,
        "rank": where.rank,
        "code": finding.rule.code,
        "name": finding.rule.name,
        "family": finding.rule.family,
        "severity": finding.severity,
        "message": finding.message,
        "remedy": finding.remedy,
        "operator": where.operator,
        "operator_name": where.operator_name,
        "slot": where.slot,
        "tensor": where.tensor,
        "event": where.event,
        "file": None if where.site is None else where.site.file,
        "line": None if where.site is None else where.site.line,
        "record_path": where.record_path,
        "count": finding.count,
        "count_of": finding.count_of,
        "num_operators": finding.num_operators,
        "fingerprint": finding.fingerprint,
    }


def _write_rows(
    folder: Path, table: str, name: str, rows: Sequence[dict[str, Any]], types: dict[str, str]
) -> None:
    pa = load_pyarrow()
    kinds = {"int64": pa.int64(), "string": pa.string(), "bool": pa.bool_()}
    arrays = {
        label: pa.array([row[label] for row in rows], kinds[kind]) for label, kind in types.items()
    }
    _write(folder, table, name, pa.table(arrays))


def _write(folder: Path, table: str, name: str, content: Any) -> None:
    place = folder / f"table={table}"
    place.mkdir(parents=True, exist_ok=True)
    load_pyarrow().parquet.write_table(content, place / f"{name}.parquet", compression="zstd")
