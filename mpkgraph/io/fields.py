"""The fields of tasks, slots and events: what each may hold, and one record checked strictly.

This is the definition of a legal record; the faster paths accept nothing else and leave to this
module whatever they are not sure of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mpkgraph.frozen import dataclass
from mpkgraph.io.columns import MAX_SIDE_SLOTS
from mpkgraph.model.graph import EVENT_KEYS, SLOT_KEYS, TASK_KEYS, TASK_SCALARS

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
UINT64_MAX = (1 << 64) - 1
MAX_SHOWN_DIGITS = 40
"""Longer integers are told as a power of ten."""
_CONTAINERS = frozenset({dict, list})
_HUGE = 2.0**63
MAX_EXTRA_DEPTH = 64
"""Nesting of an unknown field's value; what a program writes has a few levels."""


@dataclass(frozen=True, slots=True)
class Range:
    """Integers from `low` to `high`, both included."""

    low: int
    high: int


_INT32 = Range(INT32_MIN, INT32_MAX)
_INT64 = Range(INT64_MIN, INT64_MAX)
_COUNT = Range(0, INT64_MAX)
_ID = Range(0, UINT64_MAX)

TASK_RANGES: Mapping[str, Range] = {
    "task_type": Range(0, INT32_MAX),
    "variant_id": _INT64,
    "dependent_event": _ID,
    "trigger_event": _ID,
    "request_id": _INT32,
    "kv_idx": _INT32,
    "merge_task_offset": _INT32,
    "expert_offset": _INT32,
    "task_offset": _INT32,
}
EVENT_RANGES: Mapping[str, Range] = {
    "event_type": _INT32,
    "first_task_id": _ID,
    "last_task_id": _ID,
    "num_triggers": _COUNT,
}
_KEY_SETS: Mapping[tuple[str, ...], frozenset[str]] = {
    keys: frozenset(keys) for keys in (TASK_KEYS, SLOT_KEYS, EVENT_KEYS)
}
DATA_TYPE_RANGE = _INT32
OFFSET_RANGE = _COUNT
DIM_RANGE = _COUNT
STRIDE_RANGE = _INT64


