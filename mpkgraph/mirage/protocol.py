"""What parent and child say to each other: a request in a file, messages on a pipe.

A message is one JSON object a line, written the moment something happens: a child that dies has
said by then what it was doing.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REQUEST = "request.json"


@dataclass(frozen=True)
class ChildRequest:
    """One process: which source to run on Mirage, for which rank, and how far to go."""

    staging: str
    """Folder that the child writes into; one `graphN` in it for each graph."""
    source: str
    """`SCRIPT.py`, `module:function`, `file.py:function`; empty for `records`."""
    records: Sequence[str] = ()
    """Recorded pipelines, as one process makes them one after another."""
    arguments: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    init: Mapping[str, Any] = field(default_factory=dict)
    mirage_python: str = ""
    """Folder that `import mirage` is to find first."""
    mirage_root: str | None = None
    """Mirage's `include` and `deps`, where its own search would not find them."""
    libcuda_stub: str | None = None
    """A libcuda to load where there is no driver: CUDA's stub, enough to import Mirage."""
    redirect: bool = True
    """Tensors asked for on a GPU are made on the CPU, and torch answers for `target`."""
    kernel: bool = False
    """Run nvcc; else only Mirage's generator runs."""
    launch: bool = False
    """Run the compiled graph on the GPU when the script does."""
    meta: bool = False
    target: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `pipeline.target.Target`."""
    has_target: bool = False
    """Whether `target` names the GPU to compile for, whatever the machine's own is."""
    cache: str | None = None
    """Folder of compiled kernels; None compiles anew."""
    run: Mapping[str, Any] = field(default_factory=dict)
    """How to launch (`gpu_run.RunOptions`), when `launch`."""

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ChildRequest:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Message:
    """One line from the child: its kind, and what belongs to it."""

    kind: str
    fields: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self.fields.get(name, default)


class Channel:
    """The child's end of the pipe; a message is written whole, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        # What the script starts must not hold the pipe open.
        os.set_inheritable(descriptor, False)  # noqa: FBT003

    def send(self, kind: str, **fields: Any) -> None:
        data = json.dumps({"kind": kind, **fields}, default=str).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


def parse_message(line: bytes) -> Message | None:
    """The message of a line; None for one that was cut off by the child's death."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return None
    kind = value.pop("kind")
    return Message(kind, value)
