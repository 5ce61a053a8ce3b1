"""The text of tasks, as `io.writer` lays a graph out.

Tasks of one layer follow each other and differ in a few integers, so the text of a run of them is
one template, repeated, and its integers formatted in one go. Few combinations of slot layouts
occur: each is laid out once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mpkgraph.io.nlohmann import array_text, dump, dump_str, line_start, object_text
from mpkgraph.io.text_parts import Piece, add_unknown, extra_members, extra_rows, interleave
from mpkgraph.model.graph import SLOT_KEYS, TASK_KEYS, TASK_SCALARS, SlotLayout, TaskColumns

RECORD_LEVEL = 2
"""Depth of an element of `all_tasks`."""
RECORD_SEPARATOR = b"," + line_start(RECORD_LEVEL)
BLOCK_TASKS = 2048
BATCH_BYTES = 1 << 18
"""A batch ends with the task that reaches it: memory stays at a few times this."""
TEMPLATE_BYTES = 1 << 25
"""Templates are forgotten beyond this, for graphs in which they do not repeat."""
CACHED_LAYOUTS = 1 << 16
CHANGING_SHARE = 1 / 16
"""A scalar that differs from one task to the next more often than this, where nothing else does,
is formatted task by task; any other is part of the template."""

_SLOT_LEVEL = 4
_NULL = b"null"

_Bools = npt.NDArray[np.bool_]
_Int64s = npt.NDArray[np.int64]


def task_batches(tasks: TaskColumns, layouts: tuple[SlotLayout, ...]) -> Iterator[bytes]:
    """The elements of `all_tasks`, some `BATCH_BYTES` of them at a time, separators between."""
    templates = _Templates(tasks, layouts)
    for first in range(0, len(tasks), BLOCK_TASKS):
        block = _Block(tasks, first, min(first + BLOCK_TASKS, len(tasks)))
        pieces, size, start = list[bytes](), 0, first
        for run, stop in block.runs():
            template = templates.text(run, block.fixed) + RECORD_SEPARATOR
            task = run
            while task < stop:
                count = min(stop - task, 1 + (BATCH_BYTES - size) // len(template))
                pieces.append(template * count)
                size += len(template) * count
                task += count
                if size >= BATCH_BYTES or task == block.stop:
                    pieces[-1] = pieces[-1][: -len(RECORD_SEPARATOR)]
                    yield b"".join(pieces) % block.integers(start, task)
                    pieces, size, start = [], 0, task


class _Block:
    """Some consecutive tasks, and which of their scalars templates hold."""

    def __init__(self, tasks: TaskColumns, first: int, stop: int) -> None:
        self.tasks = tasks
        self.first = first
        self.stop = stop
        self.scalars = task_scalars(tasks)
        changes = _structure_changes(tasks, first, stop)
        fixed = []
        for key in TASK_SCALARS:
            column = self.scalars[key][first:stop]
            changed = column[1:] != column[:-1]
            if np.count_nonzero(changed & ~changes) <= CHANGING_SHARE * len(changes):
                fixed.append(key)
                changes |= changed
        self.fixed = tuple(fixed)
        """Keys whose values are part of a template."""
        self._changes = changes

    def runs(self) -> Iterator[tuple[int, int]]:
        """Half-open ranges of tasks of one template."""
        bounds = [self.first, *(np.flatnonzero(self._changes) + self.first + 1).tolist(), self.stop]
        return itertools.pairwise(bounds)

    def integers(self, first: int, stop: int) -> tuple[int, ...]:
        """The integers of tasks `[first, stop)` in the order of their templates' `%d`."""
        integers, bounds = self._integers
        return integers[bounds[first - self.first] : bounds[stop - self.first]]

    @functools.cached_property
    def _integers(self) -> tuple[tuple[int, ...], list[int]]:
        """Those of all tasks, and where each task's begin (and the last one's end)."""
        tasks, block = self.tasks, slice(self.first, self.stop)
        starts = tasks.slot_starts[self.first : self.stop + 1]
        present = ~tasks.is_null[block]
        num_slots = np.where(present, np.diff(starts), 0)
        num_inputs = np.where(present, tasks.num_inputs[block].astype(np.int64), 0)
        num_integers = num_slots + np.where(present, len(TASK_SCALARS) - len(self.fixed), 0)
        bounds = np.concatenate([[0], np.cumsum(num_integers)])
        # Where the next integer of each task goes; it moves on as the keys go by in their order.
        position = bounds[:-1]
        pieces: list[Piece] = []
        for key in sorted(TASK_KEYS):
            if key in {"inputs", "outputs"}:
                counts = num_inputs if key == "inputs" else num_slots - num_inputs
                within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
                begin = starts[:-1] + (0 if key == "inputs" else num_inputs)
                slots = np.repeat(begin, counts) + within
                pieces.append((tasks.slot_offsets[slots], np.repeat(position, counts) + within))
                position = position + counts
            elif key not in self.fixed:
                pieces.append((self.scalars[key][block][present], position[present]))
                position = position + present
        return interleave(pieces), bounds.tolist()


def task_scalars(tasks: TaskColumns) -> dict[str, npt.NDArray[np.generic]]:
    """The columns of `TASK_SCALARS`, by their keys in the JSON."""
    return {
        "task_type": tasks.task_types,
        "variant_id": tasks.variant_ids,
        "dependent_event": tasks.dependent_events,
        "trigger_event": tasks.trigger_events,
        "request_id": tasks.request_ids,
        "kv_idx": tasks.kv_idxs,
        "merge_task_offset": tasks.merge_task_offsets,
        "expert_offset": tasks.expert_offsets,
        "task_offset": tasks.task_offsets,
    }


