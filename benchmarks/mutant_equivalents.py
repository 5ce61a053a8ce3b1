"""Mutants that no test can notice, by the reason: `benchmarks.mutants` counts them apart."""

from __future__ import annotations

BY_REASON: dict[str, tuple[tuple[str, str, str], ...]] = {
    "how much is remembered, or done at once, changes no result": (
        ("mpkgraph.planner.boxes", "REMEMBERED = 256", "REMEMBERED = 255"),
        ("mpkgraph.planner.metadata", "REMEMBERED = 256", "REMEMBERED = 255"),
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "if len(self._covered) > MAX_REMEMBERED:",
            "if not len(self._covered) > MAX_REMEMBERED:",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "MAX_BLOCK = 1 << 21",
            "MAX_BLOCK = 2 << 21",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "MAX_BLOCK = 1 << 21",
            "MAX_BLOCK = 1 // 21",
        ),
    ),
    "all edges into a branch come from its fork": (
        (
            "mpkgraph.planner.emission",
            "self._fork(into[0].producer)",
            "self._fork(into[ -1].producer)",
        ),
    ),
    "a put has one input": (
        (
            "mpkgraph.planner.plan",
            "source = layer.inputs[0].tensor if layer.is_put else None",
            "source = layer.inputs[ -1].tensor if layer.is_put else None",
        ),
    ),
    "no variant key reads the size of an element that is not there": (
        (
            "mpkgraph.planner.plan",
            "return kind(zero, zero, zero, 0, slot.input_map, is_null=True)",
            "return kind(zero, zero, zero, -1, slot.input_map, is_null=True)",
        ),
    ),
    "the last of the zeros is seen for a tensor without dims, and no variant key reads dim 3": (
        (
            "mpkgraph.planner.plan",
            "a, b, c, d = (*numbers, 0, 0, 0, 0)[:4]",
            "a, b, c, d = (*numbers, 0, 0, 0, -1)[:4]",
        ),
    ),
    "a slot without a tensor is passed over in the next line": (
        (
            "mpkgraph.planner.warnings",
            "writer = -1 if slot.tensor is None else first_writers.get(slot.tensor, -1)",
            "writer = - 0 if slot.tensor is None else first_writers.get(slot.tensor, -1)",
        ),
    ),
    "no task triggers event 0, which ends the runtime": (
        (
            "mpkgraph.analysis.verify.peer_order",
            "away = np.where(trigger < 0, -1, trigger + size)",
            "away = np.where(trigger < 1, -1, trigger + size)",
        ),
    ),
    "no task waits for event 0, which ends the runtime": (
        (
            "mpkgraph.analysis.verify.peer_order",
            "both = (dependents >= 0) & (triggers >= 0)",
            "both = (dependents >= 1) & (triggers >= 0)",
        ),
    ),
    "every other event of a path is a chain too: more is searched, the same is found": (
        ("mpkgraph.analysis.verify.happens_before", "return walk[::-1]", "return walk[::- 2]"),
    ),
    "a hazard is RAW, WAR or WAW": (
        (
            "mpkgraph.analysis.verify.rules.hazards.causes",
            'if conflict.hazard != "RAW":',
            'if conflict.hazard > "RAW":',
        ),
    ),
    "tiles at one offset are the same tile": (
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "own = access.tile(int(np.flatnonzero(access.offsets == offset)[0]))",
            "own = access.tile(int(np.flatnonzero(access.offsets == offset)[ -1]))",
        ),
    ),
    "bytes before the tiles are counted on both sides of the comparison": (
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "low = int(offsets.min()) + layout.lowest",
            "low = int(offsets.min()) & layout.lowest",
        ),
    ),
    "a short cut: what follows finds the same": (
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "if len(left.nodes) == len(right.nodes) == 1:",
            "if len(left.nodes) == len(right.nodes) < 1:",
        ),
    ),
    "no task waits for event 0 or triggers it: it ends the runtime": (
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "triggers = np.where(triggers < 0, -1, triggers % size)",
            "triggers = np.where(triggers < 0, - 0, triggers % size)",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "dependents = np.where(dependents < 0, -1, dependents % size)",
            "dependents = np.where(dependents < 0, - 0, dependents % size)",
        ),
    ),
    "no kernel that accumulates writes through another slot": (
        (
            "mpkgraph.analysis.verify.rules.hazards.siblings",
            'reads = other.reads and not (writer is other and other.kind == "accumulate")',
            'reads = other.reads and not (writer is other or other.kind == "accumulate")',
        ),
    ),
    "no place lies in an empty range": (
        (
            "mpkgraph.analysis.verify.rules.hazards.values",
            "first, last = self.rewritten.get(later.tensor, (0, 0))",
            "first, last = self.rewritten.get(later.tensor, (0, -1))",
        ),
    ),
    'of booleans both are "and"': (
        (
            "mpkgraph.analysis.verify.happens_before",
            "kept = np.flatnonzero(waited_on & resolved)",
            "kept = np.flatnonzero(waited_on * resolved)",
        ),
    ),
}
"""(module, line, changed line) by why they do the same."""

EQUIVALENTS = {mutant: reason for reason, mutants in BY_REASON.items() for mutant in mutants}
