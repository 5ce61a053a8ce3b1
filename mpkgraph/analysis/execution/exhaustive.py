"""Every order of a small graph that could make a difference: one of each class.

Two orders are of one class when they differ only in tasks that do not touch what the other one
writes. Tasks that conflict with no other run as soon as they may; of the rest every order is tried
that is not the same as one before (sleep sets, after Godefroid).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.execution.counters import Counters
from mpkgraph.analysis.execution.tasks import NOTHING, RankedTasks

MAX_ORDERS = 1024
"""Orders tried when nobody says how many."""


@dataclass(frozen=True)
class Conflicts:
    """Pairs of tasks (by number) whose order could matter, both ways."""

    neighbours: Mapping[int, frozenset[int]]

    @classmethod
    def of(cls, earlier: IntArray, later: IntArray) -> Conflicts:
        """From columns of pairs."""
        found: dict[int, set[int]] = {}
        for a, b in zip(earlier.tolist(), later.tolist(), strict=True):
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
        return cls({task: frozenset(others) for task, others in found.items()})

    def meet(self, a: int, b: int) -> bool:
        return b in self.neighbours.get(a, ())


def all_orders(
    tasks: RankedTasks, conflicts: Conflicts, limit: int = MAX_ORDERS
) -> Iterator[list[int]]:
    """One order of each class, up to `limit` of them; an order that hangs ends early.

    There are more when one more than `limit` would come: ask with `limit + 1` to know.
    """
    search = _Search(Counters(tasks), conflicts)
    for number, order in enumerate(search.orders()):
        if number == limit:
            return
        yield order


@dataclass
class _Frame:
    """A choice point: what is still to be tried there, and what need not be."""

    todo: list[int]
    asleep: set[int]
    length: int
    """Of the order before the choice."""


@dataclass
class _Search:
    counters: Counters
    conflicts: Conflicts
    order: list[int] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)

    def orders(self) -> Iterator[list[int]]:
        self.ready.update(self.counters.first())
        self._run_free()
        frames = [self._frame(set())]
        if not frames[0].todo:
            yield list(self.order)
            return
        while frames:
            frame = frames[-1]
            self._rewind(frame.length)
            if not frame.todo:
                frames.pop()
                continue
            task = frame.todo.pop()
            asleep = {x for x in frame.asleep if not self.conflicts.meet(x, task)}
            frame.asleep.add(task)
            self._run(task)
            self._run_free()
            following = self._frame(asleep)
            if following.todo:
                frames.append(following)
            elif not self._choices():
                yield list(self.order)

    def _choices(self) -> list[int]:
        return [x for x in self.ready if x in self.conflicts.neighbours]

    def _frame(self, asleep: set[int]) -> _Frame:
        todo = sorted((x for x in self._choices() if x not in asleep), reverse=True)
        return _Frame(todo, asleep, len(self.order))

    def _run(self, task: int) -> None:
        self.ready.discard(task)
        self.order.append(task)
        self.ready.update(self.counters.finish(task))

    def _run_free(self) -> None:
        """What conflicts with nothing: whenever it runs, the result is the same."""
        while free := [x for x in self.ready if x not in self.conflicts.neighbours]:
            for task in sorted(free):
                self._run(task)

    def _rewind(self, length: int) -> None:
        counters = self.counters
        while len(self.order) > length:
            task = self.order.pop()
            counters.is_done[task] = 0
            counters.num_left += 1
            event = counters.triggers[task]
            if event != NOTHING:
                completed = counters.left[event] == 0
                counters.left[event] += 1
                if completed:
                    self.ready = {x for x in self.ready if counters.may_run(x)}
            self.ready.add(task)