def _structure_changes(tasks: TaskColumns, first: int, stop: int) -> _Bools:
    """For each task but the first: is it laid out otherwise than the one before it?"""
    null, num_inputs = tasks.is_null[first:stop], tasks.num_inputs[first:stop]
    starts = tasks.slot_starts[first : stop + 1]
    num_slots = np.diff(starts)
    changes: _Bools = null[1:] != null[:-1]
    changes |= num_inputs[1:] != num_inputs[:-1]
    changes |= num_slots[1:] != num_slots[:-1]
    slots = tasks.slot_layouts[starts[0] : starts[-1]]
    owners = np.repeat(np.arange(stop - first), num_slots)
    # The same slot of the task before lies one task's slots back, where both have as many
    before = np.arange(len(slots)) - num_slots[owners]
    comparable = before >= 0
    differs = slots[comparable] != slots[before[comparable]]
    changed = owners[comparable][differs]
    changes[changed[changed > 0] - 1] = True
    for field in tasks.extras.values():
        changes |= field.codes[first + 1 : stop] != field.codes[first : stop - 1]
    return changes


class _Templates:
    """Texts of tasks with `%d` for the integers that differ within a run."""

    def __init__(self, tasks: TaskColumns, layouts: tuple[SlotLayout, ...]) -> None:
        self.tasks = tasks
        self.scalars = task_scalars(tasks)
        self._row_of = extra_rows(tasks.extras)
        self._known: dict[tuple[int, bytes, bytes], bytes] = {}
        self._known_bytes = 0

        @functools.lru_cache(maxsize=CACHED_LAYOUTS)
        def slot_text(layout: int) -> bytes:
            return _slot_text(layouts[layout])

        self._slot_text = slot_text

    def text(self, task: int, fixed: tuple[str, ...]) -> bytes:
        """The template of a task, with the values of its `fixed` scalars."""
        tasks = self.tasks
        if tasks.is_null[task]:
            return _NULL
        begin, end = tasks.slot_starts[task : task + 2].tolist()
        slots = tasks.slot_layouts[begin:end].astype(np.int32).tobytes()
        structure = self._structure(int(tasks.num_inputs[task]), slots, self._row_of(task))
        return structure % tuple(
            b"%d" % int(self.scalars[key][task]) if key in fixed else b"%d"
            for key in _SORTED_SCALARS
        )

    def _structure(self, num_inputs: int, slots: bytes, codes: bytes) -> bytes:
        """A template of templates: `%b` for each scalar, `%%d` for offsets."""
        key = (num_inputs, slots, codes)
        text = self._known.get(key)
        if text is None:
            texts = [self._slot_text(layout) for layout in np.frombuffer(slots, np.int32).tolist()]
            inputs, outputs = _slots_text(texts[:num_inputs]), _slots_text(texts[num_inputs:])
            extra = extra_members(self.tasks.extras, codes, RECORD_LEVEL, _literal)
            text = self._known[key] = _task_text(inputs, outputs, extra)
            self._known_bytes += len(text)
            if self._known_bytes > TEMPLATE_BYTES:
                self._known, self._known_bytes = {}, 0
        return text


_SORTED_SCALARS = tuple(sorted(TASK_SCALARS))


def _task_text(inputs: bytes, outputs: bytes, extra: dict[str, bytes]) -> bytes:
    if not extra:
        return _TASK_FORM % (inputs, outputs)
    members = dict.fromkeys(TASK_SCALARS, b"%b") | {"inputs": inputs, "outputs": outputs}
    add_unknown(members, extra)
    return object_text(members, RECORD_LEVEL, _literal_key)


def _slot_text(layout: SlotLayout) -> bytes:
    base_ptr, data_type = _literal(dump_str(layout.base_ptr)), b"%d" % layout.data_type
    dims, strides = _integers_text(layout.dims), _integers_text(layout.strides)
    if not layout.extra:
        return _SLOT_FORM % (base_ptr, data_type, dims, strides)
    members = dict(zip(SLOT_KEYS, (base_ptr, data_type, dims, b"%%d", strides), strict=True))
    add_unknown(
        members, {key: _literal(dump(value, _SLOT_LEVEL + 1)) for key, value in layout.extra}
    )
    return object_text(members, _SLOT_LEVEL, _literal_key)


@functools.lru_cache(maxsize=CACHED_LAYOUTS)
def _integers_text(numbers: tuple[int, ...]) -> bytes:
    return array_text([b"%d" % n for n in numbers], _SLOT_LEVEL + 1)


def _slots_text(slots: list[bytes]) -> bytes:
    return array_text(slots, _SLOT_LEVEL - 1) if slots else _NULL


def _literal_key(key: str) -> bytes:
    return _literal(dump_str(key))


def _literal(text: bytes) -> bytes:
    """Formatted twice, it is itself."""
    return text.replace(b"%", b"%%%%")


# One level of formatting more than the templates that are made with them
_TASK_FORM = object_text(
    dict.fromkeys(TASK_SCALARS, b"%%b") | {"inputs": b"%b", "outputs": b"%b"}, RECORD_LEVEL
)
_SLOT_FORM = object_text(dict.fromkeys(SLOT_KEYS, b"%b") | {"offset": b"%%%%d"}, _SLOT_LEVEL)
