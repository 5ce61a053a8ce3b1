"""What is to be run: the graphs of all ranks with their operators, functions and whole tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.execution.tasks import RankedTasks
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.errors import UsageError
from mpkgraph.model.operator import Operator
from mpkgraph.model.record import PipelineRecord, TensorCall
from mpkgraph.reference.call import Settings
from mpkgraph.reference.interpreter.element_types import type_name
from mpkgraph.reference.interpreter.memory import TensorShape
from mpkgraph.reference.interpreter.operators import OperatorPlan

UNKNOWN = "unknown"
"""`kind` of a tensor that only tiles tell of."""


@dataclass(frozen=True)
class RankProgram:
    """One rank's graph, ready to be run."""

    context: VerifyContext

    @property
    def rank(self) -> int:
        return self.context.graph.rank

    @property
    def record(self) -> PipelineRecord | None:
        return self.context.record

    @cached_property
    def shapes(self) -> Mapping[str, TensorShape]:
        """Whole tensors by `base_ptr`, fused ones (which have no memory) left out.

        Without a record, as large as tiles tell. Raises UsageError for a type torch lacks.
        """
        if self.record is None:
            return self._shapes_of_tiles()
        found: dict[str, TensorShape] = {}
        for tensor in self.record.tensors:
            if tensor.kind == "fuse_tensors":
                continue
            shape = TensorShape.of(tensor)
            before = found.get(shape.name)
            # Two tensors of one name are one symbol in the generated code
            if before is None or before.num_elements < shape.num_elements:
                found[shape.name] = shape
        return found

    def _shapes_of_tiles(self) -> Mapping[str, TensorShape]:
        found: dict[str, TensorShape] = {}
        for key, extent in self.context.view.tensor_extents.items():
            shape = TensorShape(
                key.base_ptr, extent.dims, key.strides, type_name(key.data_type), UNKNOWN
            )
            before = found.get(key.base_ptr)
            if before is None or before.num_elements < shape.num_elements:
                found[key.base_ptr] = shape
        return found

    @cached_property
    def fused(self) -> Mapping[str, TensorCall]:
        """By name the calls of fuse_tensors."""
        return self._calls("fuse_tensors")

    @cached_property
    def shuffled(self) -> Mapping[str, TensorCall]:
        """By name the calls of shuffle_tensors, in the order in which the buffers are made."""
        return self._calls("shuffle_tensors")

    def _calls(self, op: str) -> Mapping[str, TensorCall]:
        if self.record is None:
            return {}
        return {x.name: x for x in self.record.calls.values() if x.op == op}

    @cached_property
    def settings(self) -> Settings:
        """What kernels know of the run; without a record what is usual."""
        options = self.context.options
        if self.record is None:
            return Settings(target_cc=options.target_cc or 90, rank=self.rank)
        init = self.record.init

        def number(name: str, default: int) -> int:
            value = init.get(name)
            return value if isinstance(value, int) else default

        return Settings(
            target_cc=self.record.target_cc,
            world_size=self.record.num_gpus,
            rank=self.rank,
            max_seq_length=number("max_seq_length", 0),
            max_num_batched_requests=number("max_num_batched_requests", 1),
            max_num_batched_tokens=number("max_num_batched_tokens", 1),
            max_num_pages=number("max_num_pages", 0),
            page_size=number("page_size", 0),
            eos_token_id=number("eos_token_id", -1),
            mode=str(init.get("mode", "offline")),
        )

    @cached_property
    def plans(self) -> tuple[OperatorPlan, ...]:
        """By index of the operator."""
        return tuple(OperatorPlan(self.context, x) for x in self.context.operators)

    @cached_property
    def order(self) -> tuple[OperatorPlan, ...]:
        """Operators in program order; without a record in their order of emission."""
        return tuple(
            sorted(
                self.plans,
                key=lambda x: (
                    x.operator.index if x.operator.layer_index is None else x.operator.layer_index
                ),
            )
        )

    @cached_property
    def positions(self) -> IntArray:
        """By task its place among the tasks of its operator; -1 for none."""
        places = np.full(self.context.graph.num_tasks, -1, dtype=np.int64)
        for operator in self.context.operators:
            places[operator.task_ids] = np.arange(operator.num_tasks)
        return places

    @cached_property
    def written(self) -> frozenset[str]:
        """Tensors that some task writes, by `base_ptr`."""
        return frozenset(
            name
            for plan in self.plans
            for slot in plan.slots
            if slot.effect.writes or slot.effect.writes_remotely or slot.is_output
            for name in slot.base_ptrs
        )

    def name(self, operator: Operator) -> str:
        return self.context.name(operator)


@dataclass(frozen=True)
class Program:
    """All ranks that run together."""

    ranks: tuple[RankProgram, ...]
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, contexts: Sequence[VerifyContext]) -> Program:
        """Of the ranks of one pipeline. Raises UsageError when there is none."""
        if not contexts:
            raise UsageError("there is nothing to run")
        return cls(tuple(RankProgram(x) for x in contexts))

    @cached_property
    def tasks(self) -> RankedTasks:
        return RankedTasks.of([x.context.graph for x in self.ranks])

    @cached_property
    def groups(self) -> list[int]:
        """By task number its operator: operators of ranks take turns; -1 for begin tasks."""
        parts = [
            np.where(
                x.context.operators.task_operators < 0,
                -1,
                x.context.operators.task_operators.astype(np.int64) * len(self.ranks) + position,
            )
            for position, x in enumerate(self.ranks)
        ]
        numbers: list[int] = np.concatenate(parts).tolist()
        return numbers
