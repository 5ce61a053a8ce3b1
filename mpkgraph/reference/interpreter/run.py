"""The run itself: steps of a schedule, each task's function on its views, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.execution.counters import Counters
from mpkgraph.analysis.execution.hang import Hang, explain_hang
from mpkgraph.analysis.execution.schedulers import Scheduler, steps
from mpkgraph.errors import MpkGraphError
from mpkgraph.model.ids import NUM_FIXED_TASKS
from mpkgraph.reference.interpreter.buffer import OutsideError
from mpkgraph.reference.interpreter.calls import CallMaker
from mpkgraph.reference.interpreter.faults import Fault, FaultKind, FaultLog
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.operators import Box, OperatorPlan
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.unknown import Unexecuted, unexecuted

CAUGHT = (MpkGraphError, OutsideError, RuntimeError, IndexError, ValueError, KeyError)
"""What a function raises at memory, shapes or numbers that make no sense."""


class Watch(Protocol):
    """Looks at a run while it runs."""

    @property
    def is_done(self) -> bool:
        """Whether it has seen enough: the run ends."""

    def before(self, position: int, plan: OperatorPlan, box: Box) -> None:
        """Tasks of the rank at `position` are about to run."""

    def after(self, position: int, plan: OperatorPlan, box: Box) -> None:
        """They have run, or failed."""


@dataclass(frozen=True)
class RunResult:
    """What running came to; the values are in the memories."""

    order: IntArray
    """Numbers of the tasks in the order in which they ran."""
    num_calls: int
    """Calls of functions: less than tasks where several ran as one."""
    faults: tuple[Fault, ...]
    hang: Hang | None
    unexecuted: Unexecuted
    """Operators whose tasks were passed over."""
    places: IntArray = field(repr=False)
    """By task number its place in `order`; -1 for those that did not run."""


def run_program(
    program: Program,
    memories: Sequence[RankMemory],
    scheduler: Scheduler,
    *,
    skipped: Unexecuted | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """Run all ranks once on their memories, in the scheduler's order.

    `skipped` are operators that are passed over; None: those without a function, and what hangs
    on them. `watch` is told of every call, and may end the run.
    """
    if skipped is None:
        skipped = unexecuted(program)
    return _Runner(program, memories, scheduler, skipped, watch).run()


class _Runner:
    def __init__(
        self,
        program: Program,
        memories: Sequence[RankMemory],
        scheduler: Scheduler,
        skipped: Unexecuted,
        watch: Watch | None,
    ) -> None:
        self.program = program
        self.memories = memories
        self.scheduler = scheduler
        self.skipped = skipped
        self.watch = watch
        self.calls = CallMaker(program, memories)
        self.log = FaultLog()
        self.num_calls = 0
        self._seen: set[tuple[int, int]] = set()
        self._owners = [x.context.operators.task_operators for x in program.ranks]
        self._guarded: dict[tuple[int, int], list[str]] = {}

    def run(self) -> RunResult:
        tasks = self.program.tasks
        counters = Counters(tasks)
        order: list[int] = []
        for step in steps(counters, self.scheduler):
            order += step
            self._step(step)
            if self.watch is not None and self.watch.is_done:
                break
        places = np.full(len(tasks), -1, dtype=np.int64)
        places[order] = np.arange(len(order))
        return RunResult(
            order=np.array(order, dtype=np.int64),
            num_calls=self.num_calls,
            faults=self.log.faults,
            hang=explain_hang(counters, self.scheduler),
            unexecuted=self.skipped,
            places=places,
        )

    def _step(self, step: list[int]) -> None:
        """The tasks of a step, those of one operator together."""
        starts = self.program.tasks.starts
        if len(step) == 1:
            position = self.program.tasks.graph_of(step[0])
            self._tasks(position, np.array([step[0] - int(starts[position])]))
            return
        numbers = np.array(step, dtype=np.int64)
        ranks = np.searchsorted(starts, numbers, side="right") - 1
        for position in np.unique(ranks).tolist():
            mine = numbers[ranks == position] - starts[position]
            owners = self._owners[position][mine]
            for owner in dict.fromkeys(owners.tolist()):
                self._tasks(position, mine[owners == owner])

    def _tasks(self, position: int, task_ids: IntArray) -> None:
        """Tasks of one operator of one rank."""
        rank = self.program.ranks[position]
        owner = int(self._owners[position][task_ids[0]])
        if owner < 0 or task_ids[0] < NUM_FIXED_TASKS:
            return  # the begin task
        plan = rank.plans[owner]
        if (position, owner) not in self._seen:
            self._seen.add((position, owner))
            for fault in self.calls.outside(position, plan):
                self.log.add(fault)
        if self.skipped.has(rank.rank, owner):
            return
        for box in plan.boxes(rank.positions[task_ids]):
            self._call(position, plan, box)

    def _call(self, position: int, plan: OperatorPlan, box: Box) -> None:
        self.num_calls += 1
        if self.watch is not None:
            self.watch.before(position, plan, box)
        try:
            if plan.function is not None:
                plan.function.run(self.calls.call(position, plan, box))
        except CAUGHT as error:
            text = str(error).strip().partition("\n")[0] or type(error).__name__
            self._fault("failed", position, plan, box, None, text)
        if self.watch is not None:
            self.watch.after(position, plan, box)
        for name in self._written(position, plan):
            for memory in self.memories if plan.effects_reach_peers else [self.memories[position]]:
                buffer = memory.buffers.get(name)
                if buffer is not None and buffer.guards_broken():
                    text = f"bytes before or behind {name} were overwritten"
                    self._fault("guard-broken", position, plan, box, name, text)

    def _written(self, position: int, plan: OperatorPlan) -> list[str]:
        key = position, plan.operator.index
        if key not in self._guarded:
            self._guarded[key] = [
                name
                for slot in plan.slots
                if slot.is_output or slot.effect.writes
                for name in slot.base_ptrs
            ]
        return self._guarded[key]

    def _fault(
        self,
        kind: FaultKind,
        position: int,
        plan: OperatorPlan,
        box: Box,
        tensor: str | None,
        message: str,
    ) -> None:
        rank = self.program.ranks[position]
        x, y, z = box.joined
        self.log.add(
            Fault(
                kind=kind,
                rank=rank.rank,
                operator=plan.operator.index,
                operator_name=rank.name(plan.operator),
                task_id=int(plan.operator.task_ids[box.first]),
                tensor=tensor,
                message=message,
                count=x * y * z,
            )
        )
