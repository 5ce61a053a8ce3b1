"""A schedule as one screen of text."""

from __future__ import annotations

from collections.abc import Iterator

from mpkgraph.analysis.schedule.result import Schedule
from mpkgraph.analysis.schedule.rows import OperatorRow
from mpkgraph.analysis.workers import WORKER_QUEUE_LENGTH
from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter, count

MAX_TYPES = 10
MAX_STALLS = 6
MAX_WAVES = 5
"""Rows of each table; `--json` has all, and `--full` shows all types and groups of stalls."""


def schedule_text(out: TextWriter, schedule: Schedule, *, full: bool = False) -> None:
    """Makespan, bounds, where workers' time goes, what to make faster, who is waited for."""
    account = schedule.account
    system = account.system
    out.heading("schedule", _setting(schedule))
    out.fields(_summary(schedule))
    if schedule.hang is not None:
        _hang(out, schedule)
    if not account.runs.any():
        return
    _types(out, schedule, None if full else MAX_TYPES)
    _stalls(out, schedule, None if full else MAX_STALLS)
    _waves(out, schedule, None if full else MAX_WAVES)
    for warning in _warnings(schedule):
        out.line()
        out.paragraph(warning, fg="yellow")
    if system.num_ranks == 1 and schedule.is_mirrored:
        out.line()
        out.paragraph("other ranks: taken to do the same at the same pace")


def time(ns: float) -> str:
    """A duration for people, in four digits.

    >>> time(410), time(12_345), time(6_758_410), time(2_000_000_000)
    ('410 ns', '12.35 us', '6.758 ms', '2.000 s')
    """
    if ns < 1000:
        return f"{ns:.0f} ns"
    for unit, size in (("us", 1e3), ("ms", 1e6), ("s", 1e9)):
        value = ns / size
        if value < 999.95 or unit == "s":
            digits = 3 if value < 10 else 2 if value < 100 else 1
            return f"{value:.{digits}f} {unit}"
    raise AssertionError(ns)


def _setting(schedule: Schedule) -> str:
    system = schedule.account.system
    ranks = f"{count(system.num_ranks, 'rank')} of " if system.num_ranks > 1 else ""
    text = (
        f"{ranks}{count(system.num_workers, 'worker')}, "
        f"{count(system.num_schedulers, 'scheduler')}, {schedule.model.name}"
    )
    if schedule.measured is None:
        return f"{text}, kv length {schedule.model.workload.kv_length}"
    return f"{text}, durations measured"


def _summary(schedule: Schedule) -> Iterator[tuple[str, object]]:
    makespan, bounds = schedule.makespan_ns, schedule.bounds
    text = time(makespan)
    if schedule.unchanged_ns:
        change = 100 * (makespan - schedule.unchanged_ns) / schedule.unchanged_ns
        text += f", {change:+.1f} % (without the change {time(schedule.unchanged_ns)})"
    yield ("until the hang" if schedule.hang else "makespan"), text
    if schedule.measured is not None:
        run = schedule.measured
        times = f"{time(run.makespan_ns)} from first to last kernel"
        simulated = f"simulated {time(run.simulated_ns)}"
        yield "measured", f"{times}, {simulated}, of {count(run.num_tasks, 'task')} in {run.path}"
    for text in schedule.what_ifs:
        yield "what if", text
    shares = f"{time(bounds.work_ns)} work over workers, {time(bounds.hand_out_ns)} schedulers"
    yield "lower bounds", f"{time(bounds.path_ns)} longest chain, {shares}"
    if not makespan:
        return
    totals = schedule.workers.totals()
    whole = makespan * schedule.account.system.num_all_workers
    yield (
        "workers' time",
        ", ".join(
            f"{100 * totals[key] / whole:.1f} % {name}"
            for key, name in (
                ("kernels_ns", "kernels"),
                ("blocked_ns", "blocked on events"),
                ("starved_ns", "waiting for schedulers"),
                ("overhead_ns", "runtime"),
                ("idle_ns", "idle at the end"),
            )
        ),
    )
    kernels = schedule.workers.kernels
    most, least = int(kernels.argmax()), int(kernels.argmin())
    busiest, idlest = _worker(schedule, most), _worker(schedule, least)
    text = f"{busiest} with {time(int(kernels[most]))} in kernels; the least busy, {idlest}, has "
    yield "busiest", text + time(int(kernels[least]))
    path = schedule.path
    if len(path.tasks):
        runtime = path.wait_ns + path.trigger_ns + path.count_ns + path.resume_ns + path.fetch_ns
        parts = f"{time(path.kernel_ns)} in kernels, {time(runtime)} in waits and triggers"
        text = f"{count(len(path.tasks), 'task')}: {parts}"
        yield "critical path", f"{text}, {time(path.hand_out_ns)} before the first"


