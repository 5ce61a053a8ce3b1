"""Carrying out a row of the layer table on a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from mpkgraph.pipeline.call_site import doing
from mpkgraph.pipeline.graphs import CyTBGraph, TBGraph
from mpkgraph.pipeline.layers.call import Call, Kernel
from mpkgraph.pipeline.layers.spec import BlockSpec, LayerSpec, ParamSource
from mpkgraph.pipeline.refusal import refuse
from mpkgraph.pipeline.target import GPUS

FORLOOP_RANGE = 1
DIMX = 64
"""What every layer gives `CyTBGraph`; persistent kernels use neither."""


def run_layer(spec: LayerSpec, kernel: Kernel, arguments: dict[str, Any]) -> Any:
    """Do what the layer method does with these arguments (all of them, by name)."""
    recorder = kernel.kn_graph.cygraph.recorder
    with recorder.layer(spec.method, arguments), doing(spec.method):
        call = Call(spec.method, kernel, dict(arguments))
        for step in spec.steps:
            step(call)
        if spec.expand is not None:
            return spec.expand(call)
        if spec.block is not None:
            emit_block(call, spec.block)
        return None


def layer_method(call: Call, method: str) -> Callable[..., Any]:
    """Another layer method of the same kernel, to be logged inside this one."""
    bound: Callable[..., Any] = getattr(call.kernel, method)
    return bound


def emit_block(call: Call, block: BlockSpec) -> None:
    """Declare a thread-block graph and register its task."""
    graph = TBGraph(CyTBGraph(call["grid_dim"], call["block_dim"], FORLOOP_RANGE, DIMX))
    for check in block.grid_checks:
        check(call)
    for slot in block.slots:
        graph.new_input(call[slot.name], slot.map_for(call), slot.forloop_dim, store_in_dmem=True)
    kernel_graph = call.kernel.kn_graph
    # Called below the public wrappers, so that errors speak of the layer.
    kernel_graph.cygraph.customized([call[slot.name] for slot in block.slots], graph.cygraph)
    for check in block.before_register:
        check(call)
    name, params = _task(call, block)
    kernel_graph.cygraph.register_task(graph.cygraph, name, params)


def _task(call: Call, block: BlockSpec) -> tuple[str, list[Any] | None]:
    cc = call.kernel.target_cc
    row = next((row for row in block.dispatch if row.applies(cc, call)), None)
    if row is None:
        _refuse_target(call, block, cc)
    name = row.task if row.register is None else row.register(call)
    return name, None if row.params is None else [_param(call, x) for x in row.params]


def _refuse_target(call: Call, block: BlockSpec, cc: int) -> NoReturn:
    if block.refusal is None:
        raise LookupError(f"{call.method}: no task for compute capability {cc} in the table")
    has = sorted({gpu.cc for gpu in GPUS if any(gpu.cc in row.cc for row in block.dispatch)})
    refuse(
        block.refusal.kind,
        f"no task for compute capability {cc}",
        remedy=f"Plan for one of {', '.join(map(str, has))}, or use another layer",
        upstream=block.refusal.upstream.format(cc=cc),
    )


def _param(call: Call, source: ParamSource) -> Any:
    if isinstance(source, int):
        return source
    if source.startswith("kernel."):
        return getattr(call.kernel, source.removeprefix("kernel."))
    return call[source]
