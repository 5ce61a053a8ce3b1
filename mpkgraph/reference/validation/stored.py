"""Tensors of a run on disk: one file a rank, and a manifest that ties them to the graph."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.errors import GraphReadError, GraphWriteError, MissingDependencyError, UsageError
from mpkgraph.io.atomic import atomic_file

if TYPE_CHECKING:
    from mpkgraph.reference.validation.result import RunReport
    from mpkgraph.reference.validation.validate import Validation

SCHEMA = "mpkgraph-tensors/1"
MANIFEST = "manifest.json"


def is_saved(path: str) -> bool:
    """Whether a folder holds tensors of a run."""
    return (Path(path) / MANIFEST).is_file()


def rank_file(rank: int) -> str:
    """Name of the file with a rank's tensors."""
    return f"tensors_rank{rank}.safetensors"


def save_run(folder: Path, validation: Validation, report: RunReport) -> None:
    """Save all tensors of the last run. Raises GraphWriteError when that can't be done."""
    save = _safetensors().save
    ranks = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for rank, memory in zip(validation.program.ranks, validation.memories, strict=True):
            tensors = {name: x.contiguous().clone() for name, x in memory.tensors()}
            with atomic_file(str(folder / rank_file(rank.rank))) as stream:
                stream.write(save(tensors, {"graph": report.graph_hashes[rank.rank]}))
            ranks.append(
                {
                    "rank": rank.rank,
                    "file": rank_file(rank.rank),
                    "graph_sha256": report.graph_hashes[rank.rank],
                    "tensors": {
                        name: {"shape": list(x.shape), "dtype": str(x.dtype).removeprefix("torch.")}
                        for name, x in sorted(tensors.items())
                    },
                }
            )
        outcome = report.outcomes[-1] if report.outcomes else None
        manifest = {
            "schema": SCHEMA,
            "pipeline": report.name,
            "schedule": None if outcome is None else outcome.schedule,
            "seed": report.seed,
            "inputs": report.source,
            "unexecuted": [x.to_json() for x in report.skipped],
            "ranks": ranks,
        }
        with atomic_file(str(folder / MANIFEST)) as stream:
            stream.write(json.dumps(manifest, indent=2).encode() + b"\n")
    except OSError as error:
        raise GraphWriteError(
            f"can't save the tensors: {error.strerror or error}", where=str(folder)
        ) from error


def load_manifest(folder: str) -> Mapping[str, Any]:
    """The manifest of saved tensors. Raises GraphReadError for one that is none."""
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GraphReadError("can't be read", where=str(path)) from error
    is_ours = isinstance(manifest, dict) and manifest.get("schema") == SCHEMA
    if not is_ours or not isinstance(manifest.get("ranks"), list):
        raise GraphReadError(
            "this is no manifest of saved tensors", where=str(path), remedy="Save them with --save"
        )
    found: Mapping[str, Any] = manifest
    return found


def of_other_graphs(path: str, hashes: Mapping[int, str]) -> str | None:
    """What is to be said of a folder whose tensors are of other graphs than these (by rank)."""
    if not Path(path).is_dir() or not is_saved(path):
        return None
    for entry in load_manifest(path)["ranks"]:
        mine = hashes.get(int(entry.get("rank", -1))) if isinstance(entry, dict) else None
        if mine is not None and entry.get("graph_sha256") != mine:
            other = str(entry.get("graph_sha256"))[:16]
            return f"{path}: saved of another graph, {other}, not of {mine[:16]}"
    return None


def load_ranks(path: str, ranks: Sequence[int]) -> list[Mapping[str, Any]]:
    """Tensors by name for each rank: of a folder each rank's file, of a file the same for all.

    Raises GraphReadError for what can't be read, UsageError for a rank that is not there.
    """
    if not Path(path).is_dir():
        tensors = load_tensors(path)
        return [tensors for _ in ranks]
    if not is_saved(path):
        raise UsageError(
            "the folder holds no manifest of saved tensors",
            where=path,
            remedy="Name a folder of --save, a .safetensors or a .pt file",
        )
    manifest = load_manifest(path)
    files = {x.get("rank"): x.get("file") for x in manifest["ranks"] if isinstance(x, dict)}
    found = []
    for rank in ranks:
        if rank not in files:
            raise UsageError(f"it holds no tensors of rank {rank}", where=path)
        name = Path(str(files[rank])).name  # a manifest names files beside it
        found.append(load_tensors(os.path.join(path, name)))  # noqa: PTH118
    return found


def load_tensors(path: str) -> Mapping[str, Any]:
    """Tensors by name from .safetensors or .pt. Raises GraphReadError for what can't be read."""
    if not Path(path).is_file():
        raise UsageError("there is no such file", where=path)
    try:
        if path.endswith(".safetensors"):
            loaded: Any = _safetensors().load_file(path)
        else:
            loaded = _load_pickled(path)
    except MissingDependencyError:
        raise
    except Exception as error:
        raise GraphReadError(
            f"can't be read as tensors: {_reason(error)}",
            where=path,
            remedy="Give .safetensors, or .pt with a dict of tensors",
        ) from error
    import torch

    if not isinstance(loaded, Mapping):
        raise GraphReadError("holds no dict of tensors by name", where=path)
    return {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)}


def _safetensors() -> Any:
    try:
        import safetensors.torch as module
    except ImportError as error:
        raise MissingDependencyError(
            "tensors in files need safetensors, which is not installed",
            remedy="Install it: pip install 'mpkgraph[torch]'",
        ) from error
    return module


def _load_pickled(path: str) -> Any:
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how it was pickled: it loads, or it is refused
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """Why a file can't be read, without torch's advice to read it in a way that runs its code."""
    text = str(error).partition("\n")[0].strip()
    if "Weights only load failed" in text:
        return "it holds other objects than tensors, and to load those can run code"
    if isinstance(error, (KeyError, EOFError)) or not text:
        return "it is not what torch.save writes"
    return text
