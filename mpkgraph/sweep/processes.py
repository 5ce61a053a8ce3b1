"""Points in processes of this machine: one that dies or never ends costs its own point alone.

Each process is a fresh Python (nothing of the parent is forked into it, and the parent's `__main__`
is not run again). It serves one point after another, and what dies is started anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from mpkgraph.errors import MpkGraphError
from mpkgraph.sweep.points import Point
from mpkgraph.sweep.result import PointError, PointResult
from mpkgraph.sweep.store import Store
from mpkgraph.sweep.worker import receive, send

SHOWN_OUTPUT = 800
"""Characters of what a process said before it died that go into the error."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); sys.argv[1:] = []; "
    "from mpkgraph.sweep.worker import main; main()"
)


class WorkerProcess:
    """One process that evaluates points, one at a time."""

    def __init__(self, threads: int | None = None) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
        environment = dict(os.environ)
        if threads is not None:
            # As many threads as its share of the cores: torch takes all
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._process = subprocess.Popen(  # noqa: S603  Python itself
            [sys.executable, "-c", _START, json.dumps(_import_path())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=environment,
        )
        self._timed_out = False
        try:
            receive(self._answers)
        except EOFError:
            self._process.wait()
            text = self._said()
            self.close()
            raise MpkGraphError(
                f"a process for points can't be started{text}",
                where=sys.executable,
                remedy="It needs to import mpkgraph",
            ) from None

    @property
    def _answers(self) -> Any:
        return self._process.stdout

    def evaluate(self, point: Point, stage: Path | None, timeout: float | None) -> PointResult:
        """The point's result; when the process dies of it, or takes longer, that is the result."""
        self._output.seek(0)
        self._output.truncate()
        timer = threading.Timer(timeout, self._time_out) if timeout is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            send(self._process.stdin, (point, None if stage is None else str(stage)))  # type: ignore[arg-type]
            result: PointResult = receive(self._answers)
        except (EOFError, BrokenPipeError):
            self._process.wait()
            return self._died(point, timeout)
        finally:
            if timer is not None:
                timer.cancel()
        return result

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _died(self, point: Point, timeout: float | None) -> PointResult:
        if self._timed_out:
            what = f"took longer than {timeout:g} s (--point-timeout)"
        else:
            what = f"its process {_end(self._process.returncode)}"
        error = PointError("crashed", f"{what}{self._said()}")
        return dataclasses.replace(PointResult(point.name, point.key, point.values), error=error)

    def _said(self) -> str:
        self._output.seek(0)
        text = self._output.read().decode("utf-8", "replace").strip()
        return f". It said: {text[-SHOWN_OUTPUT:]}" if text else ""

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the process, now."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._output):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


def run_in_processes(
    points: Iterable[Point], store: Store, jobs: int, timeout: float | None = None
) -> Generator[PointResult, None, None]:
    """Results as they come, each kept in the store before it is given.

    Ending the iterator early (an interrupt, say) ends all processes.
    """
    waiting: queue.SimpleQueue[Point] = queue.SimpleQueue()
    count = 0
    for point in points:
        waiting.put(point)
        count += 1
    done: queue.Queue[PointResult | BaseException] = queue.Queue()
    workers = [_Server(waiting, done, store, jobs, timeout) for _ in range(min(jobs, count))]
    try:
        for worker in workers:
            worker.start()
        for _ in range(count):
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()


class _Server(threading.Thread):
    """Feeds one process; what goes wrong here (a full disk) is raised where results are read."""

    def __init__(
        self,
        waiting: queue.SimpleQueue[Point],
        done: queue.Queue[PointResult | BaseException],
        store: Store,
        jobs: int,
        timeout: float | None,
    ) -> None:
        super().__init__(daemon=True)
        self._waiting, self._done, self._store = waiting, done, store
        self._threads = max((os.cpu_count() or 1) // jobs, 1)
        self._timeout = timeout
        self._process: WorkerProcess | None = None
        self._handing_over = threading.Lock()
        self._stopped = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    point = self._waiting.get_nowait()
                except queue.Empty:
                    return
                self._serve(point)
        except BaseException as error:  # noqa: BLE001  told to the reader of results
            self._done.put(error)
        finally:
            if self._process is not None:
                self._process.close()

    def _serve(self, point: Point) -> None:
        if self._process is None or not self._process.is_alive:
            if self._process is not None:
                self._process.close()
            process = WorkerProcess(self._threads)
            with self._handing_over:
                self._process = process
                if self._stopped.is_set():
                    return  # `stop` came while the process was made, and could not end it
        with self._store.stage() as stage:
            result = self._process.evaluate(point, stage, self._timeout)
            if self._stopped.is_set():
                return
            self._store.put(result, stage)
        self._done.put(result)

    def stop(self) -> None:
        self._stopped.set()
        with self._handing_over:
            if self._process is not None:
                self._process.kill()


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_path() -> list[str]:
    """Where we import from: a process started in the same folder finds the same modules."""
    own = str(Path(__file__).resolve().parents[2])
    path = [x or str(Path.cwd()) for x in sys.path]
    return path if own in path else [*path, own]


def _end(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was ended by signal {-status} ({signal.Signals(-status).name})"
    return f"was ended by signal {-status}"
