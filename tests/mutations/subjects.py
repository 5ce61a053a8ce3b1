"""The good pipelines that are spoilt: examples of this repository, and small ones of the tests."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.catalog.effects import SlotEffect
from mpkgraph.model.graph import TaskGraph
from mpkgraph.model.record import LayerSlot, PipelineRecord, RecordedLayer
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
from mpkgraph.planner.plan import plan
from tests.mutations.behaviour import Behaviour
from tests.pipelines import own
from tests.pipelines.kit import record_of

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, slots=True)
class LayerUse:
    """One slot of one layer: what it names and what its kernel does there."""

    layer: int
    position: int
    slot: LayerSlot
    effect: SlotEffect
    is_output: bool


@dataclass(frozen=True, eq=False)
class Subject:
    """A pipeline that is as its author meant it, with a record and a graph for each rank."""

    name: str
    records: tuple[PipelineRecord, ...]
    graphs: tuple[TaskGraph, ...] = field(repr=False)

    @property
    def record(self) -> PipelineRecord:
        return self.records[0]

    @property
    def graph(self) -> TaskGraph:
        return self.graphs[0]

    @cached_property
    def contexts(self) -> tuple[VerifyContext, ...]:
        """With the records."""
        return tuple(context_of(g, r) for g, r in zip(self.graphs, self.records, strict=True))

    @cached_property
    def behaviour(self) -> Behaviour:
        """Of rank 0, by brute force."""
        return Behaviour(self.graph)

    @cached_property
    def uses(self) -> tuple[LayerUse, ...]:
        """Slots of all layers of rank 0 in program order; those given as None are left out."""
        return uses_of(self.contexts[0])

    @property
    def layers(self) -> tuple[RecordedLayer, ...]:
        return self.record.layers


def uses_of(context: VerifyContext) -> tuple[LayerUse, ...]:
    """Every slot of a recorded graph by layer, in program order."""
    found = []
    for operator in context.operators:
        layer = context.layer(operator)
        effects = context.effects(operator).slots
        for slot, effect in zip(operator.slots, effects, strict=True):
            recorded = layer.slots[slot.position]
            if recorded.tensor is not None:
                found.append(LayerUse(layer.index, slot.position, recorded, effect, slot.is_output))
    return tuple(sorted(found, key=lambda use: (use.layer, use.position)))


def _small(build: Callable[[Any], None], cc: int) -> Subject:
    record = record_of(build, cc)
    return Subject(f"{build.__name__} cc{cc}", (record,), (plan(record).graph,))


def _example(name: str, cc: int, *, ranks: int = 1, multicast: bool = False, **settings) -> Subject:
    with tempfile.TemporaryDirectory() as folder:
        options = CompileOptions(
            output=Path(folder),
            cc=cc,
            settings={key: str(value) for key, value in settings.items()},
            world_size=ranks,
            all_ranks=ranks > 1,
            multicast=multicast,
        )
        made = compile_pipelines([f"{EXAMPLES / name}.py:build"], options).compiled
    given = "".join(f" {key}={value}" for key, value in settings.items())
    parallel = f" {ranks} ranks" if ranks > 1 else ""
    return Subject(
        f"{name}{given}{parallel} cc{cc}",
        tuple(x.record for x in made),
        tuple(x.graph for x in made),
    )


@cache
def small_subjects() -> tuple[Subject, ...]:
    """A few layers each."""
    return (
        _small(own.small_newtensor, 90),
        _small(own.small_linear_residual, 80),
        _small(own.small_embed, 100),
        _example("fork", 90),
        _example("residual", 100),
        _example("diamond", 90),
        _example("join", 80),
    )


@cache
def model_subjects() -> tuple[Subject, ...]:
    """One layer of a model each, with embedding and next token."""
    return (
        _example("qwen3", 90, layers=1),
        _example("qwen3", 80, layers=1, batch=8, split="small"),
        _example("qwen3", 100, layers=2, batch=4),
        _example("llama3", 90, layers=1, batch=2),
        _example("qwen3_moe", 90, layers=1),
        _example("qwen3_moe", 100, layers=1, batch=2),
        _example("deepseek_moe", 100),
    )


@cache
def parallel_subjects() -> tuple[Subject, ...]:
    """Two ranks that add up in each other's memory."""
    return (_example("tensor_parallel", 90, ranks=2, layers=1),)
