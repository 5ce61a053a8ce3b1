"""What values operators write, by name: two that do the same to the same write the same.

Value numbering over operators in program order. It tells a harmless rewrite (the same tensor
quantized again into the same buffer) from one that replaces what others still read.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import field

from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator


@dataclass(frozen=True)
class Outcome:
    """What an operator leaves in the tensors that it writes."""

    written: dict[str, Hashable]
    """By tensor who wrote last, by the number of what it did, and through which slots."""
    repeated_since: dict[str, int]
    """Tensors in which these values are already: place of the operator that wrote them first."""
    rewritten: dict[str, tuple[int, int]]
    """Tensors that are read: places of the first and the last operator that wrote what they hold
    now."""
    place: int

    def repeats(self, earlier: Access, later: Access) -> bool:
        """Whether what is written is there anyway.

        Either `later` writes what the memory held when `earlier` touched it, or it reads what a
        layer after `earlier` wrote once more.
        """
        if later.kind == "write":
            since = self.repeated_since.get(later.tensor)
            return since is not None and earlier.place >= since
        first, last = self.rewritten.get(later.tensor, (0, 0))
        return later.kind == "read" and first <= earlier.place < last


@dataclass
class Values:
    """The value of each tensor so far."""

    _numbers: dict[Hashable, int] = field(default_factory=dict)
    _values: dict[str, int] = field(default_factory=dict)
    """By tensor the number of its content: what it was, and what was written over that."""
    _last: dict[str, Hashable] = field(default_factory=dict)
    _since: dict[str, int] = field(default_factory=dict)
    _until: dict[str, int] = field(default_factory=dict)

    def of(self, operator: Operator, accesses: Sequence[Access]) -> Outcome:
        """What an operator writes, given what tensors hold now."""
        shape = tuple(
            (
                x.use.slot.position,
                x.tensor,
                x.layout,
                x.offsets.tobytes(),
                x.use.effect,
                self._values.get(x.tensor) if x.reads else None,
            )
            for x in accesses
        )
        number = self._number((operator.task_type, operator.variant_ids, operator.grid_dim, shape))
        written: dict[str, Hashable] = {}
        for x in accesses:
            if x.writes:
                written[x.tensor] = (written.get(x.tensor), number, x.use.slot.position)
        repeated = {
            name: self._since[name]
            for name, value in written.items()
            if self._last.get(name) == value
        }
        rewritten = {
            x.tensor: (self._since[x.tensor], self._until[x.tensor])
            for x in accesses
            if x.kind == "read" and x.tensor in self._since
        }
        return Outcome(written, repeated, rewritten, accesses[0].place if accesses else -1)

    def commit(self, outcome: Outcome) -> None:
        """Takes what an operator wrote for what the tensors hold from now on."""
        for name, value in outcome.written.items():
            self._until[name] = outcome.place
            if name not in outcome.repeated_since:
                self._values[name] = self._number((self._values.get(name), value))
                self._last[name] = value
                self._since[name] = outcome.place

    def _number(self, content: Hashable) -> int:
        return self._numbers.setdefault(content, len(self._numbers))
