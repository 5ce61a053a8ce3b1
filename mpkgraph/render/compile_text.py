"""What compiling came to, as text and as JSON."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from mpkgraph.io.writer import text_chunks
from mpkgraph.pipeline.compiled import Compiled, CompileResult
from mpkgraph.planner.warnings import PlanWarning
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.report import VerifyReport
    from mpkgraph.mirage.compile import MirageResult

SCHEMA = "mpkgraph-compile/1"
SHOWN_KERNELS = ("worker_kernel", "scheduler_kernel")
"""The kernels that run a graph; the others prepare it, or are not used."""


def compile_text(out: TextIO, result: CompileResult) -> None:
    """One paragraph a graph: what it is for, its size, its files."""
    by_mirage = _by_mirage(result)
    if by_mirage is not None and by_mirage.mirage is not None:
        out.write(f"by {printable(by_mirage.mirage.describe())}\n")
    for position, compiled in enumerate(result.compiled):
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
        if by_mirage is not None:
            out.writelines(f"  {printable(x)}\n" for x in _mirage_lines(by_mirage, position))
        out.writelines(f"  wrote {printable(str(path))}\n" for path in compiled.files)
        if not compiled.files:
            out.write("  nothing written\n")


def _by_mirage(result: CompileResult) -> MirageResult | None:
    """The result as one of Mirage; its module is there already when it is one."""
    module = sys.modules.get("mpkgraph.mirage.compile")
    return result if module is not None and isinstance(result, module.MirageResult) else None


def _mirage_lines(result: MirageResult, position: int) -> Iterator[str]:
    """How Mirage's graph compares, and what nvcc made."""
    graph = result.made[position]
    yield graph.comparison.what
    nvcc = graph.nvcc
    if nvcc is None:
        return
    took = f"{nvcc.seconds:.0f} s"
    yield f"kernel from the cache (nvcc took {took})" if nvcc.cached else f"nvcc took {took}"
    for kernel in nvcc.kernels:
        if kernel.name.rpartition("::")[2] in SHOWN_KERNELS:
            spills = kernel.spill_store_bytes + kernel.spill_load_bytes
            yield (
                f"{kernel.name}: {kernel.registers} registers, "
                + (f"{spills} bytes of spills" if spills else "no spills")
                + f", {kernel.stack_bytes} bytes of stack"
            )


def warning_lines(result: CompileResult) -> Iterator[str]:
    """Warnings of all graphs, each said once, and notes."""
    said: dict[str, None] = {}
    for compiled in result.compiled:
        for warning in compiled.warnings:
            said.setdefault(_warning_line(compiled, warning))
    yield from said
    by_mirage = _by_mirage(result)
    for graph in () if by_mirage is None else by_mirage.made:
        if graph.comparison.equal is False:
            yield f"mpkgraph: warning: {printable(graph.comparison.what)} [mirage-differs]"
            yield from (f"  | {printable(x)}" for x in graph.comparison.differences)
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
    from mpkgraph.analysis.json_text import json_bytes
    from mpkgraph.render.verify.json_form import report_document

    by_mirage = _by_mirage(result)
    graphs = [_graph_json(x) for x in result.compiled]
    if by_mirage is not None:
        for value, graph in zip(graphs, by_mirage.made, strict=True):
            value["comparison"] = graph.comparison.to_json()
            value["generate_seconds"] = graph.generate_seconds
            value["kernel"] = None if graph.nvcc is None else graph.nvcc.to_json()
            value["changes"] = list(graph.changes)
    payload: dict[str, Any] = {
        "schema": SCHEMA,
        "backend": "planner" if by_mirage is None else "mirage",
        "graphs": graphs,
        "notes": list(result.notes),
    }
    if by_mirage is not None and by_mirage.mirage is not None:
        payload["mirage"] = by_mirage.mirage.to_json()
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
