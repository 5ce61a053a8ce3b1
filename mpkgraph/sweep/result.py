"""What a sweep found: one result a point, and their ranking."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mpkgraph.analysis.table import Column, Table
from mpkgraph.analysis.verify.rule import SEVERITIES, Severity

SCHEMA = "mpkgraph-sweep/1"
POINT_SCHEMA = "mpkgraph-sweep-point/1"

RankBy = Literal["findings", "makespan", "tasks", "events", "depth"]
RANK_BY: tuple[RankBy, ...] = ("findings", "makespan", "tasks", "events", "depth")

ErrorKind = Literal["refused", "failed", "crashed", "internal"]
"""What Mirage would refuse, which stays so until something is changed; any other error that a user
can cause; the process died or took too long; a bug of ours."""


@dataclass(frozen=True, slots=True)
class PointError:
    """Why there is no graph at a point."""

    kind: ErrorKind
    message: str
    traceback: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "message": self.message, "traceback": self.traceback}


@dataclass(frozen=True, slots=True)
class GraphRow:
    """One graph of a point, all its ranks together."""

    index: int
    """Position among the graphs of a process, from 0."""
    ranks: int
    target_cc: int
    num_workers: int
    num_schedulers: int
    num_layers: int
    """Of the first rank."""
    num_operators: int
    """Of all ranks, as the next two."""
    num_tasks: int
    num_events: int
    depth: int
    """Tasks on the longest chain."""
    width: int
    gpu: str
    """Whose costs the makespan is simulated with."""
    makespan_ns: int | None
    """None when it hangs, or can't be simulated."""
    hangs: bool
    not_simulated: str | None = None
    """Why not."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class PointResult:
    """What was found at one point."""

    name: str
    key: str
    values: tuple[tuple[str, str], ...]
    error: PointError | None = None
    graphs: tuple[GraphRow, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """As `Finding.to_json`, with the index of the `graph`."""
    warnings: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Of planning."""
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Graphs and records, relative to the point's folder."""
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Digests of the files that the pipeline was made of."""

    def count(self, severity: Severity) -> int:
        return sum(finding["severity"] == severity for finding in self.findings)

    @property
    def rules(self) -> dict[str, int]:
        """How many findings each rule has, by code."""
        counts: dict[str, int] = {}
        for finding in self.findings:
            counts[finding["code"]] = counts.get(finding["code"], 0) + 1
        return dict(sorted(counts.items()))

    @property
    def num_tasks(self) -> int | None:
        return self._total("num_tasks")

    @property
    def num_events(self) -> int | None:
        return self._total("num_events")

    @property
    def depth(self) -> int | None:
        """Of all graphs, one after another."""
        return self._total("depth")

    @property
    def makespan_ns(self) -> int | None:
        """Of all graphs, one after another."""
        return self._total("makespan_ns")

    @property
    def hangs(self) -> bool:
        return any(graph.hangs for graph in self.graphs)

    def fails(self, fail_on: Severity) -> bool:
        limit = SEVERITIES.index(fail_on)
        return any(SEVERITIES.index(x["severity"]) <= limit for x in self.findings)

    def _total(self, name: str) -> int | None:
        values = [getattr(graph, name) for graph in self.graphs]
        return None if not values or None in values else sum(values)

    def to_json(self) -> dict[str, Any]:
        """What is kept of a point, schema `mpkgraph-sweep-point/1`."""
        return {"schema": POINT_SCHEMA, "key": self.key, **self.row_json(), **self._origin_json()}

    def row_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "values": dict(self.values),
            "error": None if self.error is None else self.error.to_json(),
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "rules": self.rules,
            "num_tasks": self.num_tasks,
            "num_events": self.num_events,
            "depth": self.depth,
            "makespan_ns": self.makespan_ns,
            "hangs": self.hangs,
            "graphs": [graph.to_json() for graph in self.graphs],
            "warnings": list(self.warnings),
            "findings": list(self.findings),
            "notes": list(self.notes),
            "files": list(self.files),
        }

    def _origin_json(self) -> dict[str, Any]:
        return {"sources": dict(self.sources)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PointResult:
        """Of what `to_json` gave; KeyError, TypeError or ValueError for anything else."""
        if content["schema"] != POINT_SCHEMA:
            raise ValueError(content["schema"])
        error = content["error"]
        return cls(
            name=content["name"],
            key=content["key"],
            values=tuple(content["values"].items()),
            error=None if error is None else PointError(**error),
            graphs=tuple(GraphRow(**graph) for graph in content["graphs"]),
            findings=tuple(content["findings"]),
            warnings=tuple(content["warnings"]),
            notes=tuple(content["notes"]),
            files=tuple(content["files"]),
            sources=content["sources"],
        )


@dataclass(frozen=True)
class SweepResult:
    """All points, the best first; those that could not be planned last."""

    pipeline: str
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    """Each with its values."""
    points: tuple[PointResult, ...]
    rank_by: RankBy = "findings"
    fail_on: Severity = "error"
    fail_on_warnings: bool = False
    """Whether warnings of planning count as findings (`compile --check`)."""

    @property
    def failed(self) -> tuple[PointResult, ...]:
        return tuple(x for x in self.points if x.error is not None)

    @property
    def has_findings(self) -> bool:
        """Whether a point has a finding as bad as `fail_on`."""
        return any(
            x.fails(self.fail_on) or (self.fail_on_warnings and x.warnings) for x in self.points
        )

    @property
    def exit_code(self) -> int:
        """3 when a point could not be planned, else 1 when one has findings, else 0."""
        return 3 if self.failed else int(self.has_findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "pipeline": self.pipeline,
            "axes": [{"name": name, "values": list(values)} for name, values in self.axes],
            "rank_by": self.rank_by,
            "fail_on": self.fail_on,
            "num_points": len(self.points),
            "num_failed": len(self.failed),
            "has_findings": self.has_findings,
            "points": [point.row_json() for point in self.points],
        }

    def table(self) -> Table:
        """One row a point, in order of rank; axes are columns, those of like names as ours too."""
        points = self.points
        own: dict[str, Column] = {
            "place": Column(list(range(1, len(points) + 1)), "1 is the best"),
            "point": Column([x.name for x in points], "its folder, and run in a dataset"),
            "status": Column(
                ["planned" if x.error is None else x.error.kind for x in points],
                "planned, or why not",
            ),
            **{
                f"{severity}s" if severity != "advice" else severity: Column(
                    _known(points, lambda x, s=severity: x.count(s)), "findings"
                )
                for severity in SEVERITIES
            },
            "plan_warnings": Column(_known(points, lambda x: len(x.warnings)), "of planning"),
            "rules": Column(
                [" ".join(f"{code}:{n}" for code, n in x.rules.items()) for x in points],
                "findings by rule",
            ),
            "num_graphs": Column(_known(points, lambda x: len(x.graphs)), "of one process"),
            "num_ranks": Column(_known(points, lambda x: x.graphs[0].ranks), "planned together"),
            "num_workers": Column(_known(points, lambda x: x.graphs[0].num_workers), "a GPU"),
            "num_tasks": Column([x.num_tasks for x in points], "of all graphs and ranks"),
            "num_events": Column([x.num_events for x in points], "of all graphs and ranks"),
            "depth": Column([x.depth for x in points], "tasks on the longest chain"),
            "makespan_ns": Column([x.makespan_ns for x in points], "simulated"),
            "hangs": Column(_known(points, lambda x: x.hangs), "whether the simulation stops"),
            "gpu": Column(_known(points, lambda x: x.graphs[0].gpu), "whose costs"),
            "error": Column([x.error and x.error.message for x in points], "why there is none"),
        }
        axes: dict[str, Column] = {}
        for label, _ in self.axes:
            # an axis `workers` and a column of ours never share a name silently
            name = label if label not in own else f"axis:{label}"
            axes[name] = Column([dict(x.values)[label] for x in points], "value of the axis")
        first = {name: own.pop(name) for name in ("place", "point", "status")}
        return Table("sweep", {**first, **axes, **own})


def ranked(points: Iterable[PointResult], rank_by: RankBy) -> tuple[PointResult, ...]:
    """The best first: by findings (errors, warnings, advice) and then makespan, or by one number.

    What hangs or could not be simulated comes after what could be, what could not be planned last;
    equals stay in the order given.
    """
    return tuple(sorted(points, key=lambda point: _order(point, rank_by)))


def _order(point: PointResult, rank_by: RankBy) -> tuple[object, ...]:
    found = tuple(point.count(severity) for severity in SEVERITIES)
    size = tuple(_or_last(x) for x in (point.makespan_ns, point.num_tasks, point.num_events))
    first: tuple[object, ...] = ()
    if rank_by != "findings":
        name = {"makespan": "makespan_ns", "depth": "depth"}.get(rank_by, f"num_{rank_by}")
        first = _or_last(getattr(point, name))
    return (point.error is not None, *first, found, point.hangs, *size)


def _or_last(value: int | None) -> tuple[bool, int]:
    return (value is None, value or 0)


def _known(points: Sequence[PointResult], of: Any) -> list[Any]:
    """A value of each point that was planned."""
    return [of(x) if x.error is None else None for x in points]
