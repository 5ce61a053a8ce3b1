"""Tasks that wait to be given to an operator: the columns that recovery needs, with their keys.

A key is what all tasks of one layer share: type, variant and the interned layouts of the slots
(a fused tensor apart, whose tiles lie in several tensors). Keys compare equal when
`fuse_signature` does if they may still be one layer that reads a fused tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpkgraph.catalog import Catalog
from mpkgraph.frozen import dataclass
from mpkgraph.model.distinct import distinct
from mpkgraph.model.graph import SlotLayout, TaskColumns

Int = npt.NDArray[np.int64]
Key = tuple[int, ...]
"""task_type, variant_id, num_inputs, then one layout index a slot."""

AXES = ("x", "y", "z")
LINEAR = 3
"""Column of `coordinates` for x + y * grid.x + z * grid.x * grid.y."""
NUM_COORDINATES = 4
_LOW_16_BITS = 0xFFFF
"""request_id and kv_idx are the low 16 bits of a coordinate; all ones is the preset, no value."""


@dataclass(frozen=True)
class Rows:
    """Columns over tasks in the order of the file; slots as CSR, as in TaskColumns."""

    task_ids: Int
    keys: Int
    dependents: Int
    triggers: Int
    trigger_ids: npt.NDArray[np.uint64]
    coordinates: Int
    """(num_tasks, 4): x, y, z and the linear index as the metadata tell them, -1 where not."""
    slot_starts: Int
    slot_offsets: Int
    slot_layouts: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.task_ids)

    def tail(self, start: int) -> Rows:
        """A copy of the rows from `start` on, which keeps nothing else alive."""
        first = self.slot_starts[start]
        return Rows(
            self.task_ids[start:].copy(),
            self.keys[start:].copy(),
            self.dependents[start:].copy(),
            self.triggers[start:].copy(),
            self.trigger_ids[start:].copy(),
            self.coordinates[start:].copy(),
            self.slot_starts[start:] - first,
            self.slot_offsets[first:].copy(),
            self.slot_layouts[first:].copy(),
        )

    def extended(self, other: Rows) -> Rows:
        """These rows, then the others."""
        if not len(self):
            return other
        return Rows(
            np.concatenate([self.task_ids, other.task_ids]),
            np.concatenate([self.keys, other.keys]),
            np.concatenate([self.dependents, other.dependents]),
            np.concatenate([self.triggers, other.triggers]),
            np.concatenate([self.trigger_ids, other.trigger_ids]),
            np.concatenate([self.coordinates, other.coordinates]),
            np.concatenate([self.slot_starts, other.slot_starts[1:] + self.slot_starts[-1]]),
            np.concatenate([self.slot_offsets, other.slot_offsets]),
            np.concatenate([self.slot_layouts, other.slot_layouts]),
        )


class KeyTable:
    """Interns the keys of tasks and knows which could belong to one layer."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.fuse_signatures: Int = np.empty(0, dtype=np.int64)
        self._positions: dict[Key, int] = {}
        self._fuse_positions: dict[tuple[object, ...], int] = {}
        self._same_layouts: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._layout_positions: dict[tuple[object, ...], int] = {}

    def same_layouts(self, layouts: Sequence[SlotLayout]) -> npt.NDArray[np.int32]:
        """For each layout the first that differs from it in unknown fields at most.

        What a newer Mirage adds to a slot may differ from task to task of one layer.
        """
        known = len(self._same_layouts)
        if len(layouts) > known:
            added = [
                self._layout_positions.setdefault((x.base_ptr, x.data_type, x.dims, x.strides), i)
                for i, x in enumerate(layouts[known:], start=known)
            ]
            self._same_layouts = np.concatenate(
                [self._same_layouts, np.array(added, dtype=np.int32)]
            )
        return self._same_layouts

    def intern(self, runs: list[Key], layouts: Sequence[SlotLayout]) -> Int:
        """Position of each key, new ones appended."""
        positions = self._positions
        found = np.empty(len(runs), dtype=np.int64)
        added = []
        for i, key in enumerate(runs):
            position = positions.get(key)
            if position is None:
                position = positions[key] = len(self.keys)
                self.keys.append(key)
                added.append(self._fuse_signature(key, layouts))
            found[i] = position
        if added:
            self.fuse_signatures = np.concatenate(
                [self.fuse_signatures, np.array(added, dtype=np.int64)]
            )
        return found

    def _fuse_signature(self, key: Key, layouts: Sequence[SlotLayout]) -> int:
        # A fused tensor is only ever read, and its sub-tensors differ in name and strides alone.
        num_inputs = key[2]
        signature = (
            key[:3],
            tuple((layouts[x].data_type, layouts[x].dims) for x in key[3 : 3 + num_inputs]),
            key[3 + num_inputs :],
        )
        return self._fuse_positions.setdefault(signature, len(self._fuse_positions))