class BadRecordError(Exception):
    """What is wrong with a record; whoever knows where it is makes an error message of it."""

    def __init__(self, problem: str, remedy: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


@dataclass(slots=True)
class SlotRecord:
    """A checked slot."""

    base_ptr: str
    data_type: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(slots=True)
class TaskRecord:
    """A checked task."""

    scalars: tuple[int, ...]
    """In the order of TASK_SCALARS."""
    inputs: list[SlotRecord]
    outputs: list[SlotRecord]
    extras: Mapping[str, Any]


@dataclass(slots=True)
class EventRecord:
    """A checked event."""

    scalars: tuple[int, ...]
    """In the order of EVENT_KEYS."""
    extras: Mapping[str, Any]


def check_integer(value: Any, allowed: Range, field: str) -> int:
    """`value` if it is an integer in range. Raises BadRecordError."""
    if type(value) is not int:
        if isinstance(value, float):
            raise BadRecordError(f"{field} is {value!r}, not an integer that fits 64 bits")
        raise BadRecordError(f"{field} is {describe(value)}, not an integer")
    if not allowed.low <= value <= allowed.high:
        if value < 0 <= allowed.low:
            raise BadRecordError(f"{field} is {value}, which is negative")
        raise BadRecordError(
            f"{field} is {value}, out of the range {allowed.low} to {allowed.high}"
        )
    return value


def describe(value: Any) -> str:
    """A JSON value in a few words.

    >>> describe("x" * 100), describe([]), describe(True)
    ('the string "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."', 'an array', 'true')
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        short = value if len(value) <= 40 else value[:40] + "..."
        return f"the string {json.dumps(short)}"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "an object"
    return f"the number {value!r}"


def check_depth(value: Any, field: str) -> Any:
    """`value` if it is nested no deeper than MAX_EXTRA_DEPTH. Raises BadRecordError."""
    level = [value]
    for _ in range(MAX_EXTRA_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return value
    raise BadRecordError(f"{field} is nested deeper than {MAX_EXTRA_DEPTH} levels")


def check_task(doc: Any) -> TaskRecord:
    """A task's fields from its parsed JSON. Raises BadRecordError."""
    _check_keys(doc, TASK_KEYS)
    scalars = tuple(check_integer(doc[name], TASK_RANGES[name], name) for name in TASK_SCALARS)
    return TaskRecord(
        scalars=scalars,
        inputs=_check_slots(doc["inputs"], "inputs"),
        outputs=_check_slots(doc["outputs"], "outputs"),
        extras=unknown_fields(doc, TASK_KEYS),
    )


def check_event(doc: Any) -> EventRecord:
    """An event's fields from its parsed JSON. Raises BadRecordError."""
    _check_keys(doc, EVENT_KEYS)
    scalars = tuple(check_integer(doc[name], EVENT_RANGES[name], name) for name in EVENT_KEYS)
    return EventRecord(scalars=scalars, extras=unknown_fields(doc, EVENT_KEYS))


def check_slot(doc: Any, field: str) -> SlotRecord:
    """A slot's fields from its parsed JSON. Raises BadRecordError."""
    try:
        return _plain_slot(doc)
    except (LookupError, TypeError, AttributeError):
        pass
    _check_keys(doc, SLOT_KEYS, f"{field} ")
    base_ptr = doc["base_ptr"]
    if type(base_ptr) is not str:
        raise BadRecordError(f"{field}.base_ptr is {describe(base_ptr)}, not a string")
    dims = _check_integers(doc["dims"], DIM_RANGE, f"{field}.dims")
    strides = _check_integers(doc["strides"], STRIDE_RANGE, f"{field}.strides")
    if len(dims) != len(strides):
        raise BadRecordError(
            f"{field} is ragged: {len(dims)} dims but {len(strides)} strides",
            "A tile has one stride for each dim.",
        )
    return SlotRecord(
        base_ptr=base_ptr,
        data_type=check_integer(doc["data_type"], DATA_TYPE_RANGE, f"{field}.data_type"),
        dims=dims,
        strides=strides,
        offset=check_integer(doc["offset"], OFFSET_RANGE, f"{field}.offset"),
        extra=tuple(sorted(unknown_fields(doc, SLOT_KEYS).items())),
    )


def _plain_slot(doc: Any) -> SlotRecord:
    """The slot, if nothing is wrong or unknown in it: the usual case, quickly. Raises LookupError
    or the like otherwise.
    """
    base_ptr, data_type, offset = doc["base_ptr"], doc["data_type"], doc["offset"]
    dims, strides = doc["dims"], doc["strides"]
    integers = [data_type, offset, *dims, *strides]
    if not (
        len(doc) == len(SLOT_KEYS)
        and type(base_ptr) is str
        and type(dims) is list
        and type(strides) is list
        and len(dims) == len(strides)
        and set(map(type, integers)) == {int}
        and max(integers) <= INT32_MAX
        and min(integers) >= 0
    ):
        raise LookupError
    return SlotRecord(base_ptr, data_type, tuple(dims), tuple(strides), offset)


def _check_keys(doc: Any, keys: tuple[str, ...], prefix: str = "") -> None:
    if type(doc) is not dict:
        raise BadRecordError(f"{prefix}is {describe(doc)}, not an object".lstrip())
    if doc.keys() >= _KEY_SETS[keys]:
        return
    for key in keys:
        if key not in doc:
            raise BadRecordError(
                f"{prefix}has no field {key!r}",
                "Generate the graph again; this version of mpkgraph needs the field.",
            )


def _check_slots(value: Any, side: str) -> list[SlotRecord]:
    if value is None:
        return []
    if type(value) is not list:
        raise BadRecordError(f"{side} is {describe(value)}, not an array or null")
    if len(value) > MAX_SIDE_SLOTS:
        raise BadRecordError(f"{side} has {len(value)} slots, more than {MAX_SIDE_SLOTS}")
    return [check_slot(slot, f"{side}[{i}]") for i, slot in enumerate(value)]


def _check_integers(value: Any, allowed: Range, field: str) -> tuple[int, ...]:
    if type(value) is not list:
        raise BadRecordError(f"{field} is {describe(value)}, not an array")
    if not value or (
        set(map(type, value)) == {int} and allowed.low <= min(value) and max(value) <= allowed.high
    ):
        return tuple(value)
    return tuple(check_integer(x, allowed, f"{field}[{i}]") for i, x in enumerate(value))


def unknown_fields(doc: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """What an object that has all `keys` holds besides. Raises BadRecordError for a value that is
    nested too deep.
    """
    if len(doc) == len(keys):
        return {}
    return {key: check_depth(value, key) for key, value in doc.items() if key not in keys}


def duplicate_key(text: bytes) -> str | None:
    """The first key that some object of a valid JSON text has twice; None if there is none."""
    found: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                found.append(key)
            seen.add(key)

    try:
        json.loads(text, object_pairs_hook=check)
    except RecursionError:
        raise BadRecordError("nested too deep for a task graph") from None
    return found[0] if found else None


def check_text(text: bytes, value: Any) -> None:
    """Raises BadRecordError for what a parser let pass: a key twice, an integer cut to a float."""
    if text.count(b":") != count_nested_keys(value):
        key = duplicate_key(text)
        if key is not None:
            raise BadRecordError(f"the key {key!r} appears twice in one object")
    if has_huge_number(value):
        check_integers_exact(text)


def has_huge_number(value: Any) -> bool:
    """Whether a parsed JSON value holds a float that may have been an integer beyond 64 bits."""
    if type(value) is float:
        return not -_HUGE < value < _HUGE
    if type(value) is dict:
        return any(map(has_huge_number, value.values()))
    return type(value) is list and any(map(has_huge_number, value))


def check_integers_exact(text: bytes) -> None:
    """Raises BadRecordError when a valid JSON text holds an integer beyond 64 bits.

    The parser would have made a float of it.
    """

    def check(digits: str) -> int:
        if len(digits) > 20 or not INT64_MIN <= int(digits) <= UINT64_MAX:
            raise BadRecordError(f"holds the integer {digits[:24]}, which does not fit 64 bits")
        return int(digits)

    json.loads(text, parse_int=check)


def exact(text: bytes) -> Any:
    """A valid JSON text parsed with integers of any size, where the fast parser makes floats.

    >>> exact(b'{"task_type": 36893488147419103232}')
    {'task_type': 36893488147419103232}
    """

    def parse(digits: str) -> int | float:
        return int(digits) if len(digits) <= MAX_SHOWN_DIGITS else float(digits)

    return json.loads(text, parse_int=parse)


def count_nested_keys(value: Any) -> int:
    """Keys in all objects of a parsed JSON value."""
    if type(value) is not dict and type(value) is not list:
        return 0
    total = 0
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            total += len(item)
            stack += [child for child in item.values() if type(child) in _CONTAINERS]
        elif type(item) is list:
            stack += [child for child in item if type(child) in _CONTAINERS]
    return total
