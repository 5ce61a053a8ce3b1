"""Which task types can be executed, what vouches for each, and which can't."""

from __future__ import annotations

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.reference.row import TaskFunction
from mpkgraph.reference.table import TASK_FUNCTIONS, executable_types, unexecutable_types
from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter, count

SCHEMA = "mpkgraph-task-functions/1"


def tasks_text(out: TextWriter) -> None:
    """A table, then the rest with reasons."""
    rows = [TASK_FUNCTIONS[name] for name in executable_types()]
    out.heading(f"{count(len(rows), 'task type')} can be executed")
    out.table(
        {
            "task type": [x.task_type for x in rows],
            "joined": ["" if x.joins is None else " ".join(x.joins.dims) for x in rows],
            "tolerance": [_tolerances(x) for x in rows],
            "checked against": [x.checked_against for x in rows],
        }
    )
    reasons = unexecutable_types()
    if reasons:
        out.heading(f"{count(len(reasons), 'task type')} can't")
        for name, reason in reasons.items():
            out.line(f"  {name}: {printable(reason)}")


def tasks_json() -> bytes:
    document = {
        "schema": SCHEMA,
        "executable": [
            {
                "task_type": name,
                "joins": None if row.joins is None else list(row.joins.dims),
                "checked_against": row.checked_against,
                "tolerance": {k: [v.rtol, v.atol] for k, v in sorted(row.tolerance.items())},
                "deviations": list(row.deviations),
            }
            for name, row in ((x, TASK_FUNCTIONS[x]) for x in executable_types())
        ],
        "not_executable": dict(unexecutable_types()),
    }
    return json_bytes(document)


def _tolerances(row: TaskFunction) -> str:
    parts = [
        f"{name} equal" if x.is_exact else f"{name} {x.rtol:.2g}/{x.atol:.2g}"
        for name, x in sorted(row.tolerance.items())
    ]
    return ", ".join(parts)
