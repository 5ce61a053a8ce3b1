"""Values of meta tensors in a script that was written from a record: a batch with all rows used."""

from __future__ import annotations

from mpkgraph.model.record import PipelineRecord


def meta_values(record: PipelineRecord) -> dict[str, list[int]]:
    """By name the first values of the meta tensors that say which rows and pages are in use.

    Every request is new, tokens are dealt out evenly, and each request has the next free pages.
    """
    requests = _number(record, "max_num_batched_requests")
    tokens = _number(record, "max_num_batched_tokens")
    size = _number(record, "page_size")
    ends = [tokens * (i + 1) // requests for i in range(requests)]
    lengths = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    pages = [-(-n // size) for n in lengths]
    starts = [sum(pages[:i]) for i in range(requests + 1)]
    return {
        "qo_indptr_buffer": [0, *ends],
        "paged_kv_indptr_buffer": starts,
        "paged_kv_indices_buffer": list(range(starts[-1])),
        "paged_kv_last_page_len_buffer": [(n - 1) % size + 1 if n else 0 for n in lengths],
        "num_new_tokens": lengths,
        "prompt_lengths": lengths,
    }


def _number(record: PipelineRecord, name: str) -> int:
    value = record.init.get(name)
    return value if isinstance(value, int) and value > 0 else 1
