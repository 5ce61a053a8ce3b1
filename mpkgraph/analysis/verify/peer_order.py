"""Order between this rank's tasks and a peer's: events of two ranks of one pipeline, side by side.

Ranks of one pipeline have the same graph index for index. A task that puts data into a peer's
memory triggers an event there, so what this rank's tasks wait for may be a peer's task, and what a
peer writes into this rank's memory is ordered with this rank's reads through both graphs. Exact for
two ranks; of more, any two are alike.
"""

from __future__ import annotations

from dataclasses import field

import numpy as np

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.csr import unique_pairs
from mpkgraph.analysis.event_graph import EventGraph
from mpkgraph.analysis.verify.happens_before import BoolArray
from mpkgraph.frozen import dataclass


@dataclass(frozen=True)
class PeerOrder:
    """Events of this rank and, when any task triggers events elsewhere, of a peer."""

    events: EventGraph
    """Nodes and tasks of this rank first, then as many of the peer."""
    is_remote: BoolArray = field(repr=False)
    """For each task of this rank whether it triggers an event of another rank."""

    @property
    def num_tasks(self) -> int:
        """Tasks of this rank: task t of the peer is `num_tasks + t`."""
        return len(self.is_remote)

    @classmethod
    def of(cls, view: GraphContext) -> PeerOrder:
        """Of a graph of one rank."""
        local, mirror = view.events, view.all_ranks
        is_remote = local.trigger_nodes != mirror.trigger_nodes
        if not is_remote.any():
            return cls(mirror, is_remote)
        size = mirror.num_nodes
        dependent, trigger = mirror.dependent_nodes, mirror.trigger_nodes
        away = np.where(trigger < 0, -1, trigger + size)
        dependents = np.concatenate([dependent, np.where(dependent < 0, -1, dependent + size)])
        triggers = np.concatenate(
            [np.where(is_remote, away, trigger), np.where(is_remote, trigger, away)]
        )
        both = (dependents >= 0) & (triggers >= 0)
        sources, targets, counts = unique_pairs(dependents[both], triggers[both])
        events = EventGraph(
            num_local=2 * size,
            outside_keys=np.empty(0, dtype=np.uint64),
            mirror=False,
            dependent_nodes=dependents,
            trigger_nodes=triggers,
            null_tasks=np.tile(mirror.null_tasks, 2),
            edge_sources=sources,
            edge_targets=targets,
            edge_num_tasks=counts,
        )
        return cls(events, is_remote)
