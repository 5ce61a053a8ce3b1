"""How often each event is triggered, which tasks wait for it, and who these tasks are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.catalog import EVENT_END_OF_TASK_GRAPH
from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.operator import Operator
from mpkgraph.planner.registered import ALLGATHER_PUT

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Triggers:
    """Columns over the events of one graph."""

    fired: IntArray
    """Triggers that tasks of this rank give, once each."""
    from_peers: IntArray
    """Triggers that this rank gives to events of this index on other ranks: as ranks have the same
    graph, so many come back."""
    waiting: IntArray
    """Tasks that wait for it."""

    @classmethod
    def of(cls, context: VerifyContext) -> Triggers:
        tasks, num_events = context.graph.tasks, context.graph.num_events
        present = ~tasks.is_null
        trigger, dependent = tasks.trigger_indices, tasks.dependent_indices
        own = ids.event_ranks(tasks.trigger_events) == context.graph.rank
        inside = present & (trigger >= 0) & (trigger < num_events)
        # The runtime leaves events with the NVSHMEM tag to the put itself
        put = context.catalog.task_type_numbers.get(ALLGATHER_PUT, -1)
        inside &= ~ids.event_is_nvshmem(tasks.trigger_events) | (tasks.task_types == put)
        waits = present & (dependent >= 0) & (dependent < num_events)
        waits &= ids.event_ranks(tasks.dependent_events) == context.graph.rank
        return cls(
            fired=np.bincount(trigger[inside & own], minlength=num_events),
            from_peers=np.bincount(trigger[inside & ~own], minlength=num_events),
            waiting=np.bincount(dependent[waits], minlength=num_events),
        )


def end_events(context: VerifyContext) -> IntArray:
    """Indices of the events that end the graph; a sound graph has one."""
    return np.flatnonzero(context.graph.events.event_types == EVENT_END_OF_TASK_GRAPH)


def by_operator(
    context: VerifyContext, task_ids: IntArray
) -> Iterator[tuple[Operator | None, IntArray]]:
    """Tasks by the operator that they are of, ascending; None for those of no operator."""
    owners = context.operators.task_operators[task_ids]
    order = np.argsort(owners, kind="stable")
    ordered = task_ids[order]
    values, starts = np.unique(owners[order], return_index=True)
    bounds = [*starts.tolist(), len(ordered)]
    for place, owner in enumerate(values.tolist()):
        operator = None if owner < 0 else context.operators[owner]
        yield operator, ordered[bounds[place] : bounds[place + 1]]


def subject(context: VerifyContext, operator: Operator | None, task_ids: IntArray) -> str:
    """What to call tasks at the start of a message."""
    if operator is None:
        return f"task {int(task_ids[0])}" + (f" (of {len(task_ids)})" if len(task_ids) > 1 else "")
    return context.name(operator)
