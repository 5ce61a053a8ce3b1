"""A child process from start to end: its messages, its log, its time limit, how it died."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpkgraph.mirage.protocol import REQUEST, ChildRequest, Message, parse_message

POLL_S = 0.2
"""How soon the end of a child is noticed whose pipe somebody else holds open."""
GRACE_S = 5
"""Time between asking a child's process group to end and killing it."""
READ_BYTES = 1 << 16
PACKAGE_ROOT = Path(__file__).parents[2]
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from mpkgraph.mirage.child.main import main; main()"
)
"""Imports this mpkgraph, wherever it was imported from, and no file named like a module of ours."""


@dataclass(frozen=True)
class ChildResult:
    """How a child ended. `returncode` is negative for a signal."""

    messages: tuple[Message, ...]
    returncode: int
    seconds: float
    log: Path
    timed_out: bool = False
    out_of_memory: bool = False
    """The kernel killed a process for memory meanwhile."""

    def of_kind(self, kind: str) -> list[Message]:
        return [x for x in self.messages if x.kind == kind]

    def last(self, kind: str) -> Message | None:
        found = self.of_kind(kind)
        return found[-1] if found else None


OnMessage = Callable[[Message], None]


def run_child(
    request: ChildRequest,
    log: Path,
    *,
    limit_s: float | None,
    on_message: OnMessage | None = None,
    python: str | None = None,
    prefix: Sequence[str] = (),
) -> ChildResult:
    """Run one child to its end, or for `limit_s` seconds; then its whole process group is killed.

    Everything that it and its own children print goes to `log`. `prefix` is a program that starts
    the child and its arguments, such as compute-sanitizer. An exception here, such as an
    interrupt, kills it too.
    """
    file = Path(request.staging) / REQUEST
    request.save(file)
    reader, writer = os.pipe()
    start = time.monotonic()
    kills = _oom_kills()
    with log.open("ab") as stream:
        child = subprocess.Popen(  # noqa: S603  our own interpreter
            [
                *prefix,
                python or sys.executable,
                "-c",
                START,
                str(PACKAGE_ROOT),
                str(file),
                str(writer),
            ],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    messages: list[Message] = []
    timed_out = False
    try:
        deadline = None if limit_s is None else start + limit_s
        for message in _messages(reader, child, deadline):
            messages.append(message)
            if on_message is not None:
                on_message(message)
        timed_out = child.poll() is None
    finally:
        os.close(reader)
        kill_group(child)
    return ChildResult(
        messages=tuple(messages),
        returncode=child.returncode,
        seconds=time.monotonic() - start,
        log=log,
        timed_out=timed_out,
        out_of_memory=_oom_kills() > kills,
    )


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started, such as nvcc's many."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        if child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)
    child.wait()


def _messages(
    reader: int, child: subprocess.Popen[bytes], deadline: float | None
) -> Iterator[Message]:
    """Messages as they come, until the child has ended or its time is up."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        open_ = True
        while open_ or child.poll() is None:
            left = POLL_S if deadline is None else min(POLL_S, deadline - time.monotonic())
            if left <= 0:
                return
            if not open_:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(left)
                continue
            if not selector.select(left):
                # Forked processes of the script may keep the pipe open.
                open_ = child.poll() is None
                continue
            data = os.read(reader, READ_BYTES)
            open_ = bool(data)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                message = parse_message(line)
                if message is not None:
                    yield message


def _oom_kills() -> int:
    """Processes that Linux has killed for memory so far, here or in our control group."""
    total = 0
    for file in ("/proc/vmstat", "/sys/fs/cgroup/memory.events"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(file).read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    total += int(value)
    return total
