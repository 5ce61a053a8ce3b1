"""JSON text of generated graphs: Mirage's own layout, and other legal ones.

A record's text is made once per layer with holes for the integers that differ from task to task;
filling the holes is one `%` per task, which is what makes gigabytes come in seconds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np

from benchmarks.chain import Chain, Emission, EventTable, Int64Array, Split
from mpkgraph.model.graph import EVENT_KEYS
from mpkgraph.model.ids import EVENT_INVALID_ID, EVENT_RANK_SHIFT

KeyOrder = Literal["sorted", "shuffled", "random"]
Level = Literal["task", "slot", "metadata"]

BEGIN_TASK_TYPE = 10
LAUNCH_EVENT_INDEX = 1
"""The event that task 1 triggers."""
WRITE_TASKS = 4096
"""Tasks joined into one write: a few MB."""
METADATA_KEYS = ("expert_offset", "kv_idx", "merge_task_offset", "request_id", "task_offset")
_MARKS: Mapping[Level, str] = {"task": "task_type", "slot": "base_ptr"}
"""A key that only records of a level have."""
ODD_SPACES = ("", "", " ", "  ", "\n", "\t", "\r\n ", " \n\t ")
BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Hole:
    """An integer that differs from record to record: the position of its column."""

    column: int


@dataclass(frozen=True)
class Layout:
    r"""How a graph is laid out as text; the default is nlohmann's `dump(2)`, as Mirage writes it.

    `indent`: blanks or a text for each level, None is compact. `key_order`: "sorted" as Mirage's,
    "shuffled" once for the whole file, "random" anew for every object, or where `random_level`
    says: the keys of tasks, of slots, or the five of the metadata among themselves.
    `escaped_keys`: each key's first letter as `\u00XX`. `odd_space`: spaces, tabs and line ends
    at random around every token.
    """

    indent: int | str | None = 2
    newline: str = "\n"
    key_order: KeyOrder = "sorted"
    random_level: Level | None = None
    escaped_keys: bool = False
    odd_space: bool = False
    byte_order_mark: bool = False
    seed: int = 0
    _random: random.Random = field(init=False, repr=False, compare=False)
    _unit: str | None = field(init=False, repr=False, compare=False)
    _orders: dict[tuple[str, ...], list[str]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_random", random.Random(self.seed))
        unit = " " * self.indent if isinstance(self.indent, int) else self.indent
        object.__setattr__(self, "_unit", unit)

    @property
    def differs_by_record(self) -> bool:
        """Whether two records have no text in common."""
        return self.key_order == "random" or self.odd_space

    def space(self) -> str:
        """What may stand around a token besides what the indentation asks for."""
        return self._random.choice(ODD_SPACES) if self.odd_space else ""

    def key(self, key: str) -> str:
        """A key and its colon."""
        spelled = f"\\u{ord(key[0]):04x}{key[1:]}" if self.escaped_keys else key
        return f'"{spelled}"{self.space()}:{"" if self.indent is None else " "}{self.space()}'

    def line_break(self, depth: int) -> str:
        if self._unit is None:
            return self.space()
        return self.newline + self._unit * depth + self.space()

    def order_keys(self, keys: Iterable[str]) -> list[str]:
        in_order = sorted(keys)
        if self.key_order == "sorted":
            return in_order
        if self.key_order == "random":
            return self._random_order(in_order)
        known = self._orders.get(tuple(in_order))
        if known is None:
            known = self._random.sample(in_order, len(in_order))
            self._orders[tuple(in_order)] = known
        return known

    def _random_order(self, keys: list[str]) -> list[str]:
        moved = keys
        if self.random_level == "metadata":
            moved = [key for key in keys if key in METADATA_KEYS]
        elif self.random_level is not None and _MARKS[self.random_level] not in keys:
            return keys
        others = iter(self._random.sample(moved, len(moved)))
        return [next(others) if key in moved else key for key in keys]

    def separator(self, depth: int) -> str:
        """What stands between two items of an array or object whose items are at `depth`."""
        return self.space() + "," + self.line_break(depth)

    def template(self, value: Any, depth: int, columns: list[int]) -> str:
        """`value` as a `%` format; the columns of its holes are appended in order of the text."""
        if isinstance(value, Hole):
            columns.append(value.column)
            return "%d"
        if type(value) is int:
            return str(value)
        if isinstance(value, Mapping):
            items = [
                self.key(key) + self.template(value[key], depth + 1, columns)
                for key in self.order_keys(value)
            ]
            return self._bracket("{", items, "}", depth)
        if isinstance(value, list | tuple):
            return self._bracket(
                "[", [self.template(item, depth + 1, columns) for item in value], "]", depth
            )
        return json.dumps(value).replace("%", "%%")

    def _bracket(self, left: str, items: Sequence[str], right: str, depth: int) -> str:
        if not items:
            return left + right
        inside = items[0] + "".join(self.separator(depth + 1) + item for item in items[1:])
        return f"{left}{self.line_break(depth + 1)}{inside}{self.line_break(depth)}{right}"


MIRAGE = Layout()
COMPACT = Layout(indent=None)


def write_chain(chain: Chain, stream: BinaryIO, layout: Layout = MIRAGE) -> int:
    """Write a chain's task graph; the number of bytes."""
    sections: dict[str, Callable[[], Iterator[list[str]]]] = {
        "all_events": lambda: _event_texts(chain.events, layout),
        "all_tasks": lambda: _task_texts(chain, layout),
        "first_tasks": lambda: ([str(task)] for task in chain.first_tasks),
    }
    num_bytes = 0
    separator = (BYTE_ORDER_MARK if layout.byte_order_mark else "") + "{" + layout.line_break(1)
    for key in layout.order_keys(sections):
        num_bytes += stream.write(f"{separator}{layout.key(key)}[".encode())
        separator = layout.line_break(2)
        for texts in sections[key]():
            joined = layout.separator(2).join(texts)
            num_bytes += stream.write((separator + joined).encode())
            separator = layout.separator(2)
        num_bytes += stream.write((layout.line_break(1) + "]").encode())
        separator = layout.separator(1)
    return num_bytes + stream.write((layout.line_break(0) + "}").encode())


