"""Findings of `mpkgraph verify` as an overlay: which tasks show what is wrong, how bad it is."""

from __future__ import annotations

import numpy as np

from mpkgraph.analysis.page.overlay import Category, Overlay, OverlayItem, texts
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import SEVERITIES
from mpkgraph.analysis.verify.run import VerifyResult
from mpkgraph.model.operator import OperatorSet

NAME = "findings"
MAX_LABELS = 3
"""Findings named at one task; more are counted."""


def findings_overlay(result: VerifyResult, operators: OperatorSet, rank: int) -> Overlay:
    """The findings in one rank's graph, each model layer that repeats one included.

    The tasks of a finding are its witness, or all tasks of its operator where it has none.
    """
    here = [x for x in result.unfolded if x.location.rank == rank]
    codes = np.full(operators.num_tasks, -1, dtype=np.int64)
    told: dict[int, list[str]] = {}
    items = []
    # gravest last: it stays
    for finding in sorted(here, key=lambda x: -SEVERITIES.index(x.severity)):
        tasks = _tasks(finding, operators, rank)
        codes[tasks] = SEVERITIES.index(finding.severity)
        for task in [x.task_id for x in finding.witness]:
            told.setdefault(task, []).append(f"{finding.rule.code} {finding.rule.name}")
        items.append(_item(finding, operators, rank))
    labels: list[str | None] = [None] * operators.num_tasks
    for task, names in told.items():
        if 0 <= task < len(labels):
            more = f" and {len(names) - MAX_LABELS} more" if len(names) > MAX_LABELS else ""
            labels[task] = ", ".join(names[: -MAX_LABELS - 1 : -1]) + more
    table, label_codes = texts(labels)
    return Overlay(
        name=NAME,
        title="Findings of verify",
        description=_description(len(here), result),
        codes=codes,
        categories=tuple(Category(x, x) for x in SEVERITIES),
        labels=table,
        label_codes=label_codes,
        items=tuple(reversed(items)),
        rank=rank,
    )


def _description(count: int, result: VerifyResult) -> str:
    found = f"{count} finding{'' if count == 1 else 's'} by {len(result.rules)} rules"
    if not result.skipped:
        return found
    reasons = sorted({why for _, why in result.skipped})
    return f"{found}; {len(result.skipped)} rules did not run: {', '.join(reasons)}"


def _tasks(finding: Finding, operators: OperatorSet, rank: int) -> list[int]:
    where = finding.location
    if finding.witness:
        return [x.task_id for x in finding.witness if 0 <= x.task_id < operators.num_tasks]
    if where.operator is None or where.rank != rank:
        return []
    tasks: list[int] = operators[where.operator].task_ids.tolist()
    return tasks


def _item(finding: Finding, operators: OperatorSet, rank: int) -> OverlayItem:
    where = finding.location
    site = f"\n{where.site}" if where.site is not None else ""
    place = "" if where.elements is None else ", ".join(f"{a}:{b}" for a, b in where.elements)
    element = f"\nelements [{place}]" if place else ""
    count = f"\nfound in {finding.count} {finding.count_of}" if finding.count > 1 else ""
    return OverlayItem(
        title=f"{finding.rule.code} {finding.rule.name}"
        + ("" if where.operator_name is None else f" · {where.operator} {where.operator_name}"),
        text=f"{finding.message}{element}{count}\n{finding.remedy}{site}",
        category=SEVERITIES.index(finding.severity),
        tasks=tuple(_tasks(finding, operators, rank)) if finding.witness else (),
        operators=() if where.operator is None else (where.operator,),
        events=() if where.event is None else (where.event,),
        tensors=() if where.tensor is None else (where.tensor,),
    )
