"""`mpkgraph compile`: parse what is asked; the work is in `compile_run`."""

from __future__ import annotations

from typing import Any

import click

from mpkgraph.cli.options import ARGUMENTS, ScriptCommand, script_options, target_options
from mpkgraph.cli.paths import NamedPath
from mpkgraph.cli.seconds import Seconds
from mpkgraph.cli.sweep_options import sweep_options, take_sweep


@click.command(
    cls=ScriptCommand,
    short_help="Turn a layer pipeline into its task graph.",
    options_metavar="[OPTIONS]",
)
@click.argument("pipelines", metavar="PIPELINE...", nargs=-1)
@click.option(
    "-o",
    "--output-dir",
    metavar="DIR",
    type=NamedPath(file_okay=False),
    help="Where graphs and records go (default: where the script says with "
    "compile(output_dir=...), else the working folder).",
)
@target_options
@script_options
@click.option(
    "--emit",
    type=click.Choice(["both", "graph", "record"]),
    default="both",
    show_default=True,
    help="Which files to write.",
)
@click.option("--dry-run", is_flag=True, help="Plan and report; write nothing.")
@click.option(
    "--check",
    is_flag=True,
    help="Verify the graphs too (see mpkgraph verify); exit with 1 when it finds an error or "
    "planning warned.",
)
@click.option(
    "--backend",
    type=click.Choice(["planner", "auto", "mirage"]),
    default="planner",
    show_default=True,
    help="What makes the graph: mpkgraph's planner; Mirage itself, in a process of its own; or "
    "(auto) Mirage where it works.",
)
@click.option(
    "--kernel/--host-only",
    "kernel",
    default=None,
    help="With Mirage: compile the kernel with nvcc, or only generate the graph (default: what is "
    "possible here).",
)
@click.option(
    "--time-limit",
    type=Seconds(),
    default=1800.0,
    show_default=True,
    metavar="SECONDS",
    help="With Mirage: how long a rank's process may take.",
)
@click.option("--no-kernel-cache", is_flag=True, help="With Mirage: run nvcc in any case.")
@click.option(
    "--doctor",
    is_flag=True,
    help="Say whether Mirage can be used here and what is missing, and end.",
)
@click.option(
    "--mirage-home",
    metavar="DIR",
    type=click.Path(),
    help="Mirage source tree: its enums, its pure-Python parts for scripts, and what --backend "
    "mirage takes (default: $MIRAGE_HOME; for the last, else what is installed).",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON (schema in the docs).")
@click.option("-q", "--quiet", is_flag=True, help="No report; warnings still go to stderr.")
@click.option("--traceback", is_flag=True, help="Show Python's traceback of a script that fails.")
@sweep_options
@click.pass_context
def compile_(ctx: click.Context, /, **options: Any) -> int:
    """Make the task graph of a layer pipeline: planned, to the byte, or by Mirage itself.

    PIPELINE is a Python script that uses Mirage's API (its arguments follow after --), a function
    that receives a kernel (module:function or file.py:function), or a recorded pipeline
    (pipeline_rank{N}.json, .zst or .gz; several are planned as one process would make them).
    Without --backend neither a GPU nor Mirage is needed. A script is run: compile only what you
    trust.
    """
    from mpkgraph.cli.compile_run import CompileRequest, run_compile

    swept = take_sweep(ctx, options)
    request = CompileRequest(arguments=ctx.meta[ARGUMENTS], **options)
    if swept["sweep"]:
        from mpkgraph.cli.sweep_run import SweepRequest, run_compile_sweep

        return run_compile_sweep(request, SweepRequest(**swept))
    return run_compile(request)


compile_.name = "compile"
