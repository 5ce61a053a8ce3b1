"""Meta tensors that kernels dereference and the pipeline does not give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.layer_facts import init_number
from mpkgraph.analysis.verify.rule import CheckRow, Rule

MISSING = Rule(
    "MPK451",
    "missing-meta-tensor",
    "warning",  # the record may not hold all that the run is given
    "a meta tensor that a kernel dereferences is not given",
    "What is missing in `meta_tensors` is a null pointer: the kernel dies of an illegal memory "
    "access, as an H100 shows. A record holds what the kernel object was made with; what a run "
    "adds to it later is not known here.",
    "Give PersistentKernel the meta tensor, if only a small one that fits.",
    needs_record=True,
)
SHORT = Rule(
    "MPK452",
    "short-meta-tensor",
    "error",
    "a meta tensor that is shorter than what is read of it",
    "The kernels read one entry a request (row boundaries: one more) whatever the tensor's length.",
    "Make it as long as the pipeline's numbers ask.",
    needs_record=True,
)

LENGTHS = {
    # Meta tensor: (parameter, entries beyond it) that kernels index by
    "qo_indptr_buffer": ("max_num_batched_requests", 1),
    "paged_kv_indptr_buffer": ("max_num_batched_requests", 1),
    "paged_kv_last_page_len_buffer": ("max_num_batched_requests", 0),
}
SHAPES = {
    "qo_indptr_buffer": "int32, max_num_batched_requests + 1 row boundaries",
    "paged_kv_indptr_buffer": "int32, max_num_batched_requests + 1 page boundaries",
    "paged_kv_indices_buffer": "int32, max_num_pages page numbers",
    "paged_kv_last_page_len_buffer": "int32, max_num_batched_requests lengths",
    "step": "int32, max_num_batched_requests positions",
    "tokens": "int64, max_num_batched_requests rows of max_seq_length",
    "num_new_tokens": "int32, max_num_batched_requests counts",
}


def check_meta(context: VerifyContext) -> Iterator[Finding]:
    """The meta tensors that operators read, against those of the record."""
    record = context.record
    if record is None:
        return
    given = record.init.get("meta_tensors") or {}
    for operator in context.operators:
        for read in context.effects(operator).meta:
            tensor = given.get(read.name)
            if tensor is None:
                name = context.name(operator)
                dropped = read.may_be_dropped
                yield Finding(
                    MISSING,
                    f"{name} reads {read.name}, which the pipeline does not give: a null pointer"
                    + (" (some builds of this kernel leave the read out)" if dropped else ""),
                    context.location(operator),
                    f"Add {read.name!r} to meta_tensors ({SHAPES[read.name]})",
                    witness=tuple(context.task_ref(int(x)) for x in operator.task_ids[:1]),
                    count=operator.num_tasks,
                    key=(operator.task_type, read.name),
                )
                continue
            yield from _check_length(context, read.name, tensor)


def _check_length(context: VerifyContext, name: str, tensor: Any) -> Iterator[Finding]:
    parameter, more = LENGTHS.get(name, ("", 0))
    wanted = init_number(context.record, parameter)
    length = _length(tensor)
    if wanted is None or length is None or length >= wanted + more:
        return
    yield Finding(
        SHORT,
        f"{name} has {length} entries; kernels read {wanted + more}, for {parameter} {wanted}",
        context.location(tensor=name),
        f"Make it {wanted + more} long",
        count_of="tensors",
        key=(name, length, wanted),
    )


def _length(tensor: Any) -> int | None:
    shape = tensor.get("torch") if isinstance(tensor, Mapping) else None
    if not isinstance(shape, list | tuple) or not all(isinstance(x, int) for x in shape):
        return None
    total = 1
    for extent in shape:
        total *= extent
    return total


CHECKS: tuple[CheckRow, ...] = (CheckRow(check_meta, (MISSING, SHORT)),)
