"""What `mpkgraph compile` was asked, checked; compiled by the library, reported by a renderer."""

from __future__ import annotations

import ast
import dataclasses
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.errors import MissingDependencyError, MpkGraphError, UsageError
from mpkgraph.pipeline.compiled import BOTH, Emit

if TYPE_CHECKING:
    from mpkgraph.pipeline.compile import CompileOptions

FINDINGS = 1
"""Exit code of `--check` when there are warnings."""


@dataclass(frozen=True)
class CompileRequest:
    """The command's options as click gives them."""

    pipelines: tuple[str, ...]
    arguments: tuple[str, ...]
    output_dir: str | None
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
    emit: str
    dry_run: bool
    check: bool
    backend: str
    mirage_home: str | None
    as_json: bool
    quiet: bool
    traceback: bool

    @property
    def files(self) -> Emit:
        if self.dry_run:
            return frozenset()
        return BOTH if self.emit == "both" else frozenset({self.emit})


def run_compile(request: CompileRequest) -> int:
    """Compile, report, and give the exit code."""
    from mpkgraph.pipeline.compile import compile_pipelines
    from mpkgraph.render.compile_text import compile_json, compile_text, warning_lines

    if request.backend == "mirage":
        _no_mirage_backend()
    options = _options(request)
    # A script's prints must not run into the report
    script_output = sys.stderr if request.as_json else None
    try:
        result = compile_pipelines(
            request.pipelines, dataclasses.replace(options, stdout=script_output)
        )
    except MpkGraphError as error:
        if request.traceback and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        raise
    for line in warning_lines(result):
        sys.stderr.write(line + "\n")
    if request.as_json:
        sys.stdout.buffer.write(compile_json(result))
    elif not request.quiet:
        compile_text(sys.stdout, result)
    return FINDINGS if request.check and result.has_warnings else 0


def _options(request: CompileRequest) -> CompileOptions:
    from mpkgraph.pipeline.compile import CompileOptions
    from mpkgraph.pipeline.custom_tasks import custom_task
    from mpkgraph.pipeline.function_parameters import split_settings
    from mpkgraph.pipeline.target import find_cc

    if request.all_ranks and request.rank is not None:
        raise UsageError("--all-ranks and --rank can't go together")
    return CompileOptions(
        output=None if request.output_dir is None else Path(request.output_dir),
        emit=request.files,
        cc=None if request.target is None else find_cc(request.target),
        num_workers=request.workers,
        num_local_schedulers=request.schedulers,
        world_size=request.world_size,
        rank=request.rank,
        all_ranks=request.all_ranks,
        multicast=request.multicast,
        arguments=request.arguments,
        settings=split_settings(request.settings),
        init={name: _literal(x) for name, x in split_settings(request.init, "--init").items()},
        meta=request.meta,
        tasks=[custom_task(text) for text in request.register],
        mirage_home=None if request.mirage_home is None else Path(request.mirage_home),
    )


def _literal(text: str) -> Any:
    """A Python literal, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _no_mirage_backend() -> None:
    from mpkgraph.pipeline.installed import describe_installed_mirage

    raise MissingDependencyError(
        "this version of mpkgraph can't compile with Mirage itself",
        remedy=f"Leave --backend out: the planner's graphs equal Mirage's to the byte. "
        f"{describe_installed_mirage()}",
    )
