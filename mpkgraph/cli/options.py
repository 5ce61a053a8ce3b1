"""Options that several commands share, as decorators; no heavy imports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from mpkgraph.cli.paths import NamedPath
from mpkgraph.errors import UsageError

PARTNERS = {
    "direction": (("hops",), "--hops N"),
    "limit": (("all_paths",), "--path FROM TO --all-paths"),
    "level": (("draw",), "--draw FILE"),
    "reduce": (("draw",), "--draw FILE"),
    "force": (("draw", "tiles"), "--draw FILE or --tiles FILE"),
    "draw_timeout": (("draw",), "--draw FILE"),
    "cost": (("schedule",), "--schedule"),
    "kv_length": (("schedule",), "--schedule"),
    "profile": (("schedule",), "--schedule"),
    "what_if": (("schedule",), "--schedule"),
    "trace": (("schedule",), "--schedule"),
    "gantt": (("schedule",), "--schedule"),
    "findings": (("html",), "--html FILE"),
    "against": (("html",), "--html FILE"),
    "overlay": (("html",), "--html FILE"),
}
"""Parameters of `show` that mean nothing alone: what they belong to (one of these), and how to ask
for it."""

ARGUMENTS = "mpkgraph.script_arguments"
"""Key of the context's `meta` for what stands after `--`."""

Command = TypeVar("Command", bound=Callable[..., Any])


