"""What rules about splits look at: one operator's grid, tiles, tensors and maps, without names.

Layers repeat from one model layer to the next, so facts are values that can be compared: what is
found of one operator holds for every other one with the same facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field
from functools import lru_cache

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import Rule, Severity
from mpkgraph.catalog.effects import SlotEffect
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid, InputMap, Operator

AXES = "xyz"
REMEMBERED = 4096
"""Operators whose problems are kept: models have a few dozen different ones."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot. Dims and strides are in elements."""

    label: str
    """`in0`, `out1`: as the kernels' documentation counts them."""
    tile: tuple[int, ...]
    dims: tuple[int | None, ...]
    """The whole tensor's; None where nothing tells."""
    strides: tuple[int, ...]
    input_map: InputMap
    effect: SlotEffect
    is_null: bool

    def axes(self, dim: int, grid: Grid) -> tuple[int, ...]:
        """The grid axes that split a dim."""
        return tuple(a for a in range(3) if grid[a] > 1 and self.input_map[a] == dim)


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """One operator."""

    task_type: str
    grid: Grid
    slots: tuple[SlotFacts, ...]
    params: tuple[int, ...] | None
    """The ints that the layer was registered with; None without a record."""
    is_recorded: bool
    """Whether dims are the record's. Else strides told them, and a padded tensor looks wider."""
    num_tasks: int

    def slot(self, label: str) -> SlotFacts | None:
        """A slot by its label; None when the operator has none."""
        return next((slot for slot in self.slots if slot.label == label), None)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with every operator of some facts.

    In `text` and `remedy`, `{in0}` stands for the name of a tensor.
    """

    rule: Rule
    slot: int
    text: str
    remedy: str
    count: int
    elements: tuple[tuple[int, int], ...] | None = None
    witness: int = 0
    """Position of a task among the operator's that shows it."""
    count_of: str = "tasks"
    severity_here: Severity | None = None


FactsCheck = Callable[[OperatorFacts], tuple[Problem, ...]]


@dataclass
class ProblemFinder:
    """A check over facts as a check over a context: problems become findings, operator by operator.

    Problems are remembered by facts.
    """

    check: FactsCheck
    _found: dict[OperatorFacts, tuple[Problem, ...]] = field(default_factory=dict, repr=False)

    def __call__(self, context: VerifyContext) -> Iterator[Finding]:
        for operator in context.operators:
            facts = facts_of(context, operator)
            problems = self._found.get(facts)
            if problems is None:
                if len(self._found) >= REMEMBERED:
                    self._found.clear()
                problems = self._found[facts] = self.check(facts)
            for problem in problems:
                yield finding_of(context, operator, problem)


def finding_of(context: VerifyContext, operator: Operator, problem: Problem) -> Finding:
    """The finding of a problem at one operator."""
    names = {
        label: repr(slot.name)
        for label, slot in zip(labels_of(operator), operator.slots, strict=True)
    }
    witness = int(operator.task_ids[problem.witness])
    return Finding(
        rule=problem.rule,
        message=f"{context.name(operator)} {problem.text.format_map(names)}",
        location=context.location(
            operator, operator.slots[problem.slot], elements=problem.elements
        ),
        remedy=problem.remedy.format_map(names),
        witness=(context.task_ref(witness),),
        count=problem.count,
        count_of=problem.count_of,
        severity_here=problem.severity_here,
        key=(operator.task_type, operator.grid_dim, problem),
    )


def facts_of(context: VerifyContext, operator: Operator) -> OperatorFacts:
    """The facts of an operator; found once for each."""
    key = (__name__, operator.index)
    found: OperatorFacts | None = context.memo.get(key)
    if found is None:
        found = context.memo[key] = _facts(context, operator)
    return found


def _facts(context: VerifyContext, operator: Operator) -> OperatorFacts:
    layer = context.layer(operator)
    params = None if layer is None else tuple(int(x) for x in layer.params or ())
    return OperatorFacts(
        task_type=context.catalog.task_type_name(operator.task_type),
        grid=operator.grid_dim,
        slots=tuple(
            _slot_facts(
                label,
                slot.tile_dims,
                slot.tensor_dims,
                slot.known_dims,
                slot.strides,
                slot.input_map,
                effect,
                not slot.base_ptrs,
            )
            for label, slot, effect in zip(
                labels_of(operator), operator.slots, context.effects(operator).slots, strict=True
            )
        ),
        params=params,
        is_recorded=operator.origin == "recorded",
        num_tasks=operator.num_tasks,
    )


@lru_cache(maxsize=REMEMBERED)
def _slot_facts(
    label: str,
    tile: tuple[int, ...],
    dims: tuple[int, ...],
    known: tuple[bool, ...],
    strides: tuple[int, ...],
    input_map: InputMap,
    effect: SlotEffect,
    is_null: bool,
) -> SlotFacts:
    whole = tuple(dim if is_known else None for dim, is_known in zip(dims, known, strict=True))
    return SlotFacts(label, tile, whole, strides, input_map, effect, is_null)


def labels_of(operator: Operator) -> list[str]:
    """`in0`, `in1`, `out0` ...: what slots are called."""
    num_inputs = sum(not slot.is_output for slot in operator.slots)
    return [
        f"in{place}" if place < num_inputs else f"out{place - num_inputs}"
        for place in range(len(operator.slots))
    ]


def shown(grid: Grid) -> str:
    """`64x8x1`."""
    return "x".join(map(str, grid))
