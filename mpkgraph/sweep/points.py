"""The points of a sweep: every combination of the axes' values, and what each is to be planned as.

A point is told from others by its parameters, which name its folder; what was found at it holds as
long as its key and the files that it was made of are the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpkgraph._version import __version__
from mpkgraph.errors import UsageError
from mpkgraph.pipeline.compile import CompileOptions
from mpkgraph.pipeline.compiled import Emit
from mpkgraph.pipeline.function_parameters import literal_or_text
from mpkgraph.sweep.axes import Axis, Swept, parse_axes, planning_value

MAX_SLUG = 96
"""Characters of a folder's name before its digest: whole names stay below 255 bytes."""
MAX_POINTS = 100_000
"""More combinations than this are a slip of the keyboard."""
DIGEST_LENGTH = 8
STAGED_DATASET = "dataset"
"""Folder of a point's tables, beside its graphs, until they are put into the dataset."""
RESULT_FORMAT = 1
"""Of what is kept of a point; counts as part of its key."""


@dataclass(frozen=True)
class CheckOptions:
    """How points are checked and simulated."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    suppress: tuple[str, ...] = ()
    """`RULES@WHERE`."""
    baseline: str | None = None
    """File of known findings."""
    cost: str | None = None
    """GPU or cost file; None: that of the target."""
    kv_length: int | None = None


@dataclass(frozen=True)
class SweepOptions:
    """What is swept, over what, and how each point is planned and checked."""

    sources: tuple[str, ...]
    sweep: tuple[str, ...]
    """`name=v1,v2,...` texts."""
    plan: CompileOptions = field(default_factory=CompileOptions)
    """What all points have in common; where files go is not taken from here."""
    check: CheckOptions = CheckOptions()
    emit: Emit = frozenset()
    """Which files of each point are kept in the folder of results."""
    show_traceback: bool = False


@dataclass(frozen=True)
class Point:
    """One combination, ready to be planned anywhere: on this machine or another."""

    index: int
    """Position in the order of the axes, the last one fastest."""
    name: str
    """Of its folder, and its run in a dataset."""
    key: str
    """Digest of all that it is made of but the content of the pipeline's files."""
    values: tuple[tuple[str, str], ...]
    """What the user calls each axis, and its value here."""
    sources: tuple[str, ...]
    plan: CompileOptions = field(repr=False)
    check: CheckOptions = field(repr=False)
    emit: Emit
    folder: str
    """The user's working folder."""
    with_dataset: bool = False
    show_traceback: bool = False

    @property
    def gpu(self) -> str | None:
        """The target as the user calls it: an H200 has other costs than an H100."""
        return dict(self.values).get("target")


def points_of(options: SweepOptions, *, with_dataset: bool = False) -> tuple[Point, ...]:
    """Every combination of the axes.

    Raises UsageError for axes that do not fit the pipeline or each other, or the plan's options.
    """
    swept = Swept(options.sources, tuple(options.plan.arguments))
    axes = parse_axes(options.sweep, swept)
    if not axes:
        raise UsageError("there is nothing to sweep", remedy="Give --sweep name=v1,v2,...")
    for axis in axes:
        _check_free(axis, options.plan)
    number = 1
    for axis in axes:
        number *= len(axis.values)
    if number > MAX_POINTS:
        raise UsageError(
            f"these are {number:,} combinations, more than {MAX_POINTS:,}",
            remedy="Sweep fewer values",
        )
    checks = _check_identity(options)
    return tuple(_points(options, axes, checks, with_dataset=with_dataset))


def _points(
    options: SweepOptions, axes: Sequence[Axis], checks: dict[str, Any], *, with_dataset: bool
) -> Iterator[Point]:
    folder = str(Path.cwd())
    for index, texts in enumerate(itertools.product(*(axis.values for axis in axes))):
        values = tuple((axis.label, text) for axis, text in zip(axes, texts, strict=True))
        plan = _plan(options.plan, axes, texts)
        identity = {"sources": options.sources, "values": values, "plan": _plan_identity(plan)}
        key = {"format": RESULT_FORMAT, "version": __version__, "identity": identity, **checks}
        yield Point(
            index,
            f"{_slug(values)}-{_digest(identity)[:DIGEST_LENGTH]}",
            _digest(key),
            values,
            options.sources,
            plan,
            options.check,
            options.emit,
            folder,
            with_dataset,
            options.show_traceback,
        )


