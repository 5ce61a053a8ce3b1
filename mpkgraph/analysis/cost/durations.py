"""Durations of all tasks by the cost model: a roofline for each shape, then a column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

import numpy as np
import numpy.typing as npt

from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.cost.model import MAX_NS, CostModel, TypeCost
from mpkgraph.analysis.cost.work import SlotFacts, TaskShape, Work, tasks_at_work, work_of
from mpkgraph.analysis.csr import IntArray
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Grid

BOUNDS = (
    "memory",
    "L2",
    "NVLink",
    "tensor cores",
    "other arithmetic",
    "fixed",
    "given",
    "measured",
)
"""What a task's duration is most of: `limits` of `TaskCosts` are positions in this."""
L2_SHARE = 0.5
"""A tensor counts as found in L2 when it takes no more than this part of it."""


@dataclass(frozen=True)
class TaskCosts:
    """By task, in ns."""

    durations: IntArray = field(repr=False)
    limits: npt.NDArray[np.int8] = field(repr=False)


def model_costs(context: GraphContext, model: CostModel, num_workers: int) -> TaskCosts:
    """How long the kernel of each task takes; 0 for those of no layer.

    Tasks of one operator share the bandwidth of memory evenly, as many as there are workers at a
    time; what other operators move at the same time is not counted.
    """
    graph = context.graph
    durations = np.zeros(graph.num_tasks, dtype=np.int64)
    limits = np.full(graph.num_tasks, BOUNDS.index("fixed"), dtype=np.int8)
    slots = _Slots.of(context, model)
    known: dict[tuple[object, ...], tuple[int, int]] = {}
    for group in _groups(context):
        for tasks, layouts, lane in _alike(context, group):
            key = (
                group.task_type,
                group.register_name,
                group.grid_dim,
                group.num_tasks,
                layouts,
                lane,
            )
            found = known.get(key)
            if found is None:
                num_inputs = int(graph.tasks.num_inputs[tasks[0]])
                shape = TaskShape(
                    task_type=context.catalog.task_type_name(group.task_type),
                    kind=context.catalog.task_type_row(group.task_type).kind,
                    register_name=group.register_name,
                    grid_dim=group.grid_dim,
                    num_tasks=group.num_tasks,
                    slots=tuple(
                        slots.facts(layout, is_output=position >= num_inputs)
                        for position, layout in enumerate(layouts)
                    ),
                    num_inputs=num_inputs,
                    lane=lane,
                )
                at_once = min(tasks_at_work(shape), num_workers)
                found = known[key] = task_ns(shape, model, at_once)
            durations[tasks], limits[tasks] = found
    return TaskCosts(durations, limits)


def task_ns(shape: TaskShape, model: CostModel, at_once: int) -> tuple[int, int]:
    """Duration of one task in ns, of which `at_once` run at a time, and its limit in `BOUNDS`."""
    given = model.task_types.get(shape.task_type, TypeCost())
    if given.duration_ns is not None:
        return round(given.duration_ns * given.scale), BOUNDS.index("given")
    fixed = model.fixed_of(shape.kind) if given.fixed_ns is None else given.fixed_ns
    parts = _parts(work_of(shape, model.workload), model, at_once)
    moving, computing = sum(parts[:3]), sum(parts[3:])
    total = (fixed + max(moving, computing)) * given.scale
    leading = parts[:3] if moving >= computing else parts[3:]
    first = 0 if moving >= computing else 3
    limit = first + leading.index(max(leading))
    if fixed >= max(moving, computing):
        limit = BOUNDS.index("fixed")
    return min(round(total), MAX_NS), limit


def _parts(work: Work, model: CostModel, at_once: int) -> list[float]:
    """Times in ns: of memory, L2, NVLink; of matrix products and other operations."""
    gpu, sharing = model.hardware, max(at_once, 1)
    hbm = min(gpu.sm_gb_per_s, gpu.hbm_gb_per_s * gpu.hbm_efficiency / sharing)
    l2 = min(gpu.sm_l2_gb_per_s, gpu.l2_gb_per_s / sharing)
    link = min(gpu.sm_gb_per_s, gpu.nvlink_gb_per_s / sharing)
    # TFLOP/s are 1000 operations a ns
    tflops = {"float8": gpu.fp8_tflops, "float32": gpu.fp32_tflops}.get(
        work.matmul_type, gpu.bf16_tflops
    )
    matmul = 1000 * tflops * gpu.matmul_efficiency / gpu.num_sms
    vector = 1000 * gpu.fp32_tflops / gpu.num_sms
    return [
        work.hbm_bytes / hbm,
        work.l2_bytes / l2,
        work.nvlink_bytes / link,
        work.matmul_flops / matmul,
        work.vector_flops / vector,
    ]


