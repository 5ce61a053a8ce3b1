"""From a box of tasks to the call of their function: views of the memory of its rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mpkgraph.model.graph import SlotLayout
from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.interpreter.buffer import OutsideError, reach
from mpkgraph.reference.interpreter.faults import Fault
from mpkgraph.reference.interpreter.kernel_views import as_kernel_sees
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.operators import ACROSS_RANKS, Box, OperatorPlan, SlotPlan
from mpkgraph.reference.interpreter.program import Program, RankProgram

NO_PEERS: Mapping[int, tuple[Any, ...]] = MappingProxyType({})


class CallMaker:
    """Makes calls of one program's tasks on some memory; one memory a rank."""

    def __init__(self, program: Program, memories: Sequence[RankMemory]) -> None:
        self.program = program
        self.memories = memories

    def call(self, position: int, plan: OperatorPlan, box: Box) -> TaskCall:
        """The call of the rank at `position`. Raises OutsideError, KeyError for no such tensor."""
        rank = self.program.ranks[position]
        views = self._views(self.memories[position], plan, box)
        peers = NO_PEERS
        if plan.task_type in ACROSS_RANKS:
            peers = {
                other.rank: tuple(self._views(memory, plan, box))
                for other, memory in zip(self.program.ranks, self.memories, strict=True)
            }
        point = plan.points[box.first].tolist()
        call = TaskCall(
            task_type=plan.task_type,
            inputs=tuple(views[: plan.num_inputs]),
            outputs=tuple(views[plan.num_inputs :]),
            params=plan.params,
            registered_name=plan.register_name,
            metadata=plan.metadata(box.first),
            meta=self.memories[position].meta,
            settings=rank.settings,
            grid_position=(point[0], point[1], point[2]),
            grid_dim=plan.operator.grid_dim,
            joined=box.joined,
            tile_dims=tuple(plan.layout(x, box.first).dims for x in plan.slots),
            peers=peers,
            target_rank=plan.target_rank(box.first),
            known=self.memories[position].known,
        )
        if box.joined == (1, 1, 1):
            call = as_kernel_sees(call, rank, plan)
        return call

    def _views(self, memory: RankMemory, plan: OperatorPlan, box: Box) -> list[Any]:
        views: list[Any] = []
        for slot in plan.slots:
            layout = plan.layout(slot, box.first)
            if layout.is_null:
                views.append(None)
                continue
            dims = joined_dims(layout, slot, box)
            offset = int(slot.offsets[box.first])
            views.append(memory.view(layout.base_ptr, dims, layout.strides, offset))
        return views

    def outside(self, position: int, plan: OperatorPlan) -> Iterator[Fault]:
        """Tiles of an operator that reach past their tensors, one fault a slot."""
        rank = self.program.ranks[position]
        for slot in plan.slots:
            if not slot.effect.is_inside_tile or slot.effect.access == "none":
                continue  # the tile does not tell what is touched
            yield from self._slot_outside(rank, self.memories[position], plan, slot)

    @staticmethod
    def _slot_outside(
        rank: RankProgram, memory: RankMemory, plan: OperatorPlan, slot: SlotPlan
    ) -> Iterator[Fault]:
        first: Fault | None = None
        count = 0
        for layout_index in dict.fromkeys(slot.layouts.tolist()):
            layout = rank.context.graph.layouts[layout_index]
            buffer = None if layout.is_null else memory.buffers.get(layout.base_ptr)
            if buffer is None:
                continue
            dims = layout.dims
            if slot.effect.writes_remotely:
                # The offset is that of this rank's plane, and the tile has all planes
                dims = (min(dims[0], 1), *dims[1:])
            low, high = reach(dims, layout.strides, 0, buffer.itemsize)
            mine = slot.layouts == layout_index
            bad = mine & ((slot.offsets + low < 0) | (slot.offsets + high > buffer.num_bytes))
            if not bad.any():
                continue
            count += int(bad.sum())
            place = int(bad.argmax())
            begin = int(slot.offsets[place])
            if first is None:
                first = Fault(
                    kind="write-outside"
                    if slot.effect.writes or slot.effect.writes_remotely
                    else "read-outside",
                    rank=rank.rank,
                    operator=plan.operator.index,
                    operator_name=rank.name(plan.operator),
                    task_id=int(plan.operator.task_ids[place]),
                    tensor=layout.base_ptr,
                    message=f"its tile of {layout.base_ptr} is bytes {begin + low}:{begin + high} "
                    f"of {buffer.num_bytes}",
                )
        if first is not None:
            yield Fault(**{**_fields(first), "count": count})


def joined_dims(layout: SlotLayout, slot: SlotPlan, box: Box) -> tuple[int, ...]:
    """Dims of the union of the tiles of a box."""
    dims = list(layout.dims)
    for axis, dim in enumerate(slot.slot.input_map):
        if 0 <= dim < len(dims):
            dims[dim] *= box.joined[axis]
    return tuple(dims)


def _fields(fault: Fault) -> dict[str, Any]:
    return fault.to_json()


__all__ = ["CallMaker", "OutsideError", "joined_dims"]
