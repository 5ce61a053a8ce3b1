"""Run a pipeline's graph on the GPU, in a child process with a time limit.

The child compiles (or takes the kernel from the cache), puts tensors aside, launches in test mode,
and writes what every tensor held before and after. What it wrote is compared elsewhere.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpkgraph.analysis.verify.run import verify
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.errors import MpkGraphError
from mpkgraph.io.reader import read_graph
from mpkgraph.mirage.compile import (
    DEFAULT_LIMIT_S,
    LOG,
    STAGING_PREFIX,
    ChildGraph,
    base_request,
    check_usable,
    child_graphs,
    kernel_cache_folder,
)
from mpkgraph.mirage.doctor import Diagnosis
from mpkgraph.mirage.errors import MirageError, MirageUnusableError
from mpkgraph.mirage.failure import explain, has_failed, late_note
from mpkgraph.mirage.hang import Hang, diagnose_hang
from mpkgraph.mirage.process import ChildResult, OnMessage, run_child
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.compile import CompileOptions
from mpkgraph.pipeline.target import Target

MAX_REASONS = 4
LAUNCH_LIMIT_S = 20.0
"""A graph takes milliseconds; a launch that takes so long hangs."""
SANITIZER_LAUNCH_LIMIT_S = 300.0
_SUMMARY = re.compile(r"={9} (?:ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard)")
_FRAMES = (
    "COMPUTE-SANITIZER",
    "ERROR SUMMARY",
    "RACECHECK SUMMARY",
    "Saved host backtrace",
    "Host Frame",
)


@dataclass(frozen=True)
class RunOptions:
    """How to launch."""

    repeat: int = 1
    """Runs from the same inputs; what differs between them is a race."""
    launch_limit_s: float = LAUNCH_LIMIT_S
    limit_s: float | None = DEFAULT_LIMIT_S
    """For the whole process, nvcc included."""
    poison: bool = True
    """Fill what is only written with NaN before each run, so that what stays unwritten shows, and
    every SM's shared memory with zeros, so that runs begin alike."""
    poison_shared: bool = False
    """Fill shared memory with NaN instead: what a kernel reads of it unwritten then shows, too."""
    profile: bool = False
    """Compile with Mirage's profiler and keep what it measured."""
    sanitize: str | None = None
    """A tool of compute-sanitizer: `memcheck`, `racecheck`, `initcheck`, `synccheck`."""
    use_cache: bool = True
    on_message: OnMessage | None = None
    python: str | None = None
    keep: Path | None = None
    """Folder for the tensors; None is one that the caller removes."""


@dataclass(frozen=True)
class Difference:
    """A tensor that came out otherwise in a later run. `places` are flat indices of elements."""

    run: int
    tensor: str
    num_elements: int
    places: tuple[int, ...]


@dataclass(frozen=True)
class GraphRun:
    """One graph after its launches; files are safetensors, one tensor a name."""

    graph: TaskGraph
    record: PipelineRecord | None
    rank: int
    index: int
    folder: Path
    inputs: Path
    """Attached tensors before the run, and `meta:NAME` for each meta tensor."""
    outputs: Path
    """Attached tensors after the first run, and buffers that the kernel allocated."""
    poisoned: tuple[str, ...]
    """Tensors and buffers that held NaN (integers: -1) before each run."""
    buffers: tuple[str, ...]
    milliseconds: tuple[float, ...]
    """By run, between events before and after the launch on its stream."""
    differences: tuple[Difference, ...]
    device: str
    profile: Path | None = None
    is_shared_poisoned: bool = False
    """Whether shared memory held NaN before each run."""


@dataclass(frozen=True)
class HungGraph:
    """A graph whose launch did not end."""

    graph: TaskGraph
    record: PipelineRecord | None
    hang: Hang


@dataclass(frozen=True)
class GpuRun:
    """What running came to: graphs that ran, and the one that hung."""

    graphs: tuple[GraphRun, ...]
    notes: tuple[str, ...]
    staging: Path
    hung: HungGraph | None = None
    num_sanitizer_errors: int | None = None
    sanitizer_lines: tuple[str, ...] = ()


def run_on_gpu(
    sources: Sequence[str],
    options: CompileOptions,
    diagnosis: Diagnosis,
    run: RunOptions | None = None,
) -> GpuRun:
    """Compile and launch a script, a function or records on this machine's GPU.

    Raises MirageUnusableError when that can't be done here, MirageError when the child fails
    otherwise than by a hang (a crash, nvcc, an error of CUDA).
    """
    chosen = run or RunOptions()
    check_usable(diagnosis, run=True)
    gpu = diagnosis.facts.gpus[0]
    if options.cc is not None and options.cc != int(gpu["cc"]):
        raise MirageUnusableError(
            f"the GPU here has compute capability {gpu['cc']}, not {options.cc}",
            remedy="Leave --target out",
        )
    prefix = _sanitizer(chosen)
    staging = chosen.keep or Path(tempfile.mkdtemp(prefix=STAGING_PREFIX))
    staging.mkdir(parents=True, exist_ok=True)
    cache = kernel_cache_folder()
    request = dataclasses.replace(
        base_request(sources, options, diagnosis),
        staging=str(staging),
        kernel=True,
        launch=True,
        redirect=False,
        meta=False,
        target=dataclasses.asdict(_target(options, gpu)),
        has_target=options.num_workers is not None,
        cache=str(cache) if chosen.use_cache and cache is not None else None,
        run={
            "repeat": chosen.repeat,
            "limit_s": SANITIZER_LAUNCH_LIMIT_S if prefix else chosen.launch_limit_s,
            "profile": chosen.profile,
            "poison": chosen.poison,
            "poison_shared": chosen.poison_shared,
        },
    )
    result = run_child(
        request,
        staging / LOG,
        limit_s=chosen.limit_s,
        on_message=chosen.on_message,
        python=chosen.python,
        prefix=prefix,
    )
    return _outcome(result, staging, chosen)


