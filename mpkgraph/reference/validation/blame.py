"""From wrong elements to the tasks that made them: operator, grid positions, pattern."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.verify.finding import Finding, TaskRef
from mpkgraph.model.operator import Grid, InputMap
from mpkgraph.reference.interpreter.memory import TensorShape
from mpkgraph.reference.interpreter.operators import OperatorPlan, SlotPlan
from mpkgraph.reference.interpreter.program import Program, RankProgram
from mpkgraph.reference.interpreter.run import RunResult
from mpkgraph.reference.validation.patterns import element_pattern, tile_pattern
from mpkgraph.reference.validation.writers import NOBODY, last_writers, writers_of

MAX_TASKS_SHOWN = 8


@dataclass(frozen=True)
class HeatMap:
    """Error by tile of one output: tiles as they lie in the tensor, by its last two dims."""

    tensor: str
    operator: int
    operator_name: str
    row_starts: tuple[int, ...]
    """First row of each row of tiles."""
    column_starts: tuple[int, ...]
    wrong: npt.NDArray[np.float64]
    """(rows, columns): fraction of a tile's elements that mismatch; NaN where no task's tile is."""
    error: npt.NDArray[np.float64]
    """Largest absolute error; infinity for a NaN or what nobody wrote."""

    def to_json(self) -> dict[str, Any]:
        def cells(values: npt.NDArray[np.float64]) -> list[list[float | str | None]]:
            return [
                [None if np.isnan(x) else "Infinity" if np.isinf(x) else float(x) for x in row]
                for row in values
            ]

        return {
            "tensor": self.tensor,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "row_starts": list(self.row_starts),
            "column_starts": list(self.column_starts),
            "wrong": cells(self.wrong),
            "error": cells(self.error),
        }


@dataclass(frozen=True)
class Blame:
    """The first wrong tensor, and who is behind it."""

    rank: int
    tensor: str
    operator: int | None
    """The operator whose tasks wrote the wrong elements last, or should have; None for nobody."""
    operator_name: str | None
    layer_method: str | None
    task_type: str | None
    grid_dim: Grid | None
    slot: int | None
    input_map: InputMap | None
    tile_dims: tuple[int, ...] | None
    elements: str
    """Which elements are wrong: `columns from 4080 on`."""
    tiles: str
    """Which tasks' tiles hold them: `grid x >= 32`."""
    num_tasks: int
    """Of the operator, with a wrong element in their tile."""
    num_operator_tasks: int
    tasks: tuple[TaskRef, ...]
    """Some of them."""
    num_unwritten: int
    num_outside_tiles: int
    """Wrong elements that are in no task's tile."""
    intended_operator: int | None = None
    """Where another operator should have written them last."""
    intended_name: str | None = None
    findings: tuple[Finding, ...] = ()
    """What static verify finds there."""
    site: str | None = None
    """The user's line."""
    heat_map: HeatMap | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "tensor": self.tensor,
            "operator": self.operator,
            "operator_name": self.operator_name,
            "layer_method": self.layer_method,
            "task_type": self.task_type,
            "grid_dim": None if self.grid_dim is None else list(self.grid_dim),
            "slot": self.slot,
            "input_map": None if self.input_map is None else list(self.input_map),
            "tile_dims": None if self.tile_dims is None else list(self.tile_dims),
            "elements": self.elements,
            "tiles": self.tiles,
            "num_tasks": self.num_tasks,
            "num_operator_tasks": self.num_operator_tasks,
            "tasks": [x.to_json() for x in self.tasks],
            "num_unwritten": self.num_unwritten,
            "num_outside_tiles": self.num_outside_tiles,
            "intended_operator": self.intended_operator,
            "intended_name": self.intended_name,
            "site": self.site,
            "findings": [x.to_json() for x in self.findings],
            "heat_map": None if self.heat_map is None else self.heat_map.to_json(),
        }


def _next(starts: IntArray, start: int, size: int) -> int:
    """Where the cell that begins at `start` ends."""
    place = int(np.searchsorted(starts, start, side="right"))
    return int(starts[place]) if place < len(starts) else size


