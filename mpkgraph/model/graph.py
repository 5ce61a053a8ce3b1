"""A task graph in memory: read-only columns. A task is an index; objects are made to be shown.

Wire names are kept: the column of `trigger_event` is `trigger_events`, and so on. Ids of events
are unsigned 64-bit throughout. Tensor slots repeat, so a slot is an index into the interned
`SlotLayout`s plus one byte offset; the slots of task `t` are
`slot_starts[t] : slot_starts[t + 1]`, its inputs first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass
from mpkgraph.model import ids
from mpkgraph.model.source import GraphSource

if TYPE_CHECKING:
    import networkx as nx

    from mpkgraph.analysis.summary_result import Summary

__all__ = [
    "EVENT_KEYS",
    "NULL_TASK_TYPE",
    "NULL_TENSOR",
    "SLOT_KEYS",
    "TASK_KEYS",
    "TASK_SCALARS",
    "BoolColumn",
    "EventColumns",
    "ExtraField",
    "GraphSource",
    "Int32Column",
    "Int64Column",
    "Slot",
    "SlotLayout",
    "TaskColumns",
    "TaskGraph",
    "UInt8Column",
    "UInt64Column",
]

Int32Column = npt.NDArray[np.int32]
Int64Column = npt.NDArray[np.int64]
UInt64Column = npt.NDArray[np.uint64]
UInt8Column = npt.NDArray[np.uint8]
BoolColumn = npt.NDArray[np.bool_]

NULL_TENSOR = "nullptr"
"""`base_ptr` of a slot whose tensor was given as None."""

TASK_SCALARS = (
    "task_type",
    "variant_id",
    "dependent_event",
    "trigger_event",
    "request_id",
    "kv_idx",
    "merge_task_offset",
    "expert_offset",
    "task_offset",
)
"""Integer keys of a task in the JSON; `inputs` and `outputs` are the other two."""
TASK_KEYS = (*TASK_SCALARS, "inputs", "outputs")
SLOT_KEYS = ("base_ptr", "data_type", "dims", "offset", "strides")
EVENT_KEYS = ("event_type", "first_task_id", "last_task_id", "num_triggers")

NULL_TASK_TYPE = -1
"""`task_types` entry of a task that the file holds as `null`."""


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """What slots of a graph share: a tensor's name, its type, the tile's dims, the strides.

    `dims` and `strides` are in elements; strides are the whole tensor's. `extra` holds the
    fields that this version of mpkgraph does not know, as (key, JSON value) pairs in key order.
    """

    base_ptr: str
    data_type: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def is_null(self) -> bool:
        """Whether the layer was given None here."""
        return self.base_ptr == NULL_TENSOR and not self.dims


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor slot of one task."""

    layout: SlotLayout
    offset: int
    """Bytes from the tensor's base."""

    @property
    def base_ptr(self) -> str:
        return self.layout.base_ptr

    @property
    def data_type(self) -> int:
        return self.layout.data_type

    @property
    def dims(self) -> tuple[int, ...]:
        return self.layout.dims

    @property
    def strides(self) -> tuple[int, ...]:
        return self.layout.strides


@dataclass(frozen=True, slots=True)
class ExtraField:
    """A field that this version of mpkgraph does not know, kept for every record that has it.

    `codes[i]` indexes `values` for record i; -1 where record i lacks the field.
    """

    values: tuple[Any, ...]
    codes: Int32Column

    def get(self, index: int) -> Any:
        """The JSON value of record `index`. Raises KeyError when the record lacks the field."""
        code = int(self.codes[index])
        if code < 0:
            raise KeyError(index)
        return self.values[code]

    def has(self, index: int) -> bool:
        return int(self.codes[index]) >= 0


