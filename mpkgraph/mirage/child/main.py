"""The child process: set up, import Mirage, run the source, say how it ended."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import importlib.machinery
import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from mpkgraph.errors import MpkGraphError
from mpkgraph.mirage.child.kernel_hooks import KernelHooks
from mpkgraph.mirage.child.nvcc_step import NvccStep
from mpkgraph.mirage.child.recording import Recording
from mpkgraph.mirage.child.source import import_folder, origin_of, run_source
from mpkgraph.mirage.child.tensors import attach_specs
from mpkgraph.mirage.kernel_cache import KernelCache
from mpkgraph.mirage.process import PACKAGE_ROOT
from mpkgraph.mirage.protocol import Channel, ChildRequest
from mpkgraph.mirage.quirks import Runtime, read_runtime
from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.script_errors import describe, script_frames, where_in_script
from mpkgraph.pipeline.standin.finder import ImportHook, StandinFinder
from mpkgraph.pipeline.standin.modules import ModuleContent, mirage_modules
from mpkgraph.pipeline.standin.multigpu import cuda_utils_names
from mpkgraph.pipeline.standin.ranks import set_rank_variables
from mpkgraph.pipeline.target import Target, use_target

PR_SET_PDEATHSIG = 1
LINE_BUFFERED = 1
FAILED = 2


def main() -> None:
    """Entry: REQUEST.json and the pipe's descriptor are on the command line."""
    request = ChildRequest.load(Path(sys.argv[1]))
    channel = Channel(int(sys.argv[2]))
    _be_a_child()
    status = FAILED
    with contextlib.ExitStack() as stack:
        try:
            _run(request, channel, stack)
            status = 0
        except SystemExit as error:
            status = 0 if error.code in {None, 0} else FAILED
            if status:
                _tell(channel, error, request)
        except BaseException as error:  # noqa: BLE001  all that a script may raise
            _tell(channel, error, request)
    channel.send("end", status=status)
    sys.stdout.flush()
    sys.stderr.flush()
    # Finalizers of a script's kernels and of CUDA may hang or crash; all is said and written.
    os._exit(status)


def _run(request: ChildRequest, channel: Channel, stack: contextlib.ExitStack) -> None:
    target = Target(**request.target)
    channel.send("stage", stage="python")
    _prepare_process(request, target)
    stack.enter_context(use_target(target))
    if request.redirect:
        _redirect(target, stack, meta=request.meta)
    channel.send("stage", stage="mirage")
    mirage = _import_mirage(channel)
    if request.redirect:
        with contextlib.suppress(ImportError):
            vars(importlib.import_module("mirage.mpk.cuda_utils")).update(cuda_utils_names(target))
    runtime = _runtime(mirage.kernel)
    pk_module = mirage.pk_module
    recording = Recording(channel)
    recording.install(mirage.kernel, pk_module)
    step = NvccStep(
        channel,
        None if request.cache is None else KernelCache(Path(request.cache)),
        Path(request.staging) / "lib",
        host_asserts_off=_asserts_wrongly(runtime),
        arch=target.cc if request.redirect else None,
    )
    hooks = KernelHooks(
        request,
        channel,
        recording,
        step,
        num_meta_tensors=None if runtime is None else runtime.num_meta_read,
        origin=origin_of(request),
    )
    hooks.install(mirage.kernel, pk_module)
    attach_specs(pk_module.PersistentKernel, fill=request.launch)
    channel.send("stage", stage="source")
    run_source(request, mirage, recording, target)


def _tell(channel: Channel, error: BaseException, request: ChildRequest) -> None:
    traceback.print_exception(error)
    is_ours = isinstance(error, MpkGraphError)
    channel.send(
        "error",
        type=type(error).__name__,
        what=error.what if isinstance(error, MpkGraphError) else _described(error),
        where=(error.where if isinstance(error, MpkGraphError) else None) or _where(error, request),
        remedy=error.remedy if isinstance(error, MpkGraphError) else None,
        is_ours=is_ours,
    )


