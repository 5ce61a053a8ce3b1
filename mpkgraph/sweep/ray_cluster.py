"""The same points on a Ray cluster: each Ray task hands its point to a process as `processes` does.

So a point that dies or never ends does to a Ray worker what it does here, nothing. Graphs and
tables come back through Ray: the folder of results need not be shared by the machines.
"""

from __future__ import annotations

import atexit
import dataclasses
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from mpkgraph._version import __version__
from mpkgraph.errors import MissingDependencyError, UsageError
from mpkgraph.sweep.points import Point
from mpkgraph.sweep.processes import WorkerProcess
from mpkgraph.sweep.result import PointError, PointResult
from mpkgraph.sweep.store import Store

MAX_RETRIES = 2
"""Of a point whose machine is lost. What a script does to its process is not tried again."""

Answer = tuple[PointResult, dict[str, bytes], str]
"""What was found, the files of the stage by relative path, and the node's id."""

_processes: list[WorkerProcess] = []
"""The process of this Ray worker, kept for its next point."""


def run_on_ray(
    points: Sequence[Point], store: Store, address: str, timeout: float | None, nodes: set[str]
) -> Generator[PointResult, None, None]:
    """Results as they come, each kept in the store before it is given; `nodes` grows.

    Ending the iterator early cancels what has not run. A connection that the caller has made is
    used and left open. Raises MissingDependencyError without ray, UsageError for an address where
    no cluster answers.
    """
    ray = _load_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address)
    try:
        task = ray.remote(num_cpus=1, max_retries=MAX_RETRIES, scheduling_strategy="SPREAD")(
            evaluate_on_node
        )
        waiting = {
            task.remote(point, store.is_used, timeout, __version__): point for point in points
        }
        try:
            while waiting:
                (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
                yield _taken(ray, ready, waiting.pop(ready), store, nodes)
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)
    finally:
        if ours:
            ray.shutdown()


def _load_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "a sweep on a cluster needs the package ray",
            remedy="Install it, here and on the cluster: pip install 'mpkgraph[ray]'",
        ) from error
    return ray


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        first = " ".join(str(error).split()).partition(". ")[0]
        raise UsageError(
            f"no Ray cluster answers at {address!r}: {first}",
            remedy="Start one with ray start --head, and give its address (host:port), or auto",
        ) from error


def _taken(ray: Any, ready: Any, point: Point, store: Store, nodes: set[str]) -> PointResult:
    """The result of a task, kept."""
    try:
        result, files, node = ray.get(ready)
    except ray.exceptions.RayError as error:
        text = " ".join(str(error).split())
        failure = PointError("crashed", f"Ray could not run it: {text}")
        return dataclasses.replace(_nothing(point), error=failure)
    nodes.add(node)
    with store.stage() as stage:
        if stage is not None:
            _unpack(files, stage)
        store.put(result, stage)
    return result  # type: ignore[no-any-return]


def evaluate_on_node(
    point: Point, keeps_files: bool, timeout: float | None, version: str
) -> Answer:
    """What a Ray task does, on its node."""
    import ray

    node: str = ray.get_runtime_context().get_node_id()
    if version != __version__:
        text = f"the node {node[:8]} has mpkgraph {__version__}, and the sweep is of {version}"
        return dataclasses.replace(_nothing(point), error=PointError("failed", text)), {}, node
    process = _process()
    if not keeps_files:
        return process.evaluate(point, None, timeout), {}, node
    with tempfile.TemporaryDirectory(prefix="mpkgraph-") as folder:
        result = process.evaluate(point, Path(folder), timeout)
        return result, _packed(Path(folder)), node


def _process() -> WorkerProcess:
    while _processes and not _processes[0].is_alive:
        _processes.pop().close()
    if not _processes:
        _processes.append(WorkerProcess(threads=1))
        atexit.register(_processes[0].close)
    return _processes[0]


def _nothing(point: Point) -> PointResult:
    return PointResult(point.name, point.key, point.values)


def _packed(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _unpack(files: dict[str, bytes], folder: Path) -> None:
    from mpkgraph.io.atomic import write_errors

    with write_errors(folder):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
