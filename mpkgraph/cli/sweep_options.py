"""The options of a sweep, shared by the commands that plan; no heavy imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from mpkgraph.cli.paths import NamedPath
from mpkgraph.cli.seconds import Seconds
from mpkgraph.errors import UsageError

RANK_BY = ("findings", "makespan", "tasks", "events", "depth")

ONLY_SWEPT = (
    "results",
    "jobs",
    "ray",
    "point_timeout",
    "dataset",
    "table",
    "rank_by",
    "cost",
    "kv_length",
)
"""Parameters that mean nothing without `--sweep`."""

Command = TypeVar("Command", bound=Callable[..., Any])


def sweep_options(command: Command) -> Command:
    """What is swept, where it runs, what is kept, how it is ranked."""
    for option in reversed(
        (
            click.option(
                "--sweep",
                "sweep",
                metavar="NAME=V1,V2,...",
                multiple=True,
                help="Plan, check and rank every combination: a parameter of the function, an "
                "option or {NAME} of the script's arguments, target, workers, schedulers, "
                "world_size (ranks) or multicast. Repeatable.",
            ),
            click.option(
                "--rank-by",
                type=click.Choice(RANK_BY),
                default="findings",
                show_default=True,
                help="What makes a point of a sweep better than another.",
            ),
            click.option(
                "--results",
                metavar="DIR",
                type=NamedPath(file_okay=False),
                help="Keep each point of a sweep there; a further run does only what is missing.",
            ),
            click.option(
                "--table",
                metavar="FILE",
                multiple=True,
                type=NamedPath(dir_okay=False),
                help="Write a sweep's ranking as x.csv, x.parquet or x.json. Repeatable.",
            ),
            click.option(
                "--dataset",
                metavar="DIR",
                type=NamedPath(file_okay=False),
                help="Add the tables of all graphs of a sweep to this Parquet dataset.",
            ),
            click.option(
                "-j",
                "--jobs",
                metavar="N",
                type=click.IntRange(1, 4096),
                help="Processes of a sweep (default: as many as cores).",
            ),
            click.option(
                "--ray",
                metavar="ADDRESS",
                help="Run a sweep on this Ray cluster (host:port or auto).",
            ),
            click.option(
                "--point-timeout",
                metavar="SECONDS",
                type=Seconds(),
                help="Give up a point of a sweep that takes longer.",
            ),
            click.option(
                "--cost",
                metavar="GPU|FILE",
                help="Costs for a sweep's makespans: a100, h100, h200, b200 or a file (default: "
                "the target's).",
            ),
            click.option(
                "--kv-length",
                type=click.IntRange(0, 1 << 30),
                metavar="N",
                help="Tokens in the cache of each request, for a sweep's makespans.",
            ),
        )
    ):
        command = option(command)
    return command


def take_sweep(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The options of `sweep_options`, taken out of a command's.

    Raises UsageError for one that was given without `--sweep`.
    """
    taken = {name: options.pop(name) for name in ("sweep", *ONLY_SWEPT)}
    if not taken["sweep"]:
        for name in ONLY_SWEPT:
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise UsageError(
                    f"--{name.replace('_', '-')} does nothing here",
                    remedy="Add --sweep NAME=V1,V2,..., or leave it out",
                )
    return taken
