"""What `mpkgraph verify --run` does: run each pipeline, render, save, draw."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.analysis.verify.run import find_rules
from mpkgraph.cli.output import Output
from mpkgraph.cli.run_options import RunRequest
from mpkgraph.cli.verify_request import VerifyRequest
from mpkgraph.cli.verify_sources import SourceReader
from mpkgraph.errors import UsageError
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.reference.validation.limits import GivenLimits
    from mpkgraph.reference.validation.result import RunReport
    from mpkgraph.reference.validation.validate import RunOptions, Validation

WRONG = 1
"""Exit code when values are wrong, tasks crash or the run hangs."""


def run_pipelines(request: VerifyRequest, run: RunRequest, output: Output) -> int:
    """Answer `verify --run`, `--replay`, `--against` and `--reduce`; the exit code."""
    if output.form not in {"text", "json"}:
        raise UsageError(f"a run is told as text or json, not as {output.form}")
    check_torch()
    from mpkgraph.reference.validation.stored import is_saved

    if len(request.sources) == 1 and run.against is not None and is_saved(request.sources[0]):
        if request.html is not None:
            raise UsageError(
                "saved tensors tell no tasks", remedy="Leave --html out, or name the pipeline"
            )
        from mpkgraph.reference.validation.between import compare_saved

        return render_reports(
            [compare_saved(request.sources[0], run.against, limits_of(run))], output
        )
    sources = SourceReader(request, executes=True)
    pipelines = list(sources.pipelines())
    if run.reduce is not None:
        return _reduce(pipelines, run, request, output)
    maps_all = request.html is not None or output.form == "json"
    validations = [_validation(x, run, request, sources, maps_all=maps_all) for x in pipelines]
    if len(validations) > 1 and run.save is not None:
        raise UsageError("--save is for one graph", remedy="Name that one alone")
    reports = [x.report() for x in validations]
    if not reports:  # a script that runs its own test in other processes
        for note in sources.notes:
            sys.stderr.write(f"mpkgraph: {printable(note)}\n")
    elif sources.notes:
        reports[0] = dataclasses.replace(reports[0], notes=(*reports[0].notes, *sources.notes))
    for validation, report in zip(validations, reports, strict=True):
        if run.save is not None:
            from mpkgraph.reference.validation.stored import save_run

            save_run(Path(run.save), validation, report)
        if run.heat_map is not None:
            _draw(Path(run.heat_map), report)
    if request.html is not None:
        from mpkgraph.cli.verify_page import run_page

        run_page(request, pipelines[0].ranks, reports)
    code = render_reports(reports, output)
    # A script's own assertions are part of the verdict
    return WRONG if sources.late_errors else code


def list_tasks(request: VerifyRequest, output: Output) -> None:
    """Answer `--list-tasks`."""
    if request.sources:
        raise UsageError("--list-tasks takes no SOURCE", remedy="Ask for one thing at a time")
    if output.form not in {"text", "json"}:
        raise UsageError(f"task types are listed as text or json, not as {output.form}")
    from mpkgraph.render.run.tasks import tasks_json, tasks_text

    if output.form == "json":
        with output.binary() as stream:
            stream.write(tasks_json())
    else:
        output.write_text(tasks_text)


def check_torch() -> None:
    import os
    from importlib.util import find_spec

    from mpkgraph.errors import MissingDependencyError
    from mpkgraph.reference.row import INSTALL

    if "torch" in sys.modules:
        return
    if find_spec("torch") is None:
        raise MissingDependencyError(
            "executing tasks needs torch, which is not installed", remedy=INSTALL
        )
    # Calls are many and short: threads that spin between them take the processor from each other
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def limits_of(run: RunRequest) -> GivenLimits:
    from mpkgraph.reference.validation.limits import GivenLimits

    return GivenLimits.parse(run.rtol, run.atol)


def _validation(
    pipeline: Pipeline,
    run: RunRequest,
    request: VerifyRequest,
    sources: SourceReader,
    *,
    maps_all: bool,
) -> Validation:
    from mpkgraph.reference.validation.validate import Validation

    options = _options(pipeline, run, request, sources)
    options = dataclasses.replace(options, maps_all=maps_all)
    return Validation(pipeline.name, pipeline.ranks, options)


def _options(
    pipeline: Pipeline, run: RunRequest, request: VerifyRequest, sources: SourceReader
) -> RunOptions:
    from mpkgraph.reference.interpreter.initial import Given
    from mpkgraph.reference.validation.limits import GivenLimits
    from mpkgraph.reference.validation.sources import given_of, right_of
    from mpkgraph.reference.validation.validate import AUTO, RunOptions

    scripts = [Given(_with_values(x), _with_values(meta)) for x, meta in sources.given(pipeline)]
    given, words = given_of(pipeline, run.inputs, scripts, _aliases(run.alias))
    text = run.reference if run.against is None else run.against
    if run.reference is not None and run.against is not None:
        raise UsageError("--reference and --against can't go together")
    right, right_words = right_of(pipeline, text, given, request.sources, sources.functions)
    seeds = run.seed or (0,)
    return RunOptions(
        schedules=run.schedule or (AUTO,),
        seeds=seeds,
        num_workers=request.workers,
        num_schedulers=request.schedulers,
        given=given,
        source=f"{words} (seed {seeds[0]})" if "made up" in words else words,
        files=[x for x in (run.inputs, text) if x is not None],
        right=right,
        right_source=right_words,
        only_right=run.against is not None,
        limits=GivenLimits.parse(run.rtol, run.atol),
        replays=run.replay,
        max_orders=run.max_orders or 1024,
        supply_meta=run.supply_meta,
    )


def _with_values(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Torch tensors that have memory: a script that runs with --meta has others."""
    import torch

    return {name: x for name, x in tensors.items() if isinstance(x, torch.Tensor) and not x.is_meta}


