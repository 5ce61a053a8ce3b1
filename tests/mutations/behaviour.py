"""What a graph does when it runs, by brute force: an opinion that shares nothing with the rules.

Workers run their queues in order of ids; a task waits until its dependent event has had as many
triggers as it needs, and triggers its own. One worker that takes everything in order of ids is the
placement that hangs if any does. Order among tasks is what holds in every schedule.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np

from mpkgraph.catalog import DEFAULT, EVENT_END_OF_TASK_GRAPH
from mpkgraph.catalog.effects import effects_of
from mpkgraph.model import ids
from mpkgraph.model.graph import TaskGraph

READS, WRITES = 1, 2


@dataclass(frozen=True)
class Behaviour:
    """One rank's graph, run in the mind."""

    graph: TaskGraph

    @cached_property
    def triggers(self) -> Counter[int]:
        """By event how many tasks trigger it."""
        tasks = self.graph.tasks
        return Counter(tasks.trigger_indices[~tasks.is_null].tolist())

    @cached_property
    def hangs(self) -> bool:
        """Whether one worker, or any number, waits for ever, or the end never comes."""
        tasks, needed = self.graph.tasks, self.graph.events.num_triggers.tolist()
        seen: Counter[int] = Counter()
        links = zip(
            tasks.dependent_indices.tolist(),
            tasks.trigger_indices.tolist(),
            tasks.is_null.tolist(),
            strict=True,
        )
        for task, (waits, fires, is_null) in enumerate(links):
            if task == ids.TERMINATE_TASK_ID or is_null:
                continue
            if waits >= len(needed) or (waits >= 0 and seen[waits] < needed[waits]):
                return True
            seen[fires] += 1
        ends = np.flatnonzero(self.graph.events.event_types == EVENT_END_OF_TASK_GRAPH).tolist()
        return not ends or any(seen[x] < needed[x] for x in (1, *ends))

    @cached_property
    def after(self) -> dict[int, set[int]]:
        """By event the events that come later in every schedule, itself included.

        An event that completes before its last trigger says nothing of who has triggered it.
        """
        tasks, needed = self.graph.tasks, self.graph.events.num_triggers.tolist()
        order = nx.DiGraph()
        order.add_nodes_from(range(self.graph.num_events))
        present = np.flatnonzero(~tasks.is_null)
        links = zip(
            tasks.dependent_indices[present].tolist(),
            tasks.trigger_indices[present].tolist(),
            strict=True,
        )
        for waits, fires in set(links):
            if 0 <= waits < len(needed) and fires >= 0 and needed[waits] >= self.triggers[waits]:
                order.add_edge(waits, fires)
        return {
            event: {event, *nx.descendants(order, event)}
            if event < len(needed) and needed[event] >= self.triggers[event]
            else set()
            for event in order
        }

    @cached_property
    def ordered(self) -> np.ndarray:
        """[a, b]: task a is complete before b starts, whatever the schedule."""
        size = max(self.after, default=0) + 1
        reach = np.zeros((size + 1, size + 1), dtype=np.bool_)
        for event, later in self.after.items():
            reach[event, list(later)] = True
        fires, waits = self.graph.tasks.trigger_indices, self.graph.tasks.dependent_indices
        fires = np.where((fires >= 0) & (fires < size), fires, size)
        waits = np.where((waits >= 0) & (waits < size), waits, size)
        return reach[fires[:, None], waits[None, :]]

    @cached_property
    def ends_early(self) -> bool:
        """Whether the graph can end while a task still works."""
        ends = np.flatnonzero(self.graph.events.event_types == EVENT_END_OF_TASK_GRAPH).tolist()
        tasks = self.graph.tasks
        working = np.flatnonzero(~tasks.is_null)[ids.NUM_FIXED_TASKS :]
        return any(
            not any(end in self.after.get(fires, ()) for end in ends)
            for fires in set(tasks.trigger_indices[working].tolist())
        )

    @cached_property
    def conflicts(self) -> np.ndarray:
        """[a, b]: both touch a byte and one of them writes it."""
        graph = self.graph
        found = np.zeros((graph.num_tasks, graph.num_tasks), dtype=np.bool_)
        by_tensor: dict[str, list[tuple[int, int, np.ndarray]]] = {}
        for task in range(ids.NUM_FIXED_TASKS, graph.num_tasks):
            for tensor, kind, runs in self._touches(task):
                by_tensor.setdefault(tensor, []).append((task, kind, runs))
        for touches in by_tensor.values():
            if not any(kind & WRITES for _, kind, _ in touches):
                continue
            different: dict[bytes, int] = {}
            mine = np.array(
                [different.setdefault(x.tobytes(), len(different)) for *_, x in touches]
            )
            tiles = [np.frombuffer(key, dtype=np.int64).reshape(-1, 2) for key in different]
            # Between two neighbouring borders of runs all bytes are touched by the same tasks
            borders = np.unique(np.concatenate(tiles))
            steps = np.zeros((len(tiles), len(borders)), dtype=np.float32)
            for row, runs in zip(steps, tiles, strict=True):
                row[np.searchsorted(borders, runs[:, 0])] += 1
                row[np.searchsorted(borders, runs[:, 1])] -= 1
            stacked = np.cumsum(steps, axis=1)
            meets = (stacked @ stacked.T > 0)[mine[:, None], mine[None, :]]
            writes = np.array([bool(kind & WRITES) for _, kind, _ in touches])
            meets &= writes[:, None] | writes[None, :]
            tasks = np.array([task for task, *_ in touches])
            np.logical_or.at(found, (tasks[:, None], tasks[None, :]), meets)
        np.fill_diagonal(found, val=False)
        return found

    def _touches(self, task: int) -> list[tuple[str, int, np.ndarray]]:
        """(tensor, reads or writes, [start, stop) of runs of bytes) of a task's slots."""
        slots = self.graph.slots(task)
        if bool(self.graph.tasks.is_null[task]):
            return []
        name = DEFAULT.task_type_name(int(self.graph.tasks.task_types[task]))
        inputs = int(self.graph.tasks.num_inputs[task])
        effects = effects_of(name, inputs, len(slots) - inputs, None).slots
        found = []
        for slot, effect in zip(slots, effects, strict=True):
            size = None if slot.layout.is_null else DEFAULT.data_type_size(slot.layout.data_type)
            kind = (READS if effect.reads else 0) | (WRITES if effect.writes else 0)
            if size is None or not kind:
                continue
            firsts, run = np.zeros(1, dtype=np.int64), 1
            for extent, stride in sorted(
                zip(slot.dims, slot.strides, strict=True), key=lambda x: (x[1], x[0])
            ):
                if stride == run:
                    run *= extent
                else:
                    firsts = np.add.outer(np.arange(extent) * stride, firsts).ravel()
            starts = slot.offset + size * firsts
            found.append((slot.base_ptr, kind, np.stack([starts, starts + size * run], axis=1)))
        return found

    def spoilt_by(self, other: Behaviour) -> str | None:
        """What a graph of the same tasks lacks that this one has; None when it is as good."""
        if other.hangs:
            return "hangs"
        if other.ends_early:
            return "ends early"
        if (other.triggers - self._needed(other)).total():
            return "an event gets more triggers than it needs"
        if (self.conflicts & self.ordered & ~other.ordered).any():
            return "loses an order that data need"
        return None

    @staticmethod
    def _needed(other: Behaviour) -> Counter[int]:
        counts = Counter(dict(enumerate(other.graph.events.num_triggers.tolist())))
        counts[-1] = other.graph.num_tasks
        return counts
