"""What `mpkgraph verify` is asked about running: options as a decorator, and the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from mpkgraph.cli.paths import NamedPath
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass

SCHEDULES = (
    "auto",
    "batched",
    "program",
    "fifo",
    "reversed",
    "adversarial",
    "random",
    "exhaustive",
)

PICTURES = (".png", ".svg", ".html")
"""How a heat map is drawn, by the file's suffix."""

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class RunRequest:
    """The options of a run as click gives them."""

    run: bool = False
    schedule: tuple[str, ...] = ()
    seed: tuple[int, ...] = ()
    max_orders: int | None = None
    inputs: str | None = None
    alias: tuple[str, ...] = ()
    supply_meta: bool = False
    reference: str | None = None
    rtol: tuple[str, ...] = ()
    atol: tuple[str, ...] = ()
    against: str | None = None
    save: str | None = None
    heat_map: str | None = None
    replay: tuple[str, ...] = ()
    list_tasks: bool = False
    reduce: str | None = None

    @classmethod
    def take(cls, options: dict[str, Any]) -> RunRequest:
        """Take the options of a run out of a command's."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})

    @property
    def is_asked(self) -> bool:
        """Whether the pipeline is to be run. Raises UsageError for options that do nothing."""
        asks = self.run or bool(self.replay) or self.reduce is not None or self.against is not None
        if not asks:
            for name in fields(self):
                if name.name != "list_tasks" and getattr(self, name.name) not in {None, (), False}:
                    option = "--" + name.name.replace("_", "-")
                    raise UsageError(f"{option} does nothing without --run", remedy="Add --run")
        if self.replay and self.reduce is not None:
            raise UsageError("--replay and --reduce can't go together")
        for option, path, suffixes in (
            ("--reduce", self.reduce, (".py",)),
            ("--heat-map", self.heat_map, PICTURES),
        ):
            if path is not None:
                _check_file(option, path, suffixes)
        return asks


def _check_file(option: str, path: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that can't be written, before the pipeline is run."""
    if Path(path).suffix.lower() not in suffixes:
        raise UsageError(
            f"{option} writes {' or '.join(suffixes)}, not {path!r}", remedy="Name such a file"
        )
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(
            f"the folder of {option} is not there", where=path, remedy="Create the folder first"
        )


def run_options(command: Command) -> Command:
    """Options of running a pipeline and comparing its tensors."""
    for option in reversed(
        (
            click.option(
                "--run",
                is_flag=True,
                help="Execute the pipeline without a GPU, task by task, and compare every tensor "
                "with what whole layers give. Needs torch.",
            ),
            click.option(
                "--schedule",
                type=click.Choice(SCHEDULES),
                multiple=True,
                help="Order of tasks. Repeatable. Default: auto (operator by operator, then the "
                "orders that hazards allow).",
            ),
            click.option(
                "--seed",
                type=click.IntRange(0),
                multiple=True,
                metavar="N",
                help="Of inputs that are made up, and of random orders. Repeatable. Default: 0.",
            ),
            click.option(
                "--max-orders",
                type=click.IntRange(1),
                metavar="N",
                help="Orders that --schedule exhaustive tries at most (default: 1024).",
            ),
            click.option(
                "--inputs",
                metavar="FILE",
                type=NamedPath(),
                help="Input tensors: .safetensors, .pt or a directory of --save. What is not there "
                "comes from the script, or is made up.",
            ),
            click.option(
                "--alias",
                multiple=True,
                metavar="NAME=OTHER",
                help="A tensor that is the memory of another one. Repeatable.",
            ),
            click.option(
                "--supply-meta",
                is_flag=True,
                help="Make up meta tensors that kernels read and the pipeline lacks.",
            ),
            click.option(
                "--reference",
                metavar="FILE",
                help="Right values: .safetensors, .pt, a directory of --save, or a function "
                "(file.py:function; or its name in the script) from tensors to tensors by name.",
            ),
            click.option(
                "--rtol",
                multiple=True,
                metavar="[NAME=]X",
                help="Relative tolerance, of all tensors or of one. Repeatable.",
            ),
            click.option(
                "--atol", multiple=True, metavar="[NAME=]X", help="Absolute tolerance, likewise."
            ),
            click.option(
                "--against",
                metavar="FILE",
                type=NamedPath(),
                help="Compare with the tensors of another run instead: a directory of --save, "
                ".safetensors or .pt.",
            ),
            click.option(
                "--save",
                metavar="DIR",
                type=NamedPath(file_okay=False),
                help="Save all tensors of the run there, with a manifest.",
            ),
            click.option(
                "--heat-map",
                metavar="FILE",
                type=NamedPath(dir_okay=False),
                help="Draw the error of the first wrong tensor by tile: .png or .svg (needs "
                "matplotlib), or .html.",
            ),
            click.option(
                "--replay",
                multiple=True,
                metavar="FINDING",
                help="Run the order of tasks that shows a finding: a code, CODE@OPERATOR or a "
                "fingerprint. Repeatable.",
            ),
            click.option(
                "--list-tasks",
                is_flag=True,
                help="List the task types that --run can execute, and those that it can't.",
            ),
            click.option(
                "--reduce",
                metavar="FILE.py",
                type=NamedPath(dir_okay=False),
                help="Write the smallest script that still shows what is wrong.",
            ),
        )
    ):
        command = option(command)
    return command
