"""One rank's run of a user's code: what it compiled, and what its kernels ask for."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mpkgraph.errors import GraphWriteError, MpkGraphError
from mpkgraph.model.record import CallSite, PipelineRecord, RecordedLayer
from mpkgraph.pipeline.call_site import user_site
from mpkgraph.pipeline.compiled import (
    BOTH,
    Compiled,
    CompileGraph,
    Emit,
    graph_folder,
    write_files,
)
from mpkgraph.pipeline.recorder import PipelineRecorder
from mpkgraph.pipeline.target import Target

Executor = Callable[[Compiled], None]
"""Runs a compiled pipeline once on the torch tensors that it holds, in place."""


class Left(Protocol):
    """What child processes have left."""

    def records(self) -> Iterable[PipelineRecord]: ...

    def refusals(self) -> Iterable[str]: ...


class StopScriptError(BaseException):
    """Ends a script that has compiled as many graphs as were asked for.

    No Exception: a script's `except Exception` must not keep it running.
    """


@dataclass
class Session:
    """Collects the pipelines that kernels compile, plans and writes each at once."""

    target: Target
    compile_graph: CompileGraph | None = None
    output: Path | None = None
    """Folder of the runner's choice, absolute: the script may change the working folder."""
    emit: Emit = BOTH
    """Which files to write; none for a dry run."""
    executor: Executor | None = None
    origin: Mapping[str, Any] | None = None
    stop_after: int | None = None
    keep_tensors: bool = False
    """Keep what is attached, with its values, beside each pipeline that is compiled."""
    compiled: list[Compiled] = field(default_factory=list)
    refused: list[MpkGraphError] = field(default_factory=list)
    """Refusals of compile(), which the script may have caught."""
    notes: list[str] = field(default_factory=list)
    late_errors: list[str] = field(default_factory=list)
    """How the script failed after it had compiled: notes too."""
    child_records: list[PipelineRecord] = field(default_factory=list)
    """Pipelines that processes which the script started compiled, and ..."""
    child_refusals: list[str] = field(default_factory=list)
    """... the messages of those that they were refused."""
    _said: set[str] = field(default_factory=set)
    _registrations: list[PipelineRecorder] = field(default_factory=list)
    """For each task that was registered the graph that it is of, in the order of the process."""
    _num_numbered: int = 0

    def watch(self, recorder: PipelineRecorder) -> None:
        """Note that a task was registered: Mirage numbers its kernel variant at that moment."""
        self._registrations.append(recorder)

    def generate(
        self, kernel: Any, num_gpus: int, my_gpu_id: int, site: CallSite | None = None
    ) -> Compiled:
        """The graph of a kernel, planned once for as long as its pipeline stays the same."""
        known = kernel._mpkgraph_compiled  # noqa: SLF001  the stand-in's own
        generate = {"num_gpus": int(num_gpus), "my_gpu_id": int(my_gpu_id)}
        try:
            record = kernel.record(origin=self.origin, generate=generate)
            if known is not None and known.record == record:
                return known  # type: ignore[no-any-return]
            compiled = self._plan(record, int(kernel.mpi_rank), site or user_site())
            if self.keep_tensors or self.executor is not None:
                compiled = dataclasses.replace(
                    compiled,
                    tensors=dict(kernel._model_tensors),  # noqa: SLF001
                    meta_tensors=dict(kernel.meta_tensors),
                )
        except MpkGraphError as error:
            self.refused.append(error)
            raise
        kernel._mpkgraph_compiled = compiled  # noqa: SLF001
        self.compiled.append(compiled)
        return compiled

    def compile(
        self, kernel: Any, output_dir: Any = None, site: CallSite | None = None
    ) -> Compiled:
        """`generate`, and the files that the script asked for with `output_dir`.

        `site` is the line to name when no line of the user's calls this.
        """
        compiled = self.generate(kernel, kernel.world_size, kernel.mpi_rank, site)
        if output_dir is not None and self.emit:
            try:
                files = write_files(
                    Path(output_dir), compiled.rank, compiled.record, compiled.plan, self.emit
                )
            except GraphWriteError as error:
                # With a folder of the runner's choice the graph is safe: what could not be
                # written is then no reason to stop.
                if self.output is None:
                    self.refused.append(error)
                    raise
                self.notes.append(f"the script's output_dir was not written: {error}")
            else:
                self._replace(kernel, dataclasses.replace(compiled, files=compiled.files + files))
        if self.stop_after is not None and len(self.compiled) >= self.stop_after:
            raise StopScriptError
        return compiled

    def take_children(self, children: Left) -> None:
        """Keep what child processes left, before it is cleared away."""
        self.child_records += children.records()
        self.child_refusals += children.refusals()

    def run(self, kernel: Any) -> None:
        """What launching a compiled kernel does: the executor's work, or nothing, said once."""
        compiled = kernel._mpkgraph_compiled  # noqa: SLF001
        if self.executor is not None and compiled is not None:
            self.executor(compiled)
            return
        self.say_once(
            "run",
            "nothing is executed while a pipeline is compiled: output tensors keep what they hold",
        )

    def say_once(self, topic: str, text: str) -> None:
        """A line on stderr, the first time only."""
        if topic not in self._said:
            self._said.add(topic)
            sys.stderr.write(f"mpkgraph: {text}\n")

    def _number_variants(self, record: PipelineRecord) -> None:
        """Number what was registered since the last plan, in other graphs too, in its order."""
        planner, registrations = self.compile_graph, self._registrations
        pending = registrations[self._num_numbered :]
        before = Counter(id(x) for x in registrations[: self._num_numbered])
        self._num_numbered = len(registrations)
        if planner is None or len({id(x) for x in pending}) < 2:
            return  # one graph's layers are numbered when it is planned
        layers: dict[int, Iterator[tuple[PipelineRecord, RecordedLayer]]] = {}
        for recorder in pending:
            if id(recorder) not in layers:
                layers[id(recorder)] = _layers(recorder, record, before[id(recorder)])
            found = next(layers[id(recorder)], None)
            if found is not None:
                planner.register(*found)

    def _plan(self, record: PipelineRecord, rank: int, site: CallSite | None) -> Compiled:
        self._number_variants(record)
        plan = None if self.compile_graph is None else self.compile_graph(record)
        index = len(self.compiled)
        self._note_rank(record, site)
        files: tuple[Path, ...] = ()
        if self.output is not None and self.emit:
            folder = graph_folder(self.output, index)
            files = write_files(folder, rank, record, plan, self.emit)
        return Compiled(record, rank, index, site, plan, files)

    def _note_rank(self, record: PipelineRecord, site: CallSite | None) -> None:
        target = self.target
        if target.world_size > 1 and (record.my_gpu_id, record.num_gpus) != (
            target.rank,
            target.world_size,
        ):
            self.notes.append(
                f"{site}: this pipeline is of rank {record.my_gpu_id} of "
                f"{record.num_gpus}, while the script runs as rank {target.rank} of "
                f"{target.world_size}: it does not ask MPI or the environment which it is"
            )

    def _replace(self, kernel: Any, compiled: Compiled) -> None:
        kernel._mpkgraph_compiled = compiled  # noqa: SLF001
        self.compiled[compiled.index] = compiled


def _layers(
    recorder: PipelineRecorder, like: PipelineRecord, start: int
) -> Iterator[tuple[PipelineRecord, RecordedLayer]]:
    """The registered layers of a graph from a position on; none of one that can't be recorded."""
    try:
        record = recorder.record(target_cc=like.target_cc, init=like.init, generate=like.generate)
    except MpkGraphError:
        return
    registered = [x for x in record.layers if x.register_name is not None]
    for layer in registered[start:]:
        yield record, layer
