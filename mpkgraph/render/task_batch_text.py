"""Details of many tasks as text: the lines of `show_text.task_text`, most of them made once.

Tasks of an operator share all but their grid point and the offsets of some slots, tasks of a
model's layers share their tiles, and hundreds of tasks share an event: what they share is laid out
once.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from mpkgraph.analysis.event_detail import event_by_id
from mpkgraph.analysis.task_batch import TaskBatch, TaskBatches
from mpkgraph.analysis.task_detail import METADATA_FIELDS, slot_detail, task_detail
from mpkgraph.model.graph import Slot
from mpkgraph.render.escape import printable
from mpkgraph.render.show_text import (
    SLOT_CELLS,
    coordinate,
    event_side,
    slot_cells,
    slot_table,
    task_text,
)
from mpkgraph.render.text import GAP, MAX_NAME_WIDTH, TextWriter, cell

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.csr import IntArray
    from mpkgraph.analysis.task_detail import SlotDetail
    from mpkgraph.model.operator import OperatorSlot

MAX_REMEMBERED = 1 << 14
"""Texts of one kind that are kept to be used again."""

NAMES = ("slot", "tensor", *SLOT_CELLS)
LISTED = "yes (listed in first_tasks)"

Cells = tuple[str, ...]
Widths = tuple[int, ...]
Key = TypeVar("Key")
Value = TypeVar("Value")


def tasks_text(out: TextWriter, context: GraphContext, task_ids: IntArray) -> None:
    """Tasks one after the other, as `task_text` writes each."""
    texts = _TaskTexts(out, context)
    for batch in TaskBatches(context, task_ids):
        out.block("".join([texts.of(batch, place) for place in range(len(batch.task_ids))]))


class _TaskTexts:
    """The lines of one task after the other, with what they share remembered."""

    def __init__(self, out: TextWriter, context: GraphContext) -> None:
        self._out = out
        self._context = context
        self._types: dict[tuple[int, bool], tuple[str, str]] = {}
        self._owners: dict[int, tuple[str, str, str, Sequence[OperatorSlot]]] = {}
        self._sides: dict[tuple[str, int], str] = {}
        self._tables: dict[tuple[object, ...], str] = {}
        self._shape_numbers: dict[tuple[object, ...], int] = {}
        self._shapes: dict[tuple[int, int, int], int] = {}
        self._cells: dict[tuple[int, int], Cells] = {}
        self._labels: dict[tuple[str, bool], str] = {}
        self._formats: dict[Widths, tuple[str, str]] = {}

    def of(self, batch: TaskBatch, place: int) -> str:
        """The lines of a task, with an empty one before them."""
        task, owner = batch.task_ids[place], batch.operators[place]
        if not batch.are_plain[place]:
            return self._laid_out(lambda out: task_text(out, task_detail(self._context, task)))
        wide, kind = owner >= 0, (batch.task_types[place], owner >= 0)
        head, metadata = self._types.get(kind) or self._type(*kind)
        operator, grid, of_grid, _ = self._owners.get(owner) or self._owner(owner)
        level, start, stop = batch.levels[place], *batch.slot_starts[place : place + 2]
        middle = start + batch.num_inputs[place]
        x, y, z = batch.grid_positions[place]
        return "".join(
            (
                head % task,
                f"{self._label('variant_id', wide=wide)}{batch.variant_ids[place]}\n",
                operator,
                f"{grid}({x}, {y}, {z}){of_grid}" if wide else "",
                f"{self._label('level', wide=wide)}{level}\n" if level >= 0 else "",
                f"{self._label('first task', wide=wide)}{LISTED}\n"
                if batch.are_first_tasks[place]
                else "",
                metadata % batch.metadata[place],
                self._side("waits on", batch.dependent_events[place]),
                self._side("triggers", batch.trigger_events[place]),
                self._table("inputs", batch, owner, (start, start, middle)),
                self._table("outputs", batch, owner, (start, middle, stop)),
            )
        )

    def _type(self, task_type: int, wide: bool) -> tuple[str, str]:
        """Heading and first line with a place for the task's number; that of the metadata."""
        catalog = self._context.catalog
        name = catalog.task_type_name(task_type)

        def write(out: TextWriter) -> None:
            out.heading("task \0", name)

        head = self._laid_out(write) + f"{self._label('type', wide=wide)}{name} ({task_type})\n"
        holds = dict(catalog.task_type_row(task_type).metadata)
        fields = [
            f"{field} %d{f' [{coordinate(holds[field])}]' if field in holds else ''}"
            for field in METADATA_FIELDS
        ]
        made = (
            head.replace("%", "%%").replace(printable("\0"), "%d"),
            f"{self._label('metadata', wide=wide)}{', '.join(fields)}\n",
        )
        self._types[task_type, wide] = made
        return made

    def _owner(self, owner: int) -> tuple[str, str, str, Sequence[OperatorSlot]]:
        """The operator's line, what is before and after a grid point, and its slots."""
        made: tuple[str, str, str, Sequence[OperatorSlot]] = ("", "", "", ())
        if owner >= 0:
            operator = self._context.operators[owner]
            method = f", {operator.layer_method}" if operator.layer_method else ""
            text = printable(f"{owner} {self._context.operator_names[owner]}{method}")
            made = (
                f"{self._label('operator', wide=True)}{text}\n",
                self._label("grid position", wide=True),
                f" of ({', '.join(map(str, operator.grid_dim))})\n",
                operator.slots,
            )
        return self._owners.setdefault(owner, made)

    def _label(self, label: str, *, wide: bool) -> str:
        """The label of a line; where there is an operator, labels are as wide as its longest."""
        text = self._labels.get((label, wide))
        if text is None:
            padded = label.ljust(len("grid position" if wide else "variant_id"))
            text = f"  {self._out.style(padded, fg='cyan')}{GAP}"
            self._labels[label, wide] = text
        return text

    def _side(self, label: str, event_id: int) -> str:
        text = self._sides.get((label, event_id))
        if text is None:
            event = event_by_id(self._context, event_id)
            triggered = label == "waits on"
            text = self._laid_out(
                lambda out: event_side(out, label, event_id, event, triggered=triggered)
            )
            _keep(self._sides, (label, event_id), text)
        return text

    def _table(self, label: str, batch: TaskBatch, owner: int, places: tuple[int, int, int]) -> str:
        """The table of the slots from the second to the third place; slots begin at the first."""
        begin, start, stop = places
        codes, offsets = batch.slot_layouts[start:stop], batch.slot_offsets[start:stop]
        key = (label, owner, start - begin, *codes, *offsets)
        text = self._tables.get(key)
        if text is None:
            slots = list(zip(range(start - begin, stop - begin), codes, offsets, strict=True))
            text = self._made_table(label, owner, slots) if slots else ""
            _keep(self._tables, key, text)
        return text

    def _made_table(self, label: str, owner: int, slots: list[tuple[int, int, int]]) -> str:
        layouts = self._context.graph.layouts
        rows = [(str(slot[0]), *self._row(owner, *slot)) for slot in slots]
        widths = tuple([max(map(len, column)) for column in zip(NAMES, *rows, strict=True)])
        if (
            self._out.options.width is not None
            or max(widths) > MAX_NAME_WIDTH
            or any(layouts[code].extra for _, code, _ in slots)
        ):
            details = [self._detail(owner, *slot) for slot in slots]
            return self._laid_out(lambda out: slot_table(out, label, details))
        head, line = self._formats.get(widths) or self._format(widths)
        title = self._out.style(label, bold=True)
        return f"\n{title}\n{head}{''.join([line % row for row in rows])}"

    def _format(self, widths: Widths) -> tuple[str, str]:
        """The header of a table with columns of these widths, and the format of its rows."""
        first, *middle, _ = widths
        line = GAP.join([f"%{first}s", *(f"%-{width}s" for width in middle), "%s"])
        made = f"  {self._out.style(line % NAMES, dim=True)}\n", f"  {line}\n"
        _keep(self._formats, widths, made)
        return made

    def _row(self, owner: int, position: int, code: int, offset: int) -> Cells:
        shape = self._shapes.get((owner, position, code))
        if shape is None:
            shape = self._shape(owner, position, code)
        cells = self._cells.get((shape, offset))
        if cells is None:
            cells = tuple(map(cell, slot_cells(self._detail(owner, position, code, offset))))
            _keep(self._cells, (shape, offset), cells)
        return printable(self._context.graph.layouts[code].base_ptr), *cells

    def _shape(self, owner: int, position: int, code: int) -> int:
        """A number for all that a slot's cells tell but the tensor's name and the offset."""
        slots, layout = self._owners[owner][3], self._context.graph.layouts[code]
        whole = None
        if position < len(slots) and len(slots[position].base_ptrs) == 1:
            whole = slots[position].strides, slots[position].tensor_dims
        key = layout.data_type, layout.dims, layout.strides, layout.is_null, whole
        number = self._shape_numbers.setdefault(key, len(self._shape_numbers))
        self._shapes[owner, position, code] = number
        return number

    def _detail(self, owner: int, position: int, code: int, offset: int) -> SlotDetail:
        slots = self._owners[owner][3]
        return slot_detail(
            self._context,
            Slot(self._context.graph.layouts[code], offset),
            position,
            is_output=False,  # which no cell tells
            operator_slot=slots[position] if position < len(slots) else None,
        )

    def _laid_out(self, write: Callable[[TextWriter], None]) -> str:
        stream = io.StringIO()
        write(TextWriter(stream, self._out.options, is_first=False))
        return stream.getvalue()


def _keep(texts: dict[Key, Value], key: Key, text: Value) -> None:
    if len(texts) >= MAX_REMEMBERED:
        texts.clear()
    texts[key] = text
