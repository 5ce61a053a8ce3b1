"""What a task moves and computes, from its tiles: rules by kind, for what tiles do not tell.

A tile says what a kernel may touch. How much of a cache, of an embedding table, of the experts is
touched is the data's choice, and the rules below say what is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from mpkgraph.analysis.cost.model import Workload
from mpkgraph.catalog.effects import effects_of
from mpkgraph.catalog.effects.row import SlotEffect
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid

OPS_PER_ELEMENT = 10
"""Operations outside tensor cores for each element read: a norm's or an activation's."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot of a task."""

    dims: tuple[int, ...]
    elem_bytes: int
    data_type: str
    num_bytes: int
    """Of the tile."""
    in_l2: bool
    """Whether its tensor is made by this graph and small enough to be found in L2."""
    is_output: bool

    @property
    def num_elems(self) -> int:
        return math.prod(self.dims)


@dataclass(frozen=True, slots=True)
class Work:
    """Of one task."""

    hbm_bytes: float
    l2_bytes: float
    nvlink_bytes: float
    matmul_flops: float
    matmul_type: str
    """Name of the data type that decides the rate of tensor cores."""
    vector_flops: float


@dataclass(frozen=True, slots=True)
class TaskShape:
    """What the work of a task depends on."""

    task_type: str
    kind: str
    register_name: str | None
    grid_dim: Grid
    num_tasks: int
    slots: tuple[SlotFacts, ...]
    num_inputs: int
    lane: int = 0
    """Of a task of experts: it takes every `grid_dim[0]`-th of the active ones from this on."""

    @property
    def inputs(self) -> tuple[SlotFacts, ...]:
        return self.slots[: self.num_inputs]

    @property
    def outputs(self) -> tuple[SlotFacts, ...]:
        return self.slots[self.num_inputs :]


Part = Callable[[TaskShape, int, SlotEffect, Workload], float]
"""Bytes that a task moves through the slot at a position."""


def _tile(shape: TaskShape, position: int, _effect: SlotEffect, _workload: Workload) -> float:
    return shape.slots[position].num_bytes


def _of_output(shape: TaskShape, position: int, _effect: SlotEffect, _workload: Workload) -> float:
    """As many bytes as the outputs take: rows that are looked up."""
    made = sum(slot.num_bytes for slot in shape.outputs)
    return min(shape.slots[position].num_bytes, made)


def _attention(shape: TaskShape, position: int, effect: SlotEffect, workload: Workload) -> float:
    slot = shape.slots[position]
    if effect.footprint != "dynamic":
        return slot.num_bytes
    if effect.access != "readwrite":
        return _of_output(shape, position, effect, workload)
    per_token = math.prod(slot.dims[-2:]) * slot.elem_bytes
    return min(slot.num_bytes, _kv_tokens(shape, workload) * per_token)


def _mla(shape: TaskShape, position: int, effect: SlotEffect, workload: Workload) -> float:
    """Blocks of whole tensors: shared out evenly, but each split of the cache to all heads."""
    slot = shape.slots[position]
    if effect.is_inside_tile and effect.footprint != "dynamic":
        return slot.num_bytes
    if position == 1 or effect.footprint == "dynamic" or "GATHER" in shape.task_type:
        row = slot.dims[-1] * slot.elem_bytes if slot.dims else 0
        return min(slot.num_bytes, workload.kv_length * row / max(shape.grid_dim[0], 1))
    return slot.num_bytes / max(shape.num_tasks, 1)


def _moe(shape: TaskShape, position: int, effect: SlotEffect, _workload: Workload) -> float:
    """Weights of the experts that tokens choose, shared out to the lanes along x."""
    slot = shape.slots[position]
    if len(slot.dims) != 3 or slot.is_output or effect.footprint != "dynamic":
        return slot.num_bytes
    if not _holds_experts(shape, position):
        return slot.num_bytes
    return min(slot.num_bytes, _experts_of_lane(shape) * slot.num_bytes / slot.dims[0])


BYTES: Mapping[str, Part] = MappingProxyType(
    {"embedding": _of_output, "attention": _attention, "mla": _mla, "moe": _moe}
)
"""By kind; the tile where a kind is not there."""


def _no_matmul(_shape: TaskShape, _workload: Workload) -> float:
    return 0.0


def _linear_flops(shape: TaskShape, _workload: Workload) -> float:
    """Two for each element of the weight and row of the output."""
    weight = _weight(shape)
    if weight is None or not shape.outputs:
        return 0.0
    rows = math.prod(shape.outputs[0].dims[:-1])
    return 2.0 * rows * weight.num_elems


