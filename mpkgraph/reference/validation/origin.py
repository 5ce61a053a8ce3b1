"""Where a wrong run began: the first task whose result is not what its layer means to leave.

Tensors are used again, layer after layer, and what is wrong in the end is what the last layer left.
So the order of a run that went wrong is run once more, task by task, and each result is held
against the whole layer's at that time: what a task wrote wrong, which of its inputs were not what
they should have been, and who had not written them yet, or had overwritten them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mpkgraph.analysis.execution.schedulers import hurrying
from mpkgraph.analysis.verify.finding import TaskRef
from mpkgraph.reference.interpreter.buffer import Buffer, OutsideError, reach
from mpkgraph.reference.interpreter.initial import Initial
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.operators import Box, OperatorPlan, SlotPlan
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.run import RunResult, run_program
from mpkgraph.reference.interpreter.unknown import Unexecuted
from mpkgraph.reference.interpreter.whole import run_whole
from mpkgraph.reference.validation.blame import Blame
from mpkgraph.reference.validation.compare import mismatches
from mpkgraph.reference.validation.limits import Limits

MAX_SNAPSHOT_BYTES = 64 << 20
"""Of one tensor after one layer; caches are larger, and are compared in the end alone."""
MAX_TASKS = 1 << 16
"""Of a run that is run again."""

LimitsOf = Callable[[int, str, OperatorPlan, Any], Limits]
"""By position of the rank, tensor, writer and right values."""


@dataclass(frozen=True)
class WrongInput:
    """What a task read that was not what its layer means it to read."""

    tensor: str
    num_wrong: int
    num_elements: int
    """Of the task's tile."""
    meant: str | None
    """The operator that should have written it last, and its index; None for an input."""
    meant_index: int | None
    found: str | None
    """The operator that had; None: nobody."""
    found_index: int | None

    def to_json(self) -> dict[str, Any]:
        return {
            "tensor": self.tensor,
            "num_wrong": self.num_wrong,
            "num_elements": self.num_elements,
            "meant_operator": self.meant_index,
            "meant_name": self.meant,
            "found_operator": self.found_index,
            "found_name": self.found,
        }


@dataclass(frozen=True)
class Origin:
    """The first wrong result of a run."""

    rank: int
    tensor: str
    operator: int
    operator_name: str
    task: TaskRef
    place: int
    """The task is the so-many-th of the run, from 1 on."""
    num_wrong: int
    num_elements: int
    """Of the task's tile."""
    is_unwritten: bool
    """Whether all tasks of the operator have run, and these elements are what they were before."""
    inputs: tuple[WrongInput, ...]
    site: str | None = None
    """The user's line."""

    def is_told_by(self, blame: Blame) -> bool:
        """Whether it is the blamed operator and tensor."""
        return (self.rank, self.operator, self.tensor) == (
            blame.rank,
            blame.operator,
            blame.tensor,
        )

    def follows(self, blame: Blame) -> bool:
        """Whether it read what the blamed operator had written too late."""
        return self.rank == blame.rank and any(
            (x.tensor, x.found_index) == (blame.tensor, blame.operator) for x in self.inputs
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "tensor": self.tensor,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "task": self.task.to_json(),
            "place": self.place,
            "num_wrong": self.num_wrong,
            "num_elements": self.num_elements,
            "is_unwritten": self.is_unwritten,
            "site": self.site,
            "inputs": [x.to_json() for x in self.inputs],
        }


def origin(
    program: Program, initial: Initial, result: RunResult, skipped: Unexecuted, limits: LimitsOf
) -> Origin | None:
    """The first wrong result of a run; None where nothing but the end tells."""
    if len(result.order) > MAX_TASKS:
        return None
    recorder = _Recorder(program)
    reference = run_whole(program, initial.memories(), skipped, recorder.after_layer)
    failed = {program_key(program, rank, index) for rank, index in reference.failures}
    memories = initial.memories()
    watch = _Watch(program, memories, recorder, limits, failed)
    run_program(
        program, memories, hurrying((), (), result.order.tolist()), skipped=skipped, watch=watch
    )
    return watch.found


def program_key(program: Program, rank: int, index: int) -> tuple[int, int]:
    """(position of the rank, operator)."""
    return next(i for i, x in enumerate(program.ranks) if x.rank == rank), index


@dataclass
class _Left:
    """What a layer left in a tensor, and what was there before."""

    buffer: Buffer
    before: _Left | None
    writer: OperatorPlan


