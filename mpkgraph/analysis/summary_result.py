"""What a summary holds: counts, operators in order, depth, width, load, largest tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from mpkgraph.analysis.integers import json_integer
from mpkgraph.frozen import dataclass
from mpkgraph.model.source import GraphSource

if TYPE_CHECKING:
    # A summary from the cache is shown without numpy.
    from mpkgraph.analysis.workers import WorkerLoad
    from mpkgraph.model.operator import Grid


@dataclass(frozen=True, slots=True)
class SummarySlot:
    """One tensor of an operator."""

    tensor: str
    """A fused tensor's parts joined by `+`; `nullptr` for None."""
    data_type_name: str
    tile_dims: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "tensor": self.tensor,
            "data_type_name": self.data_type_name,
            "tile_dims": list(self.tile_dims),
        }


@dataclass(frozen=True, slots=True)
class SummaryOperator:
    """One operator of a summary."""

    index: int
    name: str
    """Registered name when recorded, else after the task type."""
    task_type_name: str
    kind: str
    layer_method: str | None
    grid_dim: Grid
    known_grid: tuple[bool, bool, bool]
    num_subtasks: int
    num_tasks: int
    first_task_id: int
    variant_ids: tuple[int, ...]
    inputs: tuple[SummarySlot, ...]
    outputs: tuple[SummarySlot, ...]
    num_events_in: int
    """Distinct events on which its tasks wait."""
    num_events_out: int
    """Distinct events that its tasks trigger, those of other ranks included."""
    bytes_read: int | None
    """Sum over tasks and declared inputs of the tiles' distinct bytes; None where a type has no
    known size."""
    bytes_written: int | None
    """Likewise over declared outputs."""
    layer: int | None
    """Number of the model layer, where names of its tensors tell."""

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "name": self.name,
            "task_type_name": self.task_type_name,
            "kind": self.kind,
            "layer_method": self.layer_method,
            "grid_dim": list(self.grid_dim),
            "known_grid": list(self.known_grid),
            "num_subtasks": self.num_subtasks,
            "num_tasks": self.num_tasks,
            "first_task_id": self.first_task_id,
            "variant_ids": list(self.variant_ids),
            "inputs": [slot.to_json() for slot in self.inputs],
            "outputs": [slot.to_json() for slot in self.outputs],
            "num_events_in": self.num_events_in,
            "num_events_out": self.num_events_out,
            "bytes_read": json_integer(self.bytes_read),
            "bytes_written": json_integer(self.bytes_written),
            "layer": self.layer,
        }


@dataclass(frozen=True, slots=True)
class SummaryTensor:
    """One of the largest tensors."""

    name: str
    data_type_name: str
    dims: tuple[int, ...]
    """Whole extents in elements as far as tiles and operators tell."""
    known_dims: tuple[bool, ...]
    """Whether each is certain; else it is a lower bound."""
    num_bytes: int
    """Bytes that all tiles together span."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "data_type_name": self.data_type_name,
            "dims": list(self.dims),
            "known_dims": list(self.known_dims),
            "num_bytes": json_integer(self.num_bytes),
        }


@dataclass(frozen=True, slots=True)
class Repeat:
    """`count` times the same `period` items, from item `first` on."""

    first: int
    period: int
    count: int
    layers: tuple[int, int] | None = None
    """First and last number of the model layers, where names of tensors tell."""

    @property
    def end(self) -> int:
        """Past the last item."""
        return self.first + self.period * self.count

    def to_json(self) -> dict[str, Any]:
        return {
            "first_operator": self.first,
            "num_operators": self.period,
            "count": self.count,
            "layers": None if self.layers is None else list(self.layers),
        }


@dataclass(frozen=True)
class Summary:
    """A graph on one screen. Depth, width and load are those of the order over all ranks."""

    source: GraphSource
    rank: int
    mirage_version: str | None
    """Mirage's commit, where a record tells."""
    catalog_source: str
    """Where the names of numbers are from."""
    num_tasks: int
    num_null_tasks: int
    num_events: int
    num_first_tasks: int
    num_tensors: int
    task_types: Mapping[str, int]
    """Name to number of tasks, by number of the type; null tasks under `null`."""
    event_types: Mapping[str, int]
    """Name to number of events, by number of the type."""
    operators: tuple[SummaryOperator, ...]
    operators_origin: str | None
    """"recorded" or "recovered"; None without operators."""
    repeats: tuple[Repeat, ...]
    """Operators that come again and again, as the layers of a model do."""
    depth: int
    """Tasks on the longest chain."""
    width: int
    """Largest number of tasks on one level."""
    cycle: tuple[int, ...]
    """Events of one cycle; () for a sound graph."""
    num_remote_triggers: int
    """Tasks that trigger events of other ranks."""
    load: WorkerLoad | None
    """Tasks per worker, where the number of workers was given."""
    largest_tensors: tuple[SummaryTensor, ...]
    """By bytes, then name."""
    extras: Mapping[str, Any] = field(default_factory=dict)
    """Top-level fields that this version of mpkgraph does not know."""

    def __repr__(self) -> str:
        counts = f"{self.num_tasks} tasks, {self.num_events} events"
        shape = f"depth {self.depth}, width {self.width}"
        return f"<Summary: rank {self.rank}, {counts}, {len(self.operators)} operators, {shape}>"

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.source.path,
            "sha256": self.source.sha256,
            "num_bytes": self.source.num_bytes,
            "record_path": self.source.record_path,
            "rank": self.rank,
            "mirage_version": self.mirage_version,
            "catalog": self.catalog_source,
            "num_tasks": self.num_tasks,
            "num_null_tasks": self.num_null_tasks,
            "num_events": self.num_events,
            "num_first_tasks": self.num_first_tasks,
            "num_tensors": self.num_tensors,
            "task_types": dict(self.task_types),
            "event_types": dict(self.event_types),
            "operators": [operator.to_json() for operator in self.operators],
            "operators_origin": self.operators_origin,
            "repeats": [repeat.to_json() for repeat in self.repeats],
            "depth": self.depth,
            "width": self.width,
            "cycle": list(self.cycle),
            "num_remote_triggers": self.num_remote_triggers,
            "workers": None if self.load is None else self.load.to_json(),
            "largest_tensors": [tensor.to_json() for tensor in self.largest_tensors],
            "extras": dict(self.extras),
        }
