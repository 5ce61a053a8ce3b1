"""What the GPU left in its tensors, held against whole layers and the interpreter.

The same comparison, limits and blame as of a run without a GPU; only the values are others.
torch is imported when this module is.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mpkgraph.analysis.execution.hang import Hang as PlannedHang
from mpkgraph.analysis.execution.schedulers import make_scheduler
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.run import verify
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.errors import UsageError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.io.graph_hash import graph_sha256
from mpkgraph.mirage.gpu_run import Difference, GpuRun, GraphRun, HungGraph
from mpkgraph.pipeline.compiled import make_folder
from mpkgraph.reference.interpreter.buffer import Buffer, OutsideError
from mpkgraph.reference.interpreter.initial import Given
from mpkgraph.reference.interpreter.memory import RankMemory
from mpkgraph.reference.interpreter.operators import OperatorPlan
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.roles import reference_order
from mpkgraph.reference.interpreter.run import CAUGHT, run_program
from mpkgraph.reference.interpreter.whole import whole_call
from mpkgraph.reference.validation.limits import GivenLimits, Limits
from mpkgraph.reference.validation.result import RunOutcome, RunReport
from mpkgraph.reference.validation.stored import MANIFEST, SCHEMA, load_tensors, rank_file
from mpkgraph.reference.validation.validate import RunOptions, Validation

MAX_OUTCOMES = 2
"""Later runs that came out otherwise are told one by one up to so many."""
MAX_FINDINGS = 4
META = "meta:"
AGAINST = "whole layers, those of the GPU on its own inputs where these are still there"
NAN_SHARED_NOTE = (
    "NaN came out: shared memory was full of NaN before the launch. If there is none without "
    "--poison-shared, a kernel reads what it has not written there"
)
NAN_NOTE = (
    "NaN came out: the GPU's memory was full of NaN where nobody had written. With --no-poison you "
    "see whether a kernel reads that"
)
WIDER = 4
"""A GPU sums in another order, and the inputs of a layer are rounded otherwise already: values are
off by an ulp or two where a single layer's may be off by one."""
HAZARDS = "hazards"
STRUCTURE = "structure"


@dataclass(frozen=True)
class GpuLimits(GivenLimits):
    """The user's word, else `WIDER` times what the interpreter is held to."""

    @classmethod
    def of(cls, given: GivenLimits) -> GpuLimits:
        return cls(given.rtol, given.atol, given.rtol_of, given.atol_of)

    def apply(self, name: str, limits: Limits) -> Limits:
        wider = dataclasses.replace(limits, rtol=limits.rtol * WIDER, atol=limits.atol * WIDER)
        return super().apply(name, wider)


def check_gpu_run(
    run: GpuRun, name: str, limits: GivenLimits | None = None
) -> tuple[RunReport, ...]:
    """A report for each graph: the interpreter's run, then the GPU's, and what differs."""
    chosen = limits or GivenLimits()
    several = len(run.graphs) > 1
    reports = []
    for graph in run.graphs:
        title = f"{name}, graph {graph.index + 1}" if several else name
        reports.append(_Check(graph, title, chosen).report())
    if run.hung is not None:
        reports.append(_hung(run.hung, name))
    if reports:
        notes = (*reports[0].notes, *run.notes, *_sanitizer_notes(run))
        reports[0] = dataclasses.replace(reports[0], notes=notes)
    return tuple(reports)


def save_gpu_run(folder: Path, run: GpuRun, reports: Sequence[RunReport]) -> None:
    """Save what the GPU left after its first run, as the tensors of other runs are saved.

    Raises UsageError for a run of several graphs, GraphWriteError when it can't be done.
    """
    if len(run.graphs) != 1:
        raise UsageError("--save is for one graph that ran", remedy="Name that one alone")
    graph, report = run.graphs[0], reports[0]
    tensors = load_tensors(str(graph.outputs))
    sha256 = report.graph_hashes[graph.rank]
    entry = {
        "rank": graph.rank,
        "file": rank_file(graph.rank),
        "graph_sha256": sha256,
        "tensors": {
            name: {"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")}
            for name, x in sorted(tensors.items())
        },
    }
    manifest = {
        "schema": SCHEMA,
        "pipeline": report.name,
        "schedule": f"GPU, run 1 on {graph.device}",
        "seed": 0,
        "inputs": report.source,
        "unexecuted": [],
        "ranks": [entry],
    }
    make_folder(folder)
    with atomic_file(folder / rank_file(graph.rank)) as stream:
        stream.write(graph.outputs.read_bytes())
    with atomic_file(folder / MANIFEST) as stream:
        stream.write(json.dumps(manifest, indent=2).encode() + b"\n")


