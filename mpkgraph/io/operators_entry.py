"""The operators of a graph as bytes: columns over operators, over their slots and their tasks.

Read back, an operator is made when it is asked for: most questions are about a few of thousands.
As with the entries of graphs nothing in the bytes is trusted.
"""

from __future__ import annotations

import dataclasses
import itertools
import marshal
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import zstandard

from mpkgraph.io.entry_blocks import BlockReader, BlockWriter, PackedColumn
from mpkgraph.io.entry_checks import (
    Column,
    EntryError,
    as_dict,
    as_list,
    as_size,
    as_str,
    fail,
    stops,
    within,
)
from mpkgraph.io.narrow_column import NarrowColumn
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot, Origin

PIECE_TASKS = 1 << 13
"""Tasks whose ids are compressed together when operators come one by one."""

MAX_QUESTIONS = 32
"""Questions whose tasks these are that are answered by a search; for more it pays to have a column
over tasks."""

MAX_LONE_OPERATORS = 32
"""Operators whose slots are made for each alone: all slots take as long as those of some 200."""

_MAGIC = b"MPKGOPER"
_FACTS = "facts"
_ORIGINS: tuple[Origin, ...] = ("recorded", "recovered")
_NONE = -1
_FLAGS = tuple((bool(bits & 1), bool(bits & 2), bool(bits & 4)) for bits in range(8))
_NO_TASKS = np.empty(0, np.int64)

_OPERATOR_COLUMNS = (
    "task_types",
    "grid_x",
    "grid_y",
    "grid_z",
    "known_grids",
    "num_subtasks",
    "origins",
    "layer_methods",
    "register_names",
    "layer_indices",
    "num_tasks",
    "num_positions",
    "num_variants",
    "num_ambiguities",
    "num_slots",
)
"""One value an operator; the last six count what the operator has in other columns."""
_SLOT_COLUMNS = (
    "slot_is_output",
    "slot_data_types",
    "slot_map_x",
    "slot_map_y",
    "slot_map_z",
    "slot_known_maps",
    "slot_num_names",
    "slot_num_dims",
    "slot_num_tensor_dims",
)
"""One value a slot; the last three count what the slot has in other columns."""
_COLUMNS = (
    *_OPERATOR_COLUMNS,
    "variant_ids",
    "ambiguities",
    *_SLOT_COLUMNS,
    "slot_names",
    "slot_dims",
    "slot_strides",
    "slot_tensor_dims",
    "slot_known_dims",
)
"""In the order of the entry."""


def encode_operators(operators: OperatorSet) -> bytes:
    """The entry of all operators of a graph.

    Raises EntryError when they hold values that the entry does not keep.
    """
    writer = OperatorsWriter()
    writer.add(operators)
    return writer.finish(operators.num_tasks)


