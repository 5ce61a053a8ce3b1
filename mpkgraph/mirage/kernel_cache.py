"""Compiled kernels by what they were compiled from: an unchanged pipeline skips nvcc.

The key covers the graph's text, the generated source, Mirage's headers, nvcc's version, its flags
and Python's ABI. An entry is a folder that appears whole, by a rename.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sysconfig
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mpkgraph.io.atomic import TEMPORARY_PREFIX, TEMPORARY_SUFFIX
from mpkgraph.mirage.nvcc import NvccReport, source_and_output

LIMIT_BYTES = 2 << 30
"""Kernels have a few megabytes each; the least recently used ones go."""
LAUNCHER = "launcher.so"
REPORT = "kernel.json"
LOG = "nvcc.log"
TEMPORARY_SECONDS = 86400
PATH_FLAGS = ("-I", "-L", "-ccbin")
HEADERS = ("*.cuh", "*.h", "*.hpp", "*.inl")
RUNTIME_FOLDER = Path("mirage/persistent_kernel")
VERSION_HEADERS = (Path("cutlass/version.h"), Path("nlohmann/detail/abi_macros.hpp"))
"""Files that change with each version of a library whose headers are too many to read."""


def kernel_key(command: Sequence[str], graph: bytes, nvcc: str | None) -> str:
    """The key of one compile, hex. Folders on the command line count by what headers they hold."""
    source, output = source_and_output(command)
    digest = hashlib.sha256()
    parts: list[bytes] = [
        (nvcc or "").encode(),
        str(sysconfig.get_config_var("EXT_SUFFIX")).encode(),
        graph,
        source.read_bytes(),
    ]
    for argument in command[1:]:
        folder = argument[2:] if argument.startswith(PATH_FLAGS[:2]) else None
        if argument in {str(source), str(output)} or folder is not None:
            continue
        parts.append(argument.encode())
    for include in (x[2:] for x in command if x.startswith("-I")):
        parts.extend(_headers(Path(include)))
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _headers(folder: Path) -> Iterator[bytes]:
    """What identifies the headers that Mirage's source includes from a folder."""
    runtime = folder / RUNTIME_FOLDER
    if runtime.is_dir():
        files = sorted(x for pattern in HEADERS for x in runtime.rglob(pattern))
        for file in files:
            yield file.relative_to(runtime).as_posix().encode()
            yield file.read_bytes()
    for name in VERSION_HEADERS:
        if (folder / name).is_file():
            yield (folder / name).read_bytes()


class KernelCache:
    """A folder with one folder for each kernel, in all at most `limit_bytes`."""

    def __init__(self, directory: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes

    def find(self, key: str, output: Path) -> NvccReport | None:
        """Copy the kernel with this key to `output`; None when there is none."""
        entry = self.directory / key
        try:
            if entry.stat().st_uid != os.geteuid():
                return None  # a kernel is code: what another user put there isn't run
            report = NvccReport.from_json(json.loads((entry / REPORT).read_bytes()))
            shutil.copyfile(entry / LAUNCHER, output)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with contextlib.suppress(OSError):
            os.utime(entry)
        return replace(report, cached=True)

    def log(self, key: str) -> str:
        """What nvcc printed for this kernel."""
        with contextlib.suppress(OSError):
            return (self.directory / key / LOG).read_text(encoding="utf-8", errors="replace")
        return ""

    def store(self, key: str, launcher: Path, report: NvccReport, log: str) -> None:
        """Keep a kernel. What can't be written is not kept: the compile itself has succeeded."""
        name = f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
        temporary = self.directory / name
        try:
            temporary.mkdir(parents=True, mode=0o700)
            shutil.copyfile(launcher, temporary / LAUNCHER)
            (temporary / REPORT).write_text(json.dumps(report.to_json()), encoding="utf-8")
            (temporary / LOG).write_text(log, encoding="utf-8")
            temporary.rename(self.directory / key)
        except OSError:
            # Another process was first, or the disk is full.
            shutil.rmtree(temporary, ignore_errors=True)
            return
        self._evict()

    def _evict(self) -> None:
        entries = []
        for entry in self.directory.iterdir():
            with contextlib.suppress(OSError):
                status = entry.stat()
                if entry.name.startswith(TEMPORARY_PREFIX):
                    if status.st_mtime < time.time() - TEMPORARY_SECONDS:
                        shutil.rmtree(entry, ignore_errors=True)
                elif _is_key(entry.name):
                    size = sum(x.stat().st_size for x in entry.iterdir())
                    entries.append((status.st_mtime_ns, entry, size))
        excess = sum(size for *_, size in entries) - self.limit_bytes
        for _, entry, size in sorted(entries, key=lambda x: x[:1]):
            if excess <= 0:
                return
            shutil.rmtree(entry, ignore_errors=True)
            excess -= size


def _is_key(name: str) -> bool:
    return len(name) == 64 and all(x in "0123456789abcdef" for x in name)