class ScriptCommand(click.Command):
    """A command whose arguments after `--` belong to the user's script."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own, script = args, list[str]()
        if "--" in args:
            at = args.index("--")
            own, script = args[:at], args[at + 1 :]
        ctx.meta[ARGUMENTS] = tuple(script)
        return super().parse_args(ctx, own)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- SCRIPT ARGUMENTS]"]


def target_options(command: Command) -> Command:
    """What a pipeline is planned for."""
    for option in reversed(
        (
            click.option(
                "-t",
                "--target",
                metavar="CC",
                help="GPU: a compute capability (80, 90, 100, ...) or a name (a100, h100, h200, "
                "b200). Default: 90, or the record's.",
            ),
            click.option(
                "-w",
                "--workers",
                type=click.IntRange(1),
                metavar="N",
                help="Workers (default: Mirage's choice).",
            ),
            click.option(
                "--schedulers",
                type=click.IntRange(1),
                metavar="N",
                help="Local schedulers (default: Mirage's choice for the GPU).",
            ),
            click.option(
                "--world-size",
                type=click.IntRange(1),
                metavar="N",
                help="GPUs that run together.",
            ),
            click.option(
                "--rank", type=click.IntRange(0), metavar="N", help="Plan this rank (default: 0)."
            ),
            click.option("--all-ranks", is_flag=True, help="Plan every rank."),
            click.option(
                "--multicast/--no-multicast",
                default=None,
                help="Whether GPUs have NVLink multicast, which selects the all-reduce (default: "
                "as usual for the target).",
            ),
        )
    ):
        command = option(command)
    return command


def script_options(command: Command) -> Command:
    """What a script or function is given, and the tasks that it may register."""
    for option in reversed(
        (
            click.option(
                "--set",
                "settings",
                metavar="NAME=VALUE",
                multiple=True,
                help="A parameter of the function. Repeatable.",
            ),
            click.option(
                "--init",
                "init",
                metavar="NAME=VALUE",
                multiple=True,
                help="A PersistentKernel parameter of the kernel that a function receives. "
                "Repeatable.",
            ),
            click.option(
                "--meta", is_flag=True, help="Give the script's GPU tensors shapes and no memory."
            ),
            click.option(
                "--register",
                metavar="NAME:INPUTS:OUTPUTS:TASK_TYPE",
                multiple=True,
                help="A task name that Mirage's tables lack. Repeatable.",
            ),
        )
    ):
        command = option(command)
    return command


def schedule_options(command: Command) -> Command:
    """What is simulated, and where traces and charts go."""
    for option in reversed(
        (
            click.option(
                "-s",
                "--schedule",
                is_flag=True,
                help="Simulate MPK's runtime: makespan, critical path, stalls.",
            ),
            click.option(
                "--cost",
                metavar="GPU|FILE",
                help="Costs for --schedule: a100, h100, h200, b200 or a file (default: the "
                "record's GPU).",
            ),
            click.option(
                "--kv-length",
                type=click.IntRange(0, 1 << 30),
                metavar="N",
                help="Tokens in the cache of each request, for --schedule.",
            ),
            click.option(
                "--profile",
                type=NamedPath(),
                metavar="FILE",
                help="Durations that Mirage's profiler measured: its trace or its tensor (.npy).",
            ),
            click.option(
                "--what-if",
                multiple=True,
                metavar="CHANGE",
                help="TYPE=FACTOR on durations, event:N=split, events=split or counts=repair. "
                "Repeatable.",
            ),
            click.option(
                "--trace",
                type=NamedPath(dir_okay=False),
                metavar="FILE",
                help="Write the schedule for ui.perfetto.dev (x.perfetto-trace).",
            ),
            click.option(
                "--gantt",
                type=NamedPath(dir_okay=False),
                metavar="FILE",
                help="Write a chart of the schedule (x.svg).",
            ),
        )
    ):
        command = option(command)
    return command


def reading_options(command: Command) -> Command:
    """How graphs are read: cache, processes, record, names of numbers, progress."""
    return click.option(
        "--record",
        metavar="FILE",
        type=NamedPath(),
        help="The pipeline record of the graph (default: pipeline_rank{N}.json beside it).",
    )(several_reading_options(command))


def several_reading_options(command: Command) -> Command:
    """`reading_options` of a command that reads several graphs, each with the record beside it."""
    for option in reversed(
        (
            click.option(
                "--no-record", is_flag=True, help="Recover operators from the tasks alone."
            ),
            click.option(
                "--mirage-home",
                metavar="DIR",
                type=click.Path(),
                help="Mirage source tree whose enums name the numbers (default: $MIRAGE_HOME, "
                "else the built-in tables).",
            ),
            click.option("--no-cache", is_flag=True, help="Neither read nor write the cache."),
            click.option(
                "--processes",
                metavar="N",
                type=click.IntRange(1, 2),
                help="Processes that read (default: 2 for a plain file of 100 MB or more when two "
                "cores are free to use).",
            ),
            click.option("--no-progress", is_flag=True, help="No progress bar."),
        )
    ):
        command = option(command)
    return command


_FILE_AND_COLOR = (
    click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=NamedPath(dir_okay=False),
        help="Write there instead of standard output.",
    ),
    click.option(
        "--color/--no-color",
        default=None,
        help="Colour (default: on a terminal, unless NO_COLOR is set).",
    ),
)


def output_options(command: Command) -> Command:
    """Where results go and in which form."""
    for option in reversed(
        (
            click.option("--json", "as_json", is_flag=True, help="JSON (schema in the docs)."),
            click.option("--csv", "as_csv", is_flag=True, help="CSV, for tables."),
            click.option(
                "--parquet", "as_parquet", is_flag=True, help="Parquet, for tables; needs -o."
            ),
            *_FILE_AND_COLOR,
        )
    ):
        command = option(command)
    return command


def report_options(forms: Sequence[str], forms_help: str) -> Callable[[Command], Command]:
    """Which form a report has and where it goes; and a script's traceback."""

    def decorated(command: Command) -> Command:
        for option in reversed(
            (
                click.option(
                    "--traceback",
                    is_flag=True,
                    help="Show Python's traceback of a script that fails.",
                ),
                click.option("-f", "--format", "form", type=click.Choice(forms), help=forms_help),
                click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
                *_FILE_AND_COLOR,
            )
        ):
            command = option(command)
        return command

    return decorated


def check_partners(context: click.Context) -> None:
    """Raises UsageError for an option that was given without the one that it belongs to."""
    for name, (partners, remedy) in PARTNERS.items():
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and all(context.params.get(partner) in {None, False} for partner in partners):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} does nothing here", remedy=f"Add {remedy}, or leave it out")
