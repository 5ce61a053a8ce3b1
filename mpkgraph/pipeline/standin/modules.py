"""The modules of the stand-in `mirage`: by name, what each holds.

Names that need Mirage's own pure-Python parts are made when they are asked for.
"""

from __future__ import annotations

import importlib
import os
import types
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from mpkgraph.frozen import dataclass
from mpkgraph.pipeline.graphs import KNGraph, TBGraph
from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.refusal import refuse
from mpkgraph.pipeline.standin import model_helpers, ranks, speculative
from mpkgraph.pipeline.standin.core_names import CORE, new_kernel_graph, new_threadblock_graph
from mpkgraph.pipeline.standin.multigpu import cuda_utils_names, multigpu_names
from mpkgraph.pipeline.target import Target

MIRAGE_VERSION = "0.2.4"
"""What `mirage.__version__` says at the commit that is followed."""

Late = Callable[[], Any]


@dataclass(frozen=True)
class ModuleContent:
    """What a module of the stand-in holds. `late` names are made at first use."""

    names: Mapping[str, Any]
    is_package: bool = False
    late: Mapping[str, Late] = field(default_factory=dict)


class InputNotFoundError(Exception):
    """Part of Mirage's superoptimizer API."""


def mirage_modules(
    target: Target, kernel: type[PersistentKernel], mirage_home: Path | None
) -> dict[str, ModuleContent]:
    """The modules by full name, `mpi4py` among them; `kernel` is their `PersistentKernel`."""
    global_config = types.SimpleNamespace(
        verbose=False, gpu_device_id=0, bypass_compile_errors=False
    )

    def get_configurations_from_gpu(rank: int) -> tuple[int, int]:  # noqa: ARG001  Mirage's
        return target.configuration

    def bypass_compile_errors(value: bool = True) -> None:
        global_config.bypass_compile_errors = value

    def get_key_paths() -> tuple[str, str, str]:
        root = os.environ.get("MIRAGE_ROOT") or str(mirage_home or "")
        return root, str(Path(root) / "include"), str(Path(root) / "deps")

    utils = {
        "get_configurations_from_gpu": get_configurations_from_gpu,
        "get_shared_memory_capacity": shared_memory_capacity,
        "get_scheduler": lambda sm_cnt, worker: 4 * (sm_cnt - worker),
    }
    threadblock = {**CORE, "TBGraph": TBGraph}
    kernel_names = {
        **threadblock,
        **utils,
        "KNGraph": KNGraph,
        "get_key_paths": get_key_paths,
        "global_config": global_config,
    }
    persistent = {
        **CORE,
        **speculative.NAMES,
        "KNGraph": KNGraph,
        "TBGraph": TBGraph,
        "PersistentKernel": kernel,
        "get_key_paths": get_key_paths,
    }
    builders = BuilderRegistry()
    wrapper = {
        "MPK": _late("mirage.mpk.mpk", "MPK"),
        "MPKMetadata": _late("mirage.mpk.mpk", "MPKMetadata"),
    }
    top = {
        **kernel_names,
        "PersistentKernel": kernel,
        "InputNotFoundError": InputNotFoundError,
        "bypass_compile_errors": bypass_compile_errors,
        "new_kernel_graph": new_kernel_graph,
        "new_threadblock_graph": new_threadblock_graph,
        "spec_decode_class": speculative.spec_decode_class,
        "__version__": MIRAGE_VERSION,
    }
    config = _late("mirage.mpk.models.graph_builder", "MirageModelConfig")
    modules = {
        "mirage": ModuleContent(
            top,
            is_package=True,
            late={
                **wrapper,
                "MirageModelConfig": config,
                # Mirage's own demos say mi.speculative and mi.mpk without importing them.
                **_submodules("mirage", "core", "kernel", "mpk", "threadblock", "utils"),
                "speculative": _module("mirage.mpk.speculative"),
            },
        ),
        "mirage.core": ModuleContent(CORE),
        "mirage.global_config": ModuleContent({"global_config": global_config}),
        "mirage.kernel": ModuleContent(kernel_names),
        "mirage.threadblock": ModuleContent(threadblock),
        "mirage.utils": ModuleContent(utils),
        "mirage.version": ModuleContent({"__version__": MIRAGE_VERSION}),
        "mirage.mpk": ModuleContent(
            {
                "PersistentKernel": kernel,
                "spec_decode_class": speculative.spec_decode_class,
                "__all__": ["MPK", "MPKMetadata", "PersistentKernel", "spec_decode_class"],
            },
            is_package=True,
            late={
                **wrapper,
                **_submodules(
                    "mirage.mpk", "models", "mpk", "multigpu", "persistent_kernel", "speculative"
                ),
            },
        ),
        "mirage.mpk.cuda_utils": ModuleContent(cuda_utils_names(target)),
        "mirage.mpk.model_registry": ModuleContent(
            {
                "get_builder": builders.get,
                "register_model_builder": builders.register,
                "_MODEL_BUILDERS": builders.by_name,
            }
        ),
        "mirage.mpk.models": ModuleContent({}, is_package=True),
        "mirage.mpk.multigpu": ModuleContent(multigpu_names(target)),
        "mirage.mpk.persistent_kernel": ModuleContent(persistent),
        "mirage.mpk.speculative": ModuleContent({**CORE, **speculative.NAMES}),
        "mpi4py": ModuleContent(
            ranks.mpi4py_names(), is_package=True, late={"MPI": _module("mpi4py.MPI")}
        ),
        "mpi4py.MPI": ModuleContent(ranks.mpi_names(target)),
    }
    if mirage_home is None:
        modules["mirage.mpk.models.utils"] = ModuleContent(model_helpers.UTILS)
        modules["mirage.mpk.models.graph_builder"] = ModuleContent(model_helpers.GRAPH_BUILDER)
    return modules


