"""What the tensors should be: each layer once, on whole tensors, in the order that is meant."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.interpreter.initial import interleave
from mpkgraph.reference.interpreter.interleave import groups_of_input
from mpkgraph.reference.interpreter.kernel_views import as_kernel_means
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.operators import ACROSS_RANKS, OperatorPlan, SlotPlan
from mpkgraph.reference.interpreter.program import Program, RankProgram
from mpkgraph.reference.interpreter.roles import reference_order
from mpkgraph.reference.interpreter.run import CAUGHT
from mpkgraph.reference.interpreter.unknown import Unexecuted


@dataclass
class Reference:
    """The memories after the whole layers, and what could not be computed so."""

    memories: Sequence[RankMemory]
    failures: dict[tuple[int, int], str] = field(default_factory=dict)
    """By (rank, operator) why the layer has no reference."""
    writers: list[dict[str, list[int]]] = field(default_factory=list)
    """By position of the rank and `base_ptr`: operators that write it, in order."""

    def unknown(self, program: Program) -> frozenset[str]:
        """Tensors without a reference: those of layers that failed, and what reads them."""
        bad: set[str] = set()
        for rank in program.ranks:
            for plan in reference_order(rank):
                key = rank.rank, plan.operator.index
                reads = {x for s in plan.slots if s.effect.reads for x in s.base_ptrs}
                if key in self.failures or reads & bad:
                    bad |= {
                        x for s in plan.slots if s.is_output or s.effect.writes for x in s.base_ptrs
                    }
        return frozenset(bad)


AfterLayer = Callable[[int, OperatorPlan, Sequence[RankMemory]], None]
"""Is told of each layer that has run: position of the rank, layer, memories of all ranks."""


def run_whole(
    program: Program,
    memories: Sequence[RankMemory],
    skipped: Unexecuted,
    after_layer: AfterLayer | None = None,
) -> Reference:
    """Run every layer once on whole tensors, in memories that hold inputs.

    Ranks go layer by layer, so that what one puts into another's memory is there in time.
    """
    reference = Reference(memories, writers=[{} for _ in program.ranks])
    orders = [reference_order(rank) for rank in program.ranks]
    for place in range(max(map(len, orders), default=0)):
        for position, order in enumerate(orders):
            if place < len(order):
                _layer(program, reference, position, order[place], skipped)
                if after_layer is not None:
                    after_layer(position, order[place], memories)
    return reference


def _layer(
    program: Program,
    reference: Reference,
    position: int,
    plan: OperatorPlan,
    skipped: Unexecuted,
) -> None:
    rank = program.ranks[position]
    for slot in plan.slots:
        if slot.is_output or slot.effect.writes:
            for name in slot.base_ptrs:
                reference.writers[position].setdefault(name, []).append(plan.operator.index)
    if plan.function is None or skipped.has(rank.rank, plan.operator.index):
        return
    try:
        for subtask in range(plan.operator.num_subtasks):
            plan.function.run(whole_call(program, reference.memories, position, plan, subtask))
    except CAUGHT as error:
        text = str(error).strip().partition("\n")[0] or type(error).__name__
        reference.failures[rank.rank, plan.operator.index] = text


def whole_call(
    program: Program,
    memories: Sequence[RankMemory],
    position: int,
    plan: OperatorPlan,
    subtask: int,
) -> TaskCall:
    """The call that does a whole layer at once on what the memories hold."""
    rank = program.ranks[position]
    views = [_whole(rank, memories[position], plan, slot) for slot in plan.slots]
    peers: Mapping[int, tuple[Any, ...]] = {}
    if plan.task_type in ACROSS_RANKS:
        peers = {
            other.rank: tuple(_whole(other, memory, plan, slot) for slot in plan.slots)
            for other, memory in zip(program.ranks, memories, strict=True)
        }
    first = int((plan.points[:, 3] == subtask).argmax())
    call = TaskCall(
        task_type=plan.task_type,
        inputs=tuple(views[: plan.num_inputs]),
        outputs=tuple(views[plan.num_inputs :]),
        params=plan.params,
        registered_name=plan.register_name,
        metadata=plan.metadata(first),
        meta=memories[position].meta,
        settings=rank.settings,
        grid_position=(0, 0, 0),
        grid_dim=plan.operator.grid_dim,
        joined=plan.operator.grid_dim,
        tile_dims=tuple(slot.slot.tile_dims for slot in plan.slots),
        peers=peers,
        target_rank=plan.target_rank(first),
        known=memories[position].known,
    )
    groups = groups_of_input(rank, plan)
    if groups is not None:
        tiles = [_cut(view, groups) for view in views]
        call = dataclasses.replace(call, tile_dims=tuple(tiles))
    return as_kernel_means(call)


def _cut(view: Any, groups: int) -> tuple[int, ...]:
    """Dims of a tile when the last dim is cut into groups."""
    if view is None:
        return ()
    return (*view.shape[:-1], view.shape[-1] // groups)


def _whole(rank: RankProgram, memory: RankMemory, plan: OperatorPlan, slot: SlotPlan) -> Any:
    """A slot's whole tensor; a fused one is put together, for reading."""
    if not slot.base_ptrs:
        return None
    layer = plan.context.layer(plan.operator)
    name = slot.slot.name if layer is None else layer.slots[slot.position].name
    call = rank.fused.get(name or "")
    if call is not None:
        parts = [memory.whole(x.name or "") for x in call.inputs or ()]
        whole = torch.empty(call.dims, dtype=parts[0].dtype)
        interleave(whole, parts, call)
        return whole
    view = memory.whole(slot.base_ptrs[0])
    if plan.task_type in ACROSS_RANKS and slot.is_output:
        return _plane(view, plan, slot)
    return view


def _plane(view: Any, plan: OperatorPlan, slot: SlotPlan) -> Any:
    """Of the buffer that ranks put into, what lies from this rank's plane on."""
    size = view.element_size()
    offset = int(slot.offsets.min()) // size
    if not offset or plan.task_type != "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT":
        return view
    return view.as_strided((1, *view.shape[1:]), view.stride(), view.storage_offset() + offset)
