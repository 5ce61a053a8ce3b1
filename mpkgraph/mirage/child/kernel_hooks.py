"""Mirage's `compile()` and what follows it, watched: graphs kept, nvcc replaced, launches ours.

Without `launch` nothing is executed: `compile()` ends after the generator, or after nvcc.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from mpkgraph.io.record import save_record
from mpkgraph.mirage.child.launch import Launcher
from mpkgraph.mirage.child.nvcc_step import NvccStep, Subprocess
from mpkgraph.mirage.child.recording import Recording
from mpkgraph.mirage.device_access import with_device_access
from mpkgraph.mirage.launcher_source import Correction, correct_launcher
from mpkgraph.mirage.protocol import Channel, ChildRequest
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.call_site import user_site
from mpkgraph.pipeline.meta_tensors import TYPES

LAUNCHER_TEXT = "HARD_CODE"
"""Mirage's name of the C++ that `compile()` appends."""
STATE = "_mpkgraph_graph"
NOT_RUN = "nothing is executed while a pipeline is compiled: output tensors keep what they hold"


META_TENSORS = ("step", *(name for name, _ in TYPES))
"""Those that `load_mpk_kernel()` passes on."""


class KernelReady(BaseException):
    """The compiler is done; nothing is to be loaded."""


class GraphState:
    """One graph that was generated."""

    def __init__(self, index: int, rank: int, folder: Path, text: bytes) -> None:
        self.index = index
        self.rank = rank
        self.folder = folder
        self.text = text
        self.path = folder / f"task_graph_rank{rank}.json"
        self.record: Any = None


