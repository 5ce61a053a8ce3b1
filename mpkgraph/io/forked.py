"""A fork of this process that hands back what it finds through a pipe."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable


class Forked:
    """A child process, and the end of the pipe that it writes to."""

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.pipe = pipe
        """Descriptor to read from."""
        self._running = True

    @classmethod
    def start(cls, work: Callable[[int], None]) -> Forked | None:
        """A child that does `work`, which is told the descriptor to write to, and ends with it.

        None when no process can be made.
        """
        try:
            read_end, write_end = os.pipe()
        except OSError:
            return None
        try:
            with warnings.catch_warnings():
                # Python warns of threads; numpy's own know how to deal with a fork.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError:
            os.close(read_end)
            os.close(write_end)
            return None
        if pid == 0:
            status = 1
            try:
                os.close(read_end)
                work(write_end)
                status = 0
            finally:
                os._exit(status)
        os.close(write_end)
        return cls(pid, read_end)

    def close(self) -> None:
        """Ends the child, if it has not ended, and forgets it."""
        if self._running:
            self._running = False
            os.close(self.pipe)
            import signal  # which takes longer than most second commands' answers

            with contextlib.suppress(OSError):
                # It may have ended, but its number is not given away before it is waited for.
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
