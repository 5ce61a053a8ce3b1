"""Mirage's own layer methods on our graph classes, from a source tree at `MIRAGE_HOME`.

    MIRAGE_HOME/python/mirage/mpk/persistent_kernel.py   its PersistentKernel, unchanged
              |  imports
    mirage.core, mirage.kernel = our graph classes; torch and the CUDA driver = a few answers

So what differs between its records and ours is the layer table's fault.
"""

import functools
import importlib
import inspect
import os
import sys
import types
from pathlib import Path

from mpkgraph.pipeline import dtypes, graphs
from mpkgraph.pipeline.call_site import doing
from mpkgraph.pipeline.target import current_target
from mpkgraph.pipeline.tensors import DTensor, TensorSpec

SUFFIXES = ("_layer", "_dispatcher", "_handler")


def source_folder():
    """`python/mirage` of the source tree; None when there is none."""
    home = os.environ.get("MIRAGE_HOME")
    folder = Path(home, "python", "mirage") if home else None
    return folder if folder and (folder / "mpk" / "persistent_kernel.py").exists() else None


def _module(name, path=None, **content):
    module = types.ModuleType(name)
    module.__dict__.update(content)
    if path is not None:
        module.__path__ = [str(path)]
    return module


def _core():
    names = {k: v for k, v in vars(dtypes).items() if isinstance(v, dtypes.dtype)}
    return _module(
        "mirage.core",
        DTensor=DTensor,
        dtype=dtypes.dtype,
        CyKNGraph=graphs.CyKNGraph,
        CyTBGraph=graphs.CyTBGraph,
        convert_torch_type_to_dtype=dtypes.from_torch,
        **names,
    )


def _torch():
    class Cuda:
        @staticmethod
        def get_device_properties(_):
            return current_target().properties

    return _module(
        "torch",
        Tensor=TensorSpec,
        cuda=Cuda,
        empty=lambda n, **_: TensorSpec((n,), "int32"),
        int32="int32",
        int64="int64",
    )


def _driver():
    return _module(
        "mirage.mpk.cuda_utils",
        queryComputeCapability=lambda _: divmod(current_target().cc, 10),
        queryPeerAccessSupported=lambda *_: current_target().peer_access,
        queryVMMsupport=lambda _: True,
        queryMulticastSupport=lambda _: current_target().has_multicast,
        queryHandleTypePosixFileDescriptorSupported=lambda _: True,
    )


@functools.cache
def upstream_kernel():
    """Mirage's PersistentKernel, whose layer calls are logged; (class, reset of its caches)."""
    folder = source_folder()
    stand_ins = {
        "torch": _torch(),
        "mirage": _module("mirage", folder),
        "mirage.core": _core(),
        "mirage.kernel": _module(
            "mirage.kernel",
            KNGraph=graphs.KNGraph,
            TBGraph=graphs.TBGraph,
            get_key_paths=lambda: (None, None, None),
        ),
        "mirage.mpk": _module("mirage.mpk", folder / "mpk"),
        "mirage.mpk.cuda_utils": _driver(),
    }
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    sys.modules["mirage.mpk"].cuda_utils = stand_ins["mirage.mpk.cuda_utils"]
    try:
        theirs = importlib.import_module("mirage.mpk.persistent_kernel")
        multigpu = importlib.import_module("mirage.mpk.multigpu")
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
        for name in [x for x in sys.modules if x.startswith("mirage.mpk.")]:
            del sys.modules[name]

    logged = {
        name: _logged(method)
        for name, method in vars(theirs.PersistentKernel).items()
        if name.endswith(SUFFIXES)
    }
    logged["finalize"] = lambda self: None

    def reset():
        multigpu.collective_capabilities = None
        for name in ("NVSHMEM_MAX_TEAMS", "NVSHMEM_MAX_CTAS"):
            os.environ.pop(name, None)

    return type("PersistentKernel", (theirs.PersistentKernel,), logged), reset


def _logged(method):
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = {k: v for k, v in bound.arguments.items() if k != "self"}
        recorder = self.kn_graph.cygraph.recorder
        with recorder.layer(method.__name__, arguments), doing(method.__name__):
            return method(self, *args, **kwargs)

    return call