class KernelHooks:
    """Hooks for one process; `graphs` are what it generated, in order."""

    def __init__(
        self,
        request: ChildRequest,
        channel: Channel,
        recording: Recording,
        step: NvccStep,
        *,
        num_meta_tensors: int | None,
        origin: dict[str, Any],
    ) -> None:
        self.request = request
        self.channel = channel
        self.recording = recording
        self.step = step
        self.origin = origin
        self.graphs: list[GraphState] = []
        self._num_meta_tensors = num_meta_tensors
        self._said: set[str] = set()
        self._launcher: Launcher | None = None
        self._pk_module: Any = None
        self._compiling: Any = None
        self._correction = Correction("")

    def install(self, kernel_module: ModuleType, pk_module: ModuleType) -> None:
        self._pk_module = pk_module
        text = getattr(pk_module, LAUNCHER_TEXT, None)
        if isinstance(text, str):
            self._correction = correct_launcher(text, self._num_meta_tensors)
        vars(pk_module)["subprocess"] = Subprocess(self.step, self._built)
        kn, pk = kernel_module.KNGraph, pk_module.PersistentKernel
        kn.generate_task_graph = self._around(kn.generate_task_graph, self._generate)
        self._add_missing(pk)
        pk.compile = self._around(pk.compile, self._compile)
        if hasattr(pk, "load_mpk_kernel"):
            pk.load_mpk_kernel = self._around(pk.load_mpk_kernel, self._load)
        if self.request.launch:
            self._launcher = Launcher(self.request, self.channel, self)
            self._launcher.install(pk)
        else:
            for name in ("run_test_mode", "run", "__call__"):
                if hasattr(pk, name):
                    setattr(pk, name, self._around(getattr(pk, name), self._not_run))

    def note(self, text: str) -> None:
        """A note for the user, once."""
        if text not in self._said:
            self._said.add(text)
            self.channel.send("note", text=text)

    def state_of(self, kernel: Any) -> GraphState | None:
        found: GraphState | None = getattr(kernel.kn_graph, STATE, None)
        return found

    # Mirage's methods

    def _generate(self, real: Any, graph: Any, *args: Any, **kwargs: Any) -> Any:
        num_gpus = kwargs["num_gpus"] if "num_gpus" in kwargs else args[0]
        rank = kwargs["my_gpu_id"] if "my_gpu_id" in kwargs else args[1]
        self.recording.call("generate_task_graph")
        record = self.recording.of(graph).record(int(num_gpus), int(rank), self.origin)
        index = len(self.graphs)
        folder = Path(self.request.staging) / f"graph{index}"
        folder.mkdir(parents=True, exist_ok=True)
        if record is not None:  # before Mirage may die of it
            _save_record(record, folder, int(rank))
        self.channel.send("stage", stage="generate", folder=str(folder))
        start = time.monotonic()
        result = dict(real(graph, *args, **kwargs))
        seconds = time.monotonic() - start
        text = result["json_file"].encode()
        known: GraphState | None = getattr(graph, STATE, None)
        if known is not None and known.text == text:
            return self._with_source(known, result)
        state = GraphState(index, int(rank), folder, text)
        state.path.write_bytes(text)
        state.record = record
        result = self._with_source(state, result)
        source = folder / f"test_rank{rank}.cu"
        launcher = getattr(self._pk_module, LAUNCHER_TEXT, "")
        source.write_text(result["cuda_code"] + launcher, encoding="utf-8")
        self.graphs.append(state)
        setattr(graph, STATE, state)
        self.channel.send(
            "graph",
            index=index,
            rank=state.rank,
            num_gpus=int(num_gpus),
            folder=str(folder),
            sha256=hashlib.sha256(text).hexdigest(),
            seconds=round(seconds, 4),
            has_record=record is not None,
            changes=list(self._correction.changes),
        )
        return result

    def _with_source(self, state: GraphState, result: dict[str, Any]) -> dict[str, Any]:
        """Mirage's answer with the CUDA source as it is compiled here."""
        self.step.folder, self.step.graph = state.folder, state.text
        if not self._correction.text:
            return result
        behind = ""
        access = with_device_access(result["cuda_code"])
        if access is not None:
            result = {**result, "cuda_code": access[0]}
            behind = access[1]
        vars(self._pk_module)[LAUNCHER_TEXT] = self._correction.text + behind
        return result

    def _compile(self, real: Any, kernel: Any, *args: Any, **kwargs: Any) -> None:
        self.recording.call("compile")
        self.channel.send("stage", stage="compile")
        # Where the script wants its files is where the parent puts them, when all is done.
        wanted = kwargs.pop("output_dir", None)
        site = user_site()
        if self.request.kernel:
            self._compiling = kernel
            with contextlib.suppress(KernelReady):
                real(kernel, *args, **kwargs)
        else:
            if kernel._is_compiled:  # noqa: SLF001  Mirage's name
                raise AssertionError("compile() was called before")
            kernel.kn_graph.generate_task_graph(
                num_gpus=kernel.world_size, my_gpu_id=kernel.mpi_rank
            )
        self._compiled(kernel, wanted, site)

    def _load(self, real: Any, kernel: Any, *args: Any, **kwargs: Any) -> None:
        """Where Mirage loads what it compiled earlier, the same pipeline is compiled again."""
        if self.request.launch:
            kernel.kn_graph.generate_task_graph(
                num_gpus=kernel.world_size, my_gpu_id=kernel.mpi_rank
            )
            self.step.output = _launcher_in(args[0] if args else kwargs.get("output_dir"), kernel)
            with _all_meta_tensors(kernel) as missing:
                real(kernel, *args, **kwargs)
            if missing:
                self.note(
                    "load_mpk_kernel() wants meta tensors that compile() does without in test "
                    f"mode: null stood for {', '.join(missing)}"
                )
            self._compiled(kernel, None, user_site())
            return
        self.note("load_mpk_kernel() compiled the pipeline anew: nothing is loaded here")
        kernel.compile()

    def _compiled(self, kernel: Any, wanted: Any, site: Any) -> None:
        state = self.state_of(kernel)
        if state is None:
            return
        output = None if wanted is None else str(Path(os.fspath(wanted)).absolute())
        kernel._is_compiled = True  # noqa: SLF001
        if not self.request.launch:
            kernel.finalize_func = lambda: None
            kernel.launch_func = lambda *_: self._not_run(None, kernel)
            kernel.init_func = kernel.init_request_func = lambda *_: None
        self.channel.send(
            "compiled",
            index=state.index,
            rank=state.rank,
            output_dir=output,
            site=None if site is None else [site.file, site.line],
        )
        if self.request.run.get("stop_after_compile"):
            raise SystemExit(0)

    def _keep_kernel(self, kernel: Any, state: GraphState, output: Path) -> None:
        """The files under the names that Mirage's `load_mpk_kernel()` looks for."""
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        shutil.copyfile(output, state.folder / f"mpk_launcher_rank{state.rank}{suffix}")
        with contextlib.suppress(AttributeError):
            path = state.folder / f"kernel_metadata_rank{state.rank}.json"
            kernel._save_kernel_metadata(str(path))  # noqa: SLF001

    def _built(self) -> None:
        """The compiler is done; Mirage removes what it made when compile() ends."""
        kernel = self._compiling
        state = None if kernel is None else self.state_of(kernel)
        if state is not None and self.step.output is not None:
            self._keep_kernel(kernel, state, self.step.output)
        if not self.request.launch:
            raise KernelReady

    def _not_run(self, _real: Any, kernel: Any, *_args: Any, **_kwargs: Any) -> None:
        if not kernel._is_compiled:  # noqa: SLF001
            raise AssertionError("compile() comes before a launch")
        self.note(NOT_RUN)

    def _add_missing(self, pk: Any) -> None:
        """Names that scripts call and this version lacks."""
        if not hasattr(pk, "run"):

            def run(kernel: Any, *args: Any, **kwargs: Any) -> Any:
                self.note("this Mirage has no run(): run_test_mode() took its place")
                in_test = getattr(kernel, "test_mode", False) and hasattr(pk, "run_test_mode")
                return kernel.run_test_mode() if in_test else kernel(*args, **kwargs)

            pk.run = run
        if not hasattr(pk, "run_test_mode"):
            pk.run_test_mode = lambda kernel: kernel.run()

    @staticmethod
    def _around(real: Any, hook: Callable[..., Any]) -> Any:
        @functools.wraps(real)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return hook(real, self, *args, **kwargs)

        return method


class _NoTensor:
    @staticmethod
    def data_ptr() -> int:
        return 0


@contextlib.contextmanager
def _all_meta_tensors(kernel: Any) -> Iterator[tuple[str, ...]]:
    """Meta tensors with null for those that are not there; yields their names."""
    meta = kernel.meta_tensors
    missing = tuple(name for name in META_TENSORS if name not in meta)
    meta.update({name: _NoTensor() for name in missing})
    try:
        yield missing
    finally:
        for name in missing:
            del meta[name]


def _launcher_in(folder: Any, kernel: Any) -> Path | None:
    """The file that `load_mpk_kernel()` loads; None when it is not there, which Mirage tells."""
    if folder is None:
        return None
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    path = Path(folder) / f"mpk_launcher_rank{kernel.mpi_rank}{suffix}"
    return path if path.is_file() else None


def _save_record(record: PipelineRecord, folder: Path, rank: int) -> None:
    """The record, and beside it the user's lines, which it does not hold."""
    save_record(record, folder / f"pipeline_rank{rank}.json")
    sites = [None if x is None else [x.file, x.line] for x in record.call_sites]
    (folder / f"sites_rank{rank}.json").write_text(json.dumps(sites), encoding="utf-8")
