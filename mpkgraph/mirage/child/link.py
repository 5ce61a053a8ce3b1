"""A `libcuda.so` to link against, where the linker would find none.

Drivers often bring `libcuda.so.1` alone, and a machine without a GPU brings neither; Mirage's
command has `-lcuda` all the same.
"""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mpkgraph.mirage.facts import find_libcuda_stub

NAME = "libcuda.so"
SONAME = "libcuda.so.1"
USUAL = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
    "/usr/lib/aarch64-linux-gnu",
)
NEED_IT = ("-Xlinker", "--no-as-needed")
"""An empty library defines nothing, so that the linker would drop it as not needed."""


@dataclass(frozen=True)
class LinkHelp:
    """A folder for `LIBRARY_PATH` and flags that go before the others."""

    folder: Path | None = None
    flags: tuple[str, ...] = ()


def help_linking(folder: Path, nvcc: Path) -> LinkHelp:
    """What to add so that `-lcuda` is found; `folder` is made when something goes into it."""
    if _is_found() or find_libcuda_stub(nvcc) is not None:
        return LinkHelp()
    driver = _driver_library()
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / NAME
    if driver is not None:
        with contextlib.suppress(FileExistsError):
            library.symlink_to(driver)
        return LinkHelp(folder)
    made = subprocess.run(  # noqa: S603  the user's compiler
        ["g++", "-shared", "-x", "c", "/dev/null", f"-Wl,-soname,{SONAME}", "-o", str(library)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    return LinkHelp(folder, NEED_IT) if made.returncode == 0 else LinkHelp()


def _is_found() -> bool:
    """Whether g++ (and so nvcc) finds it by itself."""
    with contextlib.suppress(OSError):
        done = subprocess.run(  # noqa: S603  the user's compiler
            ["g++", f"-print-file-name={NAME}"],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() not in {"", NAME}
    return False


def _driver_library() -> Path | None:
    for folder in USUAL:
        if (Path(folder) / SONAME).exists():
            return Path(folder) / SONAME
    with contextlib.suppress(OSError):
        done = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False)  # noqa: S607
        for line in done.stdout.splitlines():
            name, _, path = line.strip().partition(" => ")
            if name.startswith(f"{SONAME} ") and "x86-64" in name:
                return Path(path)
    return None
