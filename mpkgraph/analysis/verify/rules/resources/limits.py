"""Room in the runtime: queues, workers, slots of a task, dims of a tensor, bits of metadata.

Sizes from `persistent_kernel.cuh` and `runtime_header.h` at `de8745d`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding, TaskRef
from mpkgraph.analysis.verify.layer_facts import init_number, num_workers, target_cc
from mpkgraph.analysis.verify.rule import CheckRow, Rule
from mpkgraph.catalog import EVENT_EMPTY, EVENT_TERMINATION
from mpkgraph.model.ids import NUM_FIXED_TASKS
from mpkgraph.model.operator import Operator

TASKS_PER_WORKER = 8192
EVENTS_PER_SCHEDULER = 4096
MAX_WORKERS = 160
MAX_INPUTS, MAX_OUTPUTS = 7, 3
MAX_TENSOR_DIMS = 4
MOST_MULTIPROCESSORS = {80: 108, 86: 84, 89: 142, 90: 132, 100: 148, 103: 160, 110: 20, 120: 188}
"""By compute capability those of the largest GPU that has it."""
METADATA_LIMITS = {"request_id": 1 << 15, "kv_idx": 1 << 16}
"""Values that fit: request_id has 16 bits with a sign, kv_idx 16 without."""

QUEUE_FULL = Rule(
    "MPK401",
    "worker-queue-full",
    "error",
    "more tasks than a worker's queue holds",
    "The queue is a ring of 8192 tasks that nothing guards: tasks that were not run yet are "
    "overwritten, and the kernel hangs or skips work.",
    "Use larger tiles, or more workers.",
)
EVENTS_FULL = Rule(
    "MPK402",
    "scheduler-queue-full",
    "error",
    "more events than the schedulers' queues hold",
    "The queue is a ring of 4096 events that nothing guards: events that were not handled yet are "
    "overwritten, and their tasks never run.",
    "Launch fewer, larger groups of tasks.",
)
WORKERS = Rule(
    "MPK403",
    "too-many-workers",
    "error",
    "more workers than the runtime or the GPU has room for",
    "The runtime's arrays hold 160 workers; and all workers must be resident at once, one a "
    "multiprocessor, or those that wait for the others never end.",
    "Take the numbers of mirage.get_configurations_from_gpu.",
)
SLOTS = Rule(
    "MPK404",
    "too-many-slots",
    "error",
    "more tensors than a task description holds",
    "A task has room for 7 inputs and 3 outputs; further ones are written over other fields.",
    "Split the layer, or fuse tensors.",
)
RANK = Rule(
    "MPK405",
    "too-many-dims",
    "error",
    "a tensor with more dims than Mirage has room for",
    "Tensor descriptions hold 4 dims; further ones are written over other fields.",
    "Flatten dims that are not split.",
)
METADATA = Rule(
    "MPK406",
    "metadata-overflow",
    "error",
    "a grid position that the metadata of a task can't hold",
    "A kernel that learns its request or chunk from metadata does that of another task when the "
    "number wraps.",
    "Use a smaller grid along this axis.",
)


def check_queues(context: VerifyContext) -> Iterator[Finding]:
    """Tasks of a worker and events of a scheduler, against the rings that hold them."""
    workers = num_workers(context)
    launched = context.graph.num_tasks - NUM_FIXED_TASKS
    if workers is not None and workers > 0:
        longest = -(-launched // workers)
        if longest > TASKS_PER_WORKER:
            yield Finding(
                QUEUE_FULL,
                f"{launched:,} tasks on {workers} workers are {longest:,} on one worker, whose "
                f"queue holds {TASKS_PER_WORKER:,}",
                context.location(),
                f"At most {TASKS_PER_WORKER * workers:,} tasks fit: use larger tiles, or at least "
                f"{-(-launched // TASKS_PER_WORKER)} workers",
                witness=(context.task_ref(NUM_FIXED_TASKS + TASKS_PER_WORKER * workers),),
                count=launched - TASKS_PER_WORKER * workers,
            )
    types = context.graph.events.event_types
    quiet = (types == EVENT_EMPTY) | (types == EVENT_TERMINATION)
    handled = int((~quiet).sum())
    schedulers = context.options.num_schedulers or init_number(
        context.record, "num_local_schedulers"
    )
    room = EVENTS_PER_SCHEDULER * max(schedulers or 1, 1)
    if handled > room:
        yield Finding(
            EVENTS_FULL,
            f"{handled:,} events go through queues of {schedulers or 1} schedulers, which hold "
            f"{room:,}",
            context.location(event=int(np.flatnonzero(~quiet)[room])),
            f"Launch tasks with at most {room:,} events",
            count=handled - room,
            count_of="events",
        )


def check_workers(context: VerifyContext) -> Iterator[Finding]:
    """Workers against the runtime's arrays."""
    workers = num_workers(context)
    if workers is not None and workers > MAX_WORKERS:
        yield Finding(
            WORKERS,
            f"{workers} workers, of which the runtime has room for {MAX_WORKERS}",
            context.location(),
            f"Give at most {MAX_WORKERS}, and no more than the GPU has multiprocessors",
            count=workers - MAX_WORKERS,
            count_of="workers",
        )
    target = target_cc(context)
    named = context.options.num_multiprocessors
    most = named if named is not None else MOST_MULTIPROCESSORS.get(target or 0)
    if workers is not None and most is not None and workers > most:
        gpu = "the GPU" if named is not None else f"any GPU of cc {target}"
        yield Finding(
            WORKERS,
            f"{workers} workers are more than {gpu} has multiprocessors ({most}): some are never "
            "resident, and those that wait for them never end",
            context.location(),
            f"Give at most {most} workers, and leave room for the schedulers",
            count=workers - most,
            count_of="workers",
            severity_here=None if named is not None else "warning",
        )


