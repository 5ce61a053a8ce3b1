"""Hypothesis strategies for task graphs that the format allows, as documents and as graphs.

    @given(strategies.task_graphs())
    def test_writes(graph): ...

`documents()` draws what `json.loads` returns for such a file; `task_graphs()` the `TaskGraph`
that the naive loader makes of it. Both take an `Options`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import strategies as st

from mpkgraph.model.graph import EVENT_KEYS, NULL_TENSOR, SLOT_KEYS, TASK_KEYS, TaskGraph
from mpkgraph.model.ids import EVENT_INVALID_ID, EventId, decode_event_id
from tests.naive import TOP_KEYS, graph_from_document


@dataclass(frozen=True)
class Options:
    """What a drawn graph may hold. The defaults draw all that the format allows."""

    max_tasks: int = 12
    """Tasks after the two fixed ones."""
    max_events: int = 5
    """Events after the two fixed ones."""
    max_slots: int = 4
    """Inputs, and outputs, of one task."""
    null_tasks: bool = True
    extras: bool = True
    """Fields that the format does not know: at the top, in tasks, in slots and in events."""
    foreign_events: bool = True
    """Events of another rank, with and without the NVSHMEM tag."""
    wild_ids: bool = True
    """Event ids, task ranges and first tasks that point nowhere, up to 64 bits."""
    odd_names: bool = True
    """Tensor names of any Unicode text: empty, quotes, controls, percent signs."""


ANY = Options()
PLAIN = Options(
    null_tasks=False, extras=False, foreign_events=False, wild_ids=False, odd_names=False
)
"""What Mirage writes for one GPU."""

TASK_TYPES = (101, 102, 104, 111, 116, 151, 154, 160, 164, 198)
DATA_TYPES = (920, 930, 940, 941, 950, 965, 999)
EVENT_TYPES = (900, 901, 902, 910, 911)

MAX_RANK = 3

_UINT64 = st.integers(0, 2**64 - 1)
_INT63 = st.integers(0, 2**63 - 1)
_PLAIN_NAMES = st.sampled_from(["x", "layer_0_qkv_proj", "lm_head", "k_cache", "mlp_out"])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# Strategies are made once: hypothesis checks each anew, which takes longer than to draw from it
_ODD_NAMES = _TEXT | st.sampled_from(['a"b', "a\\b", "%d%s%%", "\x00\x1f\x7f", "\u2028é名😀"])
_NAMES = _PLAIN_NAMES | _ODD_NAMES
_OFFSETS = st.sampled_from([0, 4096]) | _INT63


@cache
def json_values(max_leaves: int = 4) -> st.SearchStrategy[Any]:
    """Any JSON value whose numbers a 64-bit parser keeps."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _ODD_NAMES
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ODD_NAMES, inner, max_size=3),
        max_leaves=max_leaves,
    )


@st.composite
def slots(draw: st.DrawFn, options: Options = ANY) -> dict[str, Any]:
    """One tensor slot as a JSON object."""
    if draw(st.integers(0, 9)) == 0:
        return {
            "base_ptr": NULL_TENSOR,
            "data_type": 999,
            "dims": [],
            "offset": 0,
            "strides": [],
        }
    dims = draw(st.lists(st.integers(1, 2**12), min_size=0, max_size=4))
    strides = [draw(st.integers(0, 2**40)) for _ in dims]
    slot = {
        "base_ptr": draw(_NAMES if options.odd_names else _PLAIN_NAMES),
        "data_type": draw(st.sampled_from(DATA_TYPES)),
        "dims": dims,
        "offset": draw(_OFFSETS),
        "strides": strides,
    }
    return slot | draw(_unknown(options, SLOT_KEYS))


@cache
def metadata() -> st.SearchStrategy[dict[str, int]]:
    """The five metadata fields of a task: views of the same eight bytes."""
    return st.binary(min_size=8, max_size=8).map(_metadata) | st.just(_metadata(b"\xff" * 8))


@cache
def event_ids(num_events: int, rank: int, options: Options = ANY) -> st.SearchStrategy[int]:
    """An event id, or "no event", for a graph of `num_events` events."""
    foreign = options.foreign_events
    known = st.builds(
        lambda owner, index, tag: EventId(owner, index, tag).encode(),
        st.integers(0, MAX_RANK) if foreign else st.just(rank),
        st.integers(0, num_events - 1),
        st.booleans() if foreign else st.just(value=False),
    )
    found = known | st.just(EVENT_INVALID_ID)
    return found | _UINT64 if options.wild_ids else found