_PLAN_FIELDS = {
    "target": "cc",
    "workers": "num_workers",
    "schedulers": "num_local_schedulers",
    "world_size": "world_size",
    "multicast": "multicast",
}


def _check_free(axis: Axis, plan: CompileOptions) -> None:
    """Raises UsageError for what is swept and given once for all points."""
    taken = {
        "planning": _PLAN_FIELDS.get(axis.name)
        and getattr(plan, _PLAN_FIELDS[axis.name]) is not None,
        "set": axis.name in plan.settings,
        "init": axis.name in plan.init,
    }
    if taken.get(axis.kind):
        option = {"set": "--set ", "init": "--init "}.get(axis.kind, "--")
        raise UsageError(
            f"{axis.label!r} is swept and given with {option}{axis.name.replace('_', '-')}",
            remedy="Leave one of them out",
        )


def _plan(base: CompileOptions, axes: Sequence[Axis], texts: Sequence[str]) -> CompileOptions:
    changes: dict[str, Any] = {}
    settings, init, arguments = dict(base.settings), dict(base.init), list(base.arguments)
    for axis, text in zip(axes, texts, strict=True):
        if axis.kind == "planning":
            changes[_PLAN_FIELDS[axis.name]] = planning_value(axis, text)
        elif axis.kind == "set":
            settings[axis.name] = text
        elif axis.kind == "init":
            init[axis.name] = literal_or_text(text)
    arguments = _filled(arguments, axes, texts)
    plan = dataclasses.replace(
        base,
        **changes,
        settings=settings,
        init=init,
        arguments=tuple(arguments),
        output=None,
        emit=frozenset(),
        stdout=None,
    )
    # The ranks of a pipeline are checked together: what one waits for, another triggers
    every = plan.all_ranks or (plan.rank is None and (plan.world_size or 1) > 1)
    return dataclasses.replace(plan, all_ranks=every)


def _filled(arguments: Sequence[str], axes: Sequence[Axis], texts: Sequence[str]) -> list[str]:
    """The script's arguments: `{name}` replaced, in one pass, and options added."""
    chosen = dict(zip(axes, texts, strict=True))
    names = {axis.name: text for axis, text in chosen.items() if axis.kind == "placeholder"}
    filled = []
    if names:
        pattern = re.compile("{(" + "|".join(map(re.escape, names)) + ")}")
        for argument in arguments:
            word = pattern.sub(lambda match: names[match[1]], argument)
            # A flag is swept as `{flag}` with an empty value: then there is no such argument
            if word or not pattern.fullmatch(argument):
                filled.append(word)
    else:
        filled = list(arguments)
    for axis, text in chosen.items():
        if axis.kind == "argument":
            filled += [axis.name, text]
    return filled


def _plan_identity(plan: CompileOptions) -> dict[str, Any]:
    """What of the options says which graph comes out."""
    return {
        "cc": plan.cc,
        "num_workers": plan.num_workers,
        "num_local_schedulers": plan.num_local_schedulers,
        "world_size": plan.world_size,
        "rank": plan.rank,
        "all_ranks": plan.all_ranks,
        "multicast": plan.multicast,
        "arguments": list(plan.arguments),
        "settings": dict(plan.settings),
        "init": {name: repr(value) for name, value in plan.init.items()},
        "meta": plan.meta,
        "tasks": [[row.name, row.num_inputs, row.num_outputs, row.task_type] for row in plan.tasks],
        "mirage_home": None if plan.mirage_home is None else str(plan.mirage_home),
    }


def _check_identity(options: SweepOptions) -> dict[str, Any]:
    check = dataclasses.asdict(options.check)
    for name in ("baseline", "cost"):
        path = check[name]
        if path is not None and Path(path).is_file():
            check[f"{name}_content"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {"check": check, "emit": sorted(options.emit)}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _slug(values: Sequence[tuple[str, str]]) -> str:
    """Readable and safe as the name of a folder and of a partition.

    >>> _slug([("tasks", "32"), ("target", "h100"), ("set:grid", "(8, 1)")])
    'tasks-32.target-h100.set-grid-8-1'
    """
    parts = (f"{name.lstrip('-')}-{text}" for name, text in values)
    safe = (re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)
    return ".".join(safe)[:MAX_SLUG].rstrip("-.")
