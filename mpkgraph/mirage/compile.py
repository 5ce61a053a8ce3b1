"""Compile a pipeline with the real Mirage, in a child process, and compare with the planner.

Files are placed in the output folder when all ranks are done; a failure leaves it as it was.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.catalog import DEFAULT, Catalog, catalog_for
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.errors import GraphReadError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.io.cache import default_directory
from mpkgraph.io.reader import read_graph
from mpkgraph.io.record import read_record
from mpkgraph.mirage.compare import Comparison, compare, graph_bytes, plan_like
from mpkgraph.mirage.doctor import Diagnosis
from mpkgraph.mirage.errors import MirageUnusableError
from mpkgraph.mirage.failure import explain, has_failed, late_note
from mpkgraph.mirage.find import FoundMirage
from mpkgraph.mirage.nvcc import NvccReport
from mpkgraph.mirage.process import ChildResult, OnMessage, run_child
from mpkgraph.mirage.protocol import ChildRequest, Message
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import CallSite, PipelineRecord
from mpkgraph.pipeline.compile import CompileOptions, only_for_scripts, record_paths
from mpkgraph.pipeline.compiled import Compiled, CompileResult, graph_folder, make_folder
from mpkgraph.pipeline.custom_tasks import with_custom_tasks
from mpkgraph.pipeline.replay import recorded_target
from mpkgraph.pipeline.target import Target
from mpkgraph.pipeline.user_code import is_function
from mpkgraph.planner.plan import ProcessPlanner

DEFAULT_LIMIT_S = 1800.0
"""nvcc takes half a minute to some minutes a graph; a big model loads for minutes."""
STAGING_PREFIX = "mpkgraph-mirage-"
LOG = "mirage.log"
KERNELS = "kernels"


@dataclass(frozen=True)
class MirageOptions:
    """How Mirage is to be used."""

    kernel: bool | None = None
    """Run nvcc; None: when nvcc and headers are there."""
    limit_s: float | None = DEFAULT_LIMIT_S
    """For each rank's process; None waits for ever."""
    use_cache: bool = True
    python: str | None = None
    """The interpreter of the child; None is this one."""
    on_message: OnMessage | None = None


@dataclass(frozen=True)
class FromMirage:
    """A graph that Mirage generated, in the place of a plan; warnings are the planner's."""

    graph: TaskGraph
    warnings: tuple[Any, ...] = ()


@dataclass(frozen=True)
class MirageGraph:
    """What is known of one graph besides its `Compiled`."""

    comparison: Comparison
    generate_seconds: float
    nvcc: NvccReport | None = None
    changes: tuple[str, ...] = ()
    """What was corrected in the source that was compiled."""


@dataclass(frozen=True)
class MirageResult(CompileResult):
    """A compile by Mirage; `made` goes with `compiled`."""

    mirage: FoundMirage | None = None
    made: tuple[MirageGraph, ...] = ()

    @property
    def has_warnings(self) -> bool:
        """Whether planning warned, or Mirage's graph is another than the planner's."""
        differs = any(x.comparison.equal is False for x in self.made)
        return differs or any(x.warnings for x in self.compiled)


@dataclass(frozen=True)
class ChildGraph:
    """One graph as the child left it in its folder."""

    message: Message
    compiled: Message | None
    nvcc: NvccReport | None

    @property
    def folder(self) -> Path:
        return Path(self.message["folder"])

    @property
    def rank(self) -> int:
        return int(self.message["rank"])

    @property
    def index(self) -> int:
        return int(self.message["index"])

    @property
    def graph_path(self) -> Path:
        return self.folder / f"task_graph_rank{self.rank}.json"

    @property
    def record_path(self) -> Path | None:
        path = self.folder / f"pipeline_rank{self.rank}.json"
        return path if self.message["has_record"] else None

    def record(self) -> PipelineRecord | None:
        """The pipeline as the child saw it, with the user's lines; None when it has none."""
        path = self.record_path
        if path is None:
            return None
        sites = json.loads((self.folder / f"sites_rank{self.rank}.json").read_bytes())
        return dataclasses.replace(
            read_record(path),
            path=None,
            call_sites=tuple(None if x is None else CallSite(x[0], x[1]) for x in sites),
        )

    @property
    def site(self) -> CallSite | None:
        site = None if self.compiled is None else self.compiled.get("site")
        return None if site is None else CallSite(site[0], site[1])

    @property
    def wanted_folder(self) -> Path | None:
        """Where the script said that its files go."""
        folder = None if self.compiled is None else self.compiled.get("output_dir")
        return None if folder is None else Path(folder)


