"""What is on this machine that Mirage needs: compilers, headers, driver, GPU, torch.

`Facts` are gathered once; `doctor` judges them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpkgraph.mirage.child.probe import MARK
from mpkgraph.mirage.find import FoundMirage, find_mirage
from mpkgraph.mirage.nvcc import find_nvcc, nvcc_version
from mpkgraph.mirage.process import PACKAGE_ROOT
from mpkgraph.mirage.quirks import (
    RUNTIME_HEADER,
    PythonSide,
    Quirk,
    Runtime,
    find_quirks,
    read_python_side,
    read_runtime,
)

PROBE_LIMIT_S = 180
"""Importing torch from a cold disk takes long; a GPU that hangs takes for ever."""
START_PROBE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from mpkgraph.mirage.child.probe import main; main()"
)
CUTLASS = Path("cutlass/include/cutlass/cutlass.h")
CUTLASS_UTIL = Path("cutlass/tools/util/include")
NLOHMANN = Path("json/include/nlohmann/json.hpp")


@dataclass(frozen=True)
class Facts:
    """All that was found. A path is None when the thing is not there."""

    mirage: FoundMirage | None
    python_side: PythonSide | None = None
    runtime: Runtime | None = None
    nvcc: Path | None = None
    nvcc_on_path: bool = False
    nvcc_version: str | None = None
    cuda_headers: bool = False
    cutlass: bool = False
    nlohmann: bool = False
    runtime_header: bool = False
    python_headers: bool = False
    compiler: str | None = None
    """First line of `g++ --version`."""
    smi: tuple[Mapping[str, str], ...] = ()
    """By GPU what nvidia-smi says: name, compute_cap, driver_version."""
    libcuda_stub: Path | None = None
    probed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By step of the probe what it found."""
    probe_end: str | None = None
    """How the probe died, when it did."""

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        return () if self.python_side is None else find_quirks(self.python_side, self.runtime)

    def step(self, name: str) -> Mapping[str, Any]:
        """What one step of the probe found; empty when it was not reached."""
        return self.probed.get(name, {})

    @property
    def gpus(self) -> list[Mapping[str, Any]]:
        return list(self.step("torch").get("gpus", ()))


def gather_facts(home: Path | None = None, *, python: str | None = None) -> Facts:
    """Look at everything; starts `nvidia-smi`, the compilers and one Python that imports Mirage."""
    found = find_mirage(home)
    nvcc = find_nvcc(os.environ.get("PATH"), os.environ.get("CUDA_HOME"))
    include = None if found is None else found.include
    deps = None if found is None else found.deps
    stub = find_libcuda_stub(nvcc)
    probed: dict[str, Mapping[str, Any]] = {}
    end = None
    if found is not None and found.has_mpk:
        probed, end = probe(found, stub, python or sys.executable)
    return Facts(
        mirage=found,
        python_side=None if found is None else read_python_side(found.package),
        runtime=None if include is None else read_runtime(include),
        nvcc=nvcc,
        nvcc_on_path=shutil.which("nvcc") is not None,
        nvcc_version=None if nvcc is None else nvcc_version(nvcc),
        cuda_headers=nvcc is not None and _has_cuda_headers(nvcc),
        cutlass=_there(deps, CUTLASS) and _there(deps, CUTLASS_UTIL),
        nlohmann=_there(deps, NLOHMANN),
        runtime_header=_there(include, RUNTIME_HEADER),
        python_headers=Path(sysconfig.get_paths()["include"], "Python.h").is_file(),
        compiler=_first_line(["g++", "--version"]),
        smi=_nvidia_smi(),
        libcuda_stub=stub,
        probed=probed,
        probe_end=end,
    )


def probe(
    found: FoundMirage, stub: Path | None, python: str
) -> tuple[dict[str, Mapping[str, Any]], str | None]:
    """Import torch and Mirage in a process of their own: (what each step found, how it died)."""
    command = [python, "-c", START_PROBE, str(PACKAGE_ROOT), str(found.python), str(stub or "")]
    environment = dict(os.environ)
    if found.root is not None:
        environment.setdefault("MIRAGE_ROOT", str(found.root))
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_LIMIT_S,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        text = error.stdout or b""
        output = text.decode(errors="replace") if isinstance(text, bytes) else text
        return _steps(output), f"it did not end within {PROBE_LIMIT_S} s"
    end = None
    if done.returncode != 0:
        lines = [x for x in done.stderr.splitlines() if x.strip()]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        end = f"it ended with {how}" + (f": {lines[-1]}" if lines else "")
    return _steps(done.stdout), end


def _steps(output: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for line in output.splitlines():
        if line.startswith(MARK):
            with contextlib.suppress(ValueError, KeyError):
                value = json.loads(line.removeprefix(MARK))
                found[value.pop("step")] = value
    return found


def _there(folder: Path | None, name: Path) -> bool:
    return folder is not None and (folder / name).exists()


def _has_cuda_headers(nvcc: Path) -> bool:
    """Where nvcc is on the path, that may be a script that starts another."""
    homes = [nvcc.resolve().parents[1], Path("/usr/local/cuda")]
    if os.environ.get("CUDA_HOME"):
        homes.append(Path(os.environ["CUDA_HOME"]))
    places = [home / x for home in homes for x in ("include", "targets/x86_64-linux/include")]
    return any((x / "cuda_runtime.h").is_file() for x in (*places, Path("/usr/include")))


def find_libcuda_stub(nvcc: Path | None) -> Path | None:
    """CUDA's stand-in for the driver's library, to link against: enough to import Mirage."""
    homes = [Path("/usr/local/cuda")]
    if nvcc is not None:
        homes.insert(0, nvcc.resolve().parents[1])
    for home in homes:
        for folder in ("lib64/stubs", "targets/x86_64-linux/lib/stubs", "lib/stubs"):
            if (home / folder / "libcuda.so").is_file():
                return home / folder / "libcuda.so"
    return None


def _nvidia_smi() -> tuple[Mapping[str, str], ...]:
    names = ("name", "compute_cap", "driver_version")
    query = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    text = _output(query)
    if text is None:
        return ()
    rows = [[x.strip() for x in line.split(",")] for line in text.splitlines() if line.strip()]
    return tuple(dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names))


def _first_line(command: list[str]) -> str | None:
    text = _output(command)
    match = None if text is None else re.search(r"\S.*", text)
    return None if match is None else match[0]


def _output(command: list[str]) -> str | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(  # noqa: S603  known programs
            command, capture_output=True, text=True, timeout=30, check=False, errors="replace"
        )
        return done.stdout if done.returncode == 0 else None
    return None
