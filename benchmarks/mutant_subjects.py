"""Which tests watch which module, most telling first: they stop at the first failure."""

from __future__ import annotations

from dataclasses import dataclass

VERIFY = "tests/analysis/verify"
RULES = f"{VERIFY}/rules"
PLANNER = "tests/planner"


@dataclass(frozen=True)
class Subject:
    """A module, and what pytest is given to test it."""

    module: str
    tests: tuple[str, ...]


def _of(package: str, modules: str, *tests: str) -> tuple[Subject, ...]:
    return tuple(Subject(f"mpkgraph.{package}.{name}", tests) for name in modules.split())


SMALL = ("-k", "not models and not test_events_that_mean_nothing")
"""What takes long is left out: graphs of models, which have the layers of Mirage's tests."""
HAZARDS = (f"{VERIFY}/test_hazards.py", f"{VERIFY}/test_hazards_oracle.py", *SMALL)
ORDER = (f"{VERIFY}/test_peer_order.py", f"{VERIFY}/test_placement.py", *HAZARDS)
SPLITS = (
    f"{RULES}/test_splits.py",
    f"{RULES}/test_signatures.py",
    f"{RULES}/test_goldens_shape.py",
    *SMALL,
)
STRUCTURE = (
    f"{RULES}/test_structure.py",
    f"{RULES}/test_ranks.py",
    f"{RULES}/test_robust.py",
    f"{RULES}/test_goldens_shape.py",
    *SMALL,
)
RESOURCES = (f"{RULES}/test_resources.py", *SMALL)
PLANS = (
    f"{PLANNER}/test_tiles.py",
    f"{PLANNER}/test_metadata.py",
    f"{PLANNER}/test_corners.py",
    f"{PLANNER}/test_warnings.py",
    f"{PLANNER}/test_small_pipelines.py",
    f"{PLANNER}/test_emission.py",
)

SUBJECTS: tuple[Subject, ...] = (
    *_of("analysis.verify", "happens_before peer_order placement", *ORDER),
    *_of(
        "analysis.verify.rules.hazards",
        "access conflicts pairs pair_findings siblings sibling_findings own_writes memory causes"
        " places union values",
        *HAZARDS,
    ),
    *_of("planner", "dag emission tiles boxes columns plan registered variants metadata", *PLANS),
    *_of("planner", "warnings", f"{PLANNER}/test_warnings.py", *PLANS),
    *_of(
        "analysis.verify.rules.splits",
        "bounds facts fit grids interleave maps patterns relations writes",
        *SPLITS,
    ),
    *_of(
        "analysis.verify.rules.structure",
        "counts cycles ends entries metadata queues ranges triggers",
        *STRUCTURE,
    ),
    *_of("analysis.verify.rules.ranks", "agreement remote", *STRUCTURE),
    *_of(
        "analysis.verify.rules.resources",
        "alignment compiled kernels limits meta names types",
        *RESOURCES,
    ),
    *_of("analysis.verify.rules.advice", "synchronisation work", f"{RULES}/test_advice.py"),
    *_of(
        "analysis.verify",
        "suppression baseline",
        f"{VERIFY}/test_suppression.py",
        "tests/cli/test_verify.py",
    ),
    *_of("analysis.verify", "run finding context", f"{VERIFY}/test_suppression.py", *SPLITS),
    *_of(
        "model",
        "tile intersect overlap coverage digits region byteset box",
        "tests/model/test_tile.py",
        "tests/model/test_tile_overlap.py",
        "tests/model/test_tile_coverage.py",
    ),
    *_of(
        "pipeline",
        "recorder graphs tensors meta_tensors function_parameters target kernel",
        "tests/pipeline/test_kernel.py",
        "tests/pipeline/test_graphs.py",
        "tests/pipeline/test_messages.py",
        "tests/pipeline/test_target.py",
        "tests/pipeline/test_function_parameters.py",
        f"{PLANNER}/test_small_pipelines.py",
    ),
)
