"""The smallest pipeline that still shows what is wrong: layers dropped, sizes and grids cut."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.analysis.verify.run import verify
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.errors import MpkGraphError, UsageError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.model.record import (
    RECORD_DATA_TYPES,
    BlockGraph,
    LayerCall,
    LogEntry,
    PipelineRecord,
    TensorCall,
    TensorRef,
    walk,
)
from mpkgraph.pipeline.replay import recorded_target, replay
from mpkgraph.pipeline.script_text import script_text
from mpkgraph.planner.plan import plan
from mpkgraph.reference.interpreter.element_types import TORCH_NAMES
from mpkgraph.reference.validation.validate import RunOptions, validate

SCHEMA = "mpkgraph-reduced/1"
MAX_SECONDS = 240.0
"""After so long no further step is begun."""
MAX_TRIES = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """What must stay: a finding of static verify, or what goes wrong in a run."""

    code: str | None
    """Of a rule; None for a wrong run."""
    kind: str = ""
    """Of a run: `wrong`, `hang` or the kind of a fault."""
    task_type: str | None = None
    """Of the operator that is behind it."""

    def __str__(self) -> str:
        if self.code is not None:
            return self.code
        behind = f" of {self.task_type}" if self.task_type else ""
        return {"wrong": "a wrong value", "hang": "a hang"}.get(self.kind, self.kind) + behind


@dataclass(frozen=True)
class Size:
    """How large a pipeline is."""

    layers: int
    tensors: int
    elements: int
    tasks: int

    def to_json(self) -> dict[str, int]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Reduced:
    """What reducing came to."""

    path: str
    target: str
    before: Size
    after: Size
    num_tries: int
    is_complete: bool
    """Whether no further step helps; False where time ran out."""
    script: str = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "path": self.path,
            "target": self.target,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "num_tries": self.num_tries,
            "is_complete": self.is_complete,
        }


def reduce_pipeline(
    pipeline: Pipeline, path: Path, code: str | None = None, max_seconds: float = MAX_SECONDS
) -> Reduced:
    """Reduce a pipeline and write it as a script.

    What stays wrong is the finding `code`, else what a run shows, else the worst finding. Raises
    UsageError when nothing is wrong, or the pipeline has no record.
    """
    record = pipeline.ranks[0].record
    if record is None:
        raise UsageError(
            "only a pipeline with its record can be reduced: a graph holds no layers",
            where=pipeline.name,
            remedy="Give the script, or keep the record beside the graph",
        )
    target = _target(pipeline, code)
    known = _errors(pipeline.ranks)
    ranks = tuple(x.graph.rank for x in pipeline.ranks)
    if record.num_gpus > 1 and len(ranks) < record.num_gpus:
        raise UsageError(
            f"the pipeline has {record.num_gpus} ranks, and {len(ranks)} of them are given",
            where=pipeline.name,
            remedy="Give the records or graphs of all ranks, or --world-size and --all-ranks",
        )
    reducer = _Reducer(target, known, max_seconds)
    if record.num_gpus > 1 and reducer.shows(record) is None:
        raise UsageError(
            "the ranks differ in more than their layers do by themselves: rank 0's pipeline, on "
            f"all ranks, does not show {target}",
            where=pipeline.name,
            remedy="Reduce the script by hand",
        )
    smallest = reducer.reduce(record)
    title = (
        f"The smallest pipeline found that still shows {target}, from {Path(pipeline.name).name}"
    )
    text = script_text(smallest, title)
    with atomic_file(str(path)) as stream:
        stream.write(text.encode())
    return Reduced(
        path=str(path),
        target=str(target),
        before=_size(record),
        after=_size(smallest),
        num_tries=reducer.num_tries,
        is_complete=not reducer.is_late,
        script=text,
    )


def _target(pipeline: Pipeline, code: str | None) -> Target:
    findings = verify(pipeline.ranks).findings
    if code is not None:
        if all(x.rule.code != code for x in findings):
            raise UsageError(f"verify does not find {code}", where=pipeline.name)
        return Target(code)
    found = _run_target(pipeline.ranks)
    if found is not None:
        return found
    worst = next((x for x in findings if x.severity == "error"), None)
    if worst is None:
        raise UsageError(
            "there is nothing to reduce: the run is right, and verify finds no error",
            where=pipeline.name,
        )
    return Target(worst.rule.code)


def _errors(contexts: Sequence[Any]) -> frozenset[str]:
    return frozenset(x.rule.code for x in verify(contexts).findings if x.severity == "error")


def _run_target(contexts: Sequence[Any]) -> Target | None:
    report = validate(contexts, RunOptions())
    outcome = report.failing
    if outcome is None:
        outcome = next((x.outcome for x in report.replays if x.is_shown), None)
    if outcome is None:
        return None
    blame, began = outcome.blame, outcome.origin
    if blame is not None and began is not None and not began.follows(blame):
        return Target(None, "wrong", _task_type(contexts, began.rank, began.operator))
    if blame is not None:
        return Target(None, "wrong", blame.task_type)
    if outcome.hang is not None:
        return Target(None, "hang")
    fault = outcome.faults[0]
    return Target(None, fault.kind, _task_type(contexts, fault.rank, fault.operator))


def _task_type(contexts: Sequence[Any], number: int, operator: int) -> str:
    rank = next(x for x in contexts if x.graph.rank == number)
    return str(rank.catalog.task_type_name(rank.operators[operator].task_type))


class _Reducer:
    def __init__(self, target: Target, known: frozenset[str], max_seconds: float) -> None:
        self.target = target
        self.known = known
        """Errors that the pipeline has: a step must not make others, sizes that no kernel takes,
        say."""
        self.deadline = time.monotonic() + max_seconds
        self.num_tries = 0
        self._seen: set[str] = set()

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline or self.num_tries >= MAX_TRIES

    def reduce(self, record: PipelineRecord) -> PipelineRecord:
        """Steps of every kind until none helps."""
        steps: Sequence[Callable[[PipelineRecord], Iterator[PipelineRecord]]] = (
            with_fewer_ranks,
            without_layers,
            without_tensors,
            with_smaller_grids,
            with_smaller_dims,
        )
        is_smaller = True
        while is_smaller and not self.is_late:
            is_smaller = False
            for step in steps:
                record, helped = self._exhaust(record, step)
                is_smaller |= helped
        return record

    def _exhaust(
        self, record: PipelineRecord, step: Callable[[PipelineRecord], Iterator[PipelineRecord]]
    ) -> tuple[PipelineRecord, bool]:
        helped = False
        found = True
        while found and not self.is_late:
            found = False
            for candidate in step(record):
                shown = self.shows(candidate)
                if shown is not None:
                    record, found, helped = shown, True, True
                    break
                if self.is_late:
                    break
        return record, helped

    def shows(self, candidate: PipelineRecord) -> PipelineRecord | None:
        """The candidate as Mirage would record it, if it shows the target; None if not."""
        key = repr(candidate.to_json())
        if key in self._seen:
            return None
        self._seen.add(key)
        self.num_tries += 1
        try:
            records = _on_ranks(candidate)
            contexts = [context_of(plan(x).graph, x) for x in records]
        except (MpkGraphError, AssertionError, ValueError, TypeError, ZeroDivisionError):
            return None
        made = records[0]
        errors = _errors(contexts)
        if not errors <= self.known:
            return None
        if self.target.code is not None:
            found = any(x.rule.code == self.target.code for x in verify(contexts).findings)
            return made if found else None
        try:
            return made if _run_target(contexts) == self.target else None
        except MpkGraphError:
            return None


def _on_ranks(record: PipelineRecord) -> list[PipelineRecord]:
    """What the calls of a pipeline make on each of its ranks."""
    target = recorded_target(record)
    if target.world_size == 1:
        return [replay(record)]
    ranks = range(target.world_size)
    return [replay(record, dataclasses.replace(target, rank=rank)) for rank in ranks]


def with_fewer_ranks(record: PipelineRecord) -> Iterator[PipelineRecord]:
    """One rank, else half of them; sizes of tensors stay."""
    for count in dict.fromkeys((1, record.num_gpus // 2)):
        if 0 < count < record.num_gpus:
            init = {**record.init, "world_size": count, "mpi_rank": 0}
            generate = {**(record.generate or {}), "num_gpus": count, "my_gpu_id": 0}
            yield dataclasses.replace(record, init=init, generate=generate)


def without_layers(record: PipelineRecord) -> Iterator[PipelineRecord]:
    """Halves of the layers dropped, then quarters, down to single ones.

    What they wrote for others is then given, should it not do without.
    """
    places = [i for i, x in enumerate(record.log) if isinstance(x, (LayerCall, BlockGraph))]
    size = len(places) // 2
    while size >= 1:
        for start in range(0, len(places), size):
            dropped = set(places[start : start + size])
            if len(dropped) < len(places):
                kept = [x for i, x in enumerate(record.log) if i not in dropped]
                yield _cleaned(record, kept)
                names = _used([record.log[x] for x in sorted(dropped)])
                given = _with_given(record, kept, names)
                if given is not None:
                    yield given
        size //= 2


def _with_given(
    record: PipelineRecord, log: Sequence[LogEntry], tensors: AbstractSet[int | None]
) -> PipelineRecord | None:
    """Those of these tensors that the pipeline makes attached by the caller; None for none."""
    types: dict[int, str] = {}
    entries: list[LogEntry] = []
    for entry in log:
        if isinstance(entry, TensorCall) and entry.op == "new_tensor" and entry.tensor in tensors:
            name = TORCH_NAMES.get(RECORD_DATA_TYPES.get(entry.dtype, entry.dtype))
            if name is not None and entry.io_category == "cuda_tensor":
                types[entry.tensor] = name
                entry = dataclasses.replace(  # noqa: PLW2901
                    entry, op="attach_input", io_category=None
                )
        entries.append(entry)
    if not types:
        return None
    changed = tuple(
        dataclasses.replace(
            x, kind="attach_input", io_category=None, torch_dtype=x.torch_dtype or types[x.id]
        )
        if x.id in types
        else x
        for x in record.tensors
    )
    return _cleaned(dataclasses.replace(record, tensors=changed), entries)


def without_tensors(record: PipelineRecord) -> Iterator[PipelineRecord]:
    """What no layer uses dropped."""
    cleaned = _cleaned(record, record.log)
    if len(cleaned.log) < len(record.log):
        yield cleaned


def with_smaller_grids(record: PipelineRecord) -> Iterator[PipelineRecord]:
    """One axis of one layer's grid cut: to 1, else divided by its smallest factor."""
    for place, entry in enumerate(record.log):
        grid = _grid(entry)
        if grid is None:
            continue
        for axis in range(len(grid)):
            for size in _smaller(grid[axis]):
                changed = [*grid[:axis], size, *grid[axis + 1 :]]
                yield _with_entry(record, place, _with_grid(entry, changed))


