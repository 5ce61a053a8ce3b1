"""The summary of a graph as text for one screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from mpkgraph.render.show_text import extents, unknown_fields
from mpkgraph.render.text import TextWriter, cell, count, size

if TYPE_CHECKING:
    from mpkgraph.analysis.repeats import Repeat
    from mpkgraph.analysis.summary_result import Summary, SummaryOperator, SummarySlot

KIND_COLORS: Mapping[str, str] = {
    "embedding": "bright_black",
    "norm": "yellow",
    "linear": "blue",
    "attention": "magenta",
    "mla": "magenta",
    "moe": "bright_blue",
    "quantize": "yellow",
    "elementwise": "cyan",
    "communication": "red",
    "sampling": "green",
    "speculation": "green",
}
MAX_TENSORS = 3
"""Tensors named of one operator's inputs or outputs; more are counted."""
MAX_TENSOR_WIDTH = 40
TYPES_PER_LINE = 3


def summary_text(out: TextWriter, summary: Summary, *, full: bool = False) -> None:
    """The whole summary; repeated model layers are folded unless `full`."""
    path = summary.source.path
    out.heading(PurePath(path).name if path else "standard input", f"rank {summary.rank}")
    null = summary.num_null_tasks
    out.fields(
        [
            ("file", path),
            ("size", None if summary.source.num_bytes is None else size(summary.source.num_bytes)),
            ("sha256", summary.source.sha256),
            ("Mirage", summary.mirage_version),
            (
                "tasks",
                f"{summary.num_tasks:,}, {summary.num_first_tasks:,} of them first tasks"
                + (f", {null:,} null (lost by the generator)" if null else ""),
            ),
            ("events", f"{summary.num_events:,}"),
            ("operators", _operators_line(summary)),
            ("tensors", f"{summary.num_tensors:,}"),
            ("depth", f"{summary.depth:,} (tasks on the longest chain)"),
            ("width", f"{summary.width:,} (tasks on the widest level)"),
            (
                "other ranks",
                f"{count(summary.num_remote_triggers, 'task')} trigger their events"
                if summary.num_remote_triggers
                else None,
            ),
            *unknown_fields(summary.extras),
        ]
    )
    if summary.cycle:
        chain = " -> ".join(map(str, (*summary.cycle, summary.cycle[0])))
        out.paragraph(f"events wait for each other in a cycle: {chain}", fg="red")
    _load(out, summary)
    _types(out, "event types", summary.event_types)
    _types(out, "task types", summary.task_types)
    _operators(out, summary, full=full)
    _tensors(out, summary)


def _operators_line(summary: Summary) -> str:
    origin = {
        "recorded": "from the record (exact)",
        "recovered": "recovered from the tasks",
    }.get(summary.operators_origin or "", "")
    return f"{len(summary.operators):,}" + (f", {origin}" if origin else "")


def _load(out: TextWriter, summary: Summary) -> None:
    load = summary.load
    if load is None:
        return
    out.heading("tasks per worker", f"static assignment to {count(load.num_workers, 'worker')}")
    total = int(load.tasks_per_worker.sum())
    out.fields(
        [
            ("fewest", f"{load.min_tasks:,}"),
            ("most", f"{load.max_tasks:,}"),
            ("mean", f"{total / load.num_workers:,.1f}"),
        ]
    )
    if load.overfull_workers:
        out.paragraph(
            f"the queues of {count(len(load.overfull_workers), 'worker')} overflow "
            "in one iteration: use more workers or fewer tasks",
            fg="red",
        )


