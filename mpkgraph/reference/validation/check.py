"""Hold the tensors of a run against what they should be, and trace what is wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from mpkgraph.analysis.execution.schedulers import Scheduler
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import SEVERITIES
from mpkgraph.model.record import RECORD_DATA_TYPES
from mpkgraph.reference.interpreter.buffer import OutsideError
from mpkgraph.reference.interpreter.initial import Initial
from mpkgraph.reference.interpreter.memory import RankMemory, TensorShape
from mpkgraph.reference.interpreter.operators import OperatorPlan
from mpkgraph.reference.interpreter.pages import BoolArray
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.roles import reference_order
from mpkgraph.reference.interpreter.run import RunResult, run_program
from mpkgraph.reference.interpreter.unknown import Unexecuted, unexecuted
from mpkgraph.reference.interpreter.whole import Reference, run_whole
from mpkgraph.reference.validation.blame import Blame, Wrong, blame
from mpkgraph.reference.validation.compare import compare, mismatches, size_of
from mpkgraph.reference.validation.error_map import MAX_MAPPED, TaskErrors, task_errors
from mpkgraph.reference.validation.limits import GivenLimits, Limits, default_limits
from mpkgraph.reference.validation.origin import origin
from mpkgraph.reference.validation.result import RunOutcome, TensorVerdict, Unchecked

MAX_FINDINGS = 3
_SHORT = {value: key for key, value in reversed(RECORD_DATA_TYPES.items())} | {"DT_FLOAT8": "fp8"}

Right = Mapping[str, Any]
"""Right values by tensor name."""


@dataclass(frozen=True)
class Expected:
    """What tensors should be: whole layers, and for some names values from elsewhere."""

    memories: Sequence[RankMemory]
    unknown: frozenset[str]
    """Tensors that whole layers tell nothing of."""
    failures: Mapping[tuple[int, int], str]
    given: Sequence[Right] = ()
    """By position of the rank; names that are here are held against these values."""
    only_given: bool = False
    """Whether nothing but the given ones is compared."""

    def right(self, position: int, name: str) -> Any:
        """The right values of a tensor; None where nobody knows."""
        if position < len(self.given) and name in self.given[position]:
            return self.given[position][name]
        if self.only_given or name in self.unknown:
            return None
        try:
            return self.memories[position].whole(name)
        except (OutsideError, KeyError):
            return None


@dataclass
class Checker:
    """Runs a program in several orders and compares each time with the same right values."""

    program: Program
    initial: Initial
    limits: GivenLimits = field(default_factory=GivenLimits)
    given_names: frozenset[str] = frozenset()
    """Tensors whose given values stand, though a layer that can't run should write them."""
    findings: Callable[[], Sequence[Finding]] = tuple
    """What static verify says; asked for when something is wrong."""
    expected: Expected | None = None
    maps_all: bool = True
    """Map the errors of all wrong tensors to tasks, not of the blamed one alone."""
    traces_all: bool = True
    """Say of all wrong runs where they began, not of the first alone."""
    last: Sequence[RankMemory] = ()
    """Memories of the last run."""
    is_traced: bool = False
    """Whether a wrong run has been traced; setting it leaves the next ones untraced too, unless
    `traces_all`."""

    @property
    def skipped(self) -> Unexecuted:
        """Operators that can't be run: also those whose params only a record tells."""
        failing: dict[tuple[int, int], str] = {}
        if self.expected is not None:
            alone = {x.rank for x in self.program.ranks if x.record is None}
            failing = {k: v for k, v in self.expected.failures.items() if k[0] in alone}
        return unexecuted(self.program, self.given_names, failing)

    def expect_whole(self) -> Expected:
        """Run whole layers, once."""
        if self.expected is None:
            reference: Reference = run_whole(self.program, self.initial.memories(), self.skipped)
            self.expected = Expected(
                reference.memories, reference.unknown(self.program), reference.failures
            )
        return self.expected

    def run(self, scheduler: Scheduler, schedule: str) -> RunOutcome:
        """One run and its verdict."""
        expected = self.expect_whole()
        start = time.perf_counter()
        memories = self.initial.memories()
        result = run_program(self.program, memories, scheduler, skipped=self.skipped)
        seconds = time.perf_counter() - start
        self.last = memories
        outcome = self.verdict(result, memories, expected, schedule, seconds)
        if outcome.blame is None or expected.given or (self.is_traced and not self.traces_all):
            return outcome
        self.is_traced = True
        began = origin(self.program, self.initial, result, self.skipped, self._limits)
        if began is None or (began.is_told_by(outcome.blame) and not began.inputs):
            return outcome
        operators = {began.operator}
        findings = self._related(began.rank, began.tensor, operators)
        known = {x.fingerprint for x in outcome.blame.findings}
        findings = tuple(x for x in findings if x.fingerprint not in known)
        return replace(outcome, origin=began, findings=findings)

    def verdict(
        self,
        result: RunResult,
        memories: Sequence[RankMemory],
        expected: Expected,
        schedule: str,
        seconds: float = 0.0,
    ) -> RunOutcome:
        """Compare what a run left in its memories."""
        verdicts: list[TensorVerdict] = []
        unchecked: list[Unchecked] = []
        for position in range(len(self.program.ranks)):
            self._rank(position, memories, expected, result.unexecuted, verdicts, unchecked)
        found = None
        first = self._first_wrong(verdicts)
        errors: list[TaskErrors] = []
        for verdict in sorted((x for x in verdicts if not x.passes), key=lambda x: x is not first):
            if verdict is not first and (
                not self.maps_all or math.prod(verdict.shape) > MAX_MAPPED
            ):
                errors.append(TaskErrors.unmapped(verdict.rank, verdict.name))
                continue
            wrong = self._wrong(verdict, memories, expected)
            errors.append(task_errors(self.program, result, wrong))
            if verdict is first:
                found = self._blame(result, wrong)
        related: tuple[Finding, ...] = ()
        if found is None and (result.faults or result.hang):
            related = self._of_faults(result)
        return RunOutcome(
            schedule=schedule,
            num_tasks=len(result.order),
            num_calls=result.num_calls,
            seconds=seconds,
            verdicts=tuple(verdicts),
            unchecked=tuple(unchecked),
            faults=result.faults,
            hang=result.hang,
            blame=found,
            task_errors=tuple(errors),
            findings=related,
        )

    def _rank(
        self,
        position: int,
        memories: Sequence[RankMemory],
        expected: Expected,
        skipped: Unexecuted,
        verdicts: list[TensorVerdict],
        unchecked: list[Unchecked],
    ) -> None:
        rank, memory = self.program.ranks[position], memories[position]
        unknown = skipped.tensors.get(rank.rank, frozenset())
        for name, plan in self._written(position).items():
            shape = rank.shapes.get(name)
            if shape is None or name not in memory.buffers:
                continue
            right = expected.right(position, name)
            if name in unknown:
                cause = next((x for x in skipped.causes), None)
                text = "" if cause is None else f": {cause.operator_name} can't be executed"
                unchecked.append(Unchecked(rank.rank, name, f"nobody knows its values{text}"))
                continue
            if right is None:
                reason = expected.failures.get((rank.rank, plan.operator.index))
                text = "it reads what has no reference" if reason is None else reason
                if not expected.only_given:
                    unchecked.append(Unchecked(rank.rank, name, f"no reference: {text}"))
                continue
            try:
                value = memory.whole(name)
            except OutsideError as error:
                unchecked.append(Unchecked(rank.rank, name, str(error)))
                continue
            pages = _pages(memory, shape, expected, position, right)
            limits = self._limits(position, name, plan, right, None if pages is None else pages[1])
            holes = _holes(memory, shape, expected, position)
            verdicts.append(
                TensorVerdict(
                    rank=rank.rank,
                    name=name,
                    shape=tuple(value.shape),
                    dtype=short_type(shape),
                    operator=plan.operator.index,
                    operator_name=rank.name(plan.operator),
                    limits=limits,
                    difference=compare(value, right.to(value.dtype), limits, holes, pages),
                    is_output=name not in self._read(position),
                )
            )

    def _written(self, position: int) -> Mapping[str, OperatorPlan]:
        """Tensors that layers write, with the last one that does, in the order that is meant."""
        key = f"written {position}"
        if key not in self.program.memo:
            found: dict[str, OperatorPlan] = {}
            for plan in reference_order(self.program.ranks[position]):
                for slot in plan.slots:
                    if slot.is_output or slot.effect.writes or slot.effect.writes_remotely:
                        for name in slot.base_ptrs:
                            found.pop(name, None)
                            found[name] = plan
            self.program.memo[key] = found
        written: Mapping[str, OperatorPlan] = self.program.memo[key]
        return written

    def _read(self, position: int) -> frozenset[str]:
        key = f"read {position}"
        if key not in self.program.memo:
            self.program.memo[key] = frozenset(
                name
                for plan in self.program.ranks[position].plans
                for slot in plan.slots
                if not slot.is_output and slot.effect.reads
                for name in slot.base_ptrs
            )
        read: frozenset[str] = self.program.memo[key]
        return read

    def _limits(
        self,
        position: int,
        name: str,
        plan: OperatorPlan,
        right: Any,
        pages: BoolArray | None = None,
    ) -> Limits:
        shape = self.program.ranks[position].shapes[name]
        reduction = max(
            (
                slot.slot.tensor_dims[-1]
                for slot in plan.slots
                if not slot.is_output and len(slot.slot.tensor_dims) > 1
            ),
            default=1,
        )
        default = default_limits(plan.function, short_type(shape), reduction, size_of(right, pages))
        return self.limits.apply(name, default)

    def _first_wrong(self, verdicts: Sequence[TensorVerdict]) -> TensorVerdict | None:
        """The wrong tensor whose writer is meant to come first."""
        places = {
            (rank.rank, name): place
            for position, rank in enumerate(self.program.ranks)
            for place, name in enumerate(self._written(position))
        }
        wrong = [x for x in verdicts if not x.passes]
        return min(wrong, key=lambda x: (places[x.rank, x.name], x.rank), default=None)

    def _blame(self, result: RunResult, wrong: Wrong) -> Blame:
        found = blame(self.program, result, wrong)
        operators = {found.operator, found.intended_operator} - {None}
        return replace(found, findings=self._related(found.rank, found.tensor, operators))

    def _wrong(
        self,
        verdict: TensorVerdict,
        memories: Sequence[RankMemory],
        expected: Expected,
    ) -> Wrong:
        position = next(i for i, x in enumerate(self.program.ranks) if x.rank == verdict.rank)
        rank = self.program.ranks[position]
        shape = rank.shapes[verdict.name]
        value = memories[position].whole(verdict.name)
        right = expected.right(position, verdict.name).to(value.dtype)
        holes = _holes(memories[position], shape, expected, position)
        error = (value.double() - right.double()).abs() if value.element_size() > 1 else None
        if error is None:
            error = (value.float() - right.float()).abs().double()
        error = torch.nan_to_num(error, nan=math.inf)
        both = torch.isnan(value.float()) & torch.isnan(right.float())
        error[both] = 0.0
        if holes is not None:
            error[holes] = math.inf
        return Wrong(
            position=position,
            shape=shape,
            mask=mismatches(value, right, verdict.limits, holes),
            error=error,
            num_unwritten=verdict.difference.num_unwritten,
            writers=[
                plan.operator.index
                for plan in reference_order(rank)
                for slot in plan.slots
                if (slot.is_output or slot.effect.writes) and verdict.name in slot.base_ptrs
            ],
        )

    def _related(
        self, rank: int, tensor: str, operators: AbstractSet[int | None]
    ) -> tuple[Finding, ...]:
        """Findings of operators or a tensor to blame, the closest and worst first."""

        def distance(finding: Finding) -> int | None:
            where = finding.location
            names = (where.tensor or "").split("+")
            witnesses = {x.operator for x in finding.witness}
            if where.rank != rank and where.operator not in operators:
                return None
            is_here, is_it = where.operator in operators, tensor in names
            if is_here and is_it:
                return 0
            if is_here or witnesses & operators:
                return 1
            return 2 if is_it else None

        close = [(distance(x), x) for x in self.findings()]
        kept = [(near, x) for near, x in close if near is not None and x.severity != "advice"]
        kept.sort(key=lambda x: (SEVERITIES.index(x[1].severity), x[0], x[1].rule.code))
        return tuple(x for _, x in kept[:MAX_FINDINGS])

    def _of_faults(self, result: RunResult) -> tuple[Finding, ...]:
        """Findings of operators with faults; of a hang those of structure."""
        operators = {(x.rank, x.operator) for x in result.faults}
        kept = [
            x
            for x in self.findings()
            if x.severity != "advice"
            and (
                (x.location.rank, x.location.operator) in operators
                or (result.hang is not None and x.rule.family == "structure")
            )
        ]
        kept.sort(key=lambda x: (SEVERITIES.index(x.severity), x.rule.code))
        return tuple(kept[:MAX_FINDINGS])


