"""Drawings of rules about events, ids and fixed entries."""

from __future__ import annotations

from mpkgraph.analysis.verify.pictures.picture import picture

STRUCTURE = {
    "MPK301": picture(
        bad="""
        A (8 tasks) ══p══> C      event 5: num_triggers 16
              └─────q─────^       triggered by 8 tasks: C never starts
        """,
        good="""
        A (8 tasks) ══p══> C      event 5: num_triggers 8
                                  triggered by 8 tasks
        """,
    ),
    "MPK302": picture(
        bad="""
        task 2 ──┐
        task 3 ──┼─> event 5, num_triggers 2     complete before one of them
        task 4 ──┘
        """,
        good="""
        task 2 ──┐
        task 3 ──┼─> event 5, num_triggers 3
        task 4 ──┘
        """,
    ),
    "MPK303": picture(
        bad="""
        event 1 launches  [2, 100)
        tasks             2 ... 99 │ 100 101        never run
        """,
        good="""
        event 1 launches  [2, 102)
        tasks             2 ... 99   100 101
        """,
    ),
    "MPK304": picture(
        bad="""
        ┌──> event 4 ──> task 7 ──> event 5 ──> task 9 ──┐
        └────────────────────────────────────────────────┘
        """,
        good="""
        event 4 ──> task 7 ──> event 5 ──> task 9 ──> event 6
        """,
    ),
    "MPK305": picture(
        bad="""
        one worker's queue    │ task 7 │ task 9 │
                                waits <── triggers       9 is never reached
        """,
        good="""
        one worker's queue    │ task 7 │ task 9 │
                                triggers ──> waits
        """,
    ),
    "MPK306": picture(
        bad="""
        A ──> event 4 ──> B ──> END
        C ──> (nothing)                  C may still run after the end
        """,
        good="""
        A ──> event 4 ──> B ──┬─> END
        C ────────────────────┘
        """,
    ),
    "MPK307": picture(
        bad="""
        task 0, task 1                   END needs a trigger from nobody
        """,
        good="""
        task 0, task 1, tasks 2 to 9 ──> END
        """,
    ),
    "MPK308": picture(
        bad="""
        events 0 to 57
        task 41   trigger_event 58       counts in memory behind the events
        """,
        good="""
        events 0 to 57
        task 41   trigger_event 57
        """,
    ),
    "MPK309": picture(
        bad="""
        event 5   first_task_id 10, last_task_id 18
        tasks 10 to 25 have dependent_event 5
        """,
        good="""
        event 5   first_task_id 10, last_task_id 26
        tasks 10 to 25 have dependent_event 5
        """,
    ),
    "MPK310": picture(
        bad="""
        task 0   TASK_TERMINATE            event 0   EVENT_TERMINATION
        task 1   TASK_RMS_NORM             event 1   EVENT_LAUNCH_DEPENDENT_TASKS
        """,
        good="""
        task 0   TASK_TERMINATE            event 0   EVENT_TERMINATION
        task 1   TASK_BEGIN_TASK_GRAPH     event 1   EVENT_LAUNCH_DEPENDENT_TASKS
        """,
    ),
    "MPK311": picture(
        bad="""
        all_tasks   │ 0 │ 1 │ null │ null │ 4 │ 5 │
        A ──> p ──> B(p, p): emitted twice, the first copies are lost
        """,
        good="""
        all_tasks   │ 0 │ 1 │ 2 │ 3 │
        A ──> p ──> B(p)
        """,
    ),
    "MPK312": picture(
        bad="""
        tasks 2 to 9 wait for nothing
        first_tasks   [2, 3]
        """,
        good="""
        tasks 2 to 9 wait for nothing
        first_tasks   [2, 3, 4, 5, 6, 7, 8, 9]
        """,
    ),
    "MPK313": picture(
        bad="""
        grid (4, 1, 1)    x=0   x=1   x=2   x=3
        request_id         0     1     1     3      request 2 is nobody's
        """,
        good="""
        grid (4, 1, 1)    x=0   x=1   x=2   x=3
        request_id         0     1     2     3
        """,
    ),
}
"""`──>` is triggered, and then waited for."""
