"""Where the `mpkgraph` command starts and ends: what makes short commands short."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from typing import NoReturn

EXIT_INTERRUPTED = 130
COLLECT_AFTER = 200_000
"""Objects between two walks of the garbage collector. Importing makes tens of thousands of them,
none to be freed, and by default they are walked again and again: a tenth of a short command."""


def main(argv: list[str] | None = None) -> NoReturn:
    """The console script: `cli.main.main`, sooner."""
    gc.set_threshold(COLLECT_AFTER)
    try:
        from mpkgraph.cli.main import run

        code = run(argv)
    except KeyboardInterrupt:  # `run` answers it too, once it is imported
        code = EXIT_INTERRUPTED
    if _may_end_at_once():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()  # `run` has done so, and said what was wrong
        os._exit(code)
    sys.exit(code)


def _may_end_at_once() -> bool:
    """Whether nobody needs Python's way out, in which every object is freed for nothing.

    A user's script, threads, a profiler or a debugger may do.
    """
    return (
        "mpkgraph.pipeline.user_code" not in sys.modules
        and threading.active_count() == 1
        and sys.getprofile() is None
        and sys.gettrace() is None
    )
