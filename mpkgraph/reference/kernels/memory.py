"""Memory as a kernel sees it: a pointer, and arithmetic of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mpkgraph.reference.call import TaskCall, TaskExecutionError


def reach(
    call: TaskCall,
    view: torch.Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    offset: int = 0,
) -> torch.Tensor:
    """The elements that a kernel reaches from the start of a tile with strides of its own.

    Sizes, strides and offset are in elements. Raises TaskExecutionError where they leave the
    memory that the view belongs to.
    """
    start = view.storage_offset() + offset
    last = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    held = view.untyped_storage().nbytes() // view.element_size()
    if 0 not in size and not 0 <= last < held:
        raise TaskExecutionError(
            f"the kernel reaches element {last} of memory that holds {held}",
            where=call.task_type,
            remedy="Check the shapes of the layer's tensors against its params",
        )
    return view.as_strided(tuple(size), tuple(stride), start)


def rows_of(call: TaskCall, view: torch.Tensor, columns: int, rows: int) -> torch.Tensor:
    """The memory from the start of a tile on as (rows, columns), dense."""
    return reach(call, view, (rows, columns), (columns, 1))


def flat(call: TaskCall, view: torch.Tensor) -> torch.Tensor:
    """The view's elements as one dimension that can be written."""
    if view.is_contiguous():
        return view.view(-1)
    return reach(call, view, (view.numel(),), (1,))


def as_type(view: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The same memory read as another type, as a kernel does that does not look at the declared.

    The last dim must be dense where sizes of elements differ.
    """
    return view if view.dtype == dtype else view.view(dtype)
