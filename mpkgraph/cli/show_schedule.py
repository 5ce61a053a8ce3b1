"""`mpkgraph show --schedule`: who runs what when, as text, JSON, a trace or a chart."""

from __future__ import annotations

import dataclasses

import click

from mpkgraph.cli.loading import LoadOptions, load
from mpkgraph.cli.output import Output
from mpkgraph.cli.request import ShowRequest
from mpkgraph.errors import UsageError
from mpkgraph.render.escape import printable


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
    from mpkgraph.placement import ScheduleQuestion, simulate_schedule

    loaded = load(dataclasses.replace(options, keep_summary=False))
    contexts = [GraphContext(item.graph, item.operators, item.catalog) for item in loaded]
    question = ScheduleQuestion(
        cost=request.cost,
        num_workers=request.workers,
        num_schedulers=request.schedulers,
        kv_length=request.kv_length,
        profile=request.profile,
        what_if=request.what_if,
    )
    found = simulate_schedule(contexts, question, loaded[0].record)
    if request.trace is not None:
        from mpkgraph.render.perfetto import write_trace

        write_trace(found, request.trace)
        click.echo(f"wrote {printable(request.trace)}", err=True)
    if request.gantt is not None:
        from mpkgraph.render.gantt import write_gantt

        write_gantt(found, request.gantt)
        click.echo(f"wrote {printable(request.gantt)}", err=True)
    if request.html is not None:
        from mpkgraph.cli.show_page import run_page

        run_page(request, options, found)
    if output.form == "json":
        paths = [item.graph.source.path for item in loaded]
        output.write_json("schedule", {"paths": paths, **found.to_json()})
    else:
        from mpkgraph.render.schedule_text import schedule_text

        output.write_text(lambda out: schedule_text(out, found, full=request.full))