def take_rows(
    first_task_id: int,
    tasks: TaskColumns,
    layouts: Sequence[SlotLayout],
    table: KeyTable,
    catalog: Catalog,
) -> Rows:
    """Rows of the tasks that layers emitted: without null tasks, terminate and begin."""
    types = tasks.task_types
    present = distinct(types)
    control = [t for t in present.tolist() if t < 0 or catalog.task_type_row(t).kind == "control"]
    kept = np.flatnonzero(~np.isin(types, control))
    counts = np.diff(tasks.slot_starts)[kept]
    slot_starts = np.zeros(len(kept) + 1, dtype=np.int64)
    np.cumsum(counts, out=slot_starts[1:])
    if len(kept) == len(types) or slot_starts[-1] == tasks.num_slots:
        offsets, slot_layouts = tasks.slot_offsets, tasks.slot_layouts
    else:
        slots = np.repeat(tasks.slot_starts[kept] - slot_starts[:-1], counts)
        slots += np.arange(slot_starts[-1])
        offsets, slot_layouts = tasks.slot_offsets[slots], tasks.slot_layouts[slots]
    slot_layouts = table.same_layouts(layouts)[slot_layouts]
    return Rows(
        task_ids=kept + first_task_id,
        keys=_keys(tasks, kept, counts, slot_starts, slot_layouts, layouts, table),
        dependents=tasks.dependent_indices[kept],
        triggers=tasks.trigger_indices[kept],
        trigger_ids=tasks.trigger_events[kept],
        coordinates=_coordinates(tasks, kept, present, catalog),
        slot_starts=slot_starts,
        slot_offsets=offsets,
        slot_layouts=slot_layouts,
    )


def _keys(
    tasks: TaskColumns,
    kept: Int,
    counts: Int,
    slot_starts: Int,
    slot_layouts: npt.NDArray[np.int32],
    layouts: Sequence[SlotLayout],
    table: KeyTable,
) -> Int:
    if not len(kept):
        return np.empty(0, dtype=np.int64)
    types, variants = tasks.task_types[kept], tasks.variant_ids[kept]
    num_inputs = tasks.num_inputs[kept]
    same = np.zeros(len(kept), dtype=np.bool_)
    same[1:] = (
        (types[1:] == types[:-1])
        & (variants[1:] == variants[:-1])
        & (num_inputs[1:] == num_inputs[:-1])
        & (counts[1:] == counts[:-1])
    )
    owners = np.repeat(np.arange(len(kept)), counts)
    # where the task before has as many slots, the same slot of it lies `counts` slots back
    slots = np.flatnonzero(same[owners])
    differ = slot_layouts[slots] != slot_layouts[slots - counts[owners[slots]]]
    same[owners[slots[differ]]] = False

    starts = np.flatnonzero(~same)
    runs: list[Key] = [
        (kind, variant, inputs, *slot_layouts[begin:end].tolist())
        for kind, variant, inputs, begin, end in zip(
            types[starts].tolist(),
            variants[starts].tolist(),
            num_inputs[starts].tolist(),
            slot_starts[starts].tolist(),
            slot_starts[starts + 1].tolist(),
            strict=True,
        )
    ]
    return np.repeat(table.intern(runs, layouts), np.diff(starts, append=len(kept)))


def _coordinates(
    tasks: TaskColumns, kept: Int, present: npt.NDArray[np.int32], catalog: Catalog
) -> Int:
    columns = {
        "request_id": tasks.request_ids,
        "kv_idx": tasks.kv_idxs,
        "merge_task_offset": tasks.merge_task_offsets,
        "expert_offset": tasks.expert_offsets,
        "task_offset": tasks.task_offsets,
    }
    coordinates = np.full((len(kept), NUM_COORDINATES), -1, dtype=np.int64)
    types = tasks.task_types[kept]
    for task_type in present.tolist():
        positions = np.flatnonzero(types == task_type)
        if not len(positions):
            continue
        for field, axis in catalog.task_type_row(task_type).metadata:
            values = columns[field][kept[positions]].astype(np.int64)
            if field in {"request_id", "kv_idx"}:
                values &= _LOW_16_BITS
                values[values == _LOW_16_BITS] = -1
            coordinates[positions, LINEAR if axis == "linear" else AXES.index(axis)] = values
    return coordinates