def compile_with_mirage(
    sources: Sequence[str],
    options: CompileOptions,
    diagnosis: Diagnosis,
    mirage: MirageOptions | None = None,
) -> MirageResult:
    """The graphs that the real Mirage makes of a script, a function or recorded pipelines.

    Raises MirageUnusableError when it can't be used here, MirageError (with the layer, the end of
    the log and its file) when its process fails, UsageError for options that do not go together.
    """
    chosen = mirage or MirageOptions()
    check_usable(diagnosis, kernel=bool(chosen.kernel))
    requests, notes = _requests(sources, options, diagnosis, chosen)
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX))
    children: list[tuple[ChildResult, list[ChildGraph]]] = []
    for number, request in enumerate(requests):
        folder = staging / f"process{number}"
        folder.mkdir()
        result = run_child(
            dataclasses.replace(request, staging=str(folder)),
            folder / LOG,
            limit_s=chosen.limit_s,
            on_message=chosen.on_message,
            python=chosen.python,
        )
        if has_failed(result):
            raise explain(result, limit_s=chosen.limit_s)
        children.append((result, child_graphs(result)))
    compiled = _finish(children, options, notes, diagnosis)
    shutil.rmtree(staging, ignore_errors=True)
    return compiled


def check_usable(diagnosis: Diagnosis, *, kernel: bool = False, run: bool = False) -> None:
    """Raises MirageUnusableError that says what is missing first, with its remedy."""
    need = "run" if run else "kernel" if kernel else "graph"
    blockers = diagnosis.blockers(need)  # type: ignore[arg-type]
    if not blockers:
        return
    first = blockers[0]
    others = ", ".join(x.name for x in blockers[1:])
    more = f"; and so do {others}" if others else ""
    what = {"graph": "Mirage can't be used here", "kernel": "no kernel can be compiled here"}.get(
        need, "nothing can be run here"
    )
    found = first.found[:1].lower() + first.found[1:] if first.name == "Mirage" else first.found
    raise MirageUnusableError(
        f"{what}: {first.name}: {found}{more}",
        remedy=f"{first.remedy}. mpkgraph compile --doctor shows all; without --backend "
        "mpkgraph plans the same graph, to the byte",
    )


def kernel_cache_folder() -> Path | None:
    """Where compiled kernels are kept: below the cache of graphs."""
    base = default_directory()
    return None if base is None else base / KERNELS


def child_graphs(result: ChildResult) -> list[ChildGraph]:
    """The graphs of one process, in its order."""
    graphs: list[ChildGraph] = []
    for message in result.messages:
        if message.kind == "graph":
            graphs.append(ChildGraph(message, None, None))
        elif message.kind == "nvcc" and message["returncode"] == 0 and graphs:
            report = NvccReport.from_json(message["report"])
            graphs[-1] = dataclasses.replace(graphs[-1], nvcc=report)
        elif message.kind == "compiled":
            at = next((i for i, x in enumerate(graphs) if x.index == message["index"]), None)
            if at is not None:
                graphs[at] = dataclasses.replace(graphs[at], compiled=message)
    return graphs


