"""nvcc as Mirage's `compile()` starts it: timed, kept, from the cache when nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpkgraph.mirage.child.link import help_linking
from mpkgraph.mirage.kernel_cache import KernelCache, kernel_key
from mpkgraph.mirage.nvcc import (
    RESOURCE_FLAG,
    NvccReport,
    is_nvcc,
    nvcc_version,
    parse_resources,
    source_and_output,
)
from mpkgraph.mirage.protocol import Channel

HOST_ASSERTS_OFF = "-DNDEBUG"
NATIVE = "-arch=native"
"""Mirage's choice for GPUs but Hopper's and Blackwell's: that of the machine."""


class NvccStep:
    """Runs nvcc for one process. `folder` and `graph` are of the graph that is being compiled.

    `arch` is the compute capability to compile for where the machine's own GPU does not decide.
    """

    def __init__(
        self,
        channel: Channel,
        cache: KernelCache | None,
        library_folder: Path,
        *,
        host_asserts_off: bool,
        arch: int | None,
    ) -> None:
        self._channel = channel
        self._library_folder = library_folder
        self._cache = cache
        self._host_asserts_off = host_asserts_off
        self._arch = arch
        self._version: str | None = None
        self.folder: Path | None = None
        self.graph = b""
        self.report: NvccReport | None = None
        self.output: Path | None = None

    def run(self, command: Sequence[Any]) -> None:
        """Compile, or take the kernel from the cache.

        Raises CalledProcessError as Mirage expects of `check_call`.
        """
        line = [str(x) for x in command]
        source, output = source_and_output(line)
        if self._host_asserts_off and HOST_ASSERTS_OFF not in line:
            line.append(HOST_ASSERTS_OFF)
        if self._arch is not None:
            line = [f"-arch=sm_{self._arch}" if x == NATIVE else x for x in line]
        if self._version is None:
            self._version = nvcc_version(Path(line[0])) or ""
        key = kernel_key(line, self.graph, self._version)
        self.output = output
        self._channel.send("stage", stage="nvcc", key=key)
        report = None if self._cache is None else self._cache.find(key, output)
        if report is None:
            report = self._compile(line, source, output, key)
        elif self._cache is not None:
            self._keep_log(self._cache.log(key))
        self.report = report
        self._channel.send("nvcc", returncode=0, report=report.to_json())

    def _compile(self, line: list[str], source: Path, output: Path, key: str) -> NvccReport:
        link = help_linking(self._library_folder, Path(line[0]))
        environment = dict(os.environ)
        if link.folder is not None:
            paths = [str(link.folder), environment.get("LIBRARY_PATH", "")]
            environment["LIBRARY_PATH"] = os.pathsep.join(x for x in paths if x)
        start = time.monotonic()
        done = subprocess.run(  # noqa: S603  Mirage's own command
            [line[0], *link.flags, *line[1:], RESOURCE_FLAG],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        seconds = time.monotonic() - start
        sys.stdout.write(done.stdout)
        log = self._keep_log(done.stdout)
        report = NvccReport(
            tuple(line),
            seconds,
            key,
            cached=False,
            version=self._version,
            kernels=parse_resources(done.stdout),
        )
        if done.returncode != 0:
            self._channel.send(
                "nvcc",
                returncode=done.returncode,
                report=report.to_json(),
                log=log,
                source=str(source),
            )
            raise subprocess.CalledProcessError(done.returncode, line)
        if self._cache is not None:
            self._cache.store(key, output, report, done.stdout)
        return report

    def _keep_log(self, text: str) -> str | None:
        if self.folder is None:
            return None
        path = self.folder / "nvcc.log"
        path.write_text(text, encoding="utf-8")
        return str(path)


class Subprocess:
    """Stands in for the module `subprocess` inside Mirage: nvcc goes to a step, all else on."""

    def __init__(self, step: NvccStep, built: Any) -> None:
        self._step = step
        self._built = built

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def check_call(self, command: Any, *args: Any, **kwargs: Any) -> int:
        if not is_nvcc(command):
            return subprocess.check_call(command, *args, **kwargs)  # noqa: S603  Mirage's own
        self._step.run(command)
        self._built()
        return 0

    def run(self, command: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_nvcc(command):
            return subprocess.run(command, *args, **kwargs)  # noqa: PLW1510, S603  Mirage's own
        self._step.run(command)
        self._built()
        return subprocess.CompletedProcess(command, 0, "", "")
