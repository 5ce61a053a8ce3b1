"""`mpkgraph show`: parse what is asked; the work is in `show_run`."""

from __future__ import annotations

from typing import Any

import click

from mpkgraph.cli.options import check_partners, output_options, reading_options, schedule_options
from mpkgraph.cli.paths import NamedPath
from mpkgraph.cli.request import LISTS, ShowRequest
from mpkgraph.cli.seconds import Seconds


@click.command(short_help="Summarise, query, draw and extract a task graph.")
@click.argument("path", metavar="GRAPH")
@click.option(
    "-t", "--task", multiple=True, metavar="IDS", help="Tasks: 17, 2-10, 900- or all. Repeatable."
)
@click.option(
    "-e", "--event", multiple=True, metavar="IDS", help="Events: an index, a range, an id or all."
)
@click.option(
    "-p",
    "--operator",
    multiple=True,
    metavar="WHICH",
    help="Operators: an index, a range (3-7), or (part of) a layer kind.",
)
@click.option(
    "-n", "--tensor", multiple=True, metavar="NAME", help="Tensors: a name or a pattern (w_*)."
)
@click.option(
    "--type", "task_type", multiple=True, metavar="TYPE", help="Task type: a number or a name."
)
@click.option("--variant", multiple=True, type=int, metavar="N", help="variant_id.")
@click.option("--waits-on", multiple=True, metavar="EVENT", help="Tasks that wait on an event.")
@click.option("--triggers", multiple=True, metavar="EVENT", help="Tasks that trigger an event.")
@click.option(
    "-l",
    "--list",
    "list_what",
    type=click.Choice(LISTS),
    help="List instead of describing; the options above filter.",
)
@click.option(
    "--hops",
    type=click.IntRange(0),
    metavar="N",
    help="Add what is within N hops of the selection.",
)
@click.option(
    "--direction",
    type=click.Choice(["up", "down", "both"]),
    default="both",
    show_default=True,
    help="Which way --hops goes: what is waited on, what waits, or both.",
)
@click.option(
    "--path",
    "path_ends",
    nargs=2,
    type=int,
    metavar="FROM TO",
    default=None,
    help="A shortest path of tasks and events between two tasks.",
)
@click.option("--all-paths", is_flag=True, help="All paths, up to --limit.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Most paths that --all-paths gives.",
)
@click.option(
    "-d",
    "--draw",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Draw with Graphviz: FILE ends in .dot, .svg, .png or .pdf.",
)
@click.option(
    "--level",
    type=click.Choice(["operators", "tasks"]),
    help="What to draw (default: operators, or the tasks of a selection).",
)
@click.option("--reduce", is_flag=True, help="Draw without edges that a longer path implies.")
@click.option("--force", is_flag=True, help="Draw even what is too large to be readable.")
@click.option(
    "--draw-timeout",
    type=Seconds(),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit on dot.",
)
@click.option(
    "--tiles",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Draw the tiles of the --operator on its tensors: FILE ends in .svg, .png or .pdf. "
    "--task marks some.",
)
@click.option(
    "--html",
    "html",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Write one HTML page to look around in, for any browser, without a network.",
)
@click.option(
    "--findings", is_flag=True, help="Colour the page by what `mpkgraph verify` finds, with a list."
)
@click.option(
    "--against",
    type=click.Path(),
    metavar="LEFT",
    help="Colour the page by what differs from this graph, with a list.",
)
@click.option(
    "--overlay",
    multiple=True,
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Colour the page by a run (what `verify --run --json` wrote), or by a value or category "
    "for each task (JSON, see the docs). Repeatable.",
)
@click.option(
    "-x",
    "--extract",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Write the selection as a new, valid, renumbered graph file.",
)
@click.option(
    "-w",
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Show the tasks of N workers; with --schedule, simulate as many.",
)
@click.option(
    "--schedulers",
    type=click.IntRange(1),
    metavar="N",
    help="Local schedulers, with --workers or --schedule.",
)
@schedule_options
@click.option("--full", is_flag=True, help="Every operator: repeated model layers are not folded.")
@click.option(
    "--rank", type=click.IntRange(0), metavar="N", help="Of a directory of several ranks, this one."
)
@reading_options
@output_options
def show(path_ends: tuple[int, int] | None, **options: Any) -> int:
    """Summarise a task graph, or answer one question about it.

    GRAPH is a task_graph_rank{N}.json (plain, .gz or .zst), a directory of them, or - for
    standard input. Without options: counts, types, operators, depth, width, largest tensors.
    """
    check_partners(click.get_current_context())
    from mpkgraph.cli.show_run import run_show

    return run_show(ShowRequest(path_ends=path_ends or None, **options))