def base_request(
    sources: Sequence[str], options: CompileOptions, diagnosis: Diagnosis
) -> ChildRequest:
    """What is the same for every rank. Raises UsageError for options that do not go together."""
    scripts = [x for x in sources if x.endswith(".py") or is_function(x)]
    records: tuple[str, ...] = ()
    if not scripts:
        only_for_scripts(options)
        records = tuple(str(Path(x).absolute()) for x in record_paths(sources))
    found = diagnosis.facts.mirage
    stub = diagnosis.facts.libcuda_stub
    has_driver = bool(diagnosis.facts.step("libcuda").get("ok"))
    return ChildRequest(
        staging="",
        source=scripts[0] if scripts else "",
        records=records,
        arguments=tuple(options.arguments),
        settings={name: str(value) for name, value in options.settings.items()},
        init=dict(options.init),
        mirage_python="" if found is None else str(found.python),
        mirage_root=None if found is None or found.root is None else str(found.root),
        libcuda_stub=None if has_driver or stub is None else str(stub),
        # Nothing looks at the tensors of a record
        meta=options.meta or bool(records),
    )


def _requests(
    sources: Sequence[str],
    options: CompileOptions,
    diagnosis: Diagnosis,
    mirage: MirageOptions,
) -> tuple[list[ChildRequest], list[str]]:
    """One process for each rank, and notes for the user."""
    base = base_request(sources, options, diagnosis)
    notes = []
    kernel = mirage.kernel
    if kernel is None:
        blockers = diagnosis.blockers("kernel")
        kernel = not blockers
        if blockers:
            why = f"{blockers[0].name}: {blockers[0].found}"
            notes.append(f"no kernel was compiled, only the graph is made ({why})")
    target, redirect = _target(base, options, diagnosis)
    ranks = range(target.world_size) if options.all_ranks else (target.rank,)
    folder = kernel_cache_folder()
    requests = [
        dataclasses.replace(
            base,
            kernel=kernel and bool(options.emit),
            redirect=redirect,
            target=_target_json(dataclasses.replace(target, rank=rank)),
            has_target=options.cc is not None or options.num_workers is not None,
            cache=str(folder) if mirage.use_cache and folder is not None else None,
        )
        for rank in ranks
    ]
    return requests, notes


def _target(
    base: ChildRequest, options: CompileOptions, diagnosis: Diagnosis
) -> tuple[Target, bool]:
    """What to compile for, and whether torch is to stand in for it."""
    gpus = diagnosis.facts.gpus
    own = int(gpus[0]["cc"]) if gpus else None
    recorded = None
    if base.records:
        recorded = recorded_target(read_record(base.records[0]))
    cc = options.cc or (recorded.cc if recorded is not None else own) or Target().cc
    world_size = options.world_size or (recorded.world_size if recorded else None)
    world_size = world_size or (options.rank or 0) + 1
    redirect = own != cc or options.meta or world_size > 1
    target = Target(
        cc=cc,
        num_workers=options.num_workers,
        num_local_schedulers=options.num_local_schedulers,
        world_size=world_size,
        rank=options.rank if options.rank is not None else (recorded.rank if recorded else 0),
        multicast=options.multicast
        if options.multicast is not None or recorded is None
        else recorded.multicast,
        num_sms=int(gpus[0]["num_sms"]) if own == cc else None,
        name=str(gpus[0]["name"]) if own == cc else None,
    )
    return target, redirect


def _target_json(target: Target) -> dict[str, Any]:
    return dataclasses.asdict(target)


def _finish(
    children: Sequence[tuple[ChildResult, list[ChildGraph]]],
    options: CompileOptions,
    notes: list[str],
    diagnosis: Diagnosis,
) -> MirageResult:
    """Compare all, then write all."""
    tasks = with_custom_tasks(REGISTERED_TASKS, options.tasks)
    catalog = _catalog(diagnosis)
    finished: list[tuple[Compiled, MirageGraph, ChildGraph, bytes | None, ChildResult]] = []
    for result, graphs in children:
        planner = ProcessPlanner(tasks, catalog)
        for graph in graphs:
            compiled, about, planned = _compared(graph, planner)
            finished.append((compiled, about, graph, planned, result))
        notes += [str(x["text"]) for x in result.of_kind("note")]
        late = late_note(result)
        if late is not None:
            notes.append(late)
    finished.sort(key=lambda x: (x[0].rank, x[0].index))
    placed = []
    for compiled, about, graph, planned, result in finished:
        files = tuple(_place(compiled, graph, planned, result, options)) if options.emit else ()
        placed.append((dataclasses.replace(compiled, files=files), about))
    return MirageResult(
        compiled=tuple(x for x, _ in placed),
        notes=tuple(dict.fromkeys(notes)),
        mirage=diagnosis.facts.mirage,
        made=tuple(x for _, x in placed),
    )