def short_type(shape: TensorShape) -> str:
    """`bf16` for a tensor's type.

    >>> short_type(TensorShape("x", (1,), (1,), "DT_BFLOAT16", "attach_input"))
    'bf16'
    """
    return _SHORT.get(shape.type_name, "fp8" if "float8" in shape.type_name else shape.type_name)


def _pages(
    memory: RankMemory, shape: TensorShape, expected: Expected, position: int, right: Any
) -> tuple[BoolArray, BoolArray] | None:
    """Pages of a dense tensor and of its right values that are touched; None: nobody knows."""
    buffer = memory.buffers[shape.name]
    if position >= len(expected.memories) or not buffer.is_zeros or not shape.is_dense:
        return None
    other = expected.memories[position].buffers[shape.name]
    if right.data_ptr() != other.data.data_ptr() or not other.is_zeros:
        return None
    mine, others = buffer.touched_pages, other.touched_pages
    return None if mine is None or others is None else (mine, others)


def _holes(memory: RankMemory, shape: TensorShape, expected: Expected, position: int) -> Any:
    """By element whether no task wrote it though it should have been; None for nowhere."""
    buffer = memory.buffers[shape.name]
    if buffer.is_shared or not buffer.is_poisoned:
        return None
    flat = buffer.unwritten()
    if not bool(flat.any()):
        return None
    holes = flat.as_strided(shape.dims, shape.strides, flat.storage_offset())
    reference = None
    if position < len(expected.memories):
        reference = expected.memories[position].buffers.get(shape.name)
    if reference is not None and not expected.only_given and shape.name not in expected.unknown:
        other = reference.unwritten()
        holes = holes & ~other.as_strided(shape.dims, shape.strides, other.storage_offset())
    return holes if bool(holes.any()) else None