@dataclass(frozen=True)
class Wrong:
    """One wrong tensor of one rank."""

    position: int
    """Of the rank."""
    shape: TensorShape
    mask: Any = field(repr=False)
    """By element of the whole tensor whether it mismatches."""
    error: Any = field(repr=False)
    """Absolute error; infinity where one is a NaN or nothing was written."""
    num_unwritten: int
    writers: Sequence[int]
    """Operators that should have written it, in the order that is meant."""


def blame(program: Program, result: RunResult, wrong: Wrong) -> Blame:
    """Who is behind the wrong elements of a tensor."""
    return _Blamer(program, result, wrong).blame()


class _Blamer:
    def __init__(self, program: Program, result: RunResult, wrong: Wrong) -> None:
        self.program = program
        self.result = result
        self.wrong = wrong
        self.rank: RankProgram = program.ranks[wrong.position]
        size = wrong.shape.num_elements
        self.flat = torch.zeros(size, dtype=torch.bool)
        self._strided(self.flat).copy_(wrong.mask)
        self.writers = writers_of(program, wrong.position, wrong.shape.name)

    def _strided(self, flat: Any) -> Any:
        return flat.as_strided(self.wrong.shape.dims, self.wrong.shape.strides, 0)

    def blame(self) -> Blame:
        owners = last_writers(self.program, self.result, self.wrong.position, self.wrong.shape)
        self.outside = self.flat & (owners == NOBODY)
        concerned = owners[self.flat]
        found, counts = torch.unique(concerned, return_counts=True)
        per_task = dict(zip(found.tolist(), counts.tolist(), strict=True))
        outside = per_task.pop(NOBODY, 0)
        by_operator: dict[int, int] = {}
        for task, count in per_task.items():
            index = int(self.rank.context.operators.task_operators[task])
            by_operator[index] = by_operator.get(index, 0) + count
        intended = self.wrong.writers[-1] if self.wrong.writers else None
        if by_operator:
            operator = max(by_operator, key=lambda x: (by_operator[x], x == intended))
        elif intended is not None:
            operator = intended
        else:
            return self._nobody(outside)
        return self._told(operator, intended, per_task, outside)

    @property
    def _itemsize(self) -> int:
        from mpkgraph.reference.interpreter.element_types import torch_type

        return int(torch_type(self.wrong.shape.type_name).itemsize)

    def _nobody(self, outside: int) -> Blame:
        return Blame(
            rank=self.rank.rank,
            tensor=self.wrong.shape.name,
            operator=None,
            operator_name=None,
            layer_method=None,
            task_type=None,
            grid_dim=None,
            slot=None,
            input_map=None,
            tile_dims=None,
            elements=element_pattern(self.wrong.mask.numpy()),
            tiles="",
            num_tasks=0,
            num_operator_tasks=0,
            tasks=(),
            num_unwritten=self.wrong.num_unwritten,
            num_outside_tiles=outside,
        )

    def _told(
        self, index: int, intended: int | None, per_task: Mapping[int, int], outside: int
    ) -> Blame:
        plan = self.rank.plans[index]
        operator = plan.operator
        slot = next(x for p, x in self.writers if p is plan)
        concerned = np.array([x in per_task for x in operator.task_ids.tolist()], dtype=np.bool_)
        bad = operator.task_ids[concerned].tolist()
        layer = self.rank.context.layer(operator)
        record = self.rank.record
        site = None if layer is None or record is None else record.call_site(layer.where)
        other = intended if intended is not None and intended != index else None
        return Blame(
            rank=self.rank.rank,
            tensor=self.wrong.shape.name,
            operator=index,
            operator_name=self.rank.name(operator),
            layer_method=operator.layer_method,
            task_type=plan.task_type,
            grid_dim=operator.grid_dim,
            slot=slot.position,
            input_map=slot.slot.input_map,
            tile_dims=slot.slot.tile_dims,
            elements=element_pattern(self.wrong.mask.numpy()),
            tiles=tile_pattern(plan.points[:, :3], concerned, operator.grid_dim)
            if concerned.any()
            else "no task",
            num_tasks=int(concerned.sum()),
            num_operator_tasks=operator.num_tasks,
            tasks=tuple(self.rank.context.task_ref(x) for x in bad[:MAX_TASKS_SHOWN]),
            num_unwritten=self.wrong.num_unwritten,
            num_outside_tiles=outside,
            intended_operator=other,
            intended_name=None
            if other is None
            else self.rank.name(self.rank.plans[other].operator),
            site=None if site is None else str(site),
            heat_map=self._heat_map(plan, slot),
        )

    def _uncovered(
        self, cells: AbstractSet[tuple[int, int]], tile: Sequence[int], errors: Any
    ) -> dict[tuple[int, int], tuple[float, float]]:
        """Wrong elements that no task's tile has, as cells between tiles and behind the last."""
        places = torch.nonzero(self.outside).ravel()
        if not len(places):
            return {}
        dims, stride = self.wrong.shape.dims, self.wrong.shape.strides[-2]
        starts: list[IntArray] = []
        for axis, size in enumerate(dims[-2:]):
            known = {x[axis] for x in cells}
            ends = {x + tile[axis] for x in known if x + tile[axis] < size}
            starts.append(np.array(sorted(known | ends), dtype=np.int64))
        # Of more than two dims the others are drawn on top of each other, as tiles are
        rows = places.numpy() // stride % dims[-2]
        columns = places.numpy() % stride
        found: dict[tuple[int, int], tuple[float, float]] = {}
        numbers = errors[places].numpy()
        row_cells = starts[0][np.searchsorted(starts[0], rows, side="right") - 1]
        column_cells = starts[1][np.searchsorted(starts[1], columns, side="right") - 1]
        for row, column in {*zip(row_cells.tolist(), column_cells.tolist(), strict=True)}:
            mine = (row_cells == row) & (column_cells == column)
            height = _next(starts[0], row, dims[-2]) - row
            width = _next(starts[1], column, dims[-1]) - column
            share = min(1.0, float(mine.sum()) / (height * width))
            found[row, column] = share, float(numbers[mine].max())
        return {key: value for key, value in found.items() if key not in cells}

    def _name(self, operator: int) -> str:
        return self.rank.name(self.rank.plans[operator].operator)

    def _heat_map(self, plan: OperatorPlan, slot: SlotPlan) -> HeatMap | None:
        """Tiles of an operator by where they begin in the tensor's last two dims."""
        shape = self.wrong.shape
        if len(shape.dims) < 2 or 0 in shape.dims or not slot.has_one_layout:
            return None
        errors = torch.zeros(len(self.flat), dtype=torch.float64)
        self._strided(errors).copy_(self.wrong.error)
        size = self._itemsize
        layout = plan.layout(slot, 0)
        if layout.is_null or 0 in layout.dims:
            return None
        cells: dict[tuple[int, int], tuple[float, float]] = {}
        for offset in dict.fromkeys(slot.offsets.tolist()):
            start, rest = divmod(offset, size)
            if rest:
                continue
            row, column = start // shape.strides[-2], start % shape.strides[-2]
            try:
                wrong = self.flat.as_strided(layout.dims, layout.strides, start)
                error = errors.as_strided(layout.dims, layout.strides, start)
            except RuntimeError:
                continue  # past the tensor
            share, worst = float(wrong.double().mean()), float(error.max())
            known = cells.get((row, column), (0.0, 0.0))
            cells[row, column] = max(known[0], share), max(known[1], worst)
        if not cells:
            return None
        cells |= self._uncovered(cells.keys(), layout.dims[-2:], errors)
        rows = sorted({row for row, _ in cells})
        columns = sorted({column for _, column in cells})
        wrong_cells = np.full((len(rows), len(columns)), np.nan)
        error_cells = np.full((len(rows), len(columns)), np.nan)
        for (row, column), (share, worst) in cells.items():
            at = rows.index(row), columns.index(column)
            wrong_cells[at], error_cells[at] = share, worst
        return HeatMap(
            tensor=shape.name,
            operator=plan.operator.index,
            operator_name=self.rank.name(plan.operator),
            row_starts=tuple(rows),
            column_starts=tuple(columns),
            wrong=wrong_cells,
            error=error_cells,
        )
