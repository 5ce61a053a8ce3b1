"""Memory of new tensors: what is read before anything wrote it, and what nobody reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rules.hazards import table
from mpkgraph.analysis.verify.rules.hazards.access import Access
from mpkgraph.analysis.verify.rules.hazards.conflicts import Step
from mpkgraph.analysis.verify.rules.hazards.places import label, region_place
from mpkgraph.analysis.verify.rules.hazards.union import Unions, missing
from mpkgraph.errors import TooLargeError


def new_tensors(context: VerifyContext) -> frozenset[str]:
    """Names of the tensors whose memory the generated code allocates, uncleared."""
    if context.record is None:
        return frozenset()
    kinds: dict[str, set[bool]] = {}
    for tensor in context.record.tensors:
        # What peers put into symmetric memory this rank's graph does not show
        own = tensor.kind == "new_tensor" and tensor.io_category != "nvshmem_tensor"
        kinds.setdefault(tensor.base_ptr, set()).add(own)
    return frozenset(name for name, own in kinds.items() if own == {True})


def memory_findings(context: VerifyContext, steps: Sequence[Step]) -> Iterator[Finding]:
    """Of the tensors that a record says are new."""
    new = new_tensors(context)
    unions = Unions()
    writers: dict[str, list[Access]] = {}
    read: set[str] = set()
    for step in steps:
        for access in step.accesses:
            if access.tensor not in new:
                continue
            if access.writes:
                writers.setdefault(access.tensor, []).append(access)
            if access.reads:
                if access.kind != "accumulate":
                    read.add(access.tensor)
                before = step.written_before.get(access.tensor, [])
                if not unions.covers(before, access):
                    yield from _uninitialised(context, access, before, steps)
    for name, accesses in writers.items():
        if name not in read:
            yield _unread(context, accesses[-1], len(accesses))


def _uninitialised(
    context: VerifyContext, access: Access, before: Sequence[Access], steps: Sequence[Step]
) -> Iterator[Finding]:
    try:
        regions = missing(before, access)
    except TooLargeError:
        return
    if not regions:
        return
    place = region_place(access, regions)
    operator, name = access.operator, label(context, access.operator)
    tile = next(
        task
        for at, task in enumerate(access.tasks.tolist())
        if access.tile(at).byte_extent[1] > regions[0].offset
    )
    later = [
        label(context, x.operator)
        for x in steps
        if any(
            y.writes and y.tensor == access.tensor and y.place > access.place for y in x.accesses
        )
    ]
    if before:
        written = ", ".join(dict.fromkeys(label(context, x.operator) for x in before))
        why = f"what {written} writes before does not hold them"
    elif later:
        why = f"it is called before {later[0]}, the first layer that writes the tensor"
    else:
        why = "no layer writes the tensor"
    hedge = "" if access.is_exact else "; whether a run gets there hangs on the requests"
    yield Finding(
        rule=table.UNINITIALISED_READ,
        message=(
            f"{name} reads {access.tensor}{place} of a new tensor, whose memory nothing has "
            f"written: {why}{hedge}"
        ),
        location=context.location(
            operator,
            access.use.slot,
            tensor=access.tensor,
            elements=place.elements,
            byte_range=place.byte_range,
        ),
        remedy=(
            f"Call {later[0]} before {name}"
            if later and not before
            else f"Let a layer before {name} write (or clear) all that it reads of {access.tensor}"
        ),
        witness=(context.task_ref(tile),),
        count=len(access.tasks),
        count_of="tasks",
        severity_here=None if access.is_exact else "warning",
        key=(
            operator.task_type,
            operator.grid_dim,
            access.use.slot.position,
            place.byte_range,
            bool(before),
            bool(later),
        ),
    )


def _unread(context: VerifyContext, access: Access, num_writes: int) -> Finding:
    name = label(context, access.operator)
    times = "" if num_writes == 1 else f", the last of {num_writes} slots that do,"
    return Finding(
        rule=table.UNREAD_WRITE,
        message=f"{name}{times} writes the new tensor {access.tensor}, and no layer reads it",
        location=context.location(access.operator, access.use.slot, tensor=access.tensor),
        remedy=f"Leave the write out, attach {access.tensor} if it is for the caller, or give it "
        "to the layer that should read it",
        witness=(context.task_ref(int(access.tasks[0])),),
        count=len(access.tasks),
        key=(access.operator.task_type, access.operator.grid_dim, access.use.slot.position),
    )