def _catalog(diagnosis: Diagnosis) -> Catalog:
    """The enums of the Mirage that is used; the built-in ones where its header can't be read."""
    found = diagnosis.facts.mirage
    if found is None or found.root is None:
        return DEFAULT
    try:
        return catalog_for(found.root)
    except GraphReadError:
        return DEFAULT


def _compared(
    graph: ChildGraph, planner: ProcessPlanner
) -> tuple[Compiled, MirageGraph, bytes | None]:
    """The graph as read, how it compares, and the planner's text where that is another."""
    text = graph.graph_path.read_bytes()
    record = graph.record()
    plan, error = plan_like(planner, record)
    comparison = compare(text, plan, error)
    shown = read_graph(graph.graph_path) if plan is None or not comparison.equal else plan.graph
    compiled = Compiled(
        record=record or _empty_record(graph),
        rank=graph.rank,
        index=graph.index,
        site=graph.site,
        plan=FromMirage(shown, () if plan is None else tuple(plan.warnings)),
    )
    about = MirageGraph(
        comparison,
        float(graph.message["seconds"]),
        graph.nvcc,
        tuple(graph.message["changes"]) if graph.nvcc is not None else (),
    )
    other = plan is not None and comparison.equal is False
    return compiled, about, graph_bytes(plan.graph) if other and plan is not None else None


def _empty_record(graph: ChildGraph) -> PipelineRecord:
    """For a pipeline that could not be recorded: what its graph alone says."""
    generate = {"num_gpus": graph.message["num_gpus"], "my_gpu_id": graph.rank}
    return PipelineRecord("", 0, {}, (), (), generate=generate)


def _place(
    compiled: Compiled,
    graph: ChildGraph,
    planned: bytes | None,
    result: ChildResult,
    options: CompileOptions,
) -> Iterator[Path]:
    """Put the files of one graph where they belong; each appears whole."""
    folders = []
    if options.output is not None:
        folders.append(graph_folder(options.output, compiled.index))
    if graph.wanted_folder is not None:
        folders.append(graph.wanted_folder)
    for folder in dict.fromkeys(folders or [graph_folder(Path(), compiled.index)]):
        make_folder(folder)
        for source, name in _files(graph, options):
            with source.open("rb") as stream, atomic_file(folder / name) as target:
                shutil.copyfileobj(stream, target)
            yield _as_named(folder / name)
        if graph.nvcc is not None and "graph" in options.emit:
            name = f"kernel_rank{graph.rank}.json"
            yield _written(folder / name, json_bytes(graph.nvcc.to_json()))
        if planned is not None:
            make_folder(folder / "planned")
            yield _written(folder / "planned" / graph.graph_path.name, planned)
        yield _written(folder / f"mirage_rank{graph.rank}.log", result.log.read_bytes())


def _files(graph: ChildGraph, options: CompileOptions) -> Iterator[tuple[Path, str]]:
    """(file, its name) in the order of writing."""
    if "graph" in options.emit:
        yield graph.graph_path, graph.graph_path.name
    if "record" in options.emit and graph.record_path is not None:
        yield graph.record_path, graph.record_path.name
    if "graph" in options.emit:
        for pattern in ("test_rank*.cu", "mpk_launcher_rank*", "kernel_metadata_rank*.json"):
            for path in sorted(graph.folder.glob(pattern)):
                yield path, path.name


def _written(path: Path, data: bytes) -> Path:
    with atomic_file(path) as stream:
        stream.write(data)
    return _as_named(path)


def _as_named(path: Path) -> Path:
    """As a user would name it: from the working folder, where it is in that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
