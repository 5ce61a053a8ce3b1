"""Which tasks may run next: the counters of events while a graph runs once."""

from __future__ import annotations

from collections.abc import Iterable

from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks


class Counters:
    """Counts triggers; a task may run once its dependent event has been triggered often enough."""

    def __init__(self, tasks: RankedTasks) -> None:
        self.tasks = tasks
        self.dependents: list[int] = tasks.dependents.tolist()
        self.triggers: list[int] = tasks.triggers.tolist()
        self.left: list[int] = tasks.needed.tolist()
        """By event how many triggers are still missing; 0 or less: complete."""
        waiting = tasks.waiting()
        self._starts: list[int] = waiting.starts.tolist()
        self._targets: list[int] = waiting.targets.tolist()
        self.is_done = bytearray(len(tasks))
        self.num_left = int(tasks.is_run.sum())
        self._partners: dict[int, list[int]] = {
            task: row for row in tasks.partners.tolist() for task in row
        }

    def may_run(self, task: int) -> bool:
        """Whether what a task waits for is complete, and what its partners wait for."""
        partners = self._partners.get(task)
        if partners is not None:
            return all(map(self._is_complete, partners))
        return self._is_complete(task)

    def _is_complete(self, task: int) -> bool:
        event = self.dependents[task]
        return event == NOTHING or self.left[event] <= 0

    def waiting_for(self, event: int) -> list[int]:
        """Tasks that wait for an event."""
        return self._targets[self._starts[event] : self._starts[event + 1]]

    def first(self) -> list[int]:
        """Tasks that may run before any has."""
        return [task for task in self.tasks.is_run.nonzero()[0].tolist() if self.may_run(task)]

    def finish(self, task: int) -> Iterable[int]:
        """Note that a task has run; the tasks that may run from now on."""
        self.is_done[task] = 1
        self.num_left -= 1
        event = self.triggers[task]
        if event == NOTHING:
            return ()
        self.left[event] -= 1
        if self.left[event]:
            return ()
        waiting = self.waiting_for(event)
        if self._partners:
            return self._with_partners(waiting)
        return waiting

    def _with_partners(self, waiting: list[int]) -> list[int]:
        """Of tasks whose event is complete those that may run, each with all its partners."""
        ready: dict[int, None] = {}
        for task in waiting:
            if task not in self._partners:
                ready[task] = None
            elif self.may_run(task):
                ready.update(dict.fromkeys(self._partners[task]))
        return list(ready)