def check_slots(context: VerifyContext) -> Iterator[Finding]:
    """Slots of each operator, and dims of each slot."""
    for operator in context.operators:
        for count, limit, word in (
            (len(operator.inputs), MAX_INPUTS, "inputs"),
            (len(operator.outputs), MAX_OUTPUTS, "outputs"),
        ):
            if count > limit:
                yield Finding(
                    SLOTS,
                    f"{context.name(operator)} has {count} {word}; a task has room for {limit}",
                    context.location(operator),
                    f"Split the layer so that each part has at most {limit} {word}",
                    witness=_first_task(context, operator),
                    count=operator.num_tasks,
                    key=(operator.task_type, word, count),
                )
        for slot in operator.slots:
            rank = len(slot.tile_dims)
            if rank > MAX_TENSOR_DIMS:
                yield Finding(
                    RANK,
                    f"{slot.name!r} of {context.name(operator)} has {rank} dims; Mirage has room "
                    f"for {MAX_TENSOR_DIMS}",
                    context.location(operator, slot),
                    "Flatten dims that are not split",
                    witness=_first_task(context, operator),
                    count=operator.num_tasks,
                    key=(operator.task_type, slot.position, rank),
                )


def check_metadata(context: VerifyContext) -> Iterator[Finding]:
    """Grid extents against the bits of the fields that hold positions."""
    for operator in context.operators:
        row = context.catalog.task_type_row(operator.task_type)
        read = context.effects(operator).varies_by
        for field, axis in row.metadata:
            limit = METADATA_LIMITS.get(field)
            # A field that the kernel does not look at may wrap: Mirage fills it for all types
            if limit is None or axis not in read:
                continue
            extent = operator.grid_dim["xyz".index(axis)]
            if extent > limit:
                yield Finding(
                    METADATA,
                    f"{context.name(operator)} has grid.{axis} {extent:,}; {field} holds "
                    f"{limit:,} values",
                    context.location(operator),
                    f"Use at most {limit:,} blocks along {axis}",
                    witness=_wrapped(context, operator, axis, limit),
                    count=operator.num_tasks - operator.num_tasks * limit // extent,
                    key=(operator.task_type, field, extent),
                )


def _wrapped(
    context: VerifyContext, operator: Operator, axis: str, limit: int
) -> tuple[TaskRef, ...]:
    position = positions(operator, axis)
    first = np.flatnonzero(position >= limit)[:1].tolist()
    return tuple(context.task_ref(int(operator.task_ids[x])) for x in first)


def positions(operator: Operator, axis: str) -> npt.NDArray[np.int64]:
    """Along a grid axis the position of each task of an operator."""
    index = "xyz".index(axis)
    if operator.grid_positions is not None:
        return operator.grid_positions[:, index].astype(np.int64)
    _, ny, nz = operator.grid_dim
    points = np.arange(operator.num_tasks, dtype=np.int64) // operator.num_subtasks
    found: npt.NDArray[np.int64] = (points // (ny * nz), points // nz % ny, points % nz)[index]
    return found


def _first_task(context: VerifyContext, operator: Operator) -> tuple[TaskRef, ...]:
    return tuple(context.task_ref(int(x)) for x in operator.task_ids[:1])


CHECKS: tuple[CheckRow, ...] = (
    CheckRow(check_queues, (QUEUE_FULL, EVENTS_FULL)),
    CheckRow(check_workers, (WORKERS,)),
    CheckRow(check_slots, (SLOTS, RANK)),
    CheckRow(check_metadata, (METADATA,)),
)