def _aliases(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, other = text.partition("=")
        if not equals or not name or not other or name == other:
            raise UsageError(f"--alias takes NAME=OTHER, not {text!r}")
        found[name] = other
    return found


def _reduce(
    pipelines: Sequence[Pipeline], run: RunRequest, request: VerifyRequest, output: Output
) -> int:
    if request.html is not None:
        raise UsageError("--reduce draws no page", remedy="Leave --html out")
    if len(pipelines) != 1:
        raise UsageError("--reduce is for one pipeline", remedy="Name that one alone")
    from mpkgraph.reference.validation.reduce import reduce_pipeline
    from mpkgraph.render.run.reduced import reduced_json, reduced_text

    words = request.selected
    rules = find_rules(words[0]) if len(words) == 1 else []
    if words and len(rules) != 1:
        raise UsageError("--reduce keeps one finding", remedy="Name one rule with --select")
    code = rules[0].code if rules else None
    result = reduce_pipeline(pipelines[0], Path(run.reduce or ""), code)
    if output.form == "json":
        with output.binary() as stream:
            stream.write(reduced_json(result))
    else:
        output.write_text(lambda out: reduced_text(out, result))
    return WRONG


def _draw(path: Path, report: RunReport) -> None:
    """The heat map of the first wrong tensor; nothing is drawn when all is right."""
    from mpkgraph.render.run.heat_map import draw_heat_map

    shown = [x.outcome for x in report.replays if x.outcome is not None]
    for outcome in (report.failing, *shown):
        if outcome is not None and outcome.blame is not None and outcome.blame.heat_map is not None:
            draw_heat_map(outcome.blame.heat_map, path)
            return
    sys.stderr.write(f"mpkgraph: nothing is wrong by tile: {path} was not drawn\n")


def render_reports(reports: Sequence[RunReport], output: Output) -> int:
    if output.form == "json":
        from mpkgraph.render.run.json_form import run_json

        with output.binary() as stream:
            stream.write(run_json(reports))
    else:
        from mpkgraph.render.run.text import run_text

        def write(out: object) -> None:
            for report in reports:
                run_text(out, report)  # type: ignore[arg-type]

        output.write_text(write)
    return WRONG if any(x.fails for x in reports) else 0
