"""Two runs' saved tensors, held against each other without running anything."""

from __future__ import annotations

from mpkgraph.reference.validation.compare import compare, size_of
from mpkgraph.reference.validation.limits import GivenLimits, default_limits
from mpkgraph.reference.validation.result import RunOutcome, RunReport, TensorVerdict, Unchecked
from mpkgraph.reference.validation.stored import load_manifest, load_ranks

_SHORT = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "float64": "fp64",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
    "float8_e8m0fnu": "fp8",
}


def compare_saved(folder: str, other: str, limits: GivenLimits) -> RunReport:
    """Tensors of the same name and rank, those of `other` as the right ones.

    Raises GraphReadError and UsageError as loading does.
    """
    manifest = load_manifest(folder)
    ranks = [int(x["rank"]) for x in manifest["ranks"]]
    hashes = {int(x["rank"]): str(x["graph_sha256"]) for x in manifest["ranks"]}
    ours, theirs = load_ranks(folder, ranks), load_ranks(other, ranks)
    verdicts: list[TensorVerdict] = []
    unchecked: list[Unchecked] = []
    for rank, mine, right in zip(ranks, ours, theirs, strict=True):
        for name, value in sorted(mine.items()):
            wanted = right.get(name)
            if wanted is None:
                unchecked.append(Unchecked(rank, name, f"it is not in {other}"))
                continue
            if wanted.shape != value.shape or wanted.dtype != value.dtype:
                reason = f"there it is {list(wanted.shape)} of {wanted.dtype}"
                unchecked.append(Unchecked(rank, name, reason))
                continue
            text = str(value.dtype).removeprefix("torch.")
            short = _SHORT.get(text, text)
            reduction = value.shape[-1] if value.dim() else 1
            default = default_limits(None, short, reduction, size_of(wanted))
            chosen = limits.apply(name, default)
            verdicts.append(
                TensorVerdict(
                    rank=rank,
                    name=name,
                    shape=tuple(value.shape),
                    dtype=short,
                    operator=None,
                    operator_name=None,
                    limits=chosen,
                    difference=compare(value, wanted, chosen),
                    is_output=True,
                )
            )
    return RunReport(
        name=folder,
        graph_hashes=hashes,
        seed=int(manifest.get("seed") or 0),
        source=str(manifest.get("inputs")),
        against=other,
        outcomes=(
            RunOutcome(
                schedule=str(manifest.get("schedule")),
                num_tasks=0,
                num_calls=0,
                seconds=0.0,
                verdicts=tuple(verdicts),
                unchecked=tuple(unchecked),
            ),
        ),
        notes=_other_graph(hashes, other),
    )


def _other_graph(hashes: dict[int, str], other: str) -> tuple[str, ...]:
    from mpkgraph.reference.validation.stored import is_saved

    if not is_saved(other):
        return ()
    theirs = {int(x["rank"]): x["graph_sha256"] for x in load_manifest(other)["ranks"]}
    differ = [str(rank) for rank, text in hashes.items() if theirs.get(rank, text) != text]
    if not differ:
        return ()
    return (f"{other} is of another graph (rank {', '.join(differ)}): tensors go by name",)
