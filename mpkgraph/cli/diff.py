"""`mpkgraph diff`: parse what is asked; the work is in `diff_run`."""

from __future__ import annotations

from typing import Any

import click

from mpkgraph.cli.options import (
    ARGUMENTS,
    ScriptCommand,
    report_options,
    script_options,
    several_reading_options,
    target_options,
)
from mpkgraph.cli.paths import NamedPath

FORMATS = ("text", "json", "html", "dot")


@click.command(
    cls=ScriptCommand,
    short_help="Say what differs between two task graphs or pipelines.",
    options_metavar="[OPTIONS]",
)
@click.argument("sources", metavar="LEFT [RIGHT]", nargs=-1)
@click.option("--stat", is_flag=True, help="One line.")
@click.option("--full", is_flag=True, help="Everything, not one screen.")
@click.option(
    "--only",
    multiple=True,
    metavar="LEVELS",
    help="Only these levels: operators, tensors, tiles, events, orderings, metadata, ranks; or "
    "aspects, as --ignore. Separated by commas. Repeatable.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="ASPECTS",
    help="These are no differences: type, variant, grid, input_map, shape, stride, dtype, base, "
    "names, tiles, metadata, events, orderings, fields, ranks, operators (added, removed, moved). "
    "Repeatable.",
)
@click.option(
    "--ignore-names",
    is_flag=True,
    help="Know tensors by what is done with them alone; names count nothing.",
)
@click.option(
    "--strict-names",
    is_flag=True,
    help="A tensor that has another name in all places is a difference.",
)
@click.option("--findings", is_flag=True, help="Also what static verify finds on one side only.")
@click.option(
    "--makespan",
    is_flag=True,
    help="Also the time that either side takes when MPK's runtime is simulated (see mpkgraph show "
    "--schedule).",
)
@click.option(
    "--ranks",
    nargs=2,
    type=click.IntRange(0),
    metavar="L R",
    help="Compare rank L of the left with rank R of the right (of the left, without a right).",
)
@click.option(
    "--patch",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Write there what turns the left graph into the right one, for --apply.",
)
@click.option(
    "--apply",
    "apply_",
    metavar="PATCH",
    type=NamedPath(dir_okay=False),
    help="Apply a patch to LEFT and write the right graph to -o FILE.",
)
@click.option(
    "--draw",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Draw both graphs as one: green is new, red is gone, amber differs (.dot, .svg, .png, "
    ".pdf).",
)
@click.option(
    "--left-set",
    metavar="NAME=VALUE",
    multiple=True,
    help="As --set, for the left alone. Repeatable.",
)
@click.option(
    "--right-set",
    metavar="NAME=VALUE",
    multiple=True,
    help="As --set, for the right alone. Repeatable.",
)
@click.option("--left-target", metavar="CC", help="As --target, for the left alone.")
@click.option("--right-target", metavar="CC", help="As --target, for the right alone.")
@click.option(
    "--left-world-size",
    metavar="N",
    type=click.IntRange(1),
    help="As --world-size, for the left alone.",
)
@click.option(
    "--right-world-size",
    metavar="N",
    type=click.IntRange(1),
    help="As --world-size, for the right alone.",
)
@target_options
@script_options
@several_reading_options
@report_options(FORMATS, "text (default), json, html (side by side, one file) or dot (as --draw).")
@click.pass_context
def diff(ctx: click.Context, /, **options: Any) -> int:
    """Say what differs between two graphs: operators, tensors, tiles, events, orderings, costs.

    LEFT and RIGHT are what was and what is now: a task_graph_rank{N}.json (plain, .gz, .zst), a
    directory (all ranks, in pairs), or a pipeline that is planned first: a script, a function
    (module:function or file.py:function), or a record (pipeline_rank{N}.json). Without RIGHT, LEFT
    is planned twice (--left-set, --right-set, --left-target, ...), or two of its ranks are compared
    (--ranks).

    Other numbers of tasks and events, another order of independent operators, and tensors that
    have another name everywhere are no differences.

    Exit codes: 0 equal, 1 different, 2 wrong usage, 3 input that can't be read or planned.
    """
    from mpkgraph.cli.diff_request import DiffRequest
    from mpkgraph.cli.diff_run import run_diff

    return run_diff(DiffRequest(arguments=ctx.meta[ARGUMENTS], **options))