@dataclass(frozen=True)
class TaskColumns:
    """Columns over tasks (length `len(self)`) and over their slots (length `num_slots`)."""

    task_types: Int32Column
    variant_ids: Int64Column
    dependent_events: UInt64Column
    trigger_events: UInt64Column
    request_ids: Int32Column
    kv_idxs: Int32Column
    merge_task_offsets: Int32Column
    expert_offsets: Int32Column
    task_offsets: Int32Column
    num_inputs: UInt8Column
    slot_starts: Int64Column
    slot_layouts: Int32Column
    slot_offsets: Int64Column
    extras: Mapping[str, ExtraField] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_read_only(self)

    def __len__(self) -> int:
        return len(self.task_types)

    @property
    def num_slots(self) -> int:
        return len(self.slot_layouts)

    def slot_range(self, task_id: int) -> tuple[int, int]:
        """Where the slots of a task begin and end."""
        start, stop = self.slot_starts[task_id : task_id + 2].tolist()
        return start, stop

    def slots_between(self, start: int, stop: int) -> tuple[Int32Column, Int64Column]:
        """Layouts and offsets of some slots."""
        return self.slot_layouts[start:stop], self.slot_offsets[start:stop]

    def values(self, name: str, places: Int64Column) -> npt.NDArray[Any]:
        """Some values of a column over tasks, or over slots: few are at hand sooner than all."""
        column: npt.NDArray[Any] = getattr(self, name)[places]
        return column

    def slot_counts(self, task_ids: Int64Column) -> Int64Column:
        """How many slots each of some tasks has."""
        counts: Int64Column = self.slot_starts[task_ids + 1] - self.slot_starts[task_ids]
        return counts

    def value(self, name: str, task_id: int) -> int:
        """As `values`, of one task."""
        return int(getattr(self, name)[task_id])

    def starts_of(self, task_ids: Int64Column) -> Int64Column:
        """`slot_starts` of some tasks."""
        starts: Int64Column = self.slot_starts[task_ids]
        return starts

    def event_parts(
        self,
        name: str,
        first: int,  # noqa: ARG002
        last: int,  # noqa: ARG002
    ) -> Iterator[tuple[int, UInt64Column]]:
        """A column of event ids in parts, in order, each with its first task; parts may be left out
        that name no event of an index from `first` to `last`.
        """
        yield 0, getattr(self, name)

    def slots_with(self, layouts: BoolColumn) -> Int64Column:
        """Places, ascending, of the slots whose layout is marked."""
        return np.flatnonzero(layouts[self.slot_layouts])

    def owners_of_slots(self, places: Int64Column) -> Int64Column:
        """`slot_tasks` of some slots."""
        # Of tasks that begin at one place all but the last have no slots
        return np.searchsorted(self.slot_starts, places, side="right") - 1

    @cached_property
    def is_null(self) -> BoolColumn:
        """Tasks that the file holds as `null`."""
        null: BoolColumn = self.task_types == NULL_TASK_TYPE
        return null

    @cached_property
    def slot_tasks(self) -> Int64Column:
        """For each slot the position of its task."""
        return np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.slot_starts))

    @cached_property
    def slot_is_output(self) -> BoolColumn:
        """For each slot whether it is declared as an output."""
        owner = self.slot_tasks
        position = np.arange(self.num_slots, dtype=np.int64) - self.slot_starts[owner]
        outputs: BoolColumn = position >= self.num_inputs[owner]
        return outputs

    @cached_property
    def dependent_indices(self) -> Int64Column:
        """Index part of `dependent_events`; -1 where a task waits on nothing."""
        return ids.event_indices(self.dependent_events)

    @cached_property
    def trigger_indices(self) -> Int64Column:
        """Index part of `trigger_events`; -1 where a task triggers nothing."""
        return ids.event_indices(self.trigger_events)


@dataclass(frozen=True)
class EventColumns:
    """Columns over events. `[first_task_ids, last_task_ids)` is the range that an event gates."""

    event_types: Int32Column
    first_task_ids: UInt64Column
    last_task_ids: UInt64Column
    num_triggers: Int64Column
    extras: Mapping[str, ExtraField] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_read_only(self)

    def __len__(self) -> int:
        return len(self.event_types)


