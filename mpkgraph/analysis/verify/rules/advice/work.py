"""Work that is shared out badly: nearly empty waves, work done twice, tasks that are tiny."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.layer_facts import num_workers
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.analysis.verify.rules.resources.limits import positions
from mpkgraph.model.operator import Operator

FULL_WAVES = 4
"""Beyond as many full waves a nearly empty last one costs little of the operator's time."""
EMPTY_FRACTION = 0.25
"""A last wave is nearly empty when no more than this part of the workers has a task in it."""
TINY_BYTES = 4096
"""A worker moves as much in about a microsecond, which is what waiting and signalling take."""
MANY_TASKS = 32
"""Fewer tiny tasks than this are not worth joining."""

LAST_WAVE = Rule(
    "MPK501",
    "empty-last-wave",
    "advice",
    "an operator whose last wave of tasks leaves most workers idle",
    "Tasks are dealt to workers in turn. When a few tasks are left over for a last wave, the "
    "operator takes as long as if that wave were full.",
    "Choose a grid of as many tasks as there are workers, or a multiple.",
    is_default=False,
)
REPLICATED = Rule(
    "MPK503",
    "replicated-work",
    "advice",
    "tasks of one operator that do the same work",
    "Tasks with equal tiles that metadata do not tell apart compute and write the same values.",
    "Leave out the grid axis that splits nothing.",
    is_default=False,
)
TINY = Rule(
    "MPK504",
    "tiny-tasks",
    "advice",
    "many tasks that move hardly any bytes each",
    "Fetching a task, waiting for its event and signalling take about a microsecond, more than "
    "such a task itself.",
    "Use fewer, larger tasks.",
    is_default=False,
)


def check_waves(context: VerifyContext) -> Iterator[Finding]:
    """Tasks of each operator, modulo workers."""
    workers = num_workers(context)
    if workers is None or workers < 2:
        return
    for operator in context.operators:
        full, rest = divmod(operator.num_tasks, workers)
        if not 1 <= full <= FULL_WAVES or not 0 < rest <= workers * EMPTY_FRACTION:
            continue
        left = "1 task is" if rest == 1 else f"{rest} tasks are"
        yield Finding(
            LAST_WAVE,
            f"{context.name(operator)} has {operator.num_tasks} tasks for {workers} workers: "
            f"after {full} full wave{'s' * (full > 1)} {left} left and {workers - rest} workers "
            "idle",
            context.location(operator),
            f"Aim at {full * workers} tasks, or at most {workers} a wave",
            witness=(context.task_ref(int(operator.task_ids[full * workers])),),
            count=rest,
            key=(operator.task_type, operator.grid_dim, workers),
        )


def check_replicated(context: VerifyContext) -> Iterator[Finding]:
    """Tasks of one operator whose slots are all equal and that metadata don't tell apart."""
    columns = context.graph.tasks
    for operator in context.operators:
        row = context.effects(operator)
        if not any(x.writes for x in row.slots):
            continue
        starts = columns.slot_starts[operator.task_ids]
        seen = [
            column
            for position in range(len(operator.slots))
            for column in (
                columns.slot_layouts[starts + position].astype(np.int64),
                columns.slot_offsets[starts + position],
            )
        ]
        seen += [positions(operator, axis) for axis in row.varies_by]
        seen.append(np.arange(operator.num_tasks) % operator.num_subtasks)
        rows = np.stack(seen, axis=1)
        _, firsts, owners = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        spare = operator.num_tasks - len(firsts)
        if not spare:
            continue
        owners = owners.ravel()
        second = int(np.setdiff1d(np.arange(operator.num_tasks), firsts)[0])
        pair = (int(firsts[owners[second]]), second)
        yield Finding(
            REPLICATED,
            f"{spare} of the {operator.num_tasks} tasks of {context.name(operator)} do what "
            f"another one does: only {len(firsts)} differ in their tiles",
            context.location(operator),
            _without_axes(operator),
            witness=tuple(context.task_ref(int(operator.task_ids[x])) for x in pair),
            count=spare,
            key=(operator.task_type, operator.grid_dim, spare),
        )


def _without_axes(operator: Operator) -> str:
    idle = [
        axis
        for index, axis in enumerate("xyz")
        if operator.grid_dim[index] > 1 and all(x.input_map[index] < 0 for x in operator.slots)
    ]
    if not idle:
        return "Choose a grid that splits the output into as many parts as there are tasks"
    return f"Make grid.{' and grid.'.join(idle)} 1, or split a dim of the output along it"


def check_tiny(context: VerifyContext) -> Iterator[Finding]:
    """Bytes of all tiles of a task."""
    totals: dict[int, int] = {}
    for use in context.uses:
        if use.effect.access != "none" and use.layout.has_bytes:
            index = use.operator.index
            moved = use.layout.num_bytes if use.effect.is_inside_tile else TINY_BYTES
            totals[index] = totals.get(index, 0) + moved
    for index, moved in totals.items():
        operator = context.operators[index]
        if moved >= TINY_BYTES or operator.num_tasks < MANY_TASKS:
            continue
        joined = min(-(-TINY_BYTES // max(moved, 1)), operator.num_tasks)
        yield Finding(
            TINY,
            f"each of the {operator.num_tasks} tasks of {context.name(operator)} moves at most "
            f"{moved:,} bytes",
            context.location(operator),
            f"Join {joined} tasks into one: about {-(-operator.num_tasks // joined)} tasks",
            witness=(context.task_ref(int(operator.task_ids[0])),),
            count=operator.num_tasks,
            key=(operator.task_type, operator.grid_dim, moved),
        )


CHECKS: tuple[CheckRow, ...] = (
    CheckRow(check_waves, (LAST_WAVE,)),
    CheckRow(check_replicated, (REPLICATED,)),
    CheckRow(check_tiny, (TINY,)),
)
