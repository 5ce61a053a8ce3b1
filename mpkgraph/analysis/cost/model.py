"""The cost model: a GPU's rates, the runtime's costs, the workload, and what a user overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from mpkgraph.analysis.cost.gpus import FIXED_NS, GPUS, OTHER_FIXED_NS, RUNTIME, Hardware
from mpkgraph.analysis.schedule.system import RuntimeCosts
from mpkgraph.catalog import DEFAULT, Catalog
from mpkgraph.catalog.task_types import KINDS
from mpkgraph.errors import GraphReadError, UsageError
from mpkgraph.frozen import dataclass

SCHEMA = "mpkgraph-cost/1"
DEFAULT_KV_LENGTH = 1024
MAX_NS = 10**12
"""No task and no step of the runtime takes more than this (1000 s): sums stay far from overflow."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What the graph does not say and data decide."""

    kv_length: int = DEFAULT_KV_LENGTH
    """Tokens in the cache of each request, that attention reads."""


@dataclass(frozen=True, slots=True)
class TypeCost:
    """What a user says about one task type; None where nothing."""

    duration_ns: int | None = None
    """The whole of it, whatever its tiles."""
    fixed_ns: int | None = None
    """Instead of that of its kind."""
    scale: float = 1.0
    """Factor on what the model says, the fixed part included."""


@dataclass(frozen=True)
class CostModel:
    """How long tasks and the runtime's steps take.

    >>> CostModel.of_gpu("h100").hardware.num_sms
    132
    """

    name: str
    hardware: Hardware
    runtime: RuntimeCosts = RUNTIME
    workload: Workload = Workload()
    fixed_ns: Mapping[str, int] = field(default_factory=lambda: FIXED_NS)
    """By kind."""
    task_types: Mapping[str, TypeCost] = field(default_factory=dict)
    """By name of the task type."""

    @classmethod
    def of_gpu(cls, name: str) -> CostModel:
        """Raises UsageError for a GPU without a table."""
        hardware = GPUS.get(name.lower())
        if hardware is None:
            raise UsageError(
                f"no costs are known for {name!r}",
                remedy=f"Use {', '.join(GPUS)} or a file of costs",
            )
        return cls(name.lower(), hardware)

    def with_kv_length(self, kv_length: int | None) -> CostModel:
        if kv_length is None:
            return self
        return replace(self, workload=replace(self.workload, kv_length=kv_length))

    def fixed_of(self, kind: str) -> int:
        return self.fixed_ns.get(kind, OTHER_FIXED_NS)

    def to_json(self) -> dict[str, Any]:
        """The model as a cost file, whole."""
        return {
            "schema": SCHEMA,
            "gpu": self.name,
            "hardware": asdict(self.hardware),
            "runtime": asdict(self.runtime),
            "workload": asdict(self.workload),
            "kinds": {kind: {"fixed_ns": value} for kind, value in sorted(self.fixed_ns.items())},
            "task_types": {
                name: {key: value for key, value in asdict(cost).items() if value is not None}
                for name, cost in sorted(self.task_types.items())
            },
        }


def cost_model(text: str | None, gpu: str, catalog: Catalog = DEFAULT) -> CostModel:
    """The model that a user means: None for that of `gpu`, a GPU's name, or a file.

    Raises UsageError for a name that is neither, GraphReadError for a file that breaks the schema.
    """
    if text is None:
        return CostModel.of_gpu(gpu)
    if text.lower() in GPUS:
        return CostModel.of_gpu(text)
    if not Path(text).exists():
        raise UsageError(
            f"{text!r} is neither a GPU with known costs nor a file",
            where="--cost",
            remedy=f"Use {', '.join(GPUS)} or a file of costs",
        )
    return read_cost_file(text, gpu, catalog)


def read_cost_file(path: str, gpu: str, catalog: Catalog = DEFAULT) -> CostModel:
    """A JSON file of schema `mpkgraph-cost/1`; what it leaves out is that of its `gpu`.

    Raises GraphReadError naming the field when it can't be read or breaks the schema.
    """
    import orjson

    try:
        document = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise GraphReadError(
            f"can't be read: {error.strerror}", where=path, remedy="Check the path"
        ) from None
    except orjson.JSONDecodeError as error:
        raise GraphReadError(f"is no JSON: {error}", where=path, remedy="Correct it") from None
    reader = _Reader(path)
    top = reader.keys(
        document, "", ("schema", "gpu", "hardware", "runtime", "workload", "kinds", "task_types")
    )
    if top.get("schema") != SCHEMA:
        found = repr(top.get("schema"))[:60]
        raise reader.error("schema", f"is {found}", f"This version reads {SCHEMA!r}")
    name = top.get("gpu", gpu)
    if not isinstance(name, str) or name.lower() not in GPUS:
        raise reader.error("gpu", f"is {repr(name)[:60]}", f"Use one of {', '.join(GPUS)}")
    base = CostModel.of_gpu(name)
    kinds = dict(base.fixed_ns)
    for kind, value in reader.keys(top.get("kinds", {}), "kinds", KINDS).items():
        place = f"kinds.{kind}"
        row = reader.keys(value, place, ("fixed_ns",))
        if "fixed_ns" in row:
            kinds[kind] = reader.integer(row["fixed_ns"], f"{place}.fixed_ns")
    types: dict[str, TypeCost] = {}
    names = tuple(catalog.task_type_numbers)
    for task_type, value in reader.keys(top.get("task_types", {}), "task_types", names).items():
        place = f"task_types.{task_type}"
        types[task_type] = reader.over(TypeCost(), value, place)
    return CostModel(
        base.name,
        reader.over(base.hardware, top.get("hardware", {}), "hardware"),
        reader.over(base.runtime, top.get("runtime", {}), "runtime"),
        reader.over(base.workload, top.get("workload", {}), "workload"),
        kinds,
        types,
    )


Row = TypeVar("Row", Hardware, RuntimeCosts, Workload, TypeCost)


@dataclass(frozen=True)
class _Reader:
    """Checks of a cost file, with messages that name the field."""

    path: str

    def error(self, place: str, what: str, remedy: str) -> GraphReadError:
        return GraphReadError(f"{place or 'the file'} {what}", where=self.path, remedy=remedy)

    def keys(self, value: object, place: str, known: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(place, "is no object", "Write {...} there")
        unknown = [key for key in value if key not in known]
        if unknown:
            import difflib

            near = difflib.get_close_matches(unknown[0], known, n=3) or known[:6]
            raise self.error(
                place, f"has an unknown key {unknown[0][:60]!r}", f"Did you mean {', '.join(near)}?"
            )
        return value

    def number(self, value: object, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e12:
            raise self.error(place, f"is {str(value)[:60]!r}", "Give a number above 0")
        return float(value)

    def integer(self, value: object, place: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_NS:
            raise self.error(place, f"is {str(value)[:60]!r}", "Give a whole number from 0 on")
        return value

    def over(self, base: Row, value: object, place: str) -> Row:
        """A row with the fields of `value` in place of its own."""
        floats = {item.name: isinstance(getattr(base, item.name), float) for item in fields(base)}
        changes: dict[str, Any] = {}
        for key, item in self.keys(value, place, tuple(floats)).items():
            check = self.number if floats[key] else self.integer
            changes[key] = check(item, f"{place}.{key}")
        return replace(base, **changes)