def _outcome(result: ChildResult, staging: Path, options: RunOptions) -> GpuRun:
    graphs = child_graphs(result)
    runs = {int(x["index"]): x.fields for x in result.of_kind("run")}
    errors, lines = _sanitized(result) if options.sanitize else (None, ())
    hung = _hung(result, graphs)
    if hung is None and (not runs or has_failed(result)):
        error = _error(result, graphs, options)
        if errors:
            error.details = (f"compute-sanitizer: {errors:,} errors", *lines, *error.details)
        raise error
    notes = [str(x["text"]) for x in result.of_kind("note")]
    late = late_note(result)
    return GpuRun(
        graphs=tuple(_graph_run(x, runs[x.index]) for x in graphs if x.index in runs),
        notes=tuple(dict.fromkeys([*notes, *([late] if late else [])])),
        staging=staging,
        hung=hung,
        num_sanitizer_errors=errors,
        sanitizer_lines=lines,
    )


def _hung(result: ChildResult, graphs: Sequence[ChildGraph]) -> HungGraph | None:
    message = result.last("hung")
    if message is None:
        return None
    graph = next((x for x in graphs if x.index == message.get("index")), None)
    if graph is None:
        raise explain(result)
    read, record = read_graph(graph.graph_path), graph.record()
    return HungGraph(read, record, diagnose_hang(read, record, message.get("counters")))


def _error(result: ChildResult, graphs: Sequence[ChildGraph], options: RunOptions) -> MpkGraphError:
    """Why there is no result; what static verify says of a graph that died on the GPU."""
    error = explain(result, limit_s=options.limit_s)
    if not isinstance(error, MirageError):
        return error
    if error.kind == "no-graph" and graphs:
        error.what = "the script compiled its pipeline and never launched it"
        error.remedy = "It has to call run_test_mode(), run() or the kernel"
    elif error.kind == "cuda-error" and graphs:
        error.details = tuple(static_reasons(graphs[-1]))
    return error


def static_reasons(graph: ChildGraph) -> list[str]:
    """What static verify says of a graph, a line a finding, the worst first."""
    found = verify([context_of(read_graph(graph.graph_path), graph.record())]).findings
    told = [x for x in found if x.severity != "advice"][:MAX_REASONS]
    return [f"verify: {x.rule.code} {x.rule.name}: {x.message}" for x in told]


def _graph_run(graph: ChildGraph, fields: Mapping[str, Any]) -> GraphRun:
    return GraphRun(
        graph=read_graph(graph.graph_path),
        record=graph.record(),
        rank=graph.rank,
        index=graph.index,
        folder=graph.folder,
        inputs=graph.folder / "inputs.safetensors",
        outputs=graph.folder / "outputs.safetensors",
        poisoned=tuple(fields["poisoned"]),
        buffers=tuple(fields["buffers"]),
        milliseconds=tuple(fields["milliseconds"]),
        differences=tuple(
            Difference(x["run"], x["tensor"], x["num_elements"], tuple(x["places"]))
            for x in fields["differing"]
        ),
        device=fields["device"],
        profile=None if fields["profile"] is None else Path(fields["profile"]),
        is_shared_poisoned=bool(fields.get("poison_shared")),
    )


def _target(options: CompileOptions, gpu: Mapping[str, Any]) -> Target:
    return Target(
        cc=int(gpu["cc"]),
        num_workers=options.num_workers,
        num_local_schedulers=options.num_local_schedulers,
        num_sms=int(gpu["num_sms"]),
        name=str(gpu["name"]),
    )


def _sanitizer(options: RunOptions) -> tuple[str, ...]:
    """The command before the child's own."""
    if options.sanitize is None:
        return ()
    program = shutil.which("compute-sanitizer")
    if program is None:
        raise MirageUnusableError(
            "compute-sanitizer is not on PATH",
            remedy="It comes with the CUDA toolkit (cuda-sanitizer)",
        )
    return (program, "--tool", options.sanitize, "--target-processes", "application-only")


def _sanitized(result: ChildResult) -> tuple[int | None, tuple[str, ...]]:
    """(errors that compute-sanitizer counted, what it said of the first)."""
    text = result.log.read_text(encoding="utf-8", errors="replace")
    counts = [int(errors or hazards) for errors, hazards in _SUMMARY.findall(text)]
    lines = [x.removeprefix("=========").strip() for x in text.splitlines() if "=========" in x]
    said = [x for x in lines if x and not x.startswith(_FRAMES)]
    return (sum(counts) if counts else None), tuple(said[:8])