class OperatorsWriter:
    """Makes the entry of operators that come one by one, in little memory."""

    def __init__(self) -> None:
        self._blocks = BlockWriter(_MAGIC)
        self._shells = _Shells()
        self._num_positions: list[int] = []
        self._num_tasks: list[int] = []
        self._pieces: dict[str, list[PackedColumn]] = {"task_steps": [], "positions": []}
        self._pending = {name: NarrowColumn(np.int64) for name in self._pieces}
        self._num_pending = 0
        self._last_task = 0

    def add(self, operators: Iterable[Operator]) -> None:
        """Operators that follow those of the call before.

        Raises EntryError when they hold values that the entry does not keep.
        """
        operators = list(operators)
        for operator in operators:
            steps = np.diff(operator.task_ids, prepend=self._last_task)
            if len(steps):
                self._last_task = int(operator.task_ids[-1])
            self._pending["task_steps"].extend(steps)
            self._num_tasks.append(len(steps))
            positions = operator.grid_positions
            self._num_positions.append(0 if positions is None else 1)
            if positions is not None:
                if positions.shape != (len(steps), 3):
                    fail("grid positions are not those of the tasks")
                self._pending["positions"].extend(positions.reshape(-1))
            self._num_pending += len(steps)
            if self._num_pending >= PIECE_TASKS:
                self._pack()
        if operators:
            self._shells.add(operators)

    def finish(
        self,
        num_tasks: int,
        complete: Callable[[Iterable[Operator]], Iterable[Operator]] | None = None,
    ) -> bytes:
        """The entry; call it once. `complete` may change slots, seeing operators without tasks, as
        often as it likes; each is made anew.

        Raises EntryError when the operators hold values that the entry does not keep.
        """
        self._pack()
        operators: Iterable[Operator] = self._shells
        if complete is not None:
            operators = complete(operators)
        texts: dict[str, int] = {}
        blocks = self._blocks
        try:
            columns = self._columns(operators, texts)
            facts = {"num_tasks": num_tasks, "texts": list(texts)}
            blocks.add(_FACTS, np.frombuffer(orjson.dumps(facts), np.uint8))
            for name, values in columns.items():
                blocks.add(name, np.frombuffer(values, np.int64))
        except (OverflowError, TypeError) as error:
            raise EntryError(f"an operator holds what can't be kept: {error}") from error
        for name, pieces in self._pieces.items():
            blocks.add_packed(name, pieces)
        return b"".join(blocks.parts())

    def _pack(self) -> None:
        for name, pending in self._pending.items():
            if len(pending) or not self._pieces[name]:
                self._pieces[name].append(self._blocks.pack(pending.view()))
            pending.clear()
        self._num_pending = 0

    def _columns(
        self, operators: Iterable[Operator], texts: dict[str, int]
    ) -> dict[str, array[int]]:
        def text(value: str | None) -> int:
            return _NONE if value is None else texts.setdefault(value, len(texts))

        columns = {name: array("q") for name in _COLUMNS}
        of_operators = [columns[name].append for name in _OPERATOR_COLUMNS]
        of_slots = [columns[name].append for name in _SLOT_COLUMNS]
        counts = zip(self._num_tasks, self._num_positions, strict=True)
        for index, (operator, (num_tasks, num_positions)) in enumerate(
            zip(operators, counts, strict=True)
        ):
            if operator.index != index:
                fail("operators are not in order")
            row = (
                operator.task_type,
                *operator.grid_dim,
                _bits(operator.known_grid),
                operator.num_subtasks,
                _ORIGINS.index(operator.origin),
                text(operator.layer_method),
                text(operator.register_name),
                _NONE if operator.layer_index is None else operator.layer_index,
                num_tasks,
                num_positions,
                len(operator.variant_ids),
                len(operator.ambiguities),
                len(operator.slots),
            )
            for append, value in zip(of_operators, row, strict=True):
                append(value)
            columns["variant_ids"].extend(operator.variant_ids)
            columns["ambiguities"].extend(map(text, operator.ambiguities))
            for position, slot in enumerate(operator.slots):
                if (
                    slot.position != position
                    or len(slot.strides) != len(slot.tile_dims)
                    or len(slot.known_dims) != len(slot.tensor_dims)
                ):
                    fail("slots are not in order")
                values = (
                    slot.is_output,
                    slot.data_type,
                    *slot.input_map,
                    _bits(slot.known_map),
                    len(slot.base_ptrs),
                    len(slot.tile_dims),
                    len(slot.tensor_dims),
                )
                for append, value in zip(of_slots, values, strict=True):
                    append(value)
                columns["slot_names"].extend(map(text, slot.base_ptrs))
                columns["slot_dims"].extend(slot.tile_dims)
                columns["slot_strides"].extend(slot.strides)
                columns["slot_tensor_dims"].extend(slot.tensor_dims)
                columns["slot_known_dims"].extend(slot.known_dims)
        return columns


class _Shells:
    """Operators without their tasks in a tenth of the memory, each made when it is asked for."""

    def __init__(self) -> None:
        self._squeezed: list[bytes] = []

    def add(self, operators: Sequence[Operator]) -> None:
        try:
            plain = marshal.dumps([_plain(x) for x in operators])
        except ValueError:
            fail("an operator holds what can't be kept")
        self._squeezed.append(zlib.compress(plain, 1))

    def __iter__(self) -> Iterator[Operator]:
        for squeezed in self._squeezed:
            plain = marshal.loads(zlib.decompress(squeezed))  # noqa: S302  (from `add`)
            yield from map(_of_plain, plain)


