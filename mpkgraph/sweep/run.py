"""A sweep: what is known of points is taken as it is, the others are evaluated, all are ranked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpkgraph.analysis.verify.rule import Severity
from mpkgraph.sweep.axes import Swept, parse_axes
from mpkgraph.sweep.points import Point, SweepOptions, points_of
from mpkgraph.sweep.processes import run_in_processes, usable_cores
from mpkgraph.sweep.result import PointResult, RankBy, SweepResult, ranked
from mpkgraph.sweep.store import Store

Progress = Callable[[int, int, int], None]
"""Told how many points are done, of how many, and how many of those failed."""


@dataclass(frozen=True)
class RunOptions:
    """Where and how points are evaluated, and how they are ranked."""

    results: Path | None = None
    """Folder where each point is kept, and looked for; None keeps nothing."""
    dataset: Path | None = None
    """Folder for the tables of all graphs."""
    jobs: int | None = None
    """Processes at once; None: as many as there are cores."""
    point_timeout: float | None = None
    """Seconds for one point."""
    ray: str | None = None
    """Address of a Ray cluster, in place of processes here."""
    rank_by: RankBy = "findings"
    fail_on: Severity = "error"
    fail_on_warnings: bool = False


@dataclass(frozen=True)
class SweepRun:
    """A ranking, and what else there is to say of how it came about."""

    result: SweepResult
    num_known: int
    """Points that were taken from the folder of results."""
    num_nodes: int | None = None
    """Machines of the cluster that evaluated points."""


def sweep(
    options: SweepOptions,
    run: RunOptions | None = None,
    progress: Progress = lambda _done, _all, _failed: None,
) -> SweepRun:
    """Plan, check and simulate every combination, and rank them.

    **A script or function is run, with all that its code may do**, in processes of its own.
    Raises UsageError for axes that do not fit the pipeline, GraphWriteError when results can't be
    kept, MissingDependencyError without pyarrow for a dataset, or without ray.
    """
    chosen = run or RunOptions()
    points = points_of(options, with_dataset=chosen.dataset is not None)
    if chosen.dataset is not None:
        from mpkgraph.sweep.dataset import load_pyarrow

        load_pyarrow()
    store = Store(chosen.results, chosen.dataset)
    found = {point.name: store.find(point) for point in points}
    missing = [point for point in points if found[point.name] is None]
    num_known = len(points) - len(missing)
    nodes: set[str] = set()
    if missing:
        store.prepare()
    done = num_known
    failed = sum(x is not None and x.error is not None for x in found.values())
    # Closed in any case: an interrupt ends what still runs
    with contextlib.closing(_evaluated(missing, store, chosen, nodes)) as results:
        for result in results:
            found[result.name] = result
            done += 1
            failed += result.error is not None
            progress(done, len(points), failed)
    axes = parse_axes(options.sweep, Swept(options.sources, tuple(options.plan.arguments)))
    ordered = [x for x in (found[point.name] for point in points) if x is not None]
    ranking = SweepResult(
        pipeline=", ".join(options.sources),
        axes=tuple((axis.label, axis.values) for axis in axes),
        points=ranked(ordered, chosen.rank_by),
        rank_by=chosen.rank_by,
        fail_on=chosen.fail_on,
        fail_on_warnings=chosen.fail_on_warnings,
    )
    return SweepRun(ranking, num_known, len(nodes) if chosen.ray is not None else None)


def _evaluated(
    points: Sequence[Point], store: Store, run: RunOptions, nodes: set[str]
) -> Generator[PointResult, None, None]:
    if run.ray is not None:
        from mpkgraph.sweep.ray_cluster import run_on_ray

        return run_on_ray(points, store, run.ray, run.point_timeout, nodes)
    jobs = run.jobs or usable_cores()
    return run_in_processes(points, store, jobs, run.point_timeout)
