"""All rows, and finding one."""

from __future__ import annotations

from mpkgraph.pipeline.layers import (
    attention,
    elementwise,
    fp8,
    linear,
    mla,
    mla_mtp,
    moe,
    mtp,
    multigpu,
    norm,
    sampling,
    speculative,
)
from mpkgraph.pipeline.layers.spec import LayerSpec

LAYERS: tuple[LayerSpec, ...] = (
    *norm.ROWS,
    *linear.ROWS,
    *attention.ROWS,
    *mla.ROWS,
    *mla_mtp.ROWS,
    *moe.ROWS,
    *fp8.ROWS,
    *elementwise.ROWS,
    *multigpu.ROWS,
    *sampling.ROWS,
    *speculative.ROWS,
    *mtp.ROWS,
)

_BY_METHOD = {spec.method: spec for spec in LAYERS}


def layer_spec(method: str) -> LayerSpec:
    """The row of a layer method. Raises KeyError when there is none."""
    return _BY_METHOD[method]