def _attention_flops(shape: TaskShape, workload: Workload) -> float:
    """Scores and weighted sums: four for each element of the output and token of the cache."""
    if not shape.outputs or "MERGE" in shape.task_type:
        return 0.0
    return 4.0 * max(slot.num_elems for slot in shape.outputs) * _kv_tokens(shape, workload)


def _mla_flops(shape: TaskShape, workload: Workload) -> float:
    if not shape.inputs or "GATHER" in shape.task_type or "REDUCE" in shape.task_type:
        return 0.0
    return 4.0 * shape.inputs[0].num_elems * workload.kv_length / max(shape.num_tasks, 1)


def _moe_flops(shape: TaskShape, _workload: Workload) -> float:
    places = [i for i in range(shape.num_inputs) if _holds_experts(shape, i)]
    if not places or not shape.outputs:
        return 0.0
    weight = shape.slots[places[0]]
    rows = math.prod(shape.outputs[0].dims[:-1]) / max(_active_experts(shape), 1)
    return 2.0 * rows * _experts_of_lane(shape) * weight.num_elems / weight.dims[0]


FLOPS: Mapping[str, Callable[[TaskShape, Workload], float]] = MappingProxyType(
    {
        "linear": _linear_flops,
        "attention": _attention_flops,
        "mla": _mla_flops,
        "moe": _moe_flops,
    }
)
"""Of tensor cores, by kind."""


def work_of(shape: TaskShape, workload: Workload) -> Work:
    """What one task of this shape moves and computes."""
    effects = effects_of(
        shape.task_type,
        shape.num_inputs,
        len(shape.slots) - shape.num_inputs,
        shape.register_name,
    )
    part = BYTES.get(shape.kind, _tile)
    hbm = l2 = link = 0.0
    at_work = shape.kind != "moe" or not _expert_slots(shape) or _experts_of_lane(shape) > 0
    for position, (slot, effect) in enumerate(zip(shape.slots, effects.slots, strict=True)):
        if not slot.dims:
            continue
        times = int(effect.reads) + int(effect.writes)
        moved = part(shape, position, effect, workload) if at_work else 0.0
        if effect.writes_remotely:
            link += moved
        elif slot.in_l2:
            l2 += times * moved
        else:
            hbm += times * moved
    matmul = FLOPS.get(shape.kind, _no_matmul)(shape, workload)
    elements = (hbm + l2) / 2 if not matmul else 0.0
    weight = _weight(shape)
    return Work(
        hbm_bytes=hbm,
        l2_bytes=l2,
        nvlink_bytes=link,
        matmul_flops=matmul,
        matmul_type="" if weight is None else weight.data_type,
        vector_flops=OPS_PER_ELEMENT * elements,
    )


def _weight(shape: TaskShape) -> SlotFacts | None:
    """The largest input of two dims or more."""
    inputs = [slot for slot in shape.inputs if len(slot.dims) >= 2]
    return max(inputs, key=lambda slot: slot.num_elems, default=None)


def _kv_tokens(shape: TaskShape, workload: Workload) -> float:
    """Tokens that one task reads: the chunks of a split cache lie along z."""
    return workload.kv_length / (shape.grid_dim[2] if "SPLIT_KV" in shape.task_type else 1)


def _holds_experts(shape: TaskShape, position: int) -> bool:
    """Whether a slot is (experts, rows, columns): the output is (tokens, choices, rows)."""
    slot = shape.slots[position]
    if len(slot.dims) != 3 or slot.is_output or not shape.outputs:
        return False
    # The hidden rows of the second projection have three dims too: (tokens, choices, columns)
    return not (position == 0 and slot.dims[:2] == shape.outputs[0].dims[:2])


def tasks_at_work(shape: TaskShape) -> int:
    """How many of the operator's tasks have anything to do: lanes past the active experts don't."""
    lanes = shape.grid_dim[0]
    if shape.kind != "moe" or lanes <= 1 or not _expert_slots(shape):
        return shape.num_tasks
    return math.ceil(shape.num_tasks * min(_active_experts(shape), lanes) / lanes)


def _expert_slots(shape: TaskShape) -> list[SlotFacts]:
    return [x for i, x in enumerate(shape.inputs) if _holds_experts(shape, i)]


def _active_experts(shape: TaskShape) -> int:
    """As many as the choices of all tokens could be: each token chooses others."""
    experts = _expert_slots(shape)
    if not experts or not shape.outputs:
        return 0
    return min(experts[0].dims[0], math.prod(shape.outputs[0].dims[:2]))


def _experts_of_lane(shape: TaskShape) -> int:
    lanes = max(shape.grid_dim[0], 1)
    return max(0, -(-(_active_experts(shape) - shape.lane) // lanes))
