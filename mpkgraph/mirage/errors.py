"""What can go wrong between here and a graph or result of the real Mirage."""

from __future__ import annotations

from pathlib import Path

from mpkgraph.errors import MissingDependencyError, MpkGraphError


class MirageError(MpkGraphError):
    """Mirage, nvcc or a launch failed in the child process.

    `kind` is the failure's short name (`abort`, `nvcc-failed`, `time-limit`, ...), `log` the file
    that holds all that the child printed; its last lines are the `details`.
    """

    kind: str = "failed"
    log: Path | None = None


class MirageUnusableError(MissingDependencyError):
    """There is no Mirage here that can do what was asked for."""


def mirage_error(
    kind: str,
    what: str,
    *,
    where: str | None = None,
    remedy: str | None = None,
    log: Path | None = None,
    details: tuple[str, ...] = (),
) -> MirageError:
    """An error with its kind and log; the message ends with the log's place."""
    ways = [] if remedy is None else [remedy]
    if log is not None:
        ways.append(f"All that it printed is in {log}")
    error = MirageError(what, where=where, remedy=". ".join(ways) or None)
    error.kind = kind
    error.log = log
    error.details = details
    return error
