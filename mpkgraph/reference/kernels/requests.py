"""What the request tables say of one request."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mpkgraph.reference.call import TaskCall, TaskExecutionError


@dataclass(frozen=True, slots=True)
class Request:
    """Rows of the batch that belong to a request, and its positions in the cache."""

    index: int
    first_row: int
    num_rows: int
    """New tokens; 0 for an empty place in the batch."""
    num_pages: int = 0
    length: int = 0
    """Positions with the new tokens, which have their places in the cache before they are there."""

    @property
    def rows(self) -> slice:
        return slice(self.first_row, self.first_row + self.num_rows)

    @property
    def history(self) -> int:
        """Positions before the new tokens."""
        return self.length - self.num_rows


def rows_of_request(call: TaskCall, index: int) -> Request:
    """Only the rows: `qo_indptr_buffer`."""
    rows = call.meta_tensor("qo_indptr_buffer")
    first, last = int(rows[index]), int(rows[index + 1])
    return Request(index, first, last - first)


def request_of(call: TaskCall, index: int, page_size: int) -> Request:
    """Rows, and length by the page tables."""
    found = rows_of_request(call, index)
    if found.num_rows <= 0:
        return found
    num_pages, length = length_of(call, index, page_size)
    return Request(index, found.first_row, found.num_rows, num_pages, length)


def length_of(call: TaskCall, index: int, page_size: int) -> tuple[int, int]:
    """Pages and positions of a request."""
    starts = call.meta_tensor("paged_kv_indptr_buffer")
    num_pages = int(starts[index + 1]) - int(starts[index])
    last = int(call.meta_tensor("paged_kv_last_page_len_buffer")[index])
    return num_pages, (num_pages - 1) * page_size + last


def positions(
    call: TaskCall, request: Request, start: int, stop: int, cache: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Page and place in the page of the request's positions `start` to `stop`.

    The cache is (pages, page size, ...). Raises TaskExecutionError where the page table names a
    page that it does not have.
    """
    num_pages, page_size = cache.shape[:2]
    first = int(call.meta_tensor("paged_kv_indptr_buffer")[request.index])
    indices = call.meta_tensor("paged_kv_indices_buffer")
    where = torch.arange(start, stop)
    slots = first + where // page_size
    if len(where) and int(slots[-1]) >= len(indices):
        raise TaskExecutionError(
            f"request {request.index} of length {request.length} needs entry {int(slots[-1])} of "
            f"paged_kv_indices_buffer, which holds {len(indices)}",
            where=call.task_type,
            remedy="Make the page table hold all pages of all requests",
        )
    pages = indices[slots].long()
    wrong = pages[(pages < 0) | (pages >= num_pages)]
    if len(wrong):
        raise TaskExecutionError(
            f"request {request.index} is given page {int(wrong[0])}, and the cache has {num_pages}",
            where=call.task_type,
            remedy="Correct paged_kv_indices_buffer",
        )
    return pages, where % page_size
