"""Who computes in parallel: whole chunks of work, one thread each, not the threads in an operation.

A run is many short calls. Torch's own threads meet after each, and spin while they wait, which on a
busy machine takes longer than the work. So while a pipeline is validated torch has one thread, and
what is worth it is handed out in spans to as many threads as torch had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar

MIN_ELEMS = 1 << 20
"""A thread's share that is worth handing out: a millisecond."""

Work = Callable[[int, int], None]
"""Does rows `start` to `stop`; not more than one thread is given a row."""

_POOL: ContextVar[tuple[ThreadPoolExecutor, int] | None] = ContextVar("threads", default=None)


@contextmanager
def spans_instead_of_operations() -> Iterator[None]:
    """Within it torch has one thread, and `in_spans` as many as torch had before."""
    import torch

    count = torch.get_num_threads()
    if count == 1 or _POOL.get() is not None:
        yield
        return
    torch.set_num_threads(1)
    with ThreadPoolExecutor(count, "mpkgraph-sums") as pool:
        token = _POOL.set((pool, count))
        try:
            yield
        finally:
            _POOL.reset(token)
            torch.set_num_threads(count)


def in_spans(work: Work, rows: int, elems_in_row: int, step: int) -> None:
    """Call `work` for all rows: at once, or for spans of a multiple of `step` rows in threads."""
    found = _POOL.get()
    shares = 1 if found is None else min(found[1], rows * elems_in_row // MIN_ELEMS)
    if found is None or shares < 2:
        work(0, rows)
        return
    span = -(-rows // (shares * step)) * step
    starts = range(0, rows, span)
    for result in [found[0].submit(work, x, min(x + span, rows)) for x in starts]:
        result.result()
