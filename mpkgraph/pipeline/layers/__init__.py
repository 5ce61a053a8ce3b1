"""The layer methods of Mirage's PersistentKernel as table rows, one module per family."""

from mpkgraph.pipeline.layers.spec import BlockSpec, Dispatch, LayerSpec, Param, Refusal, SlotSpec
from mpkgraph.pipeline.layers.table import LAYERS, layer_spec

__all__ = [
    "LAYERS",
    "BlockSpec",
    "Dispatch",
    "LayerSpec",
    "Param",
    "Refusal",
    "SlotSpec",
    "layer_spec",
]
