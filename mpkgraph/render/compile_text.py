"""What compiling came to, as text and as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from mpkgraph.io.writer import text_chunks
from mpkgraph.pipeline.compile import CompileResult
from mpkgraph.pipeline.compiled import Compiled
from mpkgraph.planner.warnings import PlanWarning
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.report import VerifyReport

SCHEMA = "mpkgraph-compile/1"


def compile_text(out: TextIO, result: CompileResult) -> None:
    """One paragraph a graph: what it is for, its size, its files."""
    for compiled in result.compiled:
        record = compiled.record
        name = "" if compiled.index == 0 else f"graph {compiled.index + 1} of "
        out.write(f"{name}rank {compiled.rank} of {record.num_gpus}, cc {record.target_cc}\n")
        graph = compiled.graph
        if graph is not None:
            layers = len(record.layers)
            out.write(
                f"  {layers:,} layer{'s' * (layers != 1)}, {graph.num_tasks:,} tasks, "
                f"{graph.num_events:,} events\n"
            )
        out.writelines(f"  wrote {printable(str(path))}\n" for path in compiled.files)
        if not compiled.files:
            out.write("  nothing written\n")


def warning_lines(result: CompileResult) -> Iterator[str]:
    """Warnings of all graphs, each said once, and notes."""
    said: dict[str, None] = {}
    for compiled in result.compiled:
        for warning in compiled.warnings:
            said.setdefault(_warning_line(compiled, warning))
    yield from said
    for note in result.notes:
        yield f"mpkgraph: note: {printable(note)}"


def _warning_line(compiled: Compiled, warning: PlanWarning) -> str:
    where = _where(compiled, warning)
    place = f"{where}: " if where else ""
    return f"mpkgraph: warning: {printable(f'{place}{warning}')} [{warning.code}]"


def _where(compiled: Compiled, warning: PlanWarning) -> str | None:
    """The user's line where it is known, else the place in the record."""
    if warning.where is None:
        return compiled.record.path or (None if compiled.site is None else str(compiled.site))
    site = compiled.record.call_site(warning.where)
    if site is not None:
        return str(site)
    path = compiled.record.path
    return f"{path}, {warning.where}" if path else warning.where


def compile_json(result: CompileResult, report: VerifyReport | None = None) -> bytes:
    """The report as one JSON object, schema `mpkgraph-compile/1`; `verify` is that of `--check`."""
    from mpkgraph.render.verify.json_form import json_bytes, report_document

    payload: dict[str, Any] = {
        "schema": SCHEMA,
        "graphs": [_graph_json(x) for x in result.compiled],
        "notes": list(result.notes),
    }
    if report is not None:
        payload["verify"] = report_document(report)
    return json_bytes(payload)


def _graph_json(compiled: Compiled) -> dict[str, Any]:
    record, graph = compiled.record, compiled.graph
    return {
        "rank": compiled.rank,
        "index": compiled.index,
        "world_size": record.num_gpus,
        "target_cc": record.target_cc,
        "num_workers": record.init.get("num_workers"),
        "num_local_schedulers": record.init.get("num_local_schedulers"),
        "num_layers": len(record.layers),
        "num_tasks": None if graph is None else graph.num_tasks,
        "num_events": None if graph is None else graph.num_events,
        "num_null_tasks": None if graph is None else graph.num_null_tasks,
        "sha256": None if graph is None else _sha256(compiled),
        "files": [str(path) for path in compiled.files],
        "warnings": [
            {
                "code": warning.code,
                "layer": warning.layer,
                "what": warning.what,
                "remedy": warning.remedy,
                "where": _where(compiled, warning),
                "num_layers": warning.num_layers,
            }
            for warning in compiled.warnings
        ],
    }


def _sha256(compiled: Compiled) -> str:
    """Of the graph's text."""
    digest = hashlib.sha256()
    if compiled.graph is not None:
        for chunk in text_chunks(compiled.graph):
            digest.update(chunk)
    return digest.hexdigest()