@st.composite
def documents(draw: st.DrawFn, options: Options = ANY) -> dict[str, Any]:
    """A task graph's file, parsed. Task 0 and 1 and event 0 and 1 are the fixed ones."""
    own = draw(st.integers(0, MAX_RANK)) if options.foreign_events else 0
    num_events = 2 + draw(st.integers(0, options.max_events))
    # Few distinct slots, so that layouts and whole tasks repeat as they do in real graphs.
    pool = draw(st.lists(slots(options), min_size=1, max_size=6))
    some_slots = st.lists(st.sampled_from(pool), max_size=options.max_slots)
    ids = event_ids(num_events, own, options)
    begin = EventId(own, 1, nvshmem=False).encode()
    tasks: list[Any] = [fixed_task(0, EVENT_INVALID_ID), fixed_task(10, begin)]
    for _ in range(draw(st.integers(0, options.max_tasks))):
        if options.null_tasks and draw(st.integers(0, 7)) == 0:
            tasks.append(None)
            continue
        task = {
            "task_type": draw(st.sampled_from(TASK_TYPES)),
            "variant_id": draw(st.integers(0, 3)),
            "dependent_event": draw(ids),
            "trigger_event": draw(ids),
            "inputs": draw(some_slots) or None,
            "outputs": draw(some_slots) or None,
        }
        tasks.append(task | draw(metadata()) | draw(_unknown(options, TASK_KEYS)))
    task_ids = st.integers(0, len(tasks))
    ends = task_ids | _UINT64 if options.wild_ids else task_ids
    events = [event(911, 0, 0, 1), event(903, 2, len(tasks), 1)]
    for _ in range(num_events - 2):
        first, last = sorted((draw(ends), draw(ends)))
        drawn = event(draw(st.sampled_from(EVENT_TYPES)), first, last, draw(st.integers(0, 9)))
        events.append(drawn | draw(_unknown(options, EVENT_KEYS)))
    first_tasks = draw(st.lists(st.integers(2, max(2, len(tasks) - 1)), max_size=4, unique=True))
    return {
        "all_events": events,
        "all_tasks": tasks,
        "first_tasks": first_tasks if len(tasks) > 2 and first_tasks else None,
        **draw(_unknown(options, TOP_KEYS)),
    }


def task_graphs(options: Options = ANY) -> st.SearchStrategy[TaskGraph]:
    """A task graph; its rank is that of its event ids."""
    return documents(options).map(lambda document: graph_from_document(document, rank(document)))


def rank(document: dict[str, Any]) -> int:
    """The rank that owns the event of task 1."""
    event_id = decode_event_id(document["all_tasks"][1]["trigger_event"])
    return event_id.rank if event_id else 0


def _metadata(union: bytes) -> dict[str, int]:
    request_id, kv_idx, merge_task_offset = struct.unpack("<hHi", union)
    (both,) = struct.unpack_from("<i", union)
    return {
        "request_id": request_id,
        "kv_idx": kv_idx,
        "merge_task_offset": merge_task_offset,
        "expert_offset": both,
        "task_offset": both,
    }


def fixed_task(task_type: int, trigger_event: int) -> dict[str, Any]:
    """A task without slots and metadata, as tasks 0 and 1 are."""
    return {
        "task_type": task_type,
        "variant_id": 0,
        "dependent_event": EVENT_INVALID_ID,
        "trigger_event": trigger_event,
        "inputs": None,
        "outputs": None,
        **_metadata(b"\xff" * 8),
        "kv_idx": -1,
    }


def event(event_type: int, first: int, last: int, num_triggers: int) -> dict[str, Any]:
    """An event as a JSON object."""
    return {
        "event_type": event_type,
        "first_task_id": first,
        "last_task_id": last,
        "num_triggers": num_triggers,
    }


@cache
def _unknown(options: Options, known: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    if not options.extras:
        return st.just({})
    keys = st.sampled_from(["a_new_field", "zz"]) | _ODD_NAMES
    some = st.dictionaries(keys.filter(lambda key: key not in known), json_values(), max_size=2)
    return st.just({}) | some
