"""A schedule as a chart: a row for each worker, time to the right, coloured by kind of task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from mpkgraph.analysis.csr import IntArray
from mpkgraph.analysis.schedule.bins import BLOCKED, find_runs, kinds_of
from mpkgraph.analysis.schedule.result import Schedule
from mpkgraph.errors import UsageError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.render.escape import printable
from mpkgraph.render.palette import FAINT_TEXT, FRAME, KIND_COLOURS, TEXT
from mpkgraph.render.schedule_text import time
from mpkgraph.render.text import count

WIDTH = 1200
"""Pixels of time."""
LEFT, RIGHT, TOP, BOTTOM = 84, 20, 58, 40
MAX_ROWS_HEIGHT = 900
MAX_TITLED_TASKS = 6000
"""Up to as many tasks each has a rectangle with its name and times as a tooltip; beyond, a pixel
shows what its worker does most."""
LABEL_HEIGHT = 26
"""Pixels between the names of workers, at least."""
MAX_PATH_LINES = 2000
BLOCKED_COLOUR = "#EFEFEF"
PATH_COLOUR = "#C00000"
HANG_COLOUR = "#C00000"


def write_gantt(schedule: Schedule, path: str) -> None:
    """Writes the chart as SVG to a file, which appears only when it is complete.

    Raises UsageError for a file of another kind.
    """
    if not path.lower().endswith(".svg"):
        raise UsageError("a chart is an SVG file", where=path, remedy="End its name in .svg")
    with atomic_file(path) as stream:
        stream.write(gantt_svg(schedule).encode("utf-8"))


def gantt_svg(schedule: Schedule) -> str:
    """The chart as text of an SVG file."""
    return "\n".join(_Chart.of(schedule).lines()) + "\n"


@dataclass(frozen=True)
class _Chart:
    schedule: Schedule
    kinds: tuple[str, ...]
    """Those that occur."""
    labels: IntArray
    """By task the position of its kind."""
    row_height: float
    gap: float
    """Between rows."""

    @classmethod
    def of(cls, schedule: Schedule) -> _Chart:
        types = np.concatenate([x.graph.tasks.task_types for x in schedule.contexts])
        catalog = schedule.contexts[0].catalog
        distinct = [catalog.task_type_row(x).kind for x in np.unique(types).tolist()]
        running = schedule.account.runs & (schedule.account.system.workers >= 0)
        present = {catalog.task_type_row(x).kind for x in np.unique(types[running]).tolist()}
        kinds = tuple(kind for kind in KIND_COLOURS if kind in present)
        places = {kind: i for i, kind in enumerate(kinds)}
        labels = kinds_of(types, [places.get(kind, 0) for kind in distinct])
        num_rows = schedule.account.system.num_all_workers
        height = min(14.0, max(1.0, MAX_ROWS_HEIGHT / max(num_rows, 1)))
        return cls(schedule, kinds, labels, height, 1.0 if height >= 5 else 0.0)

    @property
    def height(self) -> float:
        return self.row_height * self.schedule.account.system.num_all_workers

    def x(self, ns: float) -> float:
        return LEFT + WIDTH * ns / max(self.schedule.makespan_ns, 1)

    def y(self, worker: int) -> float:
        return TOP + self.row_height * worker

    def lines(self) -> Iterator[str]:
        whole_width, whole_height = LEFT + WIDTH + RIGHT, TOP + self.height + BOTTOM
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole_width}" '
            f'height="{_n(whole_height)}" viewBox="0 0 {whole_width} {_n(whole_height)}" '
            'font-family="sans-serif" font-size="12">'
        )
        yield '<rect width="100%" height="100%" fill="#FFFFFF"/>'
        yield from self.head()
        yield from self.axis()
        if int(self.schedule.account.runs.sum()) <= MAX_TITLED_TASKS:
            yield from self.titled_tasks()
        else:
            yield from self.binned_tasks()
        yield from self.critical_path()
        yield from self.hung_workers()
        yield "</svg>"

    def head(self) -> Iterator[str]:
        schedule = self.schedule
        system = schedule.account.system
        ranks = f"{count(system.num_ranks, 'rank')}, " if system.num_ranks > 1 else ""
        what = "until the hang" if schedule.hang else "makespan"
        text = (
            f"{what} {time(schedule.makespan_ns)} on {ranks}"
            f"{count(system.num_workers, 'worker')} of {schedule.model.name}"
        )
        if schedule.what_ifs:
            text += f", what if {', '.join(schedule.what_ifs)}"
        yield _text(LEFT, 20, text, weight="bold")
        x = float(LEFT)
        for kind in self.kinds:
            yield _box(x, 30, 12, 12, KIND_COLOURS[kind])
            yield _text(x + 16, 40, kind)
            x += 30 + 7 * len(kind)
        yield _box(x, 30, 12, 12, BLOCKED_COLOUR)
        yield _text(x + 16, 40, "waiting")
        x += 30 + 7 * len("waiting")
        yield f'<path d="M{_n(x)} 36h12" stroke="{PATH_COLOUR}" stroke-width="2"/>'
        yield _text(x + 16, 40, "critical path")

    def axis(self) -> Iterator[str]:
        bottom = TOP + self.height
        step = _tick(self.schedule.makespan_ns)
        for tick in range(0, self.schedule.makespan_ns + 1, step):
            x = _n(self.x(tick))
            yield f'<path d="M{x} {TOP}V{_n(bottom + 4)}" stroke="#DDDDDD"/>'
            yield _text(self.x(tick), bottom + 18, _tick_text(tick), anchor="middle")
        system = self.schedule.account.system
        every = max(1, int(np.ceil(LABEL_HEIGHT / self.row_height)))
        every = next(x for x in (1, 2, 4, 8, 16, 32, 64, 128, 1 << 20) if x >= every)
        for rank in range(system.num_ranks):
            for own in range(0, system.num_workers, every):
                y = self.y(rank * system.num_workers + own) + self.row_height / 2 + 4
                name = f"{self.schedule.contexts[rank].graph.rank}:{own}"
                label = name if system.num_ranks > 1 else f"worker {own}"
                yield _text(LEFT - 6, y, label, anchor="end", fill=FAINT_TEXT)
            if rank:
                line = _n(self.y(rank * system.num_workers))
                yield f'<path d="M{LEFT} {line}h{WIDTH}" stroke="{FRAME}"/>'

    def titled_tasks(self) -> Iterator[str]:
        """A rectangle with a tooltip for each task, and for each wait."""
        account = self.schedule.account
        times, workers = account.times, account.system.workers
        height = self.row_height - self.gap
        running = np.flatnonzero(account.runs & (workers >= 0))
        waits = [
            self._wait(task, height)
            for task in running.tolist()
            if account.blocked[task] or account.starved[task]
        ]
        yield f'<g fill="{BLOCKED_COLOUR}">'
        yield from waits
        yield "</g>"
        for place, kind in enumerate(self.kinds):
            yield f'<g fill="{KIND_COLOURS[kind]}" stroke="#FFFFFF" stroke-width="0.3">'
            for task in running[self.labels[running] == place].tolist():
                start, end = int(times.starts[task]), int(times.ends[task])
                rank, own = account.system.local_task(task)
                title = f"task {own} {self.schedule.task_name(task)}"
                if len(self.schedule.contexts) > 1:
                    title = f"rank {self.schedule.contexts[rank].graph.rank} {title}"
                yield self._rect(
                    int(workers[task]), start, end, height, f"{title}: {time(end - start)}"
                )
            yield "</g>"

    def _wait(self, task: int, height: float) -> str:
        account = self.schedule.account
        start = int(account.fetched[task])
        end = start + int(account.starved[task] + account.blocked[task])
        worker = int(account.system.workers[task])
        if account.blocked[task]:
            node = int(account.system.dependents[task])
            last = int(account.last_triggers[node])
            producer = f", last {self.schedule.task_name(last)}" if last >= 0 else ""
            event = self.schedule.event_json(node)["event"]
            return self._rect(
                worker,
                start,
                end,
                height,
                f"waits for event {event}{producer}: {time(end - start)}",
            )
        return self._rect(
            worker, start, end, height, f"waits for its scheduler: {time(end - start)}"
        )

    def _rect(self, worker: int, start: int, end: int, height: float, title: str) -> str:
        x, width = self.x(start), WIDTH * (end - start) / max(self.schedule.makespan_ns, 1)
        return (
            f'<rect x="{_n(x)}" y="{_n(self.y(worker))}" width="{_n(max(width, 0.1))}" '
            f'height="{_n(height)}"><title>{escape(printable(title))}</title></rect>'
        )

    def binned_tasks(self) -> Iterator[str]:
        """One path for each kind, of what workers do most in each pixel."""
        runs = find_runs(self.schedule.account, self.labels, len(self.kinds), WIDTH)
        height = self.row_height - self.gap
        for place in (BLOCKED, *range(len(self.kinds))):
            mine = runs.labels == place
            if not mine.any():
                continue
            rows = zip(
                runs.workers[mine].tolist(),
                runs.firsts[mine].tolist(),
                runs.ends[mine].tolist(),
                strict=True,
            )
            path = "".join(
                f"M{LEFT + first} {_n(self.y(worker))}h{end - first}v{_n(height)}h{first - end}z"
                for worker, first, end in rows
            )
            colour = BLOCKED_COLOUR if place == BLOCKED else KIND_COLOURS[self.kinds[place]]
            yield f'<path fill="{colour}" d="{path}"/>'

    def critical_path(self) -> Iterator[str]:
        """A line through the tasks of the path, from worker to worker."""
        path, times = self.schedule.path, self.schedule.account.times
        if not len(path.tasks) or len(path.tasks) > MAX_PATH_LINES:
            return
        workers = self.schedule.account.system.workers
        points = []
        for task in path.tasks.tolist():
            y = _n(self.y(int(workers[task])) + (self.row_height - self.gap) / 2)
            points.append(f"{_n(self.x(int(times.starts[task])))},{y}")
            points.append(f"{_n(self.x(int(times.ends[task])))},{y}")
        yield (
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{PATH_COLOUR}" '
            'stroke-width="1" stroke-linejoin="round" opacity="0.8"/>'
        )

    def hung_workers(self) -> Iterator[str]:
        """The rest of the rows of workers that wait for ever."""
        if self.schedule.hang is None:
            return
        account = self.schedule.account
        stuck = np.flatnonzero((account.system.workers >= 0) & ~account.runs)
        height = self.row_height - self.gap
        yield f'<g fill="{HANG_COLOUR}" opacity="0.35">'
        for worker in np.unique(account.system.workers[stuck]).tolist():
            start = int(account.times.free[worker])
            yield self._rect(worker, start, self.schedule.makespan_ns, height, "waits for ever")
        yield "</g>"


def _tick(makespan: int) -> int:
    """A round step that gives at most 12 ticks.

    >>> _tick(6_362_000), _tick(900)
    (1000000, 100)
    """
    step = 1
    while True:
        for factor in (1, 2, 5):
            if makespan <= 12 * step * factor:
                return step * factor
        step *= 10


def _tick_text(ns: int) -> str:
    """A round time without its zeros.

    >>> _tick_text(0), _tick_text(1_000_000), _tick_text(2_500)
    ('0', '1 ms', '2.5 us')
    """
    number, _, unit = time(ns).partition(" ")
    return f"{_n(float(number))} {unit}" if ns else "0"


def _n(value: float) -> str:
    """A coordinate in as few characters as show it.

    >>> _n(12.0), _n(3.14159)
    ('12', '3.14')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" '
        f'fill="{fill}" stroke="{FRAME}" stroke-width="0.5"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = TEXT,
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(printable(text))}</text>'
    )
