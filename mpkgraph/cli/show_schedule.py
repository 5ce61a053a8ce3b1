"""`mpkgraph show --schedule`: who runs what when, as text, JSON, a trace or a chart."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from mpkgraph.cli.loading import Loaded, LoadOptions, load
from mpkgraph.cli.output import Output
from mpkgraph.cli.request import ShowRequest
from mpkgraph.errors import UsageError
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.schedule.run import ScheduleOptions


def run_schedule(request: ShowRequest, output: Output, options: LoadOptions) -> None:
    """Simulate one rank, or all ranks of a directory together, and render the schedule."""
    if output.form in {"csv", "parquet"}:
        raise UsageError(f"a schedule is no table for --{output.form}", remedy="Use --json")
    if request.has_selection:
        raise UsageError(
            "--schedule is of the whole graph",
            remedy="Leave the selection out, or --extract it first",
        )
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.schedule.run import schedule

    loaded = load(dataclasses.replace(options, keep_summary=False))
    contexts = [GraphContext(item.graph, item.operators, item.catalog) for item in loaded]
    found = schedule(contexts, _options(request, loaded, contexts))
    if request.trace is not None:
        from mpkgraph.render.perfetto import write_trace

        write_trace(found, request.trace)
        click.echo(f"wrote {printable(request.trace)}", err=True)
    if request.gantt is not None:
        from mpkgraph.render.gantt import write_gantt

        write_gantt(found, request.gantt)
        click.echo(f"wrote {printable(request.gantt)}", err=True)
    if output.form == "json":
        paths = [item.graph.source.path for item in loaded]
        output.write_json("schedule", {"paths": paths, **found.to_json()})
    else:
        from mpkgraph.render.schedule_text import schedule_text

        output.write_text(lambda out: schedule_text(out, found, full=request.full))


def _options(
    request: ShowRequest, loaded: list[Loaded], contexts: list[GraphContext]
) -> ScheduleOptions:
    from mpkgraph.analysis.cost.model import cost_model
    from mpkgraph.analysis.schedule.run import ScheduleOptions
    from mpkgraph.analysis.schedule.what_if import parse_what_if
    from mpkgraph.cli.schedule_target import likely_gpu, likely_kv_length, placement_of

    record = loaded[0].record
    model = cost_model(request.cost, likely_gpu(contexts[0], record), loaded[0].catalog)
    kv_length = request.kv_length
    if kv_length is None:
        kv_length = likely_kv_length(model, record)
    model = model.with_kv_length(kv_length)
    what_if = parse_what_if(request.what_if, contexts[0])
    measured = None
    workers, schedulers = request.workers, request.schedulers
    if request.profile is not None:
        from mpkgraph.analysis.cost.join import join_profile
        from mpkgraph.analysis.cost.profile import read_profile

        if len(contexts) > 1:
            raise UsageError("a profile is of one rank", remedy="Choose one with --rank")
        profile = read_profile(request.profile, contexts[0].catalog)
        measured, ran_with = join_profile(
            profile,
            contexts[0],
            request.schedulers,
            likely=placement_of(model, record, profile.num_workers, None)[1],
        )
        if workers is None:
            workers, schedulers = profile.num_workers, ran_with
    num_workers, num_schedulers = placement_of(model, record, workers, schedulers)
    return ScheduleOptions(
        num_workers=num_workers,
        num_schedulers=num_schedulers,
        model=model,
        what_if=what_if,
        measured=measured,
    )
