"""What commands that plan a pipeline are asked alike: the target, the script's parameters."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mpkgraph.errors import MpkGraphError, UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.pipeline.compiled import Emit

if TYPE_CHECKING:
    from mpkgraph.pipeline.compile import CompileOptions
    from mpkgraph.pipeline.compiled import CompileResult


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """The options of `target_options` and `script_options`, and those around them."""

    arguments: tuple[str, ...]
    target: str | None
    workers: int | None
    schedulers: int | None
    world_size: int | None
    rank: int | None
    all_ranks: bool
    multicast: bool | None
    settings: tuple[str, ...]
    init: tuple[str, ...]
    meta: bool
    register: tuple[str, ...]
    mirage_home: str | None
    traceback: bool


def plan_options(
    request: PlanRequest, *, emit: Emit, output: Path | None = None, stdout: TextIO | None = None
) -> CompileOptions:
    """How the library is to compile. Raises UsageError for options that do not go together."""
    from mpkgraph.pipeline.compile import CompileOptions
    from mpkgraph.pipeline.custom_tasks import custom_task
    from mpkgraph.pipeline.function_parameters import literal_or_text, split_settings
    from mpkgraph.pipeline.target import find_cc

    if request.all_ranks and request.rank is not None:
        raise UsageError("--all-ranks and --rank can't go together")
    return CompileOptions(
        output=output,
        emit=emit,
        cc=None if request.target is None else find_cc(request.target),
        num_workers=request.workers,
        num_local_schedulers=request.schedulers,
        world_size=request.world_size,
        rank=request.rank,
        all_ranks=request.all_ranks,
        multicast=request.multicast,
        arguments=request.arguments,
        settings=split_settings(request.settings),
        init={
            name: literal_or_text(x) for name, x in split_settings(request.init, "--init").items()
        },
        meta=request.meta,
        tasks=[custom_task(text) for text in request.register],
        mirage_home=None if request.mirage_home is None else Path(request.mirage_home),
        stdout=stdout,
    )


def compiled(
    sources: Sequence[str], options: CompileOptions, *, show_traceback: bool
) -> CompileResult:
    """`compile_pipelines`; a script's own exception is shown when the user wants to see it."""
    from mpkgraph.pipeline.compile import compile_pipelines

    try:
        return compile_pipelines(sources, options)
    except MpkGraphError as error:
        if show_traceback and error.__cause__ is not None:
            traceback.print_exception(error.__cause__, file=sys.stderr)
        raise