@dataclass(frozen=True)
class _Group:
    """Tasks that one layer emitted, or those of one type that belong to none."""

    task_type: int
    register_name: str | None
    grid_dim: Grid
    num_tasks: int
    task_ids: IntArray


def _groups(context: GraphContext) -> Iterator[_Group]:
    for operator in context.operators:
        yield _Group(
            operator.task_type,
            operator.register_name,
            operator.grid_dim,
            operator.num_tasks,
            operator.task_ids,
        )
    types = context.graph.tasks.task_types
    others = context.operators.task_operators < 0
    others &= ~context.graph.tasks.is_null
    others[:2] = False
    for task_type in np.unique(types[others]).tolist():
        tasks = np.flatnonzero(others & (types == task_type))
        yield _Group(task_type, None, (len(tasks), 1, 1), len(tasks), tasks)


def _alike(context: GraphContext, group: _Group) -> Iterator[tuple[IntArray, tuple[int, ...], int]]:
    """Tasks that do the same work: equal layouts and, for experts, the same lane."""
    of_experts = context.catalog.task_type_row(group.task_type).kind == "moe"
    for tasks, layouts in _by_layouts(context, group.task_ids):
        if not of_experts:
            yield tasks, layouts, 0
            continue
        lanes = context.graph.tasks.expert_offsets[tasks]
        for lane in np.unique(lanes).tolist():
            yield tasks[lanes == lane], layouts, max(lane, 0)


def _by_layouts(
    context: GraphContext, task_ids: IntArray
) -> Iterator[tuple[IntArray, tuple[int, ...]]]:
    """Tasks of equal slot layouts (and number of inputs) together."""
    columns = context.graph.tasks
    starts = columns.slot_starts[task_ids]
    counts = columns.slot_starts[task_ids + 1] - starts
    inputs = columns.num_inputs[task_ids]
    if not len(task_ids):
        return
    if (counts == counts[0]).all() and (inputs == inputs[0]).all():
        rows = columns.slot_layouts[starts[:, None] + np.arange(int(counts[0]))]
        if (rows == rows[0]).all():
            yield task_ids, tuple(rows[0].tolist())
            return
        distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
        for index, row in enumerate(distinct):
            yield task_ids[inverse.ravel() == index], tuple(row.tolist())
        return
    keys = counts.astype(np.int64) * 256 + inputs
    for key in np.unique(keys).tolist():
        yield from _by_layouts(context, task_ids[keys == key])


@dataclass
class _Slots:
    """Facts of slots by layout, made when asked for."""

    context: GraphContext
    in_l2: npt.NDArray[np.bool_]
    """By layout."""

    @classmethod
    def of(cls, context: GraphContext, model: CostModel) -> _Slots:
        graph, extents = context.graph, context.layout_extents
        tasks, tensors = graph.tasks, graph.layout_tensors
        num_tensors = len(graph.tensors)
        made = np.zeros(num_tensors + 1, dtype=np.bool_)
        made[tensors[np.unique(tasks.slot_layouts[tasks.slot_is_output])]] = True
        # Bytes from the first to the last that any tile has
        highest = np.zeros(len(graph.layouts), dtype=np.int64)
        placed = extents.placed(tasks.slot_layouts, tasks.slot_offsets)
        np.maximum.at(highest, tasks.slot_layouts[placed], tasks.slot_offsets[placed])
        sizes = np.zeros(num_tensors + 1, dtype=np.int64)
        np.maximum.at(sizes, tensors, highest + extents.end)
        fits = sizes <= L2_SHARE * model.hardware.l2_bytes
        return cls(context, (made & fits)[tensors] & (tensors >= 0))

    def facts(self, layout: int, *, is_output: bool) -> SlotFacts:
        of, catalog = self.context.graph.layouts[layout], self.context.catalog
        return SlotFacts(
            dims=of.dims,
            elem_bytes=catalog.data_type_size(of.data_type) or 0,
            data_type=catalog.data_type_name(of.data_type),
            num_bytes=max(int(self.context.layout_extents.num_bytes[layout]), 0),
            in_l2=bool(self.in_l2[layout]),
            is_output=is_output,
        )
