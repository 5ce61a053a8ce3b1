"""`mpkgraph verify`: parse what is asked; the work is in `verify_run`."""

from __future__ import annotations

from typing import Any

import click

from mpkgraph.cli.gpu_options import GpuRequest, VerifyCommand, gpu_options
from mpkgraph.cli.options import (
    ARGUMENTS,
    reading_options,
    report_options,
    script_options,
    target_options,
)
from mpkgraph.cli.paths import NamedPath
from mpkgraph.cli.run_options import RunRequest, run_options
from mpkgraph.cli.sweep_options import sweep_options, take_sweep

FORMATS = ("text", "json", "sarif", "github", "junit")
SEVERITIES = ("error", "warning", "advice")


@click.command(
    cls=VerifyCommand,
    short_help="Find what is wrong with a task graph or pipeline.",
    options_metavar="[OPTIONS]",
)
@click.argument("sources", metavar="SOURCE...", nargs=-1)
@click.option(
    "-s",
    "--select",
    multiple=True,
    metavar="RULES",
    help="Only these: codes (MPK101), names, families (hazards), prefixes (MPK2) or all, separated "
    "by commas. Repeatable. Default: all but advice.",
)
@click.option(
    "-i", "--ignore", multiple=True, metavar="RULES", help="Not these. Repeatable, as --select."
)
@click.option(
    "--suppress",
    multiple=True,
    metavar="RULES@WHERE",
    help="Leave out what these rules find at an operator (its index, name or a pattern) or a "
    "tensor. Repeatable.",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    default="error",
    show_default=True,
    help="Exit with 1 for a finding that is as bad or worse.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Leave out the findings that this file knows.",
)
@click.option(
    "--write-baseline",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Write the findings there as known, and exit with 0.",
)
@click.option(
    "--tiles",
    metavar="DIR",
    type=NamedPath(file_okay=False),
    help="Draw the tiles that findings are about into this folder (SVG).",
)
@click.option(
    "--html",
    "html",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Write one HTML page of the graph, coloured by the findings; with --run by errors.",
)
@click.option("--explain", metavar="RULE", help="Say what a rule finds and why, and draw it.")
@click.option("--list-rules", is_flag=True, help="List all rules.")
@run_options
@gpu_options
@target_options
@script_options
@reading_options
@report_options(
    FORMATS, "text (default), json, sarif (2.1.0), github (annotations of a workflow) or junit."
)
@sweep_options
@click.pass_context
def verify(ctx: click.Context, /, **options: Any) -> int:
    """Find what is wrong before nvcc sees it: splits, hazards, structure, resources, ranks.

    SOURCE is a task_graph_rank{N}.json (plain, .gz, .zst, or - for standard input), a directory
    (all ranks together), or a pipeline that is planned first: a script (its arguments follow after
    --; it is run, so verify only what you trust), a function (module:function or
    file.py:function), or a record (pipeline_rank{N}.json). With --run it is executed too,
    with --run gpu by Mirage on this machine's GPU.

    Exit codes: 0 nothing found, 1 findings as bad as --fail-on, 2 wrong usage, 3 input that can't
    be read or planned.
    """
    from mpkgraph.cli.verify_run import VerifyRequest, run_verify

    swept = take_sweep(ctx, options)
    run, gpu = RunRequest.take(options), GpuRequest.take(options)
    request = VerifyRequest(arguments=ctx.meta[ARGUMENTS], **options)
    if swept["sweep"]:
        from mpkgraph.cli.sweep_run import SweepRequest, run_verify_sweep

        return run_verify_sweep(request, run, SweepRequest(**swept))
    return run_verify(request, run, gpu)
