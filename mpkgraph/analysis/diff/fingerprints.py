"""Fingerprints of operators: of themselves, and of all that leads to them or follows from them.

An operator's own fingerprint is a sum over its tasks, so it is the same however tasks and events
are numbered. `up` takes in, slot by slot, who wrote each input, and so on to the first operators;
`down` who reads each output, and so on to the last: equal ones have equal subgraphs above or below.
Each comes with the tensors' names and without.
"""

from __future__ import annotations

import numpy as np

from mpkgraph.analysis.diff.hashing import mix_numbers
from mpkgraph.analysis.diff.side import Side
from mpkgraph.frozen import dataclass


@dataclass(frozen=True)
class Fingerprints:
    """By operator."""

    own: tuple[int, ...]
    """Task type, tiles and metadata of its tasks; no names, no numbers."""
    named: tuple[int, ...]
    """`own` and the names of its tensors."""
    up: tuple[int, ...]
    named_up: tuple[int, ...]
    down: tuple[int, ...]
    named_down: tuple[int, ...]

    @classmethod
    def of(cls, side: Side, *, names: bool = True) -> Fingerprints:
        """Without `names` those that count names are those that do not."""
        nameless = side.tile_sums.tolist()
        named = nameless
        if names:
            named = side.named_sums.tolist()
        up, down = _up(side, nameless), _down(side, nameless)
        if not names:
            return cls(*map(tuple, (nameless, nameless, up, up, down, down)))
        return cls(*map(tuple, (nameless, named, up, _up(side, named), down, _down(side, named))))


def _up(side: Side, own: list[int]) -> list[int]:
    found = [0] * len(own)
    for index in np.argsort(side.program_order, kind="stable").tolist():
        total = own[index]
        for slot, source in zip(side.operators[index].slots, side.sources[index], strict=True):
            # Which output of the source: its position, not its name
            part = 0 if source < 0 else mix_numbers(found[source], _output(side, source, slot))
            total = mix_numbers(total, part)
        found[index] = total
    return found


def _down(side: Side, own: list[int]) -> list[int]:
    found = [0] * len(own)
    for index in np.argsort(side.program_order, kind="stable").tolist()[::-1]:
        total = 0
        for reader, position in side.readers[index]:
            total += mix_numbers(found[reader], position)
        found[index] = mix_numbers(own[index], total)
    return found


def _output(side: Side, source: int, slot: object) -> int:
    names = set(getattr(slot, "base_ptrs", ()))
    for output in side.operators[source].outputs:
        if not names.isdisjoint(output.base_ptrs):
            return output.position
    return -1
