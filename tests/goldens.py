"""Graphs that the real Mirage made, for tests: found beside the repository, skipped when absent.

    @pytest.mark.parametrize("golden", goldens.graphs(max_bytes=2_000_000), ids=str)
    def test_reads(golden): ...

With no goldens the list holds one parameter that skips with a reason, so that a clone of the
repository alone tests green and says what it left out.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zstandard

FOLDER = Path(__file__).resolve().parent.parent.parent / "shared" / "goldens"
ABSENT = "no goldens: ../shared/goldens is not here"

EVERY_GOLDEN = "MPKGRAPH_EVERY_GOLDEN" in os.environ
"""Whole models too, whose layers are those of a twin of two layers told again (`make test-all`).

Without it three of them stand for all; only the planner's test makes each of them, to the byte.
"""
WHOLE_MODELS = {
    "models/llama3_demo-Llama-3.2-1B-b1-full-cc90",
    "models/qwen3_demo-Qwen3-0.6B-t8r1-full-cc100",
    "models/qwen3_demo-Qwen3-8B-ws2-mc-full-cc90",
}


@dataclass(frozen=True)
class Golden:
    """One graph file of one case, with its record."""

    case: str
    """`models/qwen3_demo-...`, as in index.json."""
    file: str
    """`task_graph_rank0.json`, with `compileN/` before it for the later graphs of a process."""
    num_bytes: int
    sha256: str
    num_tasks: int
    num_null_tasks: int
    num_events: int
    num_first_tasks: int
    fault: str | None
    """Kind of the fault that the case was made to have."""

    def __str__(self) -> str:
        return f"{self.case}/{self.file.removesuffix('.json')}"

    @property
    def rank(self) -> int:
        return int(Path(self.file).stem.removeprefix("task_graph_rank"))

    @property
    def group(self) -> str:
        """`models`, `tests`, `bad` or `gpu`."""
        return self.case.split("/")[0]

    @property
    def is_repeat(self) -> bool:
        """Whether a graph of two layers has all kinds of layers of this one."""
        return _is_repeat(self.case)

    @property
    def graph_path(self) -> Path:
        """The compressed graph; the folder is read-only."""
        return FOLDER / self.case / f"{self.file}.zst"

    @property
    def record_path(self) -> Path:
        """The compressed record of the pipeline."""
        return self.graph_path.with_name(f"pipeline_rank{self.rank}.json.zst")

    def graph_bytes(self) -> bytes:
        """The JSON text that Mirage returned."""
        return unpack(self.graph_path)

    def record_bytes(self) -> bytes:
        return unpack(self.record_path)

    def write_graph(self, folder: Path) -> Path:
        """The graph alone, unpacked in `folder`."""
        path = folder / Path(self.file).name
        path.write_bytes(self.graph_bytes())
        return path

    def write_both(self, folder: Path) -> Path:
        """The graph in `folder` with its record beside it; the path of the graph."""
        record = folder / f"pipeline_rank{self.rank}.json"
        record.write_bytes(self.record_bytes())
        return self.write_graph(folder)


def unpack(path: Path) -> bytes:
    """Content of a zstandard file."""
    with path.open("rb") as stream, zstandard.ZstdDecompressor().stream_reader(stream) as reader:
        return reader.readall()


@functools.cache
def index() -> dict[str, Any]:
    """index.json; empty when the goldens are not here."""
    path = FOLDER / "index.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@functools.cache
def all_graphs() -> tuple[Golden, ...]:
    """Every graph of every case, `compileN/` included, in order of case and file."""
    return tuple(
        Golden(
            case=case,
            file=entry["file"],
            num_bytes=entry["bytes"],
            sha256=entry["sha256"],
            num_tasks=entry["tasks"],
            num_null_tasks=entry["null_tasks"],
            num_events=entry["events"],
            num_first_tasks=entry["first_tasks"],
            fault=facts.get("fault", {}).get("kind"),
        )
        for case, facts in sorted(index().items())
        for entry in sorted(facts.get("graphs", []), key=lambda x: x["file"])
    )


def graphs(
    *, max_bytes: int | None = None, group: str | None = None, one_target: bool = False
) -> list[Any]:
    """Parameters: graphs of at most `max_bytes` of JSON, of one group if given.

    Of whole models only `WHOLE_MODELS`; with `one_target`, where what is tested is the same for all
    targets, a pipeline that was compiled for several comes once, and pipelines take turns in which.
    The environment may ask for every golden.
    """
    found = [
        golden
        for golden in all_graphs()
        if (max_bytes is None or golden.num_bytes <= max_bytes)
        and (group is None or golden.group == group)
        and (EVERY_GOLDEN or not golden.is_repeat)
    ]
    return _or_skip(_take_turns(found) if one_target and not EVERY_GOLDEN else found)


def _take_turns(found: list[Golden]) -> list[Golden]:
    pipelines: dict[tuple[str, str], list[Golden]] = {}
    for golden in found:
        pipelines.setdefault((golden.case.rpartition("-cc")[0], golden.file), []).append(golden)
    return [same[turn % len(same)] for turn, same in enumerate(pipelines.values())]


def every_graph() -> list[Any]:
    """Parameters: all graphs, whole models too."""
    return _or_skip(list(all_graphs()))


def multi_rank() -> list[Any]:
    """Parameters: a tuple of the graphs by rank, for each case with several ranks."""
    cases: dict[str, list[Golden]] = {}
    for golden in all_graphs():
        if "/" not in golden.file:
            cases.setdefault(golden.case, []).append(golden)
    return _or_skip(
        [
            pytest.param(tuple(sorted(found, key=lambda x: x.rank)), id=case)
            for case, found in cases.items()
            if len(found) > 1
        ]
    )


def later_compiles() -> list[Any]:
    """Parameters: graphs made by the same process after its first one (`compileN/`)."""
    found = [golden for golden in all_graphs() if "/" in golden.file]
    # Not every set of goldens has such a case.
    return found or [_skipped("no golden was made by a second compile() of one process")]


def records() -> list[Path]:
    """Every record, those of refused pipelines (which have no graph) included."""
    return sorted(FOLDER.rglob("pipeline_rank*.json.zst")) if FOLDER.exists() else []


def record_params() -> list[Any]:
    """Parameters: paths of records, of whole models only `WHOLE_MODELS`'."""
    return _or_skip(
        [
            pytest.param(path, id=record_name(path))
            for path in records()
            if EVERY_GOLDEN or not _is_repeat(f"{path.parent.relative_to(FOLDER)}")
        ]
    )


