"""One call on several tiles, as one call for each of its tasks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import wraps
from types import MappingProxyType

from mpkgraph.catalog import DEFAULT
from mpkgraph.planner.metadata import metadata_columns
from mpkgraph.reference.call import Point, TaskCall, TaskExecutionError, Tensor

NONE, ROWS, COLUMNS = (-1, -1, -1), (0, -1, -1), (1, -1, -1)
HEADS, PAGE_HEADS = (-1, 1, -1), (-1, 2, -1)
LAYERS_MAPS: Mapping[str, tuple[Point, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("TASK_PAGED_ATTENTION_SPLIT_KV_HOPPER", "TASK_PAGED_ATTENTION_SPLIT_KV_SM100"),
            (HEADS, PAGE_HEADS, PAGE_HEADS, *(NONE,) * 4, *((-1, 2, 1),) * 2),
        ),
        "TASK_PAGED_ATTENTION_SPLIT_KV_MERGE_SM100": (PAGE_HEADS, PAGE_HEADS, HEADS),
        "TASK_FIND_NGRAM_PARTIAL": (NONE, COLUMNS),
        "TASK_SAMPLING_SM100": (ROWS, ROWS),
    }
)
"""How Mirage's layers split the slots of those types whose tasks are always done one by one."""
FIELDS = ("request_id", "kv_idx", "merge_task_offset", "expert_offset", "task_offset")


def tasks_of(call: TaskCall) -> Iterator[TaskCall]:
    """The calls of the single tasks that `call` stands for, in grid order (z fastest).

    Tiles are cut as Mirage cuts them: an axis of size `n` gives each task `dim // n`. Without
    `input_maps` those of Mirage's layer are taken, for types whose function needs them.

    Raises TaskExecutionError when `input_maps` are not known.
    """
    if call.joined == (1, 1, 1):
        yield call
        return
    input_maps = call.input_maps or LAYERS_MAPS.get(call.task_type, ())
    if len(input_maps) != len(call.slots):
        raise TaskExecutionError(
            "several tasks are to be run as one, but what the grid splits is not known",
            where=call.task_type,
            remedy="Give input_maps for every slot",
        )
    metadata = task_metadata(call.task_type, call.grid_dim)
    for offset in itertools.product(*(range(size) for size in call.joined)):
        views = [
            _tile(view, input_map, call.joined, offset)
            for view, input_map in zip(call.slots, input_maps, strict=True)
        ]
        x, y, z = (a + b for a, b in zip(call.grid_position, offset, strict=True))
        yield replace(
            call,
            inputs=tuple(views[: len(call.inputs)]),
            outputs=tuple(views[len(call.inputs) :]),
            metadata=metadata(x, y, z),
            grid_position=(x, y, z),
            joined=(1, 1, 1),
            input_maps=input_maps,
            tile_dims=(),
            peers={
                rank: tuple(
                    _tile(view, input_map, call.joined, offset)
                    for view, input_map in zip(peer, input_maps, strict=True)
                )
                for rank, peer in call.peers.items()
            },
        )


def one_by_one(run: Callable[[TaskCall], None]) -> Callable[[TaskCall], None]:
    """Makes a function of single tasks one of joined tasks too."""

    @wraps(run)
    def run_all(call: TaskCall) -> None:
        for task in tasks_of(call):
            run(task)

    return run_all


def task_metadata(task_type: str, grid_dim: Point) -> Callable[[int, int, int], dict[str, int]]:
    """A function of the grid point: the metadata that Mirage writes for a task there."""
    number = DEFAULT.task_type_numbers[task_type]
    columns = metadata_columns(DEFAULT.task_type_row(number).metadata, grid_dim)

    def at(x: int, y: int, z: int) -> dict[str, int]:
        index = (x * grid_dim[1] + y) * grid_dim[2] + z
        return {name: int(column[index]) for name, column in zip(FIELDS, columns, strict=True)}

    return at


def _tile(
    view: Tensor | None, input_map: Point, joined: Point, offset: tuple[int, ...]
) -> Tensor | None:
    if view is None:
        return None
    starts: dict[int, int] = {}
    sizes = dict(enumerate(view.shape))
    for axis, dim in enumerate(input_map):
        if dim >= 0 and joined[axis] > 1:
            starts[dim] = starts.get(dim, 0) + view.shape[dim] // joined[axis] * offset[axis]
            sizes[dim] //= joined[axis]
    for dim, start in starts.items():
        view = view.narrow(dim, start, sizes[dim])
    return view
