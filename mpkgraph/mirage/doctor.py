"""`compile --doctor`: each thing that Mirage needs, whether it is there, and what to do if not."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from typing import Any, Literal

from mpkgraph.mirage.facts import Facts, gather_facts
from mpkgraph.pipeline.installed import INSTALL, describe_installed_mirage

SCHEMA = "mpkgraph-doctor/1"

Status = Literal["ok", "missing", "worked around", "note"]
Need = Literal["graph", "kernel", "run"]
"""What can't be done without it: Mirage's generator, nvcc's part, a launch on the GPU."""

__all__ = ["Check", "Diagnosis", "diagnose", "gather_facts"]

NEEDS: tuple[Need, ...] = ("graph", "kernel", "run")
WORDS = {
    "graph": "generate graphs (host only)",
    "kernel": "compile kernels",
    "run": "run on the GPU",
}
HEADERS = "Clone it with its submodules: git submodule update --init --recursive"
PACKAGES = {"cuda": "cuda-python", "z3": "z3-solver", "torch": "torch"}
"""PyPI's names of modules that Mirage imports."""


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, what was found, what to do."""

    name: str
    status: Status
    found: str
    remedy: str | None = None
    needed_for: Need | None = None

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Diagnosis:
    """All checks, and what they add up to."""

    checks: tuple[Check, ...]
    facts: Facts

    def blockers(self, need: Need) -> list[Check]:
        """What keeps Mirage from doing this, the first to mend first."""
        upto = NEEDS[: NEEDS.index(need) + 1]
        return [x for x in self.checks if x.status == "missing" and x.needed_for in upto]

    def can(self, need: Need) -> bool:
        return not self.blockers(need)

    @property
    def summary(self) -> str:
        able = [WORDS[x] for x in NEEDS if self.can(x)]
        unable = [WORDS[x] for x in NEEDS if not self.can(x)]
        if not able:
            return "Mirage can't be used here: compile plans with mpkgraph's own planner"
        text = f"Mirage can {', '.join(able)}"
        return f"{text}; it can't {', '.join(unable)}" if unable else text

    def to_json(self) -> dict[str, Any]:
        mirage = self.facts.mirage
        return {
            "schema": SCHEMA,
            "mirage": None if mirage is None else mirage.to_json(),
            "can": {x: self.can(x) for x in NEEDS},
            "checks": [x.to_json() for x in self.checks],
        }


def diagnose(facts: Facts) -> Diagnosis:
    """Judge what was found."""
    checks = [_mirage(facts)]
    if facts.mirage is not None and facts.mirage.has_mpk:
        checks += [_core(facts), *_imports(facts), *_headers(facts)]
        checks += [*_compilers(facts), *_gpu(facts), *_quirks(facts)]
    return Diagnosis(tuple(checks), facts)


def _mirage(facts: Facts) -> Check:
    found = facts.mirage
    if found is None or not found.has_mpk:
        what = describe_installed_mirage().removesuffix(f". {INSTALL}")
        remedy = f"{INSTALL}; or name its source tree with --mirage-home or MIRAGE_HOME"
        return Check("Mirage", "missing", what, remedy, "graph")
    return Check("Mirage", "ok", f"{found.describe()} ({found.origin})")


def _core(facts: Facts) -> Check:
    found = facts.mirage
    tag = str(sysconfig.get_config_var("SOABI"))
    if found is None or found.has_core:
        return Check("core", "ok", f"compiled for this Python ({tag})")
    if found.cores:
        what = f"compiled for {', '.join(found.cores)}; this Python is {tag}"
        remedy = "Run mpkgraph with that Python, or build Mirage with this one: pip install -e ."
        return Check("core", "missing", what, remedy, "graph")
    return Check(
        "core",
        "missing",
        f"no compiled core in {found.package}",
        "Build it: pip install -e . in the folder that you cloned Mirage into",
        "graph",
    )


def _imports(facts: Facts) -> list[Check]:
    torch, mirage = facts.step("torch"), facts.step("mirage")
    checks = []
    if torch.get("ok"):
        cuda = torch.get("cuda")
        kind = f"for CUDA {cuda}" if cuda else "for the CPU"
        checks.append(Check("torch", "ok", f"{torch['version']}, built {kind}"))
    elif torch:
        remedy = "pip install torch (a build for the CPU is enough to generate graphs)"
        checks.append(Check("torch", "missing", str(torch.get("error")), remedy, "graph"))
    if mirage.get("ok"):
        return [*checks, Check("import mirage", "ok", "works, and makes a kernel graph")]
    if facts.mirage is None or not facts.mirage.has_core:
        return checks  # said already
    if not mirage:
        step = "importing torch" if not torch else "importing mirage"
        what = f"the process died while {step}: {facts.probe_end or 'no reason known'}"
        remedy = "Try it: python -X faulthandler -c 'import torch, mirage'"
        return [*checks, Check("import mirage", "missing", what, remedy, "graph")]
    error, module = str(mirage.get("error")), mirage.get("module")
    remedy = _import_remedy(error, None if module is None else str(module))
    return [*checks, Check("import mirage", "missing", error, remedy, "graph")]


def _import_remedy(error: str, module: str | None) -> str:
    if "libcuda" in error:
        return "It needs the driver's libcuda.so.1, or CUDA's stub of it (lib64/stubs)"
    if "Could not find lib" in error:
        return "Mirage's build is not complete: pip install -e . again"
    if module is not None and not module.startswith("mirage"):
        top = module.partition(".")[0]
        return f"pip install {PACKAGES.get(top, top)}"
    return "Look at Mirage's build: python -c 'import mirage'"


def _headers(facts: Facts) -> list[Check]:
    root = None if facts.mirage is None else facts.mirage.root
    place = "not found (MIRAGE_ROOT can name the folder)" if root is None else f"in {root}"
    rows = (
        ("Mirage's headers", facts.runtime_header, "include/mirage/persistent_kernel", HEADERS),
        ("cutlass headers", facts.cutlass, "deps/cutlass/include, tools/util/include", HEADERS),
        ("nlohmann json", facts.nlohmann, "deps/json/include/nlohmann/json.hpp", HEADERS),
    )
    checks = []
    for name, there, what, remedy in rows:
        if there:
            checks.append(Check(name, "ok", place))
        else:
            checks.append(Check(name, "missing", f"no {what} {place}", remedy, "kernel"))
    return checks


def _compilers(facts: Facts) -> list[Check]:
    checks = []
    if facts.nvcc is None:
        checks.append(
            Check(
                "nvcc",
                "missing",
                "not on PATH, not in CUDA_HOME, not in /usr/local/cuda",
                "Install the CUDA toolkit, and put its bin folder on PATH",
                "kernel",
            )
        )
    else:
        version = facts.nvcc_version or "of unknown version"
        if facts.nvcc_on_path:
            checks.append(Check("nvcc", "ok", f"{version}, {facts.nvcc}"))
        else:
            what = f"{version}, {facts.nvcc}, which is not on PATH"
            checks.append(Check("nvcc", "worked around", what, "The child's PATH has its folder"))
        if not facts.cuda_headers:
            what = "no cuda_runtime.h beside nvcc"
            remedy = "Install the CUDA toolkit's headers (cuda-cudart-dev)"
            checks.append(Check("CUDA headers", "missing", what, remedy, "kernel"))
    if facts.compiler is None:
        remedy = "Install g++ (nvcc compiles host code with it)"
        checks.append(Check("g++", "missing", "not on PATH", remedy, "kernel"))
    else:
        checks.append(Check("g++", "ok", facts.compiler))
    if facts.python_headers:
        checks.append(Check("Python.h", "ok", "there"))
    else:
        remedy = "Install Python's headers (python3-dev)"
        what = f"not in {sysconfig.get_paths()['include']}"
        checks.append(Check("Python.h", "missing", what, remedy, "kernel"))
    return checks


def _gpu(facts: Facts) -> list[Check]:
    torch, libcuda = facts.step("torch"), facts.step("libcuda")
    checks = []
    driver = facts.smi[0]["driver_version"] if facts.smi else None
    supports = libcuda.get("cuda")
    if libcuda.get("ok"):
        version = f"{driver}, " if driver else ""
        checks.append(Check("driver", "ok", f"{version}for CUDA up to {supports}"))
    else:
        what = str(libcuda.get("error") or "no libcuda.so.1")
        remedy = "Install NVIDIA's driver; without one graphs are still generated"
        checks.append(Check("driver", "missing", what, remedy, "run"))
    gpus = facts.gpus
    if gpus:
        names = ", ".join(f"{x['name']} (cc {x['cc']}, {x['num_sms']} SMs)" for x in gpus)
        checks.append(Check("GPU", "ok", names))
    else:
        checks.append(Check("GPU", "missing", *_no_gpu(facts), "run"))
    nvcc = facts.nvcc_version
    if nvcc and supports and _release(nvcc)[0] > _release(supports)[0]:
        what = f"nvcc {nvcc} is newer than the driver, which knows CUDA {supports}"
        checks.append(Check("CUDA versions", "missing", what, "Update the driver", "run"))
    built = torch.get("cuda")
    if built and supports and _release(built)[0] > _release(supports)[0]:
        what = f"torch is built for CUDA {built}, the driver knows {supports}"
        remedy = f"Update the driver, or install torch for CUDA {supports}"
        checks.append(Check("CUDA versions", "missing", what, remedy, "run"))
    return checks


def _no_gpu(facts: Facts) -> tuple[str, str]:
    torch = facts.step("torch")
    if facts.smi and torch.get("ok") and not torch.get("cuda"):
        name = facts.smi[0]["name"]
        return f"{name} is there, but torch is built for the CPU", "Install torch for CUDA"
    if facts.smi and torch and not torch.get("ok"):
        return f"torch can't use {facts.smi[0]['name']}: {torch.get('error')}", "Mend torch first"
    if facts.smi:
        return (
            f"nvidia-smi shows {facts.smi[0]['name']}, torch sees none",
            "Look at CUDA_VISIBLE_DEVICES and at python -c 'import torch; torch.cuda.init()'",
        )
    return "none is seen by torch or nvidia-smi", "Graphs and kernels can still be made here"


def _quirks(facts: Facts) -> list[Check]:
    checks = []
    for quirk in facts.quirks:
        if quirk.workaround is not None:
            checks.append(Check(quirk.code, "worked around", quirk.what, quirk.workaround))
        else:
            checks.append(Check(quirk.code, "note", quirk.what))
    return checks


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(x) for x in version.split(".")[:2] if x.isdecimal())
