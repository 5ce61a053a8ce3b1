"""From calls of Mirage's layer API to a `PipelineRecord`; no torch, no Mirage and no planner.

>>> from mpkgraph.pipeline import PersistentKernel, Target, TensorSpec, use_target
>>> with use_target(Target(cc=90)):
...     parameters = PersistentKernel.get_default_init_parameters()
...     kernel = PersistentKernel(**parameters, test_mode=True)
>>> x = kernel.attach_input(TensorSpec((8, 4096), "bfloat16"), name="x")
>>> w = kernel.attach_input(TensorSpec((4096,), "bfloat16"), name="w")
>>> y = kernel.new_tensor(dims=(8, 4096), name="y")
>>> kernel.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(8, 1, 1), block_dim=(128, 1, 1))
>>> [layer.register_name for layer in kernel.record().layers]
['rmsnorm_hopper']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpkgraph.pipeline.dtypes import dtype
    from mpkgraph.pipeline.graphs import CyKNGraph, CyTBGraph, KNGraph, TBGraph
    from mpkgraph.pipeline.kernel import PersistentKernel
    from mpkgraph.pipeline.recorder import PipelineRecorder
    from mpkgraph.pipeline.refusal import exception_text
    from mpkgraph.pipeline.target import (
        DeviceProperties,
        Target,
        current_target,
        get_configurations,
        use_target,
    )
    from mpkgraph.pipeline.tensors import DTensor, STensor, TensorSpec

__all__ = [
    "CyKNGraph",
    "CyTBGraph",
    "DTensor",
    "DeviceProperties",
    "KNGraph",
    "PersistentKernel",
    "PipelineRecorder",
    "STensor",
    "TBGraph",
    "Target",
    "TensorSpec",
    "current_target",
    "dtype",
    "exception_text",
    "get_configurations",
    "use_target",
]

_HOMES = {
    "CyKNGraph": "graphs",
    "CyTBGraph": "graphs",
    "DTensor": "tensors",
    "DeviceProperties": "target",
    "KNGraph": "graphs",
    "PersistentKernel": "kernel",
    "PipelineRecorder": "recorder",
    "STensor": "tensors",
    "TBGraph": "graphs",
    "Target": "target",
    "TensorSpec": "tensors",
    "current_target": "target",
    "dtype": "dtypes",
    "exception_text": "refusal",
    "get_configurations": "target",
    "use_target": "target",
}


def __getattr__(name: str) -> Any:
    # A recorded pipeline is planned without the layers: what is not used is not imported.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