@dataclass
class _Recorder:
    """What each layer leaves in its outputs, when whole layers run."""

    program: Program
    last: dict[tuple[int, str], _Left] = field(default_factory=dict)
    outputs: dict[tuple[int, int], dict[tuple[int, str], _Left]] = field(default_factory=dict)
    """By writer what it left, by position of the memory and tensor."""
    inputs: dict[tuple[int, int], dict[str, _Left]] = field(default_factory=dict)
    """By reader what it should read."""

    def after_layer(
        self, position: int, plan: OperatorPlan, memories: Sequence[RankMemory]
    ) -> None:
        key = position, plan.operator.index
        self.inputs[key] = {
            name: self.last[position, name]
            for slot in plan.slots
            if slot.effect.reads
            for name in slot.base_ptrs
            if (position, name) in self.last
        }
        left = self.outputs.setdefault(key, {})
        for slot in plan.slots:
            if not (slot.is_output or slot.effect.writes or slot.effect.writes_remotely):
                continue
            places = range(len(memories)) if slot.effect.writes_remotely else [position]
            for place in places:
                for name in slot.base_ptrs:
                    buffer = memories[place].buffers.get(name)
                    if buffer is None or buffer.num_bytes > MAX_SNAPSHOT_BYTES:
                        continue
                    made = _Left(buffer.clone(), self.last.get((place, name)), plan)
                    left[place, name] = self.last[place, name] = made


class _Watch:
    """Looks at each task of a run; `found` is the first wrong result."""

    def __init__(
        self,
        program: Program,
        memories: Sequence[RankMemory],
        recorder: _Recorder,
        limits: LimitsOf,
        failed: set[tuple[int, int]],
    ) -> None:
        self.program = program
        self.memories = memories
        self.recorder = recorder
        self.limits_of = limits
        self.failed = failed
        self.found: Origin | None = None
        self._place = 0
        self._left = {
            (position, plan.operator.index): plan.operator.num_tasks
            for position, rank in enumerate(program.ranks)
            for plan in rank.plans
        }
        self._writers: dict[tuple[int, str], list[OperatorPlan]] = {}
        """Who has written a tensor so far, each once in a row."""
        self._limits: dict[tuple[int, int, str], Limits] = {}
        self._before: list[tuple[SlotPlan, int, Any]] = []
        self._inputs: tuple[WrongInput, ...] = ()

    @property
    def is_done(self) -> bool:
        return self.found is not None

    def before(self, position: int, plan: OperatorPlan, box: Box) -> None:
        """A task is about to run."""
        self._place += 1
        self._inputs = tuple(self._wrong_inputs(position, plan, box))
        self._before = [
            (slot, place, view.clone())
            for slot, place in self._written(position, plan)
            if (view := _tile(self.memories[place].buffers, plan, slot, box)) is not None
        ]

    def after(self, position: int, plan: OperatorPlan, box: Box) -> None:
        """A task has run."""
        key = position, plan.operator.index
        self._left[key] -= 1
        is_last = self._left[key] == 0
        left = self.recorder.outputs.get(key, {})
        for slot, place, before in self._before:
            name = plan.layout(slot, box.first).base_ptr
            writers = self._writers.setdefault((place, name), [])
            if not writers or writers[-1] is not plan:
                writers.append(plan)
            meant = left.get((place, name))
            if meant is None or key in self.failed or self.is_done:
                continue
            value = _tile(self.memories[place].buffers, plan, slot, box)
            right = _tile({name: meant.buffer}, plan, slot, box)
            # Sums are complete when the last task has added its part
            adds = slot.effect.access != "write" and not slot.effect.writes_remotely
            if value is None or right is None or (adds and not is_last):
                continue
            limits = self._limits_for(place, plan, name, meant)
            if adds:
                wrong = mismatches(value, right, limits)
            else:
                wrong = _wrong_where_changed(value, before, right, limits)
            if wrong is not None and bool(wrong.any()):
                self._find(position, plan, box, name, wrong, is_unwritten=False)
            elif is_last and writers.count(plan) == 1 and place == position:
                self._look_for_holes(position, plan, box, name, meant)

    def _look_for_holes(
        self, position: int, plan: OperatorPlan, box: Box, name: str, meant: _Left
    ) -> None:
        """Elements that the layer writes, and that no task of it has written."""
        buffer = self.memories[position].buffers[name]
        limits = self._limits_for(position, plan, name, meant)
        wrong = mismatches(buffer.elements, meant.buffer.elements, limits)
        if not bool(wrong.any()):
            return
        if meant.before is not None:
            wrong &= ~_same_bits(meant.buffer.elements, meant.before.buffer.elements)
            wrong &= _same_bits(buffer.elements, meant.before.buffer.elements)
        elif buffer.is_poisoned:
            wrong &= buffer.unwritten() & ~meant.buffer.unwritten()
        else:
            return
        if bool(wrong.any()):
            self._find(position, plan, box, name, wrong, is_unwritten=True)

    def _find(
        self,
        position: int,
        plan: OperatorPlan,
        box: Box,
        name: str,
        wrong: Any,
        *,
        is_unwritten: bool,
    ) -> None:
        rank = self.program.ranks[position]
        layer, record = rank.context.layer(plan.operator), rank.record
        site = None if layer is None or record is None else record.call_site(layer.where)
        self.found = Origin(
            rank=rank.rank,
            tensor=name,
            operator=plan.operator.index,
            operator_name=rank.name(plan.operator),
            task=rank.context.task_ref(int(plan.operator.task_ids[box.first])),
            place=self._place,
            num_wrong=int(wrong.sum()),
            num_elements=int(wrong.numel()),
            is_unwritten=is_unwritten,
            inputs=() if is_unwritten else self._inputs,
            site=None if site is None else str(site),
        )

    def _wrong_inputs(self, position: int, plan: OperatorPlan, box: Box) -> list[WrongInput]:
        found: dict[str, WrongInput] = {}
        meant = self.recorder.inputs.get((position, plan.operator.index), {})
        for slot in plan.slots:
            name = plan.layout(slot, box.first).base_ptr
            if not slot.effect.reads or slot.effect.writes or name not in meant or name in found:
                continue
            value = _tile(self.memories[position].buffers, plan, slot, box)
            right = _tile({name: meant[name].buffer}, plan, slot, box)
            if value is None or right is None:
                continue
            limits = self._limits_for(position, meant[name].writer, name, meant[name])
            wrong = mismatches(value, right, limits)
            if not bool(wrong.any()):
                continue
            writers = self._writers.get((position, name), [])
            rank = self.program.ranks[position]
            author, last = meant[name].writer, writers[-1] if writers else None
            found[name] = WrongInput(
                tensor=name,
                num_wrong=int(wrong.sum()),
                num_elements=int(wrong.numel()),
                meant=rank.name(author.operator),
                meant_index=author.operator.index,
                found=None if last is None else rank.name(last.operator),
                found_index=None if last is None else last.operator.index,
            )
        return list(found.values())

    def _written(self, position: int, plan: OperatorPlan) -> list[tuple[SlotPlan, int]]:
        found = []
        for slot in plan.slots:
            if slot.effect.writes_remotely:
                found += [(slot, x) for x in range(len(self.memories)) if x != position]
            elif slot.is_output or slot.effect.writes:
                found.append((slot, position))
        return found

    def _limits_for(self, position: int, plan: OperatorPlan, name: str, left: _Left) -> Limits:
        key = position, plan.operator.index, name
        if key not in self._limits:
            self._limits[key] = self.limits_of(position, name, plan, left.buffer.elements)
        return self._limits[key]


