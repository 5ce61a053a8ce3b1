"""Which GPU a graph is for, and how many workers and schedulers it would have there."""

from __future__ import annotations

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import CostModel
from mpkgraph.errors import UsageError
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