def _event_texts(events: EventTable, layout: Layout) -> Iterator[list[str]]:
    record = {key: Hole(column) for column, key in enumerate(EVENT_KEYS)}
    yield from _fill(record, list(events.rows()), layout)


def _task_texts(chain: Chain, layout: Layout) -> Iterator[list[str]]:
    begin = chain.rank << EVENT_RANK_SHIFT | LAUNCH_EVENT_INDEX
    for task_type, trigger_event in ((0, EVENT_INVALID_ID), (BEGIN_TASK_TYPE, begin)):
        record = {
            "dependent_event": EVENT_INVALID_ID,
            "expert_offset": -1,
            "inputs": None,
            "kv_idx": -1,
            "merge_task_offset": -1,
            "outputs": None,
            "request_id": -1,
            "task_offset": -1,
            "task_type": task_type,
            "trigger_event": trigger_event,
            "variant_id": 0,
        }
        yield from _fill(record, [()], layout)
    for emission in chain.emissions():
        record, rows = _task_record(chain, emission)
        yield from _fill(record, rows, layout)


def _fill(
    record: Mapping[str, Any], rows: Sequence[tuple[int, ...]], layout: Layout
) -> Iterator[list[str]]:
    """The record once per row, some thousands of texts at a time."""
    for start in range(0, len(rows), WRITE_TASKS):
        batch = rows[start : start + WRITE_TASKS]
        if layout.differs_by_record:
            yield [_fill_once(record, row, layout) for row in batch]
            continue
        columns: list[int] = []
        template = layout.template(record, 2, columns)
        if columns == list(range(len(batch[0]))):
            yield [template % row for row in batch]
        else:
            yield [template % tuple(row[column] for column in columns) for row in batch]


def _fill_once(record: Mapping[str, Any], row: tuple[int, ...], layout: Layout) -> str:
    columns: list[int] = []
    template = layout.template(record, 2, columns)
    return template % tuple(row[column] for column in columns)


def _task_record(chain: Chain, emission: Emission) -> tuple[dict[str, Any], list[tuple[int, ...]]]:
    """The record of a layer's tasks with holes, and the integers of each task.

    Columns are added in the order of Mirage's text, so that its layout needs no reordering.
    """
    columns: list[list[int]] = []

    def hole(values: Int64Array | list[int]) -> Hole | int:
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        if min(listed) == max(listed):
            return listed[0]
        columns.append(listed)
        return Hole(len(columns) - 1)

    layer = emission.layer
    metadata = _metadata(emission)

    def slots(splits: Sequence[Split], first_offset: int) -> list[dict[str, Any]]:
        return [
            {
                "base_ptr": split.tensor.name,
                "data_type": split.tensor.data_type,
                "dims": split.tile_dims(layer.grid_dim),
                "offset": hole(split.offsets(layer.grid_dim, emission.points) + first_offset),
                "strides": split.tensor.strides,
            }
            for split in splits
        ]

    record: dict[str, Any] = {
        "dependent_event": hole(emission.dependent_events),
        "expert_offset": hole(metadata["expert_offset"]),
        "inputs": slots(layer.inputs, 0),
        "kv_idx": hole(metadata["kv_idx"]),
        "merge_task_offset": hole(metadata["merge_task_offset"]),
        "outputs": slots(layer.outputs, _plane_offset(chain, emission)),
        "request_id": hole(metadata["request_id"]),
        "task_offset": hole(metadata["task_offset"]),
        "task_type": layer.row.value,
        "trigger_event": hole(emission.trigger_events),
        "variant_id": emission.variant_id,
    }
    rows: list[tuple[int, ...]] = [()] * emission.num_tasks
    if columns:
        rows = list(zip(*columns, strict=True))
    return record, rows


def _plane_offset(chain: Chain, emission: Emission) -> int:
    """Bytes to this rank's plane of the buffer that a put writes."""
    if not emission.layer.is_put:
        return 0
    source = emission.layer.inputs[0].tensor
    return chain.rank * source.dims[0] * source.strides[0] * source.element_bytes


def _metadata(emission: Emission) -> dict[str, Int64Array]:
    """The five views of the metadata's eight bytes, which are all ones until written to."""
    x, y, z = emission.points
    width, height, _ = emission.layer.grid_dim
    coordinates = {"x": x, "y": y, "z": z, "linear": x + y * width + z * width * height}
    low = np.full(emission.num_tasks, 0xFFFFFFFF, dtype=np.int64)
    merge = np.full(emission.num_tasks, -1, dtype=np.int64)
    for name, axis in (("request_id", "x"), *emission.layer.row.metadata):
        value = coordinates[axis]
        if name == "request_id":
            low = low & 0xFFFF0000 | value & 0xFFFF
        elif name == "kv_idx":
            low = low & 0xFFFF | (value & 0xFFFF) << 16
        elif name == "merge_task_offset":
            merge = value
        else:
            low = value & 0xFFFFFFFF
    whole = low.astype(np.uint32).view(np.int32).astype(np.int64)
    return {
        "request_id": (low & 0xFFFF).astype(np.uint16).view(np.int16).astype(np.int64),
        "kv_idx": low >> 16,
        "merge_task_offset": merge,
        "expert_offset": whole,
        "task_offset": whole,
    }