def _types(out: TextWriter, schedule: Schedule, most: int | None) -> None:
    rows = schedule.types[:most]
    makespan = max(schedule.makespan_ns, 1)
    out.heading("what to make faster", _more(len(schedule.types), len(rows), "type"))
    columns: dict[str, list[object]] = {
        "type": [row.name for row in rows],
        "tasks": [row.num_tasks for row in rows],
        "mean": [time(row.kernel_ns / row.num_tasks) for row in rows],
        "mostly": [row.limit for row in rows],
        "on path": [row.num_on_path for row in rows],
        "of makespan": [f"{100 * row.path_ns / makespan:.1f} %" for row in rows],
    }
    if any(row.halved_ns is not None for row in rows):
        columns["if twice as fast"] = [
            ""
            if row.halved_ns is None
            else f"{time(row.halved_ns)} ({100 * (row.halved_ns - makespan) / makespan:+.1f} %)"
            for row in rows
        ]
    out.table(columns)


def _stalls(out: TextWriter, schedule: Schedule, most: int | None) -> None:
    rows = schedule.stall_groups[:most]
    if not rows:
        return
    out.heading("stalls", _more(len(schedule.stall_groups), len(rows), "pair"))
    whole = max(schedule.makespan_ns * schedule.account.system.num_all_workers, 1)
    many = len(schedule.contexts) > 1
    out.table(
        {
            "tasks of": [row.waiting for row in rows],
            "wait for": [row.producer for row in rows],
            "waits": [row.num_waits for row in rows],
            "mean": [time(row.blocked_ns / row.num_waits) for row in rows],
            "of workers": [f"{100 * row.blocked_ns / whole:.1f} %" for row in rows],
            "worst event": [
                (f"rank {row.worst.rank} " if many else "") + str(row.worst.event_index)
                for row in rows
            ],
            "last trigger": [f"task {row.worst.producer_task}" for row in rows],
            "spread": [time(row.worst.spread_ns) for row in rows],
        }
    )


def _waves(out: TextWriter, schedule: Schedule, most: int | None) -> None:
    """Operators in which most workers have nothing to do for most of the time."""
    workers = schedule.account.system.num_workers

    def lost(row: OperatorRow) -> int:
        return (row.end_ns - row.start_ns) * workers - row.kernel_ns

    worst = sorted(schedule.operators, key=lambda row: (-lost(row), row.rank, row.index))[:most]
    out.heading("emptiest operators", _more(len(schedule.operators), len(worst), "operator"))
    many = len(schedule.contexts) > 1
    columns: dict[str, list[object]] = {"rank": [row.rank for row in worst]} if many else {}
    columns |= {
        "operator": [row.index for row in worst],
        "name": [row.name for row in worst],
        "tasks": [row.num_tasks for row in worst],
        "waves": [row.num_waves for row in worst],
        "last wave": [f"{row.last_wave_tasks} of {workers}" for row in worst],
        "starts": [time(row.start_ns) for row in worst],
        "takes": [time(row.end_ns - row.start_ns) for row in worst],
        "of workers": [
            f"{100 * row.kernel_ns / max((row.end_ns - row.start_ns) * workers, 1):.1f} %"
            for row in worst
        ],
    }
    out.table(columns)


def _hang(out: TextWriter, schedule: Schedule) -> None:
    hang = schedule.hang
    assert hang is not None
    out.heading(
        "hangs",
        f"{count(hang.num_never_run, 'task')} not run, "
        f"{count(hang.num_blocked_workers, 'worker')} stuck for ever",
    )
    for link in hang.chain:
        event = schedule.event_json(link.node)
        who = f"{_worker(schedule, link.worker)} waits with task {_task(schedule, link.task)}"
        count_text = f"{link.num_counted:,} of {link.num_needed:,} triggers"
        line = f"{who} for event {event['event']}: {count_text}"
        if link.is_short:
            line += f", and only {count(link.num_triggering, 'task')} trigger it"
        elif link.missing_task >= 0:
            worker = _worker(schedule, int(schedule.account.system.workers[link.missing_task]))
            line += f"; task {_task(schedule, link.missing_task)} is queued on {worker}"
        out.paragraph(line)
    if hang.is_ring:
        out.paragraph("the first of these waits for the last: placed so, the queues are a deadlock")
    elif hang.chain and hang.chain[-1].is_short:
        out.paragraph("--what-if counts=repair shows the schedule with counts that fit")


def _worker(schedule: Schedule, worker: int) -> str:
    """A worker by its number in its rank."""
    rank, own = divmod(worker, schedule.account.system.num_workers)
    if len(schedule.contexts) == 1:
        return f"worker {own}"
    return f"worker {own} of rank {schedule.contexts[rank].graph.rank}"


def _task(schedule: Schedule, task: int) -> str:
    facts = schedule.task_json(task)
    rank = f" of rank {facts['rank']}" if len(schedule.contexts) > 1 else ""
    return f"{facts['task_id']}{rank} ({printable(facts['name'])})"


def _warnings(schedule: Schedule) -> Iterator[str]:
    if schedule.overfull_workers:
        yield (
            f"{count(len(schedule.overfull_workers), 'worker')} get more tasks than the "
            f"{WORKER_QUEUE_LENGTH} that a queue holds: the runtime would overwrite tasks that "
            "have not run, which this simulation does not do"
        )


def _more(total: int, shown: int, noun: str) -> str:
    return "" if total == shown else f"{shown} of {count(total, noun)}"
