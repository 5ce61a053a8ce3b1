"""What compiling pipelines came to: one `Compiled` a graph, in the order of the script's calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from mpkgraph.errors import GraphWriteError, UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.io.record import save_record
from mpkgraph.io.writer import save_graph
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import CallSite, PipelineRecord, RecordedLayer


class Planned(Protocol):
    """What a planner makes of a record."""

    @property
    def graph(self) -> TaskGraph: ...

    @property
    def warnings(self) -> tuple[Any, ...]: ...


class CompileGraph(Protocol):
    """Plans one record after another for one process: variants go on counting."""

    def __call__(self, record: PipelineRecord, /) -> Planned:
        """The next graph."""
        ...

    def register(self, record: PipelineRecord, layer: RecordedLayer, /) -> None:
        """Number the variant of a layer that is registered before the graphs of others."""
        ...


NewCompileGraph = Callable[[], CompileGraph]
"""Starts a process: called once for each rank."""


@dataclass(frozen=True)
class Compiled:
    """One pipeline that a script compiled."""

    record: PipelineRecord
    rank: int
    index: int
    """Position among the graphs of its rank, from 0."""
    site: CallSite | None
    """The line that compiled it."""
    plan: Planned | None = None
    """The planner's result; None when the runner was given no planner."""
    files: tuple[Path, ...] = ()
    """What was written, the graph before its record in each folder."""
    tensors: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """By name the torch tensors that were attached; kept only where they are asked for."""
    meta_tensors: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __repr__(self) -> str:
        made = self.record if self.graph is None else self.graph
        where = "" if self.site is None else f" at {self.site.file}:{self.site.line}"
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"<Compiled{where}: {made!r}{warned}>"

    @property
    def graph(self) -> TaskGraph | None:
        return None if self.plan is None else self.plan.graph

    @property
    def warnings(self) -> tuple[Any, ...]:
        return () if self.plan is None else tuple(self.plan.warnings)


@dataclass(frozen=True)
class CompileResult:
    """Graphs by rank, then in the order of one process, and what else there is to say."""

    compiled: tuple[Compiled, ...]
    notes: tuple[str, ...] = ()
    late_errors: tuple[str, ...] = ()
    """How scripts failed after they had compiled; among the notes too."""
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict, repr=False)
    """Of a script those that it has at its end, by name."""

    def __repr__(self) -> str:
        return f"<CompileResult: {', '.join(map(repr, self.compiled)) or 'nothing compiled'}>"

    @property
    def graphs(self) -> tuple[TaskGraph, ...]:
        """The planned graphs, one for each of `compiled`."""
        return tuple(x.graph for x in self.compiled if x.graph is not None)

    @property
    def graph(self) -> TaskGraph:
        """The graph of a pipeline that compiled once, on one rank.

        Raises UsageError when there are more graphs, or none.
        """
        if len(self.graphs) != 1:
            raise UsageError(
                f"{len(self.graphs)} graphs were compiled",
                remedy="Choose from graphs, or from compiled, which has their records too",
            )
        return self.graphs[0]

    @property
    def has_warnings(self) -> bool:
        return any(x.warnings for x in self.compiled)


Emit = frozenset[str]
"""Which files are written: `graph`, `record`."""
BOTH: Emit = frozenset({"graph", "record"})


def graph_folder(output: Path, index: int) -> Path:
    """Where the graph at a position goes: `OUT`, then `OUT/compile2`, `OUT/compile3` and so on."""
    return output if index == 0 else output / f"compile{index + 1}"


def write_files(
    folder: Path, rank: int, record: PipelineRecord, plan: Planned | None, emit: Emit = BOTH
) -> tuple[Path, ...]:
    """Write the graph and its record into a folder, which is made.

    Raises GraphWriteError when that can't be done.
    """
    make_folder(folder)
    files = []
    if plan is not None and "graph" in emit:
        files.append(folder / f"task_graph_rank{rank}.json")
        save_graph(plan.graph, files[-1])
    if "record" in emit:
        files.append(folder / f"pipeline_rank{rank}.json")
        save_record(record, files[-1])
    return tuple(files)


def make_folder(folder: Path) -> None:
    """Make a folder for files. Raises GraphWriteError when that can't be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphWriteError(
            f"can't make the folder: {error.strerror or error}",
            where=str(folder),
            remedy="Choose a folder that you can write to",
        ) from error
