"""From conflicts between two operators to findings: the rule, the numbers, the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.placement import PlacementOrder
from mpkgraph.analysis.verify.rule import Rule, Severity
from mpkgraph.analysis.verify.rules.hazards import table
from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.analysis.verify.rules.hazards.causes import Bindings, Cause
from mpkgraph.analysis.verify.rules.hazards.conflicts import Conflict
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder
from mpkgraph.analysis.verify.rules.hazards.places import label, shared_place
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator

_WORST_FIRST = ("RAW", "WAW", "WAR")


@dataclass(frozen=True)
class PairReporter:
    """Makes one finding of the conflicts of two operators over one tensor."""

    context: VerifyContext
    finder: PairFinder
    bindings: Bindings
    placement: PlacementOrder | None
    _made: dict[tuple[object, ...], Finding] = field(default_factory=dict)
    """By key: a finding that repeats in further model layers is told by its first."""

    def findings(self, conflicts: Sequence[Conflict]) -> Iterator[Finding]:
        """Of the conflicts of one later operator."""
        groups: dict[tuple[int, str], list[Conflict]] = {}
        for conflict in conflicts:
            key = conflict.earlier.operator.index, conflict.later.tensor
            groups.setdefault(key, []).append(conflict)
        for group in groups.values():
            serious = [x for x in group if not x.is_same_value] or group
            serious.sort(key=lambda x: (_WORST_FIRST.index(x.hazard), -x.pairs.count))
            yield self._finding(serious[0])

    def _finding(self, conflict: Conflict) -> Finding:
        earlier, later, pairs = conflict.earlier, conflict.later, conflict.pairs
        cause = self.bindings.cause(conflict)
        rule = _rule(conflict, cause)
        severity, notes = self._mitigation(conflict)
        key = (
            rule.code,
            cause,
            conflict.hazard,
            conflict.is_same_value,
            _shape(earlier),
            _shape(later),
            pairs.count,
            severity,
        )
        if key not in self._made:
            self._made[key] = self._told(conflict, cause, rule, severity, notes, key)
        return self._made[key]

    def _told(
        self,
        conflict: Conflict,
        cause: Cause,
        rule: Rule,
        severity: Severity | None,
        notes: str,
        key: tuple[object, ...],
    ) -> Finding:
        context, pairs = self.context, conflict.pairs
        earlier, later = conflict.earlier, conflict.later
        place = shared_place(earlier, pairs.earlier, later, pairs.later)
        events = context.view.all_ranks
        waits = int(events.dependent_nodes[pairs.later])
        first, second = context.task_ref(pairs.earlier), context.task_ref(pairs.later)
        peers = [" of another rank" if x.is_remote else "" for x in (earlier, later)]
        verb, other = _VERBS[conflict.hazard]
        reason = self._reason(conflict, cause)
        message = (
            f"{second}{peers[1]} {verb} {later.tensor}{place}, which {first}{peers[0]} {other}: "
            f"task {pairs.later} {self._waits(waits)}, and task {pairs.earlier} "
            f"{self._triggers(pairs.earlier)}, which does not lead there. {reason}{notes}"
        )
        return Finding(
            rule=rule,
            message=message,
            location=context.location(
                later.operator,
                later.use.slot,
                tensor=later.tensor,
                elements=place.elements,
                byte_range=place.byte_range,
                event=waits if waits >= 0 else None,
            ),
            remedy=self._remedy(rule, conflict, cause),
            witness=(first, second),
            count=pairs.count,
            count_of="task pairs",
            severity_here=severity,
            key=key,
        )

    def _waits(self, event: int) -> str:
        return "waits for no event" if event < 0 else f"waits for event {event}"

    def _triggers(self, task: int) -> str:
        event = int(self.context.view.all_ranks.trigger_nodes[task])
        return "triggers no event" if event < 0 else f"triggers event {event}"

    def _mitigation(self, conflict: Conflict) -> tuple[Severity | None, str]:
        if conflict.is_same_value:
            return "warning", (
                ". What is written is there already (the same work on the same input), so that"
                " only a change of either layer would show"
            )
        earlier, later, pairs = conflict.earlier, conflict.later, conflict.pairs
        if earlier.layout.aliases or later.layout.aliases:
            return "warning", (
                ". The strides make the tensor overlap itself: what the kernels touch, tiles do not"
                " tell"
            )
        if self.context.record is None and earlier.use.effect.disjoint_params:
            return "warning", ". Parameters that only the record has may keep the two apart"
        if self.finder.is_ordered_in_step(earlier, later, pairs):
            return "warning", (
                ". Ranks that keep step would order them: what is waited for is another rank's "
                "event, and nothing makes this rank or its peer as fast as the other"
            )
        exact = earlier.is_exact and later.is_exact
        note = "" if exact else ". Which part of the tile is touched hangs on the requests"
        if self.placement is not None and self._is_luck(conflict, self.placement):
            workers = self.context.options.num_workers
            return "warning", (
                f"{note}. With {workers} workers the queues of the workers order all these pairs:"
                " ordered only by luck of placement"
            )
        return None, note

    def _is_luck(self, conflict: Conflict, placement: PlacementOrder) -> bool:
        if conflict.earlier.is_remote or conflict.later.is_remote:
            return False
        tasks = self.finder.tasks(conflict.earlier, conflict.later, conflict.pairs)
        return tasks is not None and bool(np.all(placement.precede(*tasks)))

    def _reason(self, conflict: Conflict, cause: Cause) -> str:
        context = self.context
        earlier, later = conflict.earlier.operator, conflict.later.operator
        a, b = label(context, earlier), label(context, later)
        tensor = conflict.later.tensor
        if cause == "undeclared":
            return f"{a} writes {tensor} through an input slot, and events follow declared outputs"
        if cause == "later-writer":
            writer = self.bindings.last_writer(tensor, later)
            if writer is None:
                return f"No layer before {b} declares {tensor} as an output"
            return (
                f"{b} is bound to {label(context, writer)}, the last layer before it that declares "
                f"{tensor} as an output, and to no earlier writer"
            )
        if cause == "stripped":
            return (
                f"Mirage dropped the edge from {a} to {b} because another path leads from one to "
                "the other, and that path does not wait for all that is read"
            )
        if cause == "second-edge":
            return (
                f"Events between {a} and {b} follow the first tensor that {b} reads from it, and "
                f"its tiles of {tensor} are others"
            )
        if cause == "groups":
            return (
                f"The grids {_grid(earlier)} and {_grid(later)} cut {tensor} into parts that do "
                "not fit, and events group whole blocks"
            )
        if conflict.hazard == "WAR":
            if conflict.is_first_write:
                return f"{a} is called before {b}, and nothing before writes {tensor}"
            return f"{tensor} is used again, and nothing orders a writer after earlier readers"
        return "Events order readers after writers, never writers among each other"

    def _remedy(self, rule: Rule, conflict: Conflict, cause: Cause) -> str:
        a = label(self.context, conflict.earlier.operator)
        b = label(self.context, conflict.later.operator)
        tensor = conflict.later.tensor
        if cause == "undeclared":
            return f"Make {b} read something that {a} declares as an output"
        if rule is table.OVERWRITTEN_WHILE_READ:
            return f"Let {b} write another tensor than {tensor}, or read what {a} writes"
        if rule is table.UNORDERED_WRITES:
            return f"Let {a} and {b} write two tensors, or let {b} read what {a} writes"
        if rule is table.READ_BEFORE_WRITER:
            return (
                f"Call {b} before {a} if {a} is to read its {tensor}; else give one another tensor"
            )
        if cause == "stripped":
            return f"Give {b} a copy of {tensor}, or let the layer between read all of it"
        if cause == "second-edge":
            return f"Make {tensor} the first input that {b} reads from {a}, or map its inputs alike"
        if cause == "groups":
            return f"Choose grids of {a} and {b} of which one divides the other, and {tensor}"
        writer = self.bindings.last_writer(tensor, conflict.later.operator)
        if cause == "later-writer" and writer is not None:
            last = label(self.context, writer)
            return f"Let {a} and {last} write two tensors, or let {last} read what {a} writes"
        return rule.remedy.rstrip(".")


_VERBS = {
    "RAW": ("reads", "writes"),
    "WAW": ("writes", "writes too"),
    "WAR": ("overwrites", "reads"),
}


def _rule(conflict: Conflict, cause: Cause) -> Rule:
    if conflict.hazard == "WAW":
        return table.UNORDERED_WRITES
    if conflict.hazard == "WAR":
        return table.READ_BEFORE_WRITER if conflict.is_first_write else table.OVERWRITTEN_WHILE_READ
    return {
        "undeclared": table.UNDECLARED_WRITE,
        "stripped": table.STRIPPED_EDGE,
        "second-edge": table.FIRST_EDGE_ONLY,
    }.get(cause, table.UNORDERED_READ)


def _shape(access: Access) -> tuple[object, ...]:
    """What repeats over the layers of a model."""
    operator, slot = access.operator, access.use.slot
    return operator.task_type, operator.grid_dim, slot.position, slot.tensor_dims, slot.tile_dims


def _grid(operator: Operator) -> str:
    return "x".join(map(str, operator.grid_dim))
