"""nvcc's command and what it says: registers and spills of each kernel, its errors."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = "mpkgraph-kernel/1"
RESOURCE_FLAG = "-Xptxas=-v"
"""Makes ptxas say what each kernel uses; changes no code."""
MAX_ERROR_LINES = 6

_ENTRY = re.compile(r"Compiling entry function '([^']+)' for '([^']+)'")
_PROPERTIES = re.compile(r"Function properties for (\S+)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(.*)")
_SHARED = re.compile(r"(\d+) bytes smem")
_ERROR = re.compile(r"\berror\b|\bfatal\b|undefined reference|ld returned", re.IGNORECASE)
_RELEASE = re.compile(r"release (\d+\.\d+), V([\d.]+)")


@dataclass(frozen=True)
class KernelResources:
    """One kernel as ptxas made it. Sizes in bytes a thread, but shared memory a block."""

    name: str
    arch: str
    registers: int
    stack_bytes: int = 0
    spill_store_bytes: int = 0
    spill_load_bytes: int = 0
    shared_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class NvccReport:
    """One compile of one graph's kernel: `kernel_rank{r}.json`."""

    command: tuple[str, ...]
    seconds: float
    """What nvcc took when it ran, also for a kernel from the cache."""
    key: str
    cached: bool
    version: str | None = None
    kernels: tuple[KernelResources, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "command": list(self.command),
            "seconds": round(self.seconds, 3),
            "cached": self.cached,
            "key": self.key,
            "nvcc": self.version,
            "kernels": [x.to_json() for x in self.kernels],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> NvccReport:
        return cls(
            command=tuple(value["command"]),
            seconds=float(value["seconds"]),
            key=value["key"],
            cached=bool(value["cached"]),
            version=value.get("nvcc"),
            kernels=tuple(KernelResources(**x) for x in value["kernels"]),
        )


def parse_resources(text: str) -> tuple[KernelResources, ...]:
    """Kernels in ptxas's verbose output, in its order."""
    found: list[KernelResources] = []
    entry: tuple[str, str] | None = None
    about: str | None = None
    stack = (0, 0, 0)
    for line in text.splitlines():
        if match := _ENTRY.search(line):
            entry, about, stack = (match[1], match[2]), match[1], (0, 0, 0)
        elif match := _PROPERTIES.search(line):
            about = match[1]
        elif entry is None:
            continue
        elif (match := _STACK.search(line)) and about == entry[0]:
            stack = (int(match[1]), int(match[2]), int(match[3]))
        elif match := _USED.search(line):
            shared = _SHARED.search(match[2])
            found.append(
                KernelResources(
                    name=readable(entry[0]),
                    arch=entry[1],
                    registers=int(match[1]),
                    stack_bytes=stack[0],
                    spill_store_bytes=stack[1],
                    spill_load_bytes=stack[2],
                    shared_bytes=0 if shared is None else int(shared[1]),
                )
            )
            entry = None
    return tuple(found)


def readable(symbol: str) -> str:
    """The function's name in a mangled symbol, without its parameters.

    >>> readable("_Z13worker_kernel13RuntimeConfig")
    'worker_kernel'
    >>> readable("_ZN6kernel4normEv"), readable("plain")
    ('kernel::norm', 'plain')
    """
    rest = symbol.removeprefix("_Z")
    if rest == symbol:
        return symbol
    nested = rest.startswith("N")
    rest = rest.removeprefix("N")
    parts = []
    while match := re.match(r"(\d+)", rest):
        size = int(match[1])
        rest = rest[match.end() :]
        parts.append(rest[:size])
        rest = rest[size:]
        if not nested:
            break
    return "::".join(parts) or symbol


def error_lines(log: str) -> list[str]:
    """The lines of nvcc's output that say why it failed; its last lines when none does."""
    lines = [x.strip() for x in log.splitlines() if x.strip()]
    errors = [x for x in lines if _ERROR.search(x)]
    return list(dict.fromkeys(errors))[:MAX_ERROR_LINES] or lines[-MAX_ERROR_LINES:]


def is_nvcc(command: Any) -> bool:
    """Whether a command line (a sequence) starts nvcc."""
    if isinstance(command, str | bytes) or not isinstance(command, Sequence) or not command:
        return False
    return Path(str(command[0])).name.startswith("nvcc")


def source_and_output(command: Sequence[str]) -> tuple[Path, Path]:
    """The .cu that a command compiles and the file that it makes. Raises ValueError."""
    sources = [x for x in command[1:] if x.endswith(".cu") and not x.startswith("-")]
    if len(sources) != 1 or "-o" not in command:
        raise ValueError("this is no compile of one file")
    return Path(sources[0]), Path(command[command.index("-o") + 1])


def find_nvcc(path: str | None, cuda_home: str | None) -> Path | None:
    """The nvcc on the search path, else in `$CUDA_HOME` or where CUDA usually is."""
    found = shutil.which("nvcc", path=path)
    if found is not None:
        return Path(found)
    for home in (cuda_home, "/usr/local/cuda"):
        if home and (Path(home) / "bin" / "nvcc").is_file():
            return Path(home) / "bin" / "nvcc"
    return None


def nvcc_version(nvcc: Path) -> str | None:
    """`13.0.88`; None when nvcc does not say."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        result = subprocess.run(  # noqa: S603  the user's compiler
            [str(nvcc), "--version"], capture_output=True, text=True, timeout=60, check=False
        )
        match = _RELEASE.search(result.stdout)
        if match is not None:
            return match[2]
    return None