def _types(out: TextWriter, title: str, counts: Mapping[str, int]) -> None:
    out.heading(title)
    names = list(counts)
    rows = -(-len(names) // TYPES_PER_LINE)
    columns = [names[start : start + rows] for start in range(0, len(names), max(rows, 1))]
    widths = [
        (max(map(len, column)), max(len(f"{counts[name]:,}") for name in column))
        for column in columns
    ]
    for row in range(rows):
        cells = [
            f"{column[row].ljust(name)}  {counts[column[row]]:>{number},}"
            for column, (name, number) in zip(columns, widths, strict=True)
            if row < len(column)
        ]
        out.line("  " + "    ".join(cells).rstrip())


def _operators(out: TextWriter, summary: Summary, *, full: bool) -> None:
    if not summary.operators:
        return
    repeats = () if full else summary.repeats
    out.heading("operators", "in order of emission" + ("" if full else _fold_note(repeats)))
    rows = list(_rows(summary.operators, repeats))
    recorded = summary.operators_origin == "recorded"
    out.table(
        {
            "": [mark for mark, _ in rows],
            "op": [operator.index for _, operator in rows],
            "name": [operator.name for _, operator in rows],
            "grid": [_grid(operator, exact=recorded) for _, operator in rows],
            "tasks": [operator.num_tasks for _, operator in rows],
            "ev in": [operator.num_events_in for _, operator in rows],
            "ev out": [operator.num_events_out for _, operator in rows],
            "read": [_size(operator.bytes_read) for _, operator in rows],
            "written": [_size(operator.bytes_written) for _, operator in rows],
            "tensors": [
                f"{_slots(operator.inputs)} → {_slots(operator.outputs)}" for _, operator in rows
            ],
        },
        styles={
            "name": [
                {"fg": KIND_COLORS[operator.kind]} if operator.kind in KIND_COLORS else None
                for _, operator in rows
            ]
        },
    )


def _rows(
    operators: Sequence[SummaryOperator], repeats: Sequence[Repeat]
) -> Iterator[tuple[str, SummaryOperator]]:
    """Operators to show; of a repeated run the first time, marked by how often it comes."""
    index = 0
    for repeat in repeats:
        for operator in operators[index : repeat.first]:
            yield "", operator
        for place, operator in enumerate(operators[repeat.first : repeat.first + repeat.period]):
            yield (f"{repeat.count}x" if place == 0 else "│"), operator
        index = repeat.end
    for operator in operators[index:]:
        yield "", operator


def _fold_note(repeats: Sequence[Repeat]) -> str:
    if not repeats:
        return ""
    parts = []
    for repeat in repeats:
        layers = ""
        if repeat.layers is not None:
            first, last = repeat.layers
            layers = f" (model layers {first}-{last})"
        parts.append(
            f"{repeat.count}x operators {repeat.first}-{repeat.first + repeat.period - 1}{layers}"
        )
    return f"; folded: {', '.join(parts)}; --full shows all"


def _grid(operator: SummaryOperator, *, exact: bool) -> str:
    sizes = ", ".join(
        f"{extent}{'' if sure or exact else '?'}"
        for extent, sure in zip(operator.grid_dim, operator.known_grid, strict=True)
    )
    subtasks = f"x{operator.num_subtasks}" if operator.num_subtasks > 1 else ""
    return f"({sizes}){subtasks}"


def _slots(slots: Sequence[SummarySlot]) -> str:
    names = [_short(slot.tensor) for slot in slots if slot.tensor != "nullptr"]
    if len(names) > MAX_TENSORS + 1:
        names = [*names[:MAX_TENSORS], f"{len(names) - MAX_TENSORS} more"]
    return ", ".join(names) or "-"


def _short(name: str) -> str:
    from mpkgraph.render.escape import printable

    return printable(name, limit=MAX_TENSOR_WIDTH)


def _tensors(out: TextWriter, summary: Summary) -> None:
    tensors = summary.largest_tensors
    if not tensors:
        return
    out.heading("largest tensors")
    columns: dict[str, Sequence[Any]] = {
        "tensor": [tensor.name for tensor in tensors],
        "type": [tensor.data_type_name for tensor in tensors],
        "extents": [extents(tensor.dims, tensor.known_dims) for tensor in tensors],
        "spanned": [cell(size(tensor.num_bytes)) for tensor in tensors],
    }
    out.table(columns)


def _size(number: int | None) -> str:
    return "?" if number is None else size(number)