def _tile(
    buffers: Mapping[str, Buffer], plan: OperatorPlan, slot: SlotPlan, box: Box
) -> Any | None:
    """One task's tile of a slot; None where it is of no tensor, or outside."""
    layout = plan.layout(slot, box.first)
    buffer = buffers.get(layout.base_ptr)
    if layout.is_null or buffer is None:
        return None
    try:
        view = buffer.view(layout.dims, layout.strides, int(slot.offsets[box.first]))
    except OutsideError:
        return None
    low, high = reach(layout.dims, layout.strides, int(slot.offsets[box.first]), buffer.itemsize)
    return view if low >= 0 and high <= buffer.num_bytes else None


def _wrong_where_changed(value: Any, before: Any, right: Any, limits: Limits) -> Any | None:
    """By element whether a task has made it wrong; None where it is clear that it has not.

    A tile may be a whole tensor of which the task writes a small part.
    """
    places = torch.from_numpy(np.flatnonzero(_bits(value).numpy() != _bits(before).numpy()))
    found = mismatches(value.reshape(-1)[places], right.reshape(-1)[places], limits)
    if not bool(found.any()):
        return None
    wrong = torch.zeros(value.shape, dtype=torch.bool)
    wrong.view(-1)[places] = found
    return wrong


def _same_bits(value: Any, other: Any) -> Any:
    """By element whether two tensors hold the same bits."""
    return _bits(value) == _bits(other)


def _bits(value: Any) -> Any:
    integers = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return value.contiguous().view(integers[value.element_size()])
