"""Pipelines of one or two layers given slot by slot, and what rules find in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.run import verify
from mpkgraph.catalog import DEFAULT
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline import PersistentKernel, Target, TensorSpec, use_target
from mpkgraph.planner.plan import plan
from mpkgraph.views.operators import recover_operators
from mpkgraph.views.recorded import recorded_operators
from tests.analysis.verify import told
from tests.pipelines.kit import WHOLE, block_graph

TORCH_NAMES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "fp32": "float32",
    "fp8": "float8_e4m3fn",
    "int32": "int32",
    "int64": "int64",
    "uint32": "uint32",
    "uint8": "uint8",
}
META = {
    "qo_indptr_buffer": TensorSpec((9,), "int32"),
    "paged_kv_indptr_buffer": TensorSpec((9,), "int32"),
    "paged_kv_indices_buffer": TensorSpec((16,), "int32"),
    "paged_kv_last_page_len_buffer": TensorSpec((8,), "int32"),
    "step": TensorSpec((8,), "int32"),
    "tokens": TensorSpec((8, 512), "int64"),
    "num_new_tokens": TensorSpec((8,), "int32"),
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of a layer: dims, the grid axes' dims, element type; a name to share it."""

    dims: tuple[int, ...]
    input_map: tuple[int, int, int] = WHOLE
    dtype: str = "bf16"
    name: str | None = None
    strides: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Layer:
    """One layer: what it is registered as, its grid, its slots."""

    name: str
    grid: tuple[int, int, int]
    slots: Sequence[Tensor]
    params: Sequence[int] = ()


def record_of(*layers: Layer, cc: int = 90, meta: Any = META, **init: Any) -> PipelineRecord:
    """The record of layers, tensors of one name shared."""
    return built(lambda kernel: _add(kernel, layers), cc=cc, meta=meta, **init)


def built(
    build: Callable[[Any], None], cc: int = 90, meta: Any = META, **init: Any
) -> PipelineRecord:
    """The record that a function makes with a kernel."""
    parameters = {
        **PersistentKernel.get_default_init_parameters(),
        "test_mode": True,
        "num_workers": 128,
        "num_local_schedulers": 16,
        "max_num_batched_requests": 8,
        "max_num_batched_tokens": 8,
        "meta_tensors": dict(meta),
        **init,
    }
    if cc == 80:
        parameters["num_workers"] = min(parameters["num_workers"], 96)
    target = Target(cc=cc, world_size=parameters["world_size"], multicast=False)
    with use_target(target):
        kernel = PersistentKernel(**parameters)
        build(kernel)
    return kernel.record()


def context_of(record: PipelineRecord, **options: Any) -> VerifyContext:
    graph = plan(record).graph
    operators = recorded_operators(graph, record)
    return VerifyContext(graph, operators, DEFAULT, record, VerifyOptions(**options))


def without_record(record: PipelineRecord, **options: Any) -> VerifyContext:
    """The graph alone, with operators recovered from its tasks."""
    graph = plan(record).graph
    return VerifyContext(graph, recover_operators(graph), DEFAULT, None, VerifyOptions(**options))


def found(context: VerifyContext, family: str = "MPK4") -> tuple[Finding, ...]:
    return told.note(verify([context], select=[family]).findings)


def codes(context: VerifyContext, family: str = "MPK4") -> list[tuple[str, str]]:
    """(code, severity) of each finding."""
    return [(x.rule.code, x.severity) for x in found(context, family)]


def _add(kernel: Any, layers: Sequence[Layer]) -> None:
    made: dict[str, Any] = {}
    for number, layer in enumerate(layers):
        tensors = []
        for position, slot in enumerate(layer.slots):
            name = slot.name or f"t{number}_{position}"
            if name not in made:
                made[name] = _tensor(kernel, slot, name)
            tensors.append(made[name])
        maps = [slot.input_map for slot in layer.slots]
        graph = block_graph(layer.grid, list(zip(tensors, maps, strict=True)))
        kernel.kn_graph.customized(tensors, graph)
        kernel.kn_graph.register_task(graph, layer.name, list(layer.params))


def _tensor(kernel: Any, slot: Tensor, name: str) -> Any:
    if slot.strides is not None:
        return kernel.new_tensor(dims=slot.dims, strides=slot.strides, name=name)
    return kernel.attach_input(TensorSpec(slot.dims, TORCH_NAMES[slot.dtype]), name=name)