_SHELL_FIELDS = tuple(
    x.name for x in dataclasses.fields(Operator) if x.name not in {"task_ids", "grid_positions"}
)
_SLOT_FIELDS = tuple(x.name for x in dataclasses.fields(OperatorSlot))


def _plain(operator: Operator) -> dict[str, Any]:
    plain = {name: getattr(operator, name) for name in _SHELL_FIELDS}
    plain["slots"] = [tuple([getattr(x, name) for name in _SLOT_FIELDS]) for x in operator.slots]
    return plain


def _of_plain(plain: dict[str, Any]) -> Operator:
    slots = tuple([OperatorSlot(*values) for values in plain.pop("slots")])
    return Operator(task_ids=_NO_TASKS, grid_positions=None, slots=slots, **plain)


def decode_operators(data: bytes, *, num_tasks: int) -> StoredOperators:
    """The operators of an entry of a graph of `num_tasks` tasks.

    Raises EntryError for any bytes but those of a complete entry of such a graph.
    """
    try:
        return _decode(BlockReader(data, _MAGIC), num_tasks)
    except (zstandard.ZstdError, orjson.JSONDecodeError, MemoryError) as error:
        raise EntryError(f"damaged: {error}") from error


class StoredOperators(OperatorSet):
    """Operators that are made from columns when they are asked for."""

    def __init__(
        self, num_tasks: int, texts: list[str], columns: Mapping[str, Column], starts: _Starts
    ) -> None:
        object.__setattr__(self, "num_tasks", num_tasks)
        self.__dict__["_texts"] = texts
        self.__dict__["_columns"] = columns
        self.__dict__["_starts"] = starts
        self.__dict__["_made"] = {}
        self.__dict__["_slots"] = []
        self.__dict__["_num_questions"] = 0

    _texts: list[str]
    _columns: Mapping[str, Column]
    _starts: _Starts
    _made: dict[int, Operator]
    _slots: list[OperatorSlot]
    _num_questions: int

    @cached_property
    def operators(self) -> tuple[Operator, ...]:
        """All of them."""
        return tuple([self[index] for index in range(len(self))])

    def __len__(self) -> int:
        return len(self._columns["task_types"])

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators)

    def __getitem__(self, index: int) -> Operator:
        place = range(len(self))[index]
        operator = self._made.get(place)
        if operator is None:
            if len(self._made) == MAX_LONE_OPERATORS:
                self.__dict__["_slots"] = self._all_slots()
            operator = self._made[place] = self._operator(place)
        return operator

    def naming(self, index: int) -> tuple[str | None, int]:
        place = range(len(self))[index]
        columns = self._columns
        return self._text(int(columns["register_names"][place])), int(columns["task_types"][place])

    @cached_property
    def task_operators(self) -> npt.NDArray[np.int32]:
        """For each task the index of its operator; -1 for none."""
        owner = np.full(self.num_tasks, _NONE, dtype=np.int32)
        indices = np.arange(len(self), dtype=np.int32)
        owner[self._columns["task_ids"]] = np.repeat(indices, self._columns["num_tasks"])
        return owner

    def owners(self, task_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        self.__dict__["_num_questions"] += 1
        often = self._num_questions > MAX_QUESTIONS
        if often or "task_operators" in self.__dict__ or not self._is_ascending:
            return super().owners(task_ids)
        claimed = self._columns["task_ids"]
        places = np.searchsorted(claimed, task_ids)
        owners = np.searchsorted(self._starts.tasks, places, side="right").astype(np.int32) - 1
        found = claimed.take(places, mode="clip") if len(claimed) else places
        owners[(found != task_ids) | (places == len(claimed))] = _NONE
        return owners

    def with_tensor(self, name: str) -> Iterator[Operator]:
        if name not in self._texts:
            return
        names = np.flatnonzero(self._columns["slot_names"] == self._texts.index(name))
        slots = np.searchsorted(self._starts.names, names, side="right") - 1
        owners = np.searchsorted(self._starts.slots, slots, side="right") - 1
        for index in dict.fromkeys(owners.tolist()):
            yield self[index]

    @cached_property
    def _is_ascending(self) -> bool:
        """Whether each operator's tasks follow those of the one before, as in most graphs."""
        claimed = self._columns["task_ids"]
        return bool((claimed[1:] > claimed[:-1]).all())

    @cached_property
    def _lists(self) -> dict[str, list[int]]:
        """The columns, those over tasks apart, and their starts: lists are read faster by one."""
        columns = {
            name: column.tolist()
            for name, column in self._columns.items()
            if name not in {"task_ids", "positions"}
        }
        for starts in dataclasses.fields(self._starts):
            columns[f"{starts.name} starts"] = getattr(self._starts, starts.name).tolist()
        return columns

    def _operator(self, index: int) -> Operator:
        lists = self._lists
        row = {name: lists[name][index] for name in _OPERATOR_COLUMNS}
        tasks = slice(*lists["tasks starts"][index : index + 2])
        positions = slice(*lists["positions starts"][index : index + 2])
        first_slot, end_slot = lists["slots starts"][index : index + 2]
        return Operator(
            index=index,
            task_type=row["task_types"],
            variant_ids=self._cut("variant_ids", "variants", index),
            grid_dim=(row["grid_x"], row["grid_y"], row["grid_z"]),
            num_subtasks=row["num_subtasks"],
            task_ids=self._columns["task_ids"][tasks],
            slots=tuple(self._slots[first_slot:end_slot])
            if self._slots
            else tuple(
                [self._slot(slot, slot - first_slot) for slot in range(first_slot, end_slot)]
            ),
            origin=_ORIGINS[row["origins"]],
            ambiguities=tuple(
                [self._texts[text] for text in self._cut("ambiguities", "ambiguities", index)]
            ),
            layer_method=self._text(row["layer_methods"]),
            register_name=self._text(row["register_names"]),
            grid_positions=self._columns["positions"][positions].reshape(-1, 3)
            if row["num_positions"]
            else None,
            layer_index=None if row["layer_indices"] < 0 else row["layer_indices"],
            known_grid=_FLAGS[row["known_grids"]],
        )

    def _all_slots(self) -> list[OperatorSlot]:
        """`_slot` of every slot, in a quarter of the time."""
        lists, texts = self._lists, self._texts

        def cuts(name: str, starts: str) -> Iterator[tuple[int, ...]]:
            values = tuple(lists[name])
            return (values[a:b] for a, b in itertools.pairwise(lists[f"{starts} starts"]))

        positions = itertools.chain.from_iterable(map(range, lists["num_slots"]))
        maps = zip(lists["slot_map_x"], lists["slot_map_y"], lists["slot_map_z"], strict=True)
        return list(
            map(
                OperatorSlot,
                positions,
                map(bool, lists["slot_is_output"]),
                (tuple([texts[i] for i in names]) for names in cuts("slot_names", "names")),
                lists["slot_data_types"],
                cuts("slot_dims", "dims"),
                cuts("slot_strides", "dims"),
                maps,
                map(_FLAGS.__getitem__, lists["slot_known_maps"]),
                cuts("slot_tensor_dims", "tensor_dims"),
                (tuple(map(bool, known)) for known in cuts("slot_known_dims", "tensor_dims")),
            )
        )

    def _slot(self, slot: int, position: int) -> OperatorSlot:
        lists, texts = self._lists, self._texts
        return OperatorSlot(
            position,
            bool(lists["slot_is_output"][slot]),
            tuple([texts[i] for i in self._cut("slot_names", "names", slot)]),
            lists["slot_data_types"][slot],
            self._cut("slot_dims", "dims", slot),
            self._cut("slot_strides", "dims", slot),
            (lists["slot_map_x"][slot], lists["slot_map_y"][slot], lists["slot_map_z"][slot]),
            _FLAGS[lists["slot_known_maps"][slot]],
            self._cut("slot_tensor_dims", "tensor_dims", slot),
            tuple([x == 1 for x in self._cut("slot_known_dims", "tensor_dims", slot)]),
        )

    def _cut(self, name: str, starts: str, row: int) -> tuple[int, ...]:
        first, end = self._lists[f"{starts} starts"][row : row + 2]
        return tuple(self._lists[name][first:end])

    def _text(self, index: int) -> str | None:
        return None if index < 0 else self._texts[index]


@dataclasses.dataclass(frozen=True, slots=True)
class _Starts:
    """Where each operator's (or slot's) part of a column begins, and the end of the last."""

    tasks: Column
    positions: Column
    variants: Column
    ambiguities: Column
    slots: Column
    names: Column
    dims: Column
    tensor_dims: Column


def _decode(entry: BlockReader, num_tasks: int) -> StoredOperators:
    facts = as_dict(orjson.loads(entry.column(_FACTS, np.uint8).tobytes()))
    if as_size(facts.get("num_tasks")) != num_tasks:
        fail("it is of another graph")
    texts = list(map(as_str, as_list(facts.get("texts"))))
    columns: dict[str, Column] = {}
    for name in _OPERATOR_COLUMNS:
        length = len(columns["task_types"]) if columns else None
        columns[name] = entry.column(name, np.int64, length)
    for name in ("variant_ids", "ambiguities"):
        columns[name] = entry.column(name, np.int64)
    num_slots = None
    for name in _SLOT_COLUMNS:
        columns[name] = entry.column(name, np.int64, num_slots)
        num_slots = len(columns[name])
    columns["slot_names"] = entry.column("slot_names", np.int64)
    for name in ("slot_dims", "slot_tensor_dims"):
        columns[name] = entry.column(name, np.int64)
        other = {"slot_dims": "slot_strides", "slot_tensor_dims": "slot_known_dims"}[name]
        columns[other] = entry.column(other, np.int64, len(columns[name]))
    steps = entry.column("task_steps", np.int64)
    columns["positions"] = entry.column("positions", np.int32)
    entry.end()
    # Bounded one by one, so that no sum on the way to a task id can wrap around.
    within(steps, -num_tasks, num_tasks, "task_steps")
    columns["task_ids"] = np.cumsum(steps)
    within(columns["task_ids"], 0, num_tasks - 1, "task_ids")
    for column in columns.values():
        column.flags.writeable = False
    _check(columns, len(texts))
    return StoredOperators(num_tasks, texts, columns, _starts(columns, num_slots or 0))


def _check(columns: Mapping[str, Column], num_texts: int) -> None:
    within(columns["origins"], 0, len(_ORIGINS) - 1, "origins")
    for name in ("known_grids", "slot_known_maps"):
        within(columns[name], 0, 7, name)
    for name in ("num_positions", "slot_is_output", "slot_known_dims"):
        within(columns[name], 0, 1, name)
    for name in ("layer_methods", "register_names"):
        within(columns[name], _NONE, num_texts - 1, name)
    for name in ("ambiguities", "slot_names"):
        within(columns[name], 0, num_texts - 1, name)
    for name in ("grid_x", "grid_y", "grid_z", "num_subtasks"):
        within(columns[name], 1, np.iinfo(np.int64).max, name)
    within(columns["layer_indices"], _NONE, np.iinfo(np.int64).max, "layer_indices")


def _starts(columns: Mapping[str, Column], num_slots: int) -> _Starts:
    def of(counts: str, name: str) -> Column:
        return stops(columns[counts], len(columns[name]), counts)

    tasks = of("num_tasks", "task_ids")
    num_positions = columns["num_positions"] * columns["num_tasks"] * 3
    return _Starts(
        tasks=tasks,
        positions=stops(num_positions, len(columns["positions"]), "num_positions"),
        variants=of("num_variants", "variant_ids"),
        ambiguities=of("num_ambiguities", "ambiguities"),
        slots=stops(columns["num_slots"], num_slots, "num_slots"),
        names=of("slot_num_names", "slot_names"),
        dims=of("slot_num_dims", "slot_dims"),
        tensor_dims=of("slot_num_tensor_dims", "slot_tensor_dims"),
    )


def _bits(flags: Sequence[bool]) -> int:
    return sum(int(flag) << place for place, flag in enumerate(flags))