def _described(error: BaseException) -> str:
    """On one line; an assertion without words says itself."""
    text = describe(error)
    if isinstance(error, AssertionError) and not str(error):
        frames = traceback.extract_tb(error.__traceback__)
        if frames and frames[-1].line:
            last = frames[-1]
            text = f"{text}: {last.line} ({Path(last.filename).name}:{last.lineno})"
    return text


def _where(error: BaseException, request: ChildRequest) -> str | None:
    """The script's line; Mirage's own are in the log."""
    if isinstance(error, SyntaxError):
        return where_in_script(error)
    ours = (str(PACKAGE_ROOT / "mpkgraph"), request.mirage_python or os.devnull)
    frames = [x for x in script_frames(error.__traceback__) if not x.site.file.startswith(ours)]
    frames = [x for x in frames if x.site.file != "<string>"]
    return str(frames[-1]) if frames else None


def _be_a_child() -> None:
    """Die with the parent; lose no line that was printed; show where Python was in a crash."""
    faulthandler.enable()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with contextlib.suppress(OSError, AttributeError, ValueError):
        library = ctypes.CDLL(None)
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        stdout = ctypes.c_void_p.in_dll(library, "stdout")
        library.setvbuf(stdout, None, LINE_BUFFERED, 0)


def _prepare_process(request: ChildRequest, target: Target) -> None:
    if request.mirage_root is not None:
        os.environ.setdefault("MIRAGE_ROOT", request.mirage_root)
    if not request.launch:
        set_rank_variables(os.environ, target)
        modules = mirage_modules(target, PersistentKernel, None)
        mpi = {k: v for k, v in modules.items() if k.partition(".")[0] == "mpi4py"}
        sys.meta_path.insert(0, _MpiFinder(mpi))
    if request.libcuda_stub is not None:
        with contextlib.suppress(OSError):
            ctypes.CDLL(request.libcuda_stub, mode=ctypes.RTLD_GLOBAL)
    if request.mirage_python:
        sys.path.insert(0, request.mirage_python)
    folder = import_folder(request)
    if folder is not None:
        sys.path.insert(0, str(folder))


class _MpiFinder(StandinFinder):
    """The stand-in's `mpi4py`: a pipeline that is not launched runs as one process."""

    def __init__(self, modules: Mapping[str, ModuleContent]) -> None:
        super().__init__(modules, None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != "mpi4py":
            return None
        return super().find_spec(fullname, path, target)


def _redirect(target: Target, stack: contextlib.ExitStack, *, meta: bool) -> None:
    """GPUs are the target's, tensors on them are the CPU's."""
    if importlib.util.find_spec("torch") is None:
        return

    def torch_imported() -> None:
        from mpkgraph.pipeline.standin.torch_session import torch_session

        stack.enter_context(torch_session(target, meta=meta))

    sys.meta_path.insert(0, ImportHook("torch", torch_imported))


def _import_mirage(channel: Channel) -> Any:
    """`mirage` with its module of kernel graphs and that of persistent kernels."""
    mirage = importlib.import_module("mirage")
    pk_module = importlib.import_module("mirage.mpk.persistent_kernel")
    kernel = importlib.import_module("mirage.kernel")
    core = importlib.import_module("mirage.core")
    channel.send(
        "mirage",
        version=getattr(mirage, "__version__", None),
        file=getattr(mirage, "__file__", None),
    )
    return SimpleNamespace(
        module=mirage,
        kernel=kernel,
        core=core,
        pk_module=pk_module,
        PersistentKernel=pk_module.PersistentKernel,
        TBGraph=pk_module.TBGraph,
        get_configurations_from_gpu=getattr(mirage, "get_configurations_from_gpu", None),
    )


def _runtime(kernel_module: Any) -> Runtime | None:
    try:
        include = kernel_module.get_key_paths()[1]
    except (AttributeError, AssertionError, OSError):
        return None
    return read_runtime(Path(include))


def _asserts_wrongly(runtime: Runtime | None) -> bool:
    if runtime is None or runtime.num_meta_asserted is None:
        return False
    return runtime.num_meta_asserted != runtime.num_meta_read
