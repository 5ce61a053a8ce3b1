"""The other end of `processes`: a process that takes points from a pipe and sends results back.

Both standard streams are the pipe's when it starts. A script may read, write and close them, so the
pipe moves away first: what a script prints goes to standard error, which the parent keeps.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct("<Q")
"""Length of the pickle that follows."""


def send(stream: BinaryIO, value: Any) -> None:
    """One value through a pipe between our own processes."""
    data = pickle.dumps(value)
    stream.write(HEADER.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """The next value. Raises EOFError when the other end has gone."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    (length,) = HEADER.unpack(header)
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  from a process that we started


def main() -> None:
    """Serve until the parent closes its end, or is gone."""
    # An interrupt is for the parent to tell: without a traceback from each of us
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        send(answers, None)
        from mpkgraph.sweep.evaluate import evaluate

        while True:
            try:
                point, stage = receive(requests)
            except EOFError:
                return
            result = evaluate(point, None if stage is None else Path(stage))
            for stream in (sys.stdout, sys.stderr):
                if stream is not None and not stream.closed:
                    stream.flush()
            send(answers, result)
