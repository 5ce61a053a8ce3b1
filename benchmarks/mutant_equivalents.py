"""Mutants that no test can notice, by the reason: `benchmarks.mutants` counts them apart."""

from __future__ import annotations

_WORKERS = (
    "WORKERS_BY_SMS = ((160, 144), (144, 128), (132, 128), (108, 96), (68, 64), (40, 30), ({}, 20))"
)

_COUNTS = (
    "context: VerifyContext, triggers: Triggers, events: IntArray, rule: Rule, blocked: int = {}"
)
_PRUNED = "state.live = [x for x in state.live if not conflicts_with(x.access.kind) {} x.implied]"
_OUTCOME = "return Outcome(written, repeated, rewritten, accesses[{}].place if accesses else {})"

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
        ("mpkgraph.analysis.verify.placement", "MAX_CLOCKS = 1 << 27", "MAX_CLOCKS = 1 << 28"),
        (
            "mpkgraph.analysis.verify.rules.splits.facts",
            "if len(self._found) >= REMEMBERED:",
            "if len(self._found) is REMEMBERED:",
        ),
        (
            "mpkgraph.analysis.verify.rules.splits.relations",
            "@lru_cache(maxsize=256)",
            "@lru_cache(maxsize= 255)",
        ),
        ("mpkgraph.model.overlap", "MAX_PAIRS = 1 << 26", "MAX_PAIRS = 2 << 26"),
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "MAX_BLOCK = 1 << 21",
            "MAX_BLOCK = 1 << 20",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "MAX_REMEMBERED = 1 << 12",
            "MAX_REMEMBERED = 2 << 12",
        ),
        (
            "mpkgraph.analysis.verify.rules.splits.facts",
            "REMEMBERED = 4096",
            "REMEMBERED = 4097",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "MAX_REMEMBERED = 1 << 16",
            "MAX_REMEMBERED = 1 << 17",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "MAX_REMEMBERED = 1 << 16",
            "MAX_REMEMBERED = 1 ^ 16",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "MAX_REMEMBERED = 1 << 16",
            "MAX_REMEMBERED = 0 << 16",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.union",
            "if len(self._covered) > MAX_REMEMBERED:",
            "if len(self._covered) < MAX_REMEMBERED:",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.siblings",
            "if shape is not None and shape in self._clean:",
            "if not shape is not None and shape in self._clean:",
        ),
        (
            "mpkgraph.analysis.verify.rules.splits.signatures",
            "@lru_cache(maxsize=256)",
            "@lru_cache(maxsize= 257)",
        ),
        (
            "mpkgraph.model.intersect",
            "done = int(ends[start - 1]) if start else 0",
            "done = int(ends[start - 1]) if start else 1",
        ),
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "done = int(ends[start - 1]) if start else 0",
            "done = int(ends[start - 1]) if not start else 0",
        ),
    ),
    "what is pruned has no conflict left": (
        (
            "mpkgraph.analysis.verify.rules.hazards.conflicts",
            _PRUNED.format("<="),
            _PRUNED.format("<"),
        ),
    ),
    "all of them are of one consumer": (
        (
            "mpkgraph.planner.emission",
            'f"layer {fork} forks, and layer {twice[0].consumer} reads it through "',
            'f"layer {fork} forks, and layer {twice[ 1].consumer} reads it through "',
        ),
    ),
    "only of events that never complete it is told how many tasks wait": (
        (
            "mpkgraph.analysis.verify.rules.structure.counts",
            _COUNTS.format(0),
            _COUNTS.format(1),
        ),
    ),
    "all edges of a fork have the same blocks there": (
        (
            "mpkgraph.planner.emission",
            "grid, blocks = self._grid(producer), tuple(edges[0].producer_blocks)",
            "grid, blocks = self._grid(producer), tuple(edges[ 1].producer_blocks)",
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
        ("mpkgraph.planner.plan", "zero = (0, 0, 0, 0)", "zero = (0, -1, 0, 0)"),
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
        (
            "mpkgraph.analysis.verify.rules.splits.writes",
            "if not _is_plain_write(use) or len(use.tasks) < 2:",
            "if not _is_plain_write(use) or len(use.tasks) < 1:",
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
        (
            "mpkgraph.analysis.verify.rules.structure.queues",
            "has_trigger = np.flatnonzero(events.trigger_nodes >= 0)",
            "has_trigger = np.flatnonzero(events.trigger_nodes >= 1)",
        ),
        ("mpkgraph.analysis.verify.rules.structure.queues", "if trigger >= 0:", "if trigger >= 1:"),
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
        (
            "mpkgraph.analysis.verify.rules.hazards.values",
            "first, last = self.rewritten.get(later.tensor, (0, 0))",
            "first, last = self.rewritten.get(later.tensor, ( 1, 0))",
        ),
    ),
    'of booleans both are "and"': (
        (
            "mpkgraph.analysis.verify.happens_before",
            "kept = np.flatnonzero(waited_on & resolved)",
            "kept = np.flatnonzero(waited_on * resolved)",
        ),
        (
            "mpkgraph.analysis.verify.rules.structure.triggers",
            "waits = present & (dependent >= 0) & (dependent < num_events)",
            "waits = present & (dependent >= 0) * (dependent < num_events)",
        ),
    ),
    "a number that grows by one meets its limit": (
        (
            "mpkgraph.analysis.verify.happens_before",
            "while len(chains) < _MAX_CHAINS and len(path) > 1:",
            "while len(chains) != _MAX_CHAINS and len(path) > 1:",
        ),
    ),
    "task ids begin at 2": (
        ("mpkgraph.planner.emission", "if (ids < 0).any():", "if (ids < 1).any():"),
        ("mpkgraph.planner.emission", "if (ids < 0).any():", "if (ids <= 0).any():"),
    ),
    "any negative number means none": (
        (
            "mpkgraph.planner.warnings",
            "layer_of = np.full(order.num_tasks + 1, -1, dtype=np.int64)",
            "layer_of = np.full(order.num_tasks + 1, - 2, dtype=np.int64)",
        ),
    ),
    "no number beyond an extent divides it": (
        (
            "mpkgraph.analysis.verify.rules.resources.kernels",
            "for parts in range(1, extent + 1)",
            "for parts in range(1, extent + 2)",
        ),
    ),
    "accesses of an operator have its place; one without any writes nothing": tuple(
        (
            "mpkgraph.analysis.verify.rules.hazards.values",
            _OUTCOME.format("0", "-1"),
            _OUTCOME.format(at, otherwise),
        )
        for at, otherwise in (("0", "- 2"), ("0", "+1"), (" -1", "-1"))
    ),
    "all inputs of a norm have rows of one length": (
        (
            "mpkgraph.analysis.verify.rules.resources.kernels",
            'f"Use rows of at most {limit * operator.inputs[0].tile_dims[-1] // needed:,} "',
            'f"Use rows of at most {limit * operator.inputs[ -1].tile_dims[-1] // needed:,} "',
        ),
    ),
    "one worker has no wave in which others are idle": (
        (
            "mpkgraph.analysis.verify.rules.advice.work",
            "if workers is None or workers < 2:",
            "if workers is None or workers < 1:",
        ),
    ),
    "an access has each task once": (
        (
            "mpkgraph.analysis.verify.rules.hazards.access",
            "return int(np.flatnonzero(self.tasks == task)[0])",
            "return int(np.flatnonzero(self.tasks == task)[ -1])",
        ),
    ),
    "of one node the first is the last": (
        (
            "mpkgraph.analysis.verify.rules.hazards.pairs",
            "if self.order.is_ordered(int(left.nodes[0]), int(right.nodes[0])):",
            "if self.order.is_ordered(int(left.nodes[0]), int(right.nodes[ -1])):",
        ),
    ),
    "an operator with tasks has a block along each axis": (
        (
            "mpkgraph.analysis.verify.rules.splits.facts",
            "return tuple(a for a in range(3) if grid[a] > 1 and self.input_map[a] == dim)",
            "return tuple(a for a in range(3) if grid[a] != 1 and self.input_map[a] == dim)",
        ),
    ),
    "of one name the first is the last": (
        (
            "mpkgraph.analysis.verify.layer_facts",
            "return REGISTERED_TASKS[names[0]] if len(names) == 1 else None",
            "return REGISTERED_TASKS[names[ -1]] if len(names) == 1 else None",
        ),
        (
            "mpkgraph.model.operator",
            "return int(self.owners(np.array([task_id], dtype=np.int64))[0])",
            "return int(self.owners(np.array([task_id], dtype=np.int64))[ -1])",
        ),
    ),
    "what is not a valid range is bad whatever is counted in it": (
        (
            "mpkgraph.analysis.verify.rules.structure.ranges",
            "inside = np.where(valid, last, 0) - np.where(valid, first, 0)",
            "inside = np.where(valid, last, 1) - np.where(valid, first, 0)",
        ),
        (
            "mpkgraph.analysis.verify.rules.structure.ranges",
            "inside = np.where(valid, last, 0) - np.where(valid, first, 0)",
            "inside = np.where(valid, last, 0) - np.where(valid, first, 1)",
        ),
    ),
    "cells that do not overlap are in one order by start and by end": (
        (
            "mpkgraph.model.coverage",
            "spans = spans[np.lexsort((spans[:, axis, 0], *others))]",
            "spans = spans[np.lexsort((spans[:, axis, 1], *others))]",
        ),
    ),
    "one more pass over what is merged already": (("mpkgraph.model.byteset", "break", "continue"),),
    "runs are joined and sorted afterwards whichever way they are listed": (
        ("mpkgraph.model.byteset", "if stride >= int(stops[-1]):", "if stride >= int(stops[- 0]):"),
    ),
    "threads of a block reach no graph and no record": (
        (
            "mpkgraph.pipeline.layers.mla_mtp",
            'call["block_dim"] = (128, 1, 1)',
            'call["block_dim"] = ( 129, 1, 1)',
        ),
        (
            "mpkgraph.pipeline.layers.mla_mtp",
            'call["block_dim"] = (256, 1, 1)',
            'call["block_dim"] = (256, 2, 1)',
        ),
    ),
    "the tasks of later GPUs come first in each layer": (
        ("mpkgraph.pipeline.layers.linear", "AMPERE = range(80, 90)", "AMPERE = range(80, 91)"),
    ),
    "an axis that is mapped to -1 has no size": (
        (
            "mpkgraph.pipeline.open_log",
            "tile = tile_dims(tile, (self.forloop_range, 1, 1), (forloop_dim, -1, -1))",
            "tile = tile_dims(tile, (self.forloop_range, 1, 0), (forloop_dim, -1, -1))",
        ),
    ),
    "no GPU has fewer than no SMs": (
        (
            "mpkgraph.pipeline.target",
            _WORKERS.format("0"),
            _WORKERS.format(" -1"),
        ),
    ),
    "every type that a kernel takes has a size": (
        (
            "mpkgraph.analysis.verify.rules.resources.types",
            "sizes = [context.catalog.data_type_size(numbers[x]) or 0 for x in wanted]",
            "sizes = [context.catalog.data_type_size(numbers[x]) or 1 for x in wanted]",
        ),
    ),
}
"""(module, line, changed line) by why they do the same."""

EQUIVALENTS = {mutant: reason for reason, mutants in BY_REASON.items() for mutant in mutants}