def with_smaller_dims(record: PipelineRecord) -> Iterator[PipelineRecord]:
    """One size cut wherever it and its multiples by 2 are, with the grids as they are, or cut too.

    The size of a batch is cut in the kernel's parameters as well.
    """
    sizes = sorted({d for x in record.tensors for d in x.dims if d > 1}, reverse=True)
    for size in sizes:
        for factor in dict.fromkeys(_factors(size)):
            family = {size << k for k in range(4)} | {
                size >> k for k in range(1, 4) if size % (1 << k) == 0
            }
            for sizes_cut in ({size}, family):
                cut = {x: x // factor for x in sizes_cut if x % factor == 0 and x > 1}
                yield _with_dims(record, cut, None)
                yield _with_dims(record, cut, factor)


def _factors(size: int) -> list[int]:
    """What a size may be divided by: much first, then a little."""
    found = [x for x in (16, 4) if size % x == 0]
    smallest = next((x for x in range(2, 64) if size % x == 0), None)
    return [*found, *([] if smallest is None else [smallest])]


def _smaller(size: int) -> list[int]:
    if size <= 1:
        return []
    factor = next((x for x in range(2, size + 1) if size % x == 0), size)
    found = [1, size // factor, size - 1]
    return [x for x in dict.fromkeys(found) if 0 < x < size]


def _grid(entry: LogEntry) -> list[int] | None:
    if isinstance(entry, BlockGraph):
        return list(entry.grid_dim)
    if isinstance(entry, LayerCall):
        grid = entry.args.get("grid_dim")
        if isinstance(grid, (list, tuple)) and all(isinstance(x, int) for x in grid):
            return list(grid)
    return None


def _with_grid(entry: LogEntry, grid: Sequence[int]) -> LogEntry:
    if isinstance(entry, BlockGraph):
        x, y, z = grid
        return dataclasses.replace(entry, grid_dim=(x, y, z))
    if isinstance(entry, LayerCall):
        return dataclasses.replace(entry, args={**entry.args, "grid_dim": list(grid)})
    return entry


def _with_entry(record: PipelineRecord, place: int, entry: LogEntry) -> PipelineRecord:
    log = [*record.log[:place], entry, *record.log[place + 1 :]]
    return _cleaned(record, log)


def _with_dims(
    record: PipelineRecord, cut: dict[int, int], grid_factor: int | None
) -> PipelineRecord:
    """Sizes replaced in all tensors; grids that they no longer divide are cut alike."""

    def changed(dims: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(cut.get(x, x) for x in dims)

    log: list[LogEntry] = []
    dims_of: dict[int, tuple[int, ...]] = {}
    for entry in record.log:
        if isinstance(entry, TensorCall):
            dims = changed(entry.dims)
            if entry.inputs:
                parts = [dims_of[x.tensor] for x in entry.inputs if x.tensor in dims_of]
                dims = (sum(x[0] for x in parts), *parts[0][1:]) if parts else dims
            strides = _strides(entry.dims, entry.strides, dims)
            dims_of[entry.tensor] = dims
            log.append(dataclasses.replace(entry, dims=dims, strides=strides))
            continue
        grid = _grid(entry)
        if grid is not None and grid_factor is not None:
            grid = [x // grid_factor if x % grid_factor == 0 else x for x in grid]
            entry = _with_grid(entry, grid)  # noqa: PLW2901
        log.append(entry)
    init = dict(record.init)
    for name in ("max_num_batched_tokens", "max_num_batched_requests"):
        value = init.get(name)
        if isinstance(value, int) and value in cut:
            init[name] = cut[value]
    init["meta_tensors"] = _meta(record, init)
    return _cleaned(dataclasses.replace(record, init=init), log)


def _meta(record: PipelineRecord, init: dict[str, Any]) -> Any:
    """Lengths of what goes by request, as the number of requests is now."""
    before, after = record.init.get("max_num_batched_requests"), init["max_num_batched_requests"]
    found = {}
    for name, shape in (record.init.get("meta_tensors") or {}).items():
        dims = list(shape.get("torch", [])) if isinstance(shape, dict) else []
        if before != after and len(dims) == 1 and isinstance(before, int):
            if dims[0] == before + 1:
                shape = {**shape, "torch": [after + 1]}  # noqa: PLW2901
            elif dims[0] == before:
                shape = {**shape, "torch": [after]}  # noqa: PLW2901
        found[name] = shape
    return found


def _strides(
    dims: tuple[int, ...], strides: tuple[int, ...], changed: tuple[int, ...]
) -> tuple[int, ...]:
    """Row-major stays row-major, and two columns stay columns; others are kept."""
    from mpkgraph.pipeline.tensors import row_major

    if strides == row_major(dims):
        return row_major(changed)
    if len(dims) == 2 and strides == (1, dims[0]):
        return (1, changed[0])
    return strides


def _cleaned(record: PipelineRecord, log: Sequence[LogEntry]) -> PipelineRecord:
    """A record with this log: tensors that no layer uses are left out, ids go without gaps."""
    entries = list(log)
    while True:
        used = _used(entries)
        kept = [x for x in entries if not isinstance(x, TensorCall) or x.tensor in used]
        if len(kept) == len(entries):
            break
        entries = kept
    numbers: dict[int, int] = {}
    for _, entry, _ in walk(tuple(entries)):
        if isinstance(entry, TensorCall) and entry.tensor not in numbers:
            numbers[entry.tensor] = len(numbers)
    renumbered = tuple(_renumbered(x, numbers) for x in entries)
    calls = {x.tensor: x for _, x, _ in walk(renumbered) if isinstance(x, TensorCall)}
    tensors = []
    for tensor in record.tensors:
        number = numbers.get(tensor.id)
        if number is None:
            continue
        call = calls[number]
        tensors.append(dataclasses.replace(tensor, id=number, dims=call.dims, strides=call.strides))
    tensors.sort(key=lambda x: x.id)
    return dataclasses.replace(record, log=renumbered, tensors=tuple(tensors), path=None)


def _used(entries: Sequence[LogEntry]) -> set[int | None]:
    used: set[int | None] = set()
    for _, entry, _ in walk(tuple(entries)):
        if isinstance(entry, BlockGraph):
            used.update(x.tensor for x in entry.inputs)
        elif isinstance(entry, TensorCall):
            used.update(x.tensor for x in entry.inputs or ())
        elif isinstance(entry, LayerCall):
            used.update(
                x["tensor"]
                for x in entry.args.values()
                if isinstance(x, dict) and x.keys() == {"tensor", "name"}
            )
    return used


def _renumbered(entry: LogEntry, numbers: dict[int, int]) -> LogEntry:
    def ref(value: TensorRef) -> TensorRef:
        number = None if value.tensor is None else numbers.get(value.tensor)
        return dataclasses.replace(value, tensor=number)

    if isinstance(entry, TensorCall):
        inputs = None if entry.inputs is None else tuple(ref(x) for x in entry.inputs)
        return dataclasses.replace(entry, tensor=numbers[entry.tensor], inputs=inputs)
    if isinstance(entry, BlockGraph):
        slots = tuple(
            dataclasses.replace(x, tensor=None if x.tensor is None else numbers.get(x.tensor))
            for x in entry.inputs
        )
        customized = tuple(None if x is None else ref(x) for x in entry.customized)
        return dataclasses.replace(entry, inputs=slots, customized=customized)
    if isinstance(entry, LayerCall):
        args = {
            key: {**x, "tensor": numbers.get(x["tensor"])}
            if isinstance(x, dict) and x.keys() == {"tensor", "name"} and x["tensor"] is not None
            else x
            for key, x in entry.args.items()
        }
        return dataclasses.replace(
            entry, args=args, lowlevel=tuple(_renumbered(x, numbers) for x in entry.lowlevel)
        )
    return entry


def _size(record: PipelineRecord) -> Size:
    elements = 0
    for tensor in record.tensors:
        count = 1
        for dim in tensor.dims:
            count *= dim
        elements += count
    try:
        tasks = plan(record).graph.num_tasks
    except MpkGraphError:
        tasks = 0
    return Size(len(record.layers), len(record.tensors), elements, tasks)
