"""From what a user names (a script, a function, recorded pipelines) to task graphs in files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from mpkgraph.catalog import DEFAULT, Catalog, catalog_for
from mpkgraph.catalog.registered import REGISTERED_TASKS, RegisteredTaskRow
from mpkgraph.errors import GraphReadError, PipelineError, UsageError
from mpkgraph.io.record import read_record
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.compiled import (
    BOTH,
    Compiled,
    CompileResult,
    Emit,
    graph_folder,
    write_files,
)
from mpkgraph.pipeline.custom_tasks import with_custom_tasks
from mpkgraph.pipeline.standin.session import Executor
from mpkgraph.pipeline.target import Target
from mpkgraph.planner.plan import Plan, ProcessPlanner

_RECORD_NAME = re.compile(r"pipeline_rank(\d+)\.json(\.zst|\.gz)?")
_COMPILE_FOLDER = re.compile(r"compile(\d+)")


@dataclass(frozen=True)
class CompileOptions:
    """How pipelines are compiled. None leaves a choice to the record, or to what is usual."""

    output: Path | None = None
    """Folder for the files. None: where a script says with `compile(output_dir=...)`, else the
    working folder."""
    emit: Emit = BOTH
    """Which files to write; none for a dry run."""
    cc: int | None = None
    num_workers: int | None = None
    num_local_schedulers: int | None = None
    world_size: int | None = None
    rank: int | None = None
    all_ranks: bool = False
    multicast: bool | None = None
    arguments: Sequence[str] = ()
    """Of a script."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Parameters of a function; text is read as what the parameter is."""
    init: Mapping[str, Any] = field(default_factory=dict)
    """PersistentKernel parameters of the kernel that a function receives."""
    meta: bool = False
    tasks: Sequence[RegisteredTaskRow] = ()
    """Task names that the tables lack."""
    mirage_home: Path | None = None
    stdout: TextIO | None = None
    """Where a script's prints go; None leaves them on standard output."""
    keep_tensors: bool = False
    """Keep the tensors that a script attaches, with their values, beside each pipeline."""
    executor: Executor | None = None
    """Runs a compiled pipeline when the script launches it; None does nothing then."""


def compile_pipelines(
    sources: Sequence[str | Callable[..., Any]], options: CompileOptions | None = None
) -> CompileResult:
    """Plan the task graphs of one script or function, or of recorded pipelines.

    `sources` is one `SCRIPT.py`, one function or its name (`module:function`, `file.py:function`),
    or any number of records and folders of them. Records of one rank are planned as one process
    makes graphs one after another: kernel variants go on counting.

    Raises PipelineError for what Mirage would refuse, UsageError for options that do not go
    together, GraphReadError for a record that can't be read.
    """
    chosen = options or CompileOptions()
    records = [x for x in sources if isinstance(x, str) and not _is_script(x)]
    if len(records) == len(sources):
        only_for_scripts(chosen)
        return CompileResult(tuple(_compile_records(records, chosen)))
    script = next(x for x in sources if x not in records)
    if len(sources) > 1:
        raise UsageError(
            f"{script} can't be compiled together with other pipelines",
            remedy="Arguments of a script follow after --",
        )
    return _compile_script(script, chosen)


def _is_script(name: str) -> bool:
    from mpkgraph.pipeline.script import is_function

    return name.endswith(".py") or is_function(name)


def only_for_scripts(options: CompileOptions) -> None:
    """Raises UsageError for options that mean nothing to recorded pipelines."""
    given = {
        "arguments after --": options.arguments,
        "--set": options.settings,
        "--init": options.init,
        "--meta": options.meta,
    }
    for name, value in given.items():
        if value:
            raise UsageError(
                f"{name} can't be given with a recorded pipeline",
                remedy="They are for scripts and functions",
            )


def _new_planner(options: CompileOptions) -> ProcessPlanner:
    """A planner for the graphs of one process."""
    return ProcessPlanner(with_custom_tasks(REGISTERED_TASKS, options.tasks), _catalog(options))


def _catalog(options: CompileOptions) -> Catalog:
    return DEFAULT if options.mirage_home is None else catalog_for(options.mirage_home)