class _Check:
    def __init__(self, run: GraphRun, name: str, limits: GivenLimits) -> None:
        self.run = run
        self.inputs = load_tensors(str(run.inputs))
        self.outputs = load_tensors(str(run.outputs))
        context = context_of(run.graph, run.record)
        given = Given(
            tensors={self._base(x): v for x, v in self.inputs.items() if not x.startswith(META)},
            meta={x.removeprefix(META): v for x, v in self.inputs.items() if x.startswith(META)},
        )
        self.validation = Validation(
            name,
            [context],
            RunOptions(given=[given], source="the GPU's, before the first run", limits=limits),
        )
        self.context = context
        self.limits = GpuLimits.of(limits)

    def report(self) -> RunReport:
        start = time.perf_counter()
        checker = self.validation.checker
        program = checker.program
        scheduler = make_scheduler("batched", program.tasks, groups=program.groups)
        memories = checker.initial.memories()
        result = run_program(program, memories, scheduler, skipped=checker.skipped)
        seconds = time.perf_counter() - start
        expected = checker.expect_whole()
        interpreter = checker.verdict(result, memories, expected, "interpreter", seconds)
        on_gpu = dataclasses.replace(result, faults=(), hang=None)
        outcomes = [interpreter]
        values = dict(self.outputs)
        held = [("GPU, run 1", values)]
        for number in sorted({x.run for x in self.run.differences})[:MAX_OUTCOMES]:
            later = load_tensors(str(self.run.folder / f"outputs_run{number}.safetensors"))
            held.append((f"GPU, run {number + 1}", {**values, **later}))
        for title, tensors in held:
            memory = self._memory(tensors)
            wider = dataclasses.replace(checker, limits=self.limits)
            own = own_results(program, memory)
            right = dataclasses.replace(expected, given=[own])
            outcomes.append(wider.verdict(on_gpu, [memory], right, title, 0.0))
        return RunReport(
            name=self.validation.name,
            graph_hashes={self.run.rank: graph_sha256(self.run.graph)},
            seed=0,
            source="those of the GPU before its first run",
            against=AGAINST,
            outcomes=tuple(outcomes),
            skipped=checker.skipped.operators,
            notes=(
                *self._equal_bits(memories[0]),
                *self._differences(),
                *self._nan(outcomes[1:]),
                *self._times(),
                *checker.initial.notes,
            ),
            num_layers=sum(len(x.plans) for x in program.ranks),
            seconds={"all": time.perf_counter() - start},
        )

    def _base(self, name: str) -> str:
        """The `base_ptr` of a tensor by its name in the script."""
        tensors = () if self.run.record is None else self.run.record.tensors
        return next((x.base_ptr for x in tensors if x.name == name), name)

    def _memory(self, tensors: Mapping[str, Any]) -> RankMemory:
        """A memory as the GPU left it; what still holds the filling is not written."""
        memory = self.validation.checker.initial.memories()[0]
        filled = set(self.run.poisoned)
        written = self.validation.program.ranks[0].written
        for name, value in tensors.items():
            base = self._base(name)
            buffer = memory.buffers.get(base)
            if buffer is None or base not in written:
                continue
            try:
                view = memory.whole(base)
            except OutsideError:
                continue
            if view.shape == value.shape and view.dtype == value.dtype:
                _put(buffer, view, value, was_filled=name in filled)
        return memory

    def _equal_bits(self, memory: RankMemory) -> list[str]:
        """How many tensors the interpreter has to the bit."""
        equal, others = 0, []
        for name, value in self.outputs.items():
            base = self._base(name)
            if base not in self.validation.program.ranks[0].written or base not in memory.buffers:
                continue
            try:
                ours = memory.whole(base)
            except OutsideError:
                continue
            if ours.shape == value.shape and _same(ours, value):
                equal += 1
            else:
                others.append(name)
        total = equal + len(others)
        return [f"{equal} of {total} tensors are the interpreter's to the bit"] if total else []

    def _differences(self) -> list[str]:
        """One line: the tensor that is meant to be written first, and how many others."""
        found: dict[str, list[Difference]] = {}
        for difference in self.run.differences:
            found.setdefault(difference.tensor, []).append(difference)
        if not found:
            return []
        places = {x: i for i, x in enumerate(self._in_order())}
        first = min(found, key=lambda x: (places.get(self._base(x), len(places)), x))
        those = found[first]
        most = max(x.num_elements for x in those)
        reasons = ", ".join(dict.fromkeys(x.rule.code for x in self._hazards(self._base(first))))
        why = f"{reasons} may be why" if reasons else "static verify knows no reason"
        rest = f" (and {_count(len(found) - 1, 'tensor')} after it)" if len(found) > 1 else ""
        further = len(self.run.milliseconds) - 1
        how_often = f"in {len(those)} of {_count(further, 'further run')}"
        return [
            f"{first!r}{rest} is another {how_often}, in up to {_count(most, 'element')}: {why}"
        ]

    def _in_order(self) -> list[str]:
        rank = self.validation.program.ranks[0]
        return [
            name
            for plan in reference_order(rank)
            for slot in plan.slots
            if slot.is_output or slot.effect.writes
            for name in slot.base_ptrs
        ]

    def _nan(self, outcomes: Sequence[RunOutcome]) -> list[str]:
        """A hint where the filling may be what is wrong."""
        nan = any(
            x.difference.num_nan > x.difference.num_unwritten for y in outcomes for x in y.wrong
        )
        if not (nan and self.run.poisoned):
            return []
        return [NAN_SHARED_NOTE if self.run.is_shared_poisoned else NAN_NOTE]

    def _hazards(self, base: str) -> list[Finding]:
        return [
            x
            for x in self.validation.findings
            if x.rule.family == HAZARDS and base in (x.location.tensor or "").split("+")
        ]

    def _times(self) -> list[str]:
        times = sorted(self.run.milliseconds)
        if not times:
            return []
        launches = "launch" if len(times) == 1 else "launches"
        middle = times[len(times) // 2]
        best = f"{times[0]:.3f} ms at best, {middle:.3f} ms in the middle"
        return [f"{best} of {len(times)} {launches} on {self.run.device}"]


def own_results(program: Program, memory: RankMemory) -> dict[str, Any]:
    """By tensor what its layer makes of the inputs that the memory holds.

    Only where these are what the layer read: no later layer has overwritten them, and none works
    in place. An error is then of that layer, and not of those before it.
    """
    order = reference_order(program.ranks[0])
    writers: dict[str, list[int]] = {}
    for place, plan in enumerate(order):
        for name in _names(plan, writes=True):
            writers.setdefault(name, []).append(place)
    found: dict[str, Any] = {}
    for place, plan in enumerate(order):
        reads, writes = _names(plan, writes=False), _names(plan, writes=True)
        is_late = any(max(writers.get(name, [-1])) > place for name in reads)
        is_alone = all(writers[name] == [place] for name in writes)
        shared = any(memory.buffers[x].is_shared for x in writes if x in memory.buffers)
        if plan.function is None or is_late or not is_alone or reads & writes or shared:
            continue
        buffers = dict(memory.buffers)
        for name in writes & set(buffers):
            old = buffers[name]
            buffers[name] = Buffer.new(name, old.type_name, old.num_bytes)
        scratch = RankMemory(memory.shapes, buffers, memory.meta)
        try:
            for subtask in range(plan.operator.num_subtasks):
                plan.function.run(whole_call(program, [scratch], 0, plan, subtask))
            found.update({name: scratch.whole(name) for name in writes & set(buffers)})
        except (*CAUGHT, OutsideError):
            continue
    return found


def _names(plan: OperatorPlan, *, writes: bool) -> set[str]:
    return {
        name
        for slot in plan.slots
        for name in slot.base_ptrs
        if ((slot.is_output or slot.effect.writes) if writes else slot.effect.reads)
    }


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _put(buffer: Buffer, view: Any, value: Any, *, was_filled: bool) -> None:
    if not (was_filled and value.is_floating_point()):
        view.copy_(value)
        return
    buffer.poison_all()
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[value.element_size()]
    written = value.contiguous().view(integer) != -1
    view[written] = value[written]


def _same(left: Any, right: Any) -> bool:
    size = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[left.element_size()]
    return bool(torch.equal(left.contiguous().view(size), right.contiguous().view(size)))


def _hung(hung: HungGraph, name: str) -> RunReport:
    """A launch that did not end, with what static verify says of it."""
    context = context_of(hung.graph, hung.record)
    hang = hung.hang
    left = sum(x.num_unfinished for x in hang.unfinished)
    outcome = RunOutcome(
        schedule="GPU",
        num_tasks=hung.graph.num_tasks,
        num_calls=hung.graph.num_tasks,
        seconds=0.0,
        verdicts=(),
        hang=hang.planned or PlannedHang(max(left, 1), ()),
        findings=tuple(explaining(context, {x.operator for x in hang.unfinished})),
    )
    return RunReport(
        name=name,
        graph_hashes={hung.graph.rank: graph_sha256(hung.graph)},
        seed=0,
        source="the script's",
        against="nothing: it did not end",
        outcomes=(outcome,),
        notes=hang.lines,
        num_layers=len(context.operators),
    )


def explaining(context: VerifyContext, operators: set[int]) -> Sequence[Finding]:
    """Findings that may be why a launch hangs or dies: of these operators, then of structure."""
    found = [x for x in verify([context]).findings if x.severity != "advice"]
    close = [x for x in found if x.location.operator in operators]
    rest = [x for x in found if x not in close and (not operators or x.rule.family == STRUCTURE)]
    return [*close, *rest][:MAX_FINDINGS]


def _sanitizer_notes(run: GpuRun) -> list[str]:
    if run.num_sanitizer_errors is None:
        return []
    if not run.num_sanitizer_errors:
        return ["compute-sanitizer found no error"]
    first = "; ".join(run.sanitizer_lines[:4])
    return [f"compute-sanitizer found {_count(run.num_sanitizer_errors, 'error')}: {first}"]