_NO_SOURCE = GraphSource()


@dataclass(frozen=True)
class TaskGraph:
    """One rank's task graph. Columns are numpy arrays that can't be written to."""

    tasks: TaskColumns
    events: EventColumns
    first_tasks: Int64Column
    layouts: tuple[SlotLayout, ...]
    rank: int = 0
    source: GraphSource = _NO_SOURCE
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Top-level fields that this version of mpkgraph does not know."""

    def __post_init__(self) -> None:
        self.first_tasks.flags.writeable = False

    def __repr__(self) -> str:
        counts = f"rank {self.rank}, {self.num_tasks} tasks, {self.num_events} events"
        return f"<TaskGraph {self.source.path or ''}: {counts}>".replace(" :", ":")

    def _repr_html_(self) -> str:
        from mpkgraph.notebook import graph_html

        return graph_html(self)

    def _repr_svg_(self) -> str | None:
        from mpkgraph.notebook import graph_svg

        return graph_svg(self)

    def summary(self) -> Summary:
        """What `mpkgraph show` says of the graph: `mpkgraph.summarise(graph)`.

        >>> import mpkgraph
        >>> graph = mpkgraph.read("examples/decoder/task_graph_rank0.json")
        >>> graph.summary().num_tasks
        364
        """
        from mpkgraph.api import summarise

        return summarise(self)

    def to_networkx(self, **options: Any) -> nx.DiGraph:
        """Tasks and events, or operators and tensors: `mpkgraph.to_networkx(graph, **options)`.

        >>> import mpkgraph
        >>> graph = mpkgraph.read("examples/decoder/task_graph_rank0.json")
        >>> len(graph.to_networkx()), len(graph.to_networkx(kind="operators"))
        (430, 83)
        """
        from mpkgraph.views.networkx import to_networkx

        return to_networkx(self, **options)

    @property
    def num_tasks(self) -> int:
        return len(self.tasks)

    @property
    def num_events(self) -> int:
        return len(self.events)

    @cached_property
    def num_null_tasks(self) -> int:
        """Tasks that the file holds as `null` (a fault of Mirage's generator in some forks)."""
        return int(self.tasks.is_null.sum())

    def slots(self, task_id: int) -> tuple[Slot, ...]:
        """All slots of a task, inputs first."""
        layouts, offsets = self.tasks.slots_between(*self.tasks.slot_range(task_id))
        return tuple(
            Slot(self.layouts[layout], offset)
            for layout, offset in zip(layouts.tolist(), offsets.tolist(), strict=True)
        )

    def inputs(self, task_id: int) -> tuple[Slot, ...]:
        return self.slots(task_id)[: self.tasks.value("num_inputs", task_id)]

    def outputs(self, task_id: int) -> tuple[Slot, ...]:
        return self.slots(task_id)[self.tasks.value("num_inputs", task_id) :]

    @cached_property
    def tensors(self) -> tuple[str, ...]:
        """Names of the tensors in order of first use; `nullptr` is none."""
        places = self.tasks.slot_layouts
        first_slots = np.full(len(self.layouts), len(places), dtype=np.int64)
        # The last assignment to a layout wins: its first slot, when slots come last to first
        first_slots[places[::-1]] = np.arange(len(places) - 1, -1, -1)
        used = (self.layouts[i] for i in np.argsort(first_slots, kind="stable").tolist())
        return tuple(dict.fromkeys(x.base_ptr for x in used if not x.is_null))

    @cached_property
    def layout_tensors(self) -> Int64Column:
        """For each layout the position of its tensor in `tensors`; -1 for a null slot."""
        position = {name: i for i, name in enumerate(self.tensors)}
        return np.array(
            [-1 if x.is_null else position[x.base_ptr] for x in self.layouts], dtype=np.int64
        )


def _make_read_only(columns: TaskColumns | EventColumns) -> None:
    for column in fields(columns):
        value = getattr(columns, column.name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
