"""The simulated makespan of both sides, as a cost of a diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mpkgraph.analysis.diff.compare import Comparison
from mpkgraph.analysis.diff.result import Cost
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.cli.diff_request import DiffRequest
from mpkgraph.errors import UsageError

NS_PER_US = 1000.0


def with_makespan(
    comparisons: list[Comparison],
    request: DiffRequest,
    left: Sequence[VerifyContext],
    right: Sequence[VerifyContext],
) -> list[Comparison]:
    """The comparisons with one cost more; the ranks of a side run together.

    A side that can't be simulated, or hangs, has none, and a note says why.
    """
    found = [_makespan(request, side) for side in (left, right)]
    values = [x if isinstance(x, float) else None for x in found]
    notes = tuple(
        f"no makespan of the {name}: {x}"
        for name, x in zip(("left", "right"), found, strict=True)
        if isinstance(x, str)
    )
    cost = Cost("makespan", values[0], values[1], "us")
    return [
        replace(
            x,
            result=replace(
                x.result, costs=(*x.result.costs, cost), notes=(*x.result.notes, *notes)
            ),
        )
        for x in comparisons
    ]


def _makespan(request: DiffRequest, ranks: Sequence[VerifyContext]) -> float | str:
    """In microseconds, with the cost model of the GPU that the graphs are for; else why not."""
    from mpkgraph.analysis.cost.model import cost_model
    from mpkgraph.analysis.schedule.run import ScheduleOptions, schedule
    from mpkgraph.placement import likely_gpu, likely_kv_length, placement_of

    contexts = [x.view for x in ranks]
    record = ranks[0].record
    try:
        model = cost_model(None, likely_gpu(contexts[0], record), ranks[0].catalog)
        model = model.with_kv_length(likely_kv_length(model, record))
        workers, schedulers = placement_of(model, record, request.workers, request.schedulers)
        options = ScheduleOptions(workers, schedulers, model, vary=False)
        result = schedule(contexts, options)
    except UsageError as error:
        return error.what
    if result.hang is not None:
        return "it hangs"
    return result.makespan_ns / NS_PER_US