class BuilderRegistry:
    """Model builders by the model names that they register for."""

    def __init__(self) -> None:
        self.by_name: dict[str, type] = {}

    def register(self, *names: Any) -> Callable[[type], type]:
        """A class decorator; names may come as one list."""
        flat = names[0] if len(names) == 1 and not isinstance(names[0], str) else names

        def decorate(builder: type) -> type:
            self.by_name.update(dict.fromkeys(flat, builder))
            return builder

        return decorate

    def get(self, name: str) -> type:
        if name not in self.by_name:
            self._import_builders()
        if name not in self.by_name:
            refuse(
                ValueError,
                f"no model builder is registered for {name!r}",
                remedy=f"Registered are {', '.join(sorted(self.by_name)) or 'none'}",
                upstream=f"Unknown builder: {name}",
            )
        return self.by_name[name]

    @staticmethod
    def _import_builders() -> None:
        """Builders register when they are imported; Mirage imports all with itself."""
        models = importlib.import_module("mirage.mpk.models")
        for folder in models.__path__:
            for path in sorted(Path(folder).glob("*/builder.py")):
                importlib.import_module(f"mirage.mpk.models.{path.parent.name}.builder")


def shared_memory_capacity(target_cc: int) -> int:
    """Bytes that Mirage gives a kernel (`python/mirage/utils.py`)."""
    kib = {80: 163, 86: 99, 89: 99, 90: 223, 100: 227}
    if target_cc not in kib:
        refuse(
            AssertionError,
            f"Mirage knows no shared memory of compute capability {target_cc}",
            upstream=f"Unsupported compute capacity: {target_cc}",
        )
    return kib[target_cc] * 1024


def _late(module: str, name: str) -> Late:
    return lambda: getattr(importlib.import_module(module), name)


def _module(name: str) -> Late:
    return lambda: importlib.import_module(name)


def _submodules(package: str, *names: str) -> dict[str, Late]:
    return {name: _module(f"{package}.{name}") for name in names}
