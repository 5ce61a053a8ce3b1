"""`PersistentKernel` while a script runs: what Mirage would compile and launch is collected."""

from __future__ import annotations

import io
import os
from typing import Any

from mpkgraph.io.writer import write_graph
from mpkgraph.pipeline import call_site
from mpkgraph.pipeline.compiled import Compiled
from mpkgraph.pipeline.graphs import CyKNGraph, KNGraph
from mpkgraph.pipeline.kernel import PersistentKernel as Recorder
from mpkgraph.pipeline.standin.session import Session
from mpkgraph.pipeline.target import use_target


def kernel_class(session: Session) -> type[Recorder]:
    """`PersistentKernel` for one session; a class of its own, which a script may patch."""

    class PersistentKernel(Recorder):
        """Mirage's `PersistentKernel`, planned for `session.target`."""

        _mpkgraph_compiled: Compiled | None = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # In a thread too, which does not inherit the session's target.
            with use_target(session.target):
                super().__init__(*args, **kwargs)
            self.kn_graph = _GeneratingGraph(self.kn_graph.cygraph, self)

        def compile(self, **kwargs: Any) -> None:
            """Plan what was described; write it to `output_dir` when that is given."""
            with call_site.doing("compile"):
                _check(not self._is_compiled, "compile() was called before")
                session.compile(self, kwargs.get("output_dir"))
            self.eos_token_id = kwargs.get("eos_token_id", self.eos_token_id)
            self._is_compiled = True

        def load_mpk_kernel(self, output_dir: Any, **kwargs: Any) -> None:
            """Where Mirage loads what it compiled earlier, the same pipeline is planned again."""
            with call_site.doing("load_mpk_kernel"):
                _check(not self._is_compiled, "the kernel is compiled")
                os.fspath(output_dir)
                session.compile(self)
            self.eos_token_id = kwargs.get("eos_token_id", self.eos_token_id)
            self._is_compiled = True

        def run_test_mode(self) -> None:
            """Run once, on the tensors attached, when the session can execute."""
            with call_site.doing("run_test_mode"):
                _check(self.test_mode, "the kernel was not made with test_mode=True")
                _check(self._is_compiled, "compile() comes before run_test_mode()")
            session.run(self)

        def run(self, *_args: Any, **_kwargs: Any) -> None:
            """A name of earlier versions of Mirage, which its tests still call."""
            self(**_kwargs)

        def __call__(self, **_kwargs: Any) -> None:
            with call_site.doing("PersistentKernel()"):
                _check(self._is_compiled, "compile() comes before a call of the kernel")
            session.run(self)

        def init_func(self, *_args: Any) -> None:
            """The launcher's own entry, which `MPK` calls for each request."""

        def init_request_func(self) -> None:
            return

        def init_request_resources(self) -> None:
            return

        def launch_func(self, *_args: Any) -> None:
            session.run(self)

        def finalize_func(self) -> None:
            return

        def finalize(self) -> None:
            with call_site.doing("finalize"):
                _check(not self.__finalized__, "finalize() was called before")
            self.__finalized__ = True

    class _GeneratingGraph(KNGraph):
        """The kernel graph of a persistent kernel, which scripts also generate from directly."""

        def __init__(self, graph: CyKNGraph, kernel: PersistentKernel) -> None:
            super().__init__(graph)
            self._kernel = kernel

        def generate_task_graph(self, num_gpus: int, my_gpu_id: int) -> dict[str, str]:
            """Mirage's answer but for the CUDA source, which only Mirage generates."""
            with call_site.doing("generate_task_graph"):
                compiled = session.generate(self._kernel, num_gpus, my_gpu_id)
            return {"json_file": _text(compiled), "cuda_code": ""}

    PersistentKernel.__module__ = "mirage.mpk.persistent_kernel"
    PersistentKernel.__qualname__ = "PersistentKernel"
    return PersistentKernel


def _text(compiled: Compiled) -> str:
    if compiled.graph is None:
        return "{}"
    stream = io.BytesIO()
    write_graph(compiled.graph, stream)
    return stream.getvalue().decode()


def _check(condition: bool, what: str) -> None:
    """Mirage's own assertions about the order of calls; no fault of the pipeline."""
    if not condition:
        raise AssertionError(what)
