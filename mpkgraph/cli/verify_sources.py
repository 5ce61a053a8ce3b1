"""From what `mpkgraph verify` is given to pipelines: graphs are read, all else is planned."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.analysis.verify.subjects import pipeline_of
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.cli.loading import Loaded, LoadOptions, load
from mpkgraph.cli.plan_request import compiled, plan_options
from mpkgraph.cli.source_request import SourceRequest
from mpkgraph.errors import UsageError
from mpkgraph.io.record_file import is_record
from mpkgraph.io.source import STDIN
from mpkgraph.pipeline.custom_tasks import with_custom_tasks

Kind = Literal["graph", "folder", "record", "script"]

_GRAPH_NAME = re.compile(r"task_graph_rank\d+\.json(\.zst|\.gz)?")
_RECORD_NAME = re.compile(r"pipeline_rank(\d+)\.json(\.zst|\.gz)?")
_COMPILE_FOLDER = re.compile(r"compile(\d+)")


class SourceReader:
    """The pipelines of one request, one after another; `notes` grows as scripts are run."""

    def __init__(self, request: SourceRequest, *, executes: bool = False) -> None:
        self.request = request
        self.notes: list[str] = []
        self.late_errors: list[str] = []
        """How scripts failed after they had compiled; among the notes too."""
        self.functions: dict[str, Callable[..., Any]] = {}
        """Of the scripts that were run, by name."""
        self._executes = executes
        self._tensors: dict[int, Any] = {}
        self._options = VerifyOptions(
            num_workers=request.workers,
            num_schedulers=request.schedulers,
            target_cc=_cc(request.target),
        )

    def pipelines(self) -> Iterator[Pipeline]:
        """Graphs of one folder are the ranks of one pipeline, and so are records.

        Raises as reading and compiling do; UsageError for options that do not fit the sources.
        """
        groups = _groups(self.request.sources)
        self._check([kind for kind, _ in groups])
        for kind, sources in groups:
            if kind == "script":
                yield from self._planned(sources[0], sources)
            elif kind == "record":
                yield from self._planned(_together(sources), sources)
            elif kind == "folder":
                yield from self._folder(Path(sources[0]))
            else:
                yield from self._graphs(sources)

    def given(self, pipeline: Pipeline) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """By position of the rank the tensors and meta tensors of a script that was run."""
        return [self._tensors.get(id(x.record), ({}, {})) for x in pipeline.ranks]

    def _check(self, kinds: Sequence[Kind]) -> None:
        request = self.request
        if not request.sources:
            raise UsageError(
                "there is nothing to verify",
                remedy="Give a graph, a directory, a record, a script or a function; or --explain "
                "RULE, or --list-rules",
            )
        is_planned = any(kind in {"script", "record", "folder"} for kind in kinds)
        for name in request.only_for_planning:
            if not is_planned:
                raise UsageError(
                    f"{name} does nothing here",
                    remedy="It is for pipelines that are planned: scripts, functions, records",
                )
        if request.record is not None and request.no_record:
            raise UsageError("--record and --no-record can't go together")
        if request.record is not None and kinds != ["graph"]:
            raise UsageError("--record is for one graph", remedy="Name that graph alone")
        if request.schedulers is not None and request.workers is None and not is_planned:
            raise UsageError("--schedulers needs the number of workers", remedy="Add --workers N")

    def _folder(self, folder: Path) -> Iterator[Pipeline]:
        """A folder that was compiled into: its graphs, then those of `compile2` and so on."""
        folders = [folder, *_compile_folders(folder)]
        with_graphs = [x for x in folders if _has(x, _GRAPH_NAME)]
        if not with_graphs and any(_has(x, _RECORD_NAME) for x in folders):
            yield from self._planned(str(folder), [str(folder)])
            return
        if self.request.only_for_planning:
            raise UsageError(
                f"{self.request.only_for_planning[0]} does nothing for graphs",
                where=str(folder),
                remedy="Name the records in it, or the script",
            )
        # Without any the loader says what is missing
        for place in with_graphs or [folder]:
            yield pipeline_of(str(place), [self._context(x) for x in self._load(str(place))])

    def _graphs(self, files: Sequence[str]) -> Iterator[Pipeline]:
        contexts = [self._context(x) for name in files for x in self._load(name)]
        if len({x.graph.rank for x in contexts}) == len(contexts):
            yield pipeline_of(_together(files), contexts)
            return
        for name, context in zip(files, contexts, strict=True):
            yield pipeline_of(name, [context])

    def _load(self, path: str) -> list[Loaded]:
        request = self.request
        return load(
            LoadOptions(
                path=path,
                record=request.record,
                use_record=not request.no_record,
                mirage_home=request.mirage_home,
                use_cache=not request.no_cache,
                processes=request.processes,
                rank=request.rank,
                progress=not request.no_progress,
                keep_summary=False,
            )
        )

    def _context(self, loaded: Loaded) -> VerifyContext:
        operators = loaded.operators
        return VerifyContext(loaded.graph, operators, loaded.catalog, loaded.record, self._options)

    def _planned(self, name: str, sources: Sequence[str]) -> Iterator[Pipeline]:
        from mpkgraph.analysis.verify.planned import planned_pipelines

        request = self.request
        if request.rank is None and (request.world_size or 1) > 1:
            request = replace(request, all_ranks=True)
        # What a script prints must not run into the report
        options = plan_options(request, emit=frozenset(), stdout=sys.stderr)
        executor = None
        if self._executes:
            from mpkgraph.reference.interpreter.script_run import ScriptExecutor

            is_alone = (options.world_size or 1) == 1
            executor = ScriptExecutor(with_custom_tasks(REGISTERED_TASKS, options.tasks))
            options = replace(options, keep_tensors=True, executor=executor if is_alone else None)
        result = compiled(sources, options, show_traceback=request.traceback)
        self.notes += result.notes
        self.late_errors += result.late_errors
        self.functions |= result.functions
        if executor is not None:
            for item in result.compiled:
                before = executor.before.get(id(item.record), {})
                tensors = {**item.tensors, **before}
                self._tensors[id(item.record)] = tensors, item.meta_tensors
        yield from planned_pipelines(result, name, options, self._options)


def _cc(target: str | None) -> int | None:
    if target is None:
        return None
    from mpkgraph.pipeline.target import find_cc

    return find_cc(target)


def _groups(sources: Sequence[str]) -> list[tuple[Kind, list[str]]]:
    """Files of one folder and kind together, in the order of their first ones.

    A record whose graph is given too is left to that graph.
    """
    kinds = [(kind_of(source), source) for source in dict.fromkeys(sources)]
    graphs = {Path(x).with_name(Path(x).name.split(".")[0]) for kind, x in kinds if kind == "graph"}
    groups: dict[tuple[Kind, str], list[str]] = {}
    for kind, source in kinds:
        match = _RECORD_NAME.fullmatch(Path(source).name) if kind == "record" else None
        if match and Path(source).with_name(f"task_graph_rank{match[1]}") in graphs:
            continue
        is_alone = kind in {"script", "folder"} or source == STDIN
        key = source if is_alone else str(Path(source).parent)
        groups.setdefault((kind, key), []).append(source)
    return [(kind, files) for (kind, _), files in groups.items()]


def kind_of(source: str) -> Kind:
    """What a user means by an argument: told by its form and name, else by how the file begins."""
    from mpkgraph.pipeline.script import is_function

    if source == STDIN:
        return "graph"
    if Path(source).is_dir():
        return "folder"
    if source.endswith(".py") or (is_function(source) and not Path(source).exists()):
        return "script"
    return "record" if is_record(source) else "graph"


def _together(files: Sequence[str]) -> str:
    """What to call files of one folder."""
    return files[0] if len(files) == 1 else str(Path(files[0]).parent)


def _has(folder: Path, name: re.Pattern[str]) -> bool:
    return any(name.fullmatch(x.name) for x in folder.iterdir())


def _compile_folders(folder: Path) -> list[Path]:
    found = [(_COMPILE_FOLDER.fullmatch(x.name), x) for x in folder.iterdir() if x.is_dir()]
    return [x for _, x in sorted((int(match[1]), x) for match, x in found if match)]
