"""One point: planned, checked, simulated; its graphs and tables written where they are wanted."""

from __future__ import annotations

import dataclasses
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.analysis.cost.gpus import GPUS
from mpkgraph.analysis.cost.model import CostModel, cost_model
from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
from mpkgraph.analysis.verify.baseline import Baseline
from mpkgraph.analysis.verify.context import VerifyOptions
from mpkgraph.analysis.verify.planned import planned_pipelines
from mpkgraph.analysis.verify.report import Pipeline, check
from mpkgraph.analysis.verify.run import Suppress
from mpkgraph.analysis.verify.suppression import InlineComments, SuppressedAt
from mpkgraph.errors import MpkGraphError, PipelineError
from mpkgraph.pipeline.compile import compile_pipelines
from mpkgraph.pipeline.compiled import CompileResult, graph_folder, write_files
from mpkgraph.placement import likely_gpu, likely_kv_length, placement_of
from mpkgraph.sweep.points import STAGED_DATASET, CheckOptions, Point
from mpkgraph.sweep.result import GraphRow, PointError, PointResult
from mpkgraph.sweep.sources import opened_files, source_digests

if TYPE_CHECKING:
    from mpkgraph.analysis.schedule.result import Schedule
    from mpkgraph.planner.warnings import PlanWarning


def evaluate(point: Point, stage: Path | None = None) -> PointResult:
    """What there is to find at a point. It never raises an Exception: that is a result too.

    Files go to `stage`, an empty folder: graphs and records as `mpkgraph compile` names them,
    tables below `dataset`. **A script or function is run, with all that its code may do.**
    """
    result = PointResult(point.name, point.key, point.values)
    if Path(point.folder).is_dir():
        # Elsewhere (a job's own copy on a cluster) the process is where the files are
        os.chdir(point.folder)
    folder = str(Path.cwd())
    with opened_files() as opened:
        try:
            result = _evaluate(point, result, stage)
        except MpkGraphError as error:
            result = dataclasses.replace(result, error=_error(error, point))
        except MemoryError:
            found = PointError("crashed", "out of memory. Give it more, or fewer --jobs")
            result = dataclasses.replace(result, error=found)
        except Exception as error:  # noqa: BLE001  a bug of ours spoils no other point
            text = f"an internal error: {type(error).__name__}: {error}. Please report it"
            found = PointError("internal", text, traceback.format_exc())
            result = dataclasses.replace(result, error=found)
        sources = source_digests(opened, folder, _named_files(point, folder))
    return dataclasses.replace(result, sources=sources)


def _evaluate(point: Point, result: PointResult, stage: Path | None) -> PointResult:
    compiled = compile_pipelines(point.sources, point.plan)
    ways, comments = _ways_to_suppress(point.check)
    pipelines = list(
        planned_pipelines(compiled, point.sources[0], point.plan, _verify_options(point))
    )
    graphs, findings = [], list[dict[str, Any]]()
    for index, pipeline in enumerate(pipelines):
        checked = check(
            pipeline, select=point.check.select, ignore=point.check.ignore, suppress=ways
        )
        found = checked.result.findings
        findings += [{"graph": index, **finding.to_json()} for finding in found]
        graphs.append(_graph_row(index, pipeline, point))
        if stage is not None and point.with_dataset:
            from mpkgraph.sweep.dataset import write_tables

            write_tables(stage / STAGED_DATASET, index, pipeline, found)
    result = dataclasses.replace(
        result,
        graphs=tuple(graphs),
        findings=tuple(findings),
        warnings=tuple(
            _warning_json(item.index, item.rank, warning)
            for item in compiled.compiled
            for warning in item.warnings
        ),
        notes=(*compiled.notes, *comments.notes),
        files=() if stage is None else _write_graphs(compiled, point, stage),
    )
    if stage is not None and point.with_dataset:
        from mpkgraph.sweep.dataset import write_run

        write_run(stage / STAGED_DATASET, point.sources[0], result)
    return result


def _verify_options(point: Point) -> VerifyOptions:
    plan = point.plan
    return VerifyOptions(
        num_workers=plan.num_workers,
        num_schedulers=plan.num_local_schedulers,
        target_cc=plan.cc,
    )


def _ways_to_suppress(check: CheckOptions) -> tuple[list[Suppress], InlineComments]:
    comments = InlineComments()
    ways: list[Suppress] = [*(SuppressedAt(text) for text in check.suppress), comments]
    if check.baseline is not None:
        ways.append(Baseline.load(check.baseline))
    return ways, comments


def _graph_row(index: int, pipeline: Pipeline, point: Point) -> GraphRow:
    ranks = pipeline.ranks
    record = ranks[0].record
    model = _cost_model(pipeline, point)
    plan = point.plan
    workers, schedulers = placement_of(model, record, plan.num_workers, plan.num_local_schedulers)
    simulated: Schedule | None = None
    reason = None
    try:
        options = ScheduleOptions(workers, schedulers, model, vary=False)
        simulated = schedule([x.view for x in ranks], options)
    except MpkGraphError as error:
        reason = str(error)
    hangs = simulated is not None and simulated.hang is not None
    return GraphRow(
        index=index,
        ranks=len(ranks),
        target_cc=0 if record is None else record.target_cc,
        num_workers=workers,
        num_schedulers=schedulers,
        num_layers=0 if record is None else len(record.layers),
        num_operators=sum(len(x.operators) for x in ranks),
        num_tasks=sum(x.graph.num_tasks for x in ranks),
        num_events=sum(x.graph.num_events for x in ranks),
        depth=max(x.view.levels.depth for x in ranks),
        width=max(x.view.levels.width for x in ranks),
        gpu=model.name,
        makespan_ns=None if simulated is None or hangs else simulated.makespan_ns,
        hangs=hangs,
        not_simulated=reason,
    )


def _cost_model(pipeline: Pipeline, point: Point) -> CostModel:
    """As asked for, else that of the GPU that the target names."""
    first = pipeline.ranks[0]
    cost = point.check.cost
    if cost is None and point.gpu is not None and point.gpu.lower() in GPUS:
        cost = point.gpu
    model = cost_model(cost, likely_gpu(first.view, first.record), first.catalog)
    kv_length = point.check.kv_length
    if kv_length is None:
        kv_length = likely_kv_length(model, first.record)
    return model.with_kv_length(kv_length)


def _write_graphs(compiled: CompileResult, point: Point, stage: Path) -> tuple[str, ...]:
    written: list[Path] = []
    if point.emit:
        for item in compiled.compiled:
            folder = graph_folder(stage, item.index)
            written += write_files(folder, item.rank, item.record, item.plan, point.emit)
    return tuple(path.relative_to(stage).as_posix() for path in written)


def _warning_json(index: int, rank: int, warning: PlanWarning) -> dict[str, Any]:
    return {
        "graph": index,
        "rank": rank,
        "code": warning.code,
        "layer": warning.layer,
        "what": warning.what,
        "remedy": warning.remedy,
        "where": warning.where,
        "num_layers": warning.num_layers,
    }


def _error(error: MpkGraphError, point: Point) -> PointError:
    kind = "refused" if isinstance(error, PipelineError) else "failed"
    shown = None
    if point.show_traceback and error.__cause__ is not None:
        shown = "".join(traceback.format_exception(error.__cause__))
    return PointError(kind, str(error), shown)  # type: ignore[arg-type]


def _named_files(point: Point, folder: str) -> Sequence[str]:
    """The files that the user named: those of a pipeline that could not be opened count as well."""
    names = (x.rpartition(":")[0] if ".py:" in x else x for x in point.sources)
    return [str(Path(folder, x)) for x in names]
