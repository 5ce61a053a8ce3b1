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