def _is_repeat(case: str) -> bool:
    return "-full-" in case and case.partition("/compile")[0] not in WHOLE_MODELS


def record_name(path: Path) -> str:
    """`models/NAME/pipeline_rank0` of a record's path."""
    return str(path.relative_to(FOLDER)).removesuffix(".json.zst")


def refused() -> list[Any]:
    """Parameters: records of the pipelines that Mirage refused, so that they have no graph."""
    return _or_skip(
        [
            pytest.param(path, id=case)
            for case, facts in sorted(index().items())
            if "refused" in facts and (path := FOLDER / case / "pipeline_rank0.json.zst").exists()
        ]
    )


def get(case: str, file: str = "task_graph_rank0.json") -> Golden:
    """One graph by name; skips the test when the goldens are not here."""
    require()
    for golden in all_graphs():
        if golden.case == case and golden.file == file:
            return golden
    raise KeyError(f"{case}/{file} is not in index.json")


def require() -> Path:
    """The folder of goldens; skips the test when it is not here."""
    if not FOLDER.exists():
        pytest.skip(ABSENT)
    return FOLDER


def iter_cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """(case, facts) of index.json in order of name."""
    return iter(sorted(index().items()))


def _or_skip(found: list[Any]) -> list[Any]:
    # FOLDER absent is normal in a lone clone; present but without a match is a broken test.
    if found:
        return found
    if FOLDER.exists():
        raise LookupError("no golden matches: the test would test nothing")
    return [_skipped(ABSENT)]


def _skipped(reason: str) -> Any:
    return pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-goldens")
