"""Event and task ids: 64-bit values, decoded with integer arithmetic only.

Event id: bits 0-31 index into `all_events`, bits 32-47 the rank (GPU) that owns the event; the
tag `EVENT_NVSHMEM_TAG` marks events that are counted through NVSHMEM. Task ids in the JSON are
positions in `all_tasks`; the runtime puts the iteration number in the upper 32 bits.
Source: Mirage `include/mirage/persistent_kernel/runtime_header.h` at `de8745d`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

EVENT_INVALID_ID = 0x7FFFFFFFFFFFFFFE
"""`trigger_event` or `dependent_event` of a task that triggers nothing or waits on nothing."""
TASK_INVALID_ID = 0x7FFFFFFFFFFFFFFF
EVENT_NVSHMEM_TAG = 0x1E00000000000000
EVENT_INDEX_MASK = 0xFFFFFFFF
EVENT_RANK_SHIFT = 32
EVENT_RANK_MASK = 0xFFFF

TERMINATE_TASK_ID = 0
BEGIN_TASK_ID = 1
NUM_FIXED_TASKS = 2
"""Tasks 0 (TASK_TERMINATE) and 1 (TASK_BEGIN_TASK_GRAPH) belong to no layer."""


class EventId(NamedTuple):
    """A decoded event id."""

    rank: int
    event_index: int
    nvshmem: bool

    def encode(self) -> int:
        """The 64-bit id.

        >>> hex(EventId(rank=1, event_index=7, nvshmem=True).encode())
        '0x1e00000100000007'
        """
        tag = EVENT_NVSHMEM_TAG if self.nvshmem else 0
        return tag | (self.rank << EVENT_RANK_SHIFT) | self.event_index


def decode_event_id(event_id: int) -> EventId | None:
    """The parts of an event id; None for `EVENT_INVALID_ID`.

    >>> decode_event_id(0x1e00000100000007)
    EventId(rank=1, event_index=7, nvshmem=True)
    """
    if event_id == EVENT_INVALID_ID:
        return None
    return EventId(
        rank=(event_id >> EVENT_RANK_SHIFT) & EVENT_RANK_MASK,
        event_index=event_id & EVENT_INDEX_MASK,
        nvshmem=bool(event_id & EVENT_NVSHMEM_TAG),
    )


def event_indices(event_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Index into `all_events` of the owning rank for each id; -1 where there is no event."""
    indices: npt.NDArray[np.int64] = (event_ids & np.uint64(EVENT_INDEX_MASK)).astype(np.int64)
    indices[event_ids == np.uint64(EVENT_INVALID_ID)] = -1
    return indices


def event_ranks(event_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Rank that owns each event; -1 where there is no event."""
    ranks: npt.NDArray[np.int64] = (
        (event_ids >> np.uint64(EVENT_RANK_SHIFT)) & np.uint64(EVENT_RANK_MASK)
    ).astype(np.int64)
    ranks[event_ids == np.uint64(EVENT_INVALID_ID)] = -1
    return ranks


def event_is_nvshmem(event_ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Whether each id carries the NVSHMEM tag; False where there is no event."""
    tagged: npt.NDArray[np.bool_] = (event_ids & np.uint64(EVENT_NVSHMEM_TAG)) != 0
    tagged[event_ids == np.uint64(EVENT_INVALID_ID)] = False
    return tagged
