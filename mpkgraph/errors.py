"""Errors that a user can cause. A bug raises something else and is never swallowed."""

from __future__ import annotations


class MpkGraphError(Exception):
    """Base of every error a user can cause.

    The message is one paragraph: what is wrong, where (file, byte offset, task id, field) and
    what to do about it. `exit_code` is what the command line ends with.
    """

    exit_code = 3
    details: tuple[str, ...] = ()
    """Lines to show below the message, such as the end of another program's log."""

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(what, where, remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.remedy))


def _rebuild(
    cls: type[MpkGraphError], what: str, where: str | None, remedy: str | None
) -> MpkGraphError:
    return cls(what, where=where, remedy=remedy)


class GraphReadError(MpkGraphError):
    """A task graph, record or header can't be read or breaks the format."""


class GraphWriteError(MpkGraphError):
    """A result can't be written where the user asked for it."""


class PipelineError(MpkGraphError):
    """A pipeline that Mirage refuses, or that it can't describe.

    `upstream` is what Mirage's own Python says at the same point, `TypeError: message`; empty
    where Mirage raises nothing and goes wrong later.
    """

    upstream: str = ""


class UsageError(MpkGraphError):
    """A question that this graph or this command can't answer as it was asked."""

    exit_code = 2


class SelectionError(UsageError):
    """A task, event, operator or tensor that the graph does not have."""


class TooLargeError(UsageError):
    """A picture or listing that would be too large to be of use."""


class MissingDependencyError(MpkGraphError):
    """An optional package or program is not installed."""

    exit_code = 2
