"""Which modules are changed, and which tests watch them."""

from __future__ import annotations

from benchmarks.mutant_draws import ROOT

GROUPS: dict[str, tuple[str, ...]] = {
    "hazards": ("analysis/verify/rules/hazards",),
    "order": (
        "analysis/verify/happens_before.py",
        "analysis/verify/peer_order.py",
        "analysis/verify/placement.py",
    ),
    "splits": ("analysis/verify/rules/splits",),
    "structure": ("analysis/verify/rules/structure",),
    "ranks": ("analysis/verify/rules/ranks",),
    "resources": ("analysis/verify/rules/resources",),
    "advice": ("analysis/verify/rules/advice",),
    "running the checks": ("analysis/verify",),
    "planner": ("planner",),
    "model": ("model",),
    "pipeline": ("pipeline",),
}
"""Groups in the order in which they are tried; a module belongs to the first that names it."""

LEFT_OUT = ("analysis/verify/pictures", "pipeline/standin", "pipeline/layers/method.py")
"""Drawings are compared byte for byte; what stands in for Mirage's modules needs whole scripts."""

TESTS = (
    "tests/analysis/verify",
    "tests/planner",
    "tests/model",
    "tests/pipeline",
    "tests/views",
    "tests/io/test_record.py",
    "tests/cli/test_verify.py",
    "tests/cli/test_compile.py",
    "tests/test_api.py",
    "tests/test_verify_api.py",
)
"""What pytest collects; of these a mutant gets the tests that run its line."""


def modules_by_group() -> dict[str, tuple[str, ...]]:
    """The modules of each group, those without a statement but their docstring left out."""
    taken: set[str] = set()
    groups = {}
    for group, paths in GROUPS.items():
        found = []
        for path in paths:
            place = ROOT / "mpkgraph" / path
            for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
                name = file.relative_to(ROOT).as_posix()
                left_out = any(name.startswith(f"mpkgraph/{x}") for x in LEFT_OUT)
                if name not in taken and not left_out and file.name != "__init__.py":
                    taken.add(name)
                    found.append(name.removesuffix(".py").replace("/", "."))
        groups[group] = tuple(found)
    return groups
