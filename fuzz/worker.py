"""One target under atheris, in a process of its own: `python -m fuzz.worker TARGET CORPUS FOUND`.

What raises is kept and the run goes on: only a hang or too much memory ends it. Counts go to
FOUND/counts.json as the run goes on, since libFuzzer ends a process without a word to Python.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import os
import pkgutil
import resource
import sys
import time
import traceback
from pathlib import Path

import atheris

from fuzz import command

SAVE_EVERY = 50
"""Inputs between two writings of the counts."""
IMPORTED_APART = ("mpkgraph.reference", "mpkgraph.mirage.child", "mpkgraph.sweep.ray_cluster")
"""Packages that no target reaches, and that import what need not be there."""
MAX_INPUT_BYTES = 4096


class Run:
    """Calls a target, counts, and keeps one input of each way to fail."""

    def __init__(self, name: str, found: Path, cpu_seconds: float) -> None:
        self.try_input = importlib.import_module(f"fuzz.targets.{name}").try_input
        self.found = found
        self.begin = time.process_time()
        self.end = self.begin + cpu_seconds
        self.num_inputs = 0
        self.slowest = 0.0
        self.failures: dict[str, int] = {}
        self.first_rss = 0

    def __call__(self, data: bytes) -> None:
        started = time.process_time()
        try:
            self.try_input(data)
        except Exception as error:  # noqa: BLE001  any is a finding
            self._keep(data, error)
        now = time.process_time()
        self.num_inputs += 1
        self.slowest = max(self.slowest, now - started)
        if self.num_inputs == 1000:
            self.first_rss = _peak_bytes()
        if self.num_inputs % SAVE_EVERY == 0 or now > self.end:
            self._save()
        if now > self.end:
            sys.stderr.flush()
            os._exit(0)

    def _keep(self, data: bytes, error: Exception) -> None:
        frames = [x for x in traceback.extract_tb(error.__traceback__) if "fuzz" not in x.name]
        last = frames[-1]
        way = f"{type(error).__name__} {Path(last.filename).name}:{last.lineno}"
        self.failures[way] = self.failures.get(way, 0) + 1
        if self.failures[way] > 1:
            return
        name = hashlib.sha256(way.encode()).hexdigest()[:12]
        (self.found / name).write_bytes(data)
        with (self.found / f"{name}.txt").open("w", encoding="utf-8", errors="replace") as stream:
            print(way, repr(data), file=stream, sep="\n")
            traceback.print_exception(error, file=stream)

    def _save(self) -> None:
        counts = {
            "inputs": self.num_inputs,
            "cpu_seconds": time.process_time() - self.begin,
            "slowest_seconds": self.slowest,
            "peak_bytes": _peak_bytes(),
            "peak_bytes_after_1000": self.first_rss,
            "failures": self.failures,
        }
        path = self.found / "counts.json"
        path.with_suffix(".new").write_text(json.dumps(counts))
        path.with_suffix(".new").replace(path)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def import_all() -> None:
    """Every module of the library, so that lazy imports are watched too."""
    import mpkgraph

    with contextlib.suppress(ImportError):
        import matplotlib as mpl  # noqa: F401  not to be watched, for it is slow then
    for module in pkgutil.walk_packages(mpkgraph.__path__, "mpkgraph."):
        if module.name.startswith(IMPORTED_APART) or module.name.endswith("__main__"):
            continue
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("target")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("found", type=Path)
    parser.add_argument("--cpu-seconds", type=float, default=60)
    parser.add_argument("--timeout", type=int, default=10)
    parser.add_argument("--rss-mb", type=int, default=2048)
    options = parser.parse_args()
    with (
        contextlib.redirect_stderr(io.StringIO()),  # a line for each module
        atheris.instrument_imports(include=["mpkgraph"]),
    ):
        import_all()
    command.be_a_new_user()
    run = Run(options.target, options.found, options.cpu_seconds)
    flags = [
        f"-timeout={options.timeout}",
        f"-rss_limit_mb={options.rss_mb}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-artifact_prefix={options.found}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *flags, str(options.corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
