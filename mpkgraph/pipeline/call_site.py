"""Where in the user's code a call came from, and which call is being carried out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from mpkgraph.model.record import CallSite

OURS = ("mpkgraph.pipeline.", "mpkgraph.mirage.")
"""Frames of these packages (and of what they contain) are never the user's."""
BETWEEN = frozenset(
    {
        "contextlib",
        "functools",
        # Of the real Mirage, which carries the user's calls to us.
        "mirage.kernel",
        "mirage.threadblock",
        "mirage.mpk.multigpu",
        "mirage.mpk.persistent_kernel",
    }
)
"""Frames of these stand between ours: a layer that starts is the `__enter__` of a context."""


def user_site() -> CallSite | None:
    """The innermost frame that is the user's; None when there is none."""
    # inspect.stack would read source files
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        if frame.f_back is None and frame.f_code.co_filename == "<string>":
            return None  # `python -c`, which is how a process of ours starts
        module = frame.f_globals.get("__name__", "")
        if module not in BETWEEN and not f"{module}.".startswith(OURS):
            if f"{module}.".startswith("mpkgraph."):
                return None  # asked by a command: no line of the user's led here
            return CallSite(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


_DOING: ContextVar[tuple[str, ...]] = ContextVar("mpkgraph_doing", default=())


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Name the call that errors raised inside speak of: `linear_layer`, `attach_input`."""
    token = _DOING.set((*_DOING.get(), what))
    try:
        yield
    finally:
        _DOING.reset(token)


def where() -> str | None:
    """`script.py:12: linear_layer` for an error raised now."""
    site = user_site()
    # The outermost call is the one in the user's line, the innermost the one that fails.
    calls = _DOING.get()
    named = calls[:1] if len(calls) < 2 or calls[0] == calls[-1] else (calls[0], calls[-1])
    parts = ([] if site is None else [str(site)]) + list(named)
    return ": ".join(parts) or None