def _compile_script(source: str | Callable[..., Any], options: CompileOptions) -> CompileResult:
    from mpkgraph.pipeline.script import ScriptOptions, is_function, run_function, run_script

    target = Target(
        cc=options.cc or Target().cc,
        num_workers=options.num_workers,
        num_local_schedulers=options.num_local_schedulers,
        world_size=options.world_size or (options.rank or 0) + 1,
        rank=options.rank or 0,
        multicast=options.multicast,
    )
    script_options = ScriptOptions(
        meta=options.meta,
        output=options.output,
        emit=options.emit,
        new_compile_graph=lambda: _new_planner(options),
        mirage_home=options.mirage_home,
        stdout=options.stdout,
        ranks=range(target.world_size) if options.all_ranks else None,
        init=options.init,
        keep_tensors=options.keep_tensors,
        executor=options.executor,
    )
    if not isinstance(source, str) or is_function(source):
        if options.arguments:
            raise UsageError(
                "a function takes no arguments after --", remedy="Give them as --set NAME=VALUE"
            )
        result = run_function(source, options.settings, target, script_options)
    else:
        for name, value in (("--set", options.settings), ("--init", options.init)):
            if value:
                raise UsageError(
                    f"{name} is for functions", remedy="A script's arguments follow after --"
                )
        result = run_script(source, options.arguments, target, script_options)
    compiled = tuple(_as_named(_placed(x, options), options) for x in result.compiled)
    refused = [f"the script went on after compile() was refused: {x}" for x in result.refused]
    return CompileResult(compiled, (*result.notes, *refused), result.late_errors, result.functions)


def _placed(compiled: Compiled, options: CompileOptions) -> Compiled:
    """What no folder was named for goes to the working folder."""
    if compiled.files or not options.emit:
        return compiled
    return _written(compiled, Path(), options.emit)


def _as_named(compiled: Compiled, options: CompileOptions) -> Compiled:
    """Files as the user would name them: from the working folder, unless it was named in full."""
    if options.output is not None and options.output.is_absolute():
        return compiled
    here = Path.cwd()
    files = tuple(x.relative_to(here) if x.is_relative_to(here) else x for x in compiled.files)
    return dataclasses.replace(compiled, files=files)


def _written(compiled: Compiled, output: Path, emit: Emit) -> Compiled:
    folder = graph_folder(output, compiled.index)
    files = write_files(folder, compiled.rank, compiled.record, compiled.plan, emit)
    return dataclasses.replace(compiled, files=files)


def _compile_records(sources: Sequence[str], options: CompileOptions) -> list[Compiled]:
    """Plan all, then write all: what fails leaves nothing behind."""
    planners: dict[int, ProcessPlanner] = {}
    counts: dict[int, int] = {}
    found = []
    for path in record_paths(sources):
        for record in _retargeted(read_record(path), options):
            rank = record.my_gpu_id
            planner = planners.setdefault(rank, _new_planner(options))
            index = counts.get(rank, 0)
            counts[rank] = index + 1
            found.append(Compiled(record, rank, index, None, _explained(record, planner)))
    found.sort(key=lambda x: (x.rank, x.index))
    if not options.emit:
        return found
    return [_written(x, options.output or Path(), options.emit) for x in found]


def _explained(record: PipelineRecord, planner: ProcessPlanner) -> Plan:
    """The plan; of a layer that Mirage's Python refused, our layers know why better."""
    try:
        return planner(record)
    except PipelineError:
        if not record.has_exception:
            raise
        from mpkgraph.pipeline.replay import replay

        replay(record)
        raise


def _retargeted(record: PipelineRecord, options: CompileOptions) -> Iterator[PipelineRecord]:
    """The record as it is, or what its calls make on another target or rank."""
    changes: dict[str, Any] = {
        "cc": options.cc,
        "num_workers": options.num_workers,
        "num_local_schedulers": options.num_local_schedulers,
        "world_size": options.world_size,
        "rank": options.rank,
        "multicast": options.multicast,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    if not given and not options.all_ranks:
        yield record
        return
    from mpkgraph.pipeline.replay import recorded_target, replay

    target = recorded_target(record)
    if "cc" in given and given["cc"] != target.cc:
        # Another GPU has other usual numbers
        target = dataclasses.replace(
            target, num_workers=None, num_local_schedulers=None, multicast=None
        )
    if "world_size" in given:
        given.setdefault("rank", min(target.rank, given["world_size"] - 1))
    target = dataclasses.replace(target, **given)
    ranks = range(target.world_size) if options.all_ranks else (target.rank,)
    for rank in ranks:
        yield replay(record, dataclasses.replace(target, rank=rank))


def record_paths(sources: Sequence[str]) -> Iterator[str]:
    """Records by name, and those in folders. Raises GraphReadError for a folder without any."""
    for source in sources:
        folder = Path(source)
        if source == "-" or not folder.is_dir():
            yield source
            continue
        found = sorted(_records_in(folder))
        if not found:
            raise GraphReadError(
                "no pipeline_rank{N}.json in this folder",
                where=source,
                remedy="Give a record, a script or a function",
            )
        yield from (str(path) for *_, path in found)


def _records_in(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """(Which compile of its process, rank, record) for a folder and its `compileN`."""
    subfolders = [(1, folder)]
    for child in folder.iterdir():
        match = _COMPILE_FOLDER.fullmatch(child.name)
        if match and child.is_dir():
            subfolders.append((int(match[1]), child))
    for number, place in subfolders:
        for path in place.iterdir():
            match = _RECORD_NAME.fullmatch(path.name)
            if match:
                yield number, int(match[1]), path
