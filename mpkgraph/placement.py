"""Where a graph runs: its likely GPU, workers and schedulers; and the schedule that follows."""

from __future__ import annotations

from collections.abc import Sequence

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import CostModel, cost_model
from mpkgraph.analysis.schedule.result import Schedule
from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
from mpkgraph.analysis.schedule.what_if import parse_what_if
from mpkgraph.errors import UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.target import SCHEDULERS_PER_FREE_SM, get_configurations

GPU_OF_CC = {80: "a100", 90: "h100", 100: "b200", 103: "b200"}
"""By compute capability the GPU of its tables; another one is costed as the nearest below."""


def likely_gpu(context: GraphContext, record: PipelineRecord | None) -> str:
    """The GPU that the record says, else the one whose linear kernels the graph has."""
    if record is not None:
        known = [cc for cc in GPU_OF_CC if cc <= record.target_cc]
        return GPU_OF_CC[max(known, default=80)]
    names = {
        context.catalog.task_type_name(x) for x in set(context.graph.tasks.task_types.tolist())
    }
    for mark, gpu in (("LINEAR_SM100", "b200"), ("LINEAR_FP8", "b200"), ("HOPPER", "h100")):
        if any(mark in name for name in names):
            return gpu
    return "b200" if any("SM100" in name for name in names) else "a100"


def likely_kv_length(model: CostModel, record: PipelineRecord | None) -> int:
    """The model's number of tokens in a cache, or as many as the pipeline's sequences have."""
    longest = None if record is None else record.init.get("max_seq_length")
    if isinstance(longest, int) and longest > 0:
        return min(model.workload.kv_length, longest)
    return model.workload.kv_length


def placement_of(
    model: CostModel,
    record: PipelineRecord | None,
    num_workers: int | None,
    num_schedulers: int | None,
) -> tuple[int, int]:
    """(workers, schedulers): as asked, else the record's, else Mirage's choice for the GPU.

    Raises UsageError when the workers asked for leave no SM for schedulers.
    """
    workers, schedulers = get_configurations(model.hardware.num_sms)
    recorded = None if record is None else record.init.get("num_workers")
    if num_workers is None and isinstance(recorded, int) and recorded > 0:
        workers = recorded
        of_record = record.init.get("num_local_schedulers") if record is not None else None
        if isinstance(of_record, int) and of_record > 0:
            schedulers = of_record
    elif num_workers is not None:
        workers = num_workers
        # As Mirage does; a question of more workers than fit is answered with one SM for the rest
        schedulers = SCHEDULERS_PER_FREE_SM * max(model.hardware.num_sms - workers, 1)
    schedulers = min(schedulers, workers)
    if num_schedulers is not None:
        schedulers = num_schedulers
    if schedulers < 1:
        raise UsageError(f"{schedulers} schedulers are not possible", remedy="Give at least 1")
    return workers, schedulers


@dataclass(frozen=True)
class ScheduleQuestion:
    """What a user says of a schedule; None leaves a choice to the record or to Mirage's rules."""

    cost: str | CostModel | None = None
    """A GPU's name, the path of a cost file, or a model."""
    num_workers: int | None = None
    num_schedulers: int | None = None
    kv_length: int | None = None
    profile: str | None = None
    """Path of what Mirage's profiler wrote."""
    what_if: tuple[str, ...] = ()


def simulate_schedule(
    contexts: Sequence[GraphContext], question: ScheduleQuestion, record: PipelineRecord | None
) -> Schedule:
    """The schedule of one rank, or of all ranks of a pipeline in order of rank.

    Raises UsageError for what can't be simulated as asked, GraphReadError for a cost file or a
    profile that can't be read.
    """
    first = contexts[0]
    model = (
        question.cost
        if isinstance(question.cost, CostModel)
        else cost_model(question.cost, likely_gpu(first, record), first.catalog)
    )
    kv_length = question.kv_length
    model = model.with_kv_length(
        likely_kv_length(model, record) if kv_length is None else kv_length
    )
    what_if = parse_what_if(question.what_if, first)
    workers, schedulers = question.num_workers, question.num_schedulers
    measured = None
    if question.profile is not None:
        from mpkgraph.analysis.cost.join import join_profile
        from mpkgraph.analysis.cost.profile import read_profile

        if len(contexts) > 1:
            raise UsageError("a profile is of one rank", remedy="Choose one with --rank")
        profile = read_profile(question.profile, first.catalog)
        likely = placement_of(model, record, profile.num_workers, None)[1]
        measured, ran_with = join_profile(profile, first, schedulers, likely=likely)
        if workers is None:
            workers, schedulers = profile.num_workers, ran_with
    return schedule(
        contexts,
        ScheduleOptions(
            *placement_of(model, record, workers, schedulers),
            model,
            what_if=what_if,
            measured=measured,
        ),
    )
