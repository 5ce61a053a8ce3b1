"""What `mpkgraph verify --run gpu` is asked: options as a decorator, and the request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from mpkgraph.cli.options import ScriptCommand
from mpkgraph.cli.seconds import Seconds
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass

SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class GpuRequest:
    """The options of a run on the GPU as click gives them."""

    where: str = "cpu"
    repeat: int | None = None
    launch_limit: float | None = None
    time_limit: float | None = None
    sanitize: str | None = None
    measure: str | None = None
    no_poison: bool = False
    poison_shared: bool = False
    no_kernel_cache: bool = False

    @classmethod
    def take(cls, options: dict[str, Any]) -> GpuRequest:
        """Take the options of a GPU run out of a command's."""
        return cls(**{field.name: options.pop(field.name) for field in fields(cls)})

    @property
    def is_asked(self) -> bool:
        """Whether the GPU is to run it. Raises UsageError for options that do nothing."""
        if self.where == "gpu":
            return True
        for field in fields(self):
            if field.name != "where" and getattr(self, field.name):
                option = "--" + field.name.replace("_", "-")
                raise UsageError(f"{option} is for a run on the GPU", remedy="Add --run gpu")
        return False


class VerifyCommand(ScriptCommand):
    """`--run gpu` is `--run --where gpu`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        own = list[str]()
        rest = iter(args[:end])
        for argument in rest:
            if argument in {"--run=gpu", "--run=cpu"}:
                own += ["--run", "--where", argument.removeprefix("--run=")]
                continue
            own.append(argument)
            if argument == "--run":
                following = next(rest, None)
                if following in {"gpu", "cpu"}:
                    own += ["--where", following]
                elif following is not None:
                    own.append(following)
        return super().parse_args(ctx, own + args[end:])


def gpu_options(command: Command) -> Command:
    """Options of running a pipeline on this machine's GPU."""
    for option in reversed(
        (
            click.option(
                "--where",
                type=click.Choice(["cpu", "gpu"]),
                default="cpu",
                show_default=True,
                help="Where --run executes: task by task here, or by Mirage on this machine's GPU "
                "(--run gpu is short for it).",
            ),
            click.option(
                "--repeat",
                type=click.IntRange(1),
                metavar="N",
                help="On the GPU: run so often from the same inputs, to catch races (default: 1).",
            ),
            click.option(
                "--launch-limit",
                type=Seconds(),
                metavar="SECONDS",
                help="On the GPU: a launch that takes longer hangs (default: 20).",
            ),
            click.option(
                "--time-limit",
                type=Seconds(),
                metavar="SECONDS",
                help="On the GPU: for the whole process, nvcc included (default: 1800).",
            ),
            click.option(
                "--sanitize",
                type=click.Choice(SANITIZERS),
                help="On the GPU: run under this tool of compute-sanitizer.",
            ),
            click.option(
                "--measure",
                metavar="FILE.npy",
                type=click.Path(dir_okay=False),
                help="On the GPU: compile with Mirage's profiler, and write what it measured (for "
                "mpkgraph show --schedule --profile).",
            ),
            click.option(
                "--no-poison",
                is_flag=True,
                help="On the GPU: leave memory as it is: do not fill what is only written with NaN "
                "and shared memory with zeros before each run.",
            ),
            click.option(
                "--poison-shared",
                is_flag=True,
                help="On the GPU: fill shared memory with NaN before each run, to see whether a "
                "kernel reads what it has not written.",
            ),
            click.option(
                "--no-kernel-cache", is_flag=True, help="On the GPU: run nvcc in any case."
            ),
        )
    ):
        command = option(command)
    return command
