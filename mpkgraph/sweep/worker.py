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
import threading
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct("<Q")
"""Length of the pickle that follows."""
LOOK_FOR_PARENT_S = 2.0
"""How often to look whether the parent is there: one that was killed can't tell us to end."""


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
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    with (
        os.fdopen(os.dup(0), "rb") as requests,
        os.fdopen(os.dup(1), "wb") as answers,
        os.fdopen(os.dup(2), "wb") as kept,
        open(os.devnull, "rb") as nothing,  # noqa: PTH123
    ):
        _connect_streams(nothing, kept)
        send(answers, None)
        from mpkgraph.sweep.evaluate import evaluate

        while True:
            try:
                point, stage = receive(requests)
            except EOFError:
                return
            # The script before may have closed them
            _connect_streams(nothing, kept)
            result = evaluate(point, None if stage is None else Path(stage))
            send(answers, result)


def _connect_streams(nothing: BinaryIO, kept: BinaryIO) -> None:
    """Standard streams that are open and none of the pipes: no input, and output that is kept."""
    os.dup2(nothing.fileno(), 0)
    os.dup2(kept.fileno(), 1)
    os.dup2(kept.fileno(), 2)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None or stream.closed or stream is not getattr(sys, f"__{name}__"):
            mode = "r" if name == "stdin" else "w"
            stream = os.fdopen(
                descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False
            )
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        if name != "stdin":
            # What is said just before the process dies counts most
            stream.reconfigure(line_buffering=True)


def _end_with(parent: int) -> None:
    """Ends this process, whatever it is doing, once its parent is gone."""
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(LOOK_FOR_PARENT_S)
    os._exit(1)
