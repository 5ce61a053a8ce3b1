"""Mutants that no test can notice, each with its reason: `benchmarks.mutants` counts them apart."""

from __future__ import annotations

REMEMBERED = "how much is remembered changes no result"
PLANNER = "mpkgraph.planner"
VERIFY = "mpkgraph.analysis.verify"

EQUIVALENTS: dict[tuple[str, str, str], str] = {
    (f"{PLANNER}.boxes", "REMEMBERED = 256", "REMEMBERED = 255"): REMEMBERED,
    (f"{PLANNER}.metadata", "REMEMBERED = 256", "REMEMBERED = 255"): REMEMBERED,
    (
        f"{PLANNER}.emission",
        "self._fork(into[0].producer)",
        "self._fork(into[ -1].producer)",
    ): "all edges into a branch come from its fork",
    (
        f"{PLANNER}.plan",
        "source = layer.inputs[0].tensor if layer.is_put else None",
        "source = layer.inputs[ -1].tensor if layer.is_put else None",
    ): "a put has one input",
    (
        f"{PLANNER}.plan",
        "return kind(zero, zero, zero, 0, slot.input_map, is_null=True)",
        "return kind(zero, zero, zero, -1, slot.input_map, is_null=True)",
    ): "no variant key reads the size of an element that is not there",
    (
        f"{PLANNER}.plan",
        "a, b, c, d = (*numbers, 0, 0, 0, 0)[:4]",
        "a, b, c, d = (*numbers, 0, 0, 0, -1)[:4]",
    ): "the last of the zeros is seen for a tensor without dims, and no variant key reads dim 3",
    (
        f"{PLANNER}.warnings",
        "writer = -1 if slot.tensor is None else first_writers.get(slot.tensor, -1)",
        "writer = - 0 if slot.tensor is None else first_writers.get(slot.tensor, -1)",
    ): "a slot without a tensor is passed over in the next line",
    (
        f"{VERIFY}.peer_order",
        "away = np.where(trigger < 0, -1, trigger + size)",
        "away = np.where(trigger < 1, -1, trigger + size)",
    ): "no task triggers event 0, which ends the runtime",
    (
        f"{VERIFY}.peer_order",
        "both = (dependents >= 0) & (triggers >= 0)",
        "both = (dependents >= 1) & (triggers >= 0)",
    ): "no task waits for event 0, which ends the runtime",
    (
        f"{VERIFY}.happens_before",
        "return walk[::-1]",
        "return walk[::- 2]",
    ): "every other event of a path is a chain too: more is searched, the same is found",
}
"""(module, line, changed line) to why they do the same."""
