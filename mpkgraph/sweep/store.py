"""Results that are kept: a folder a point, which appears when it is complete.

`DIR/points/NAME/` holds the point's graphs, records and `result.json`; `DATASET/run=NAME/` its
tables. What is kept holds while the point's key and the files of its pipeline are the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.errors import GraphWriteError
from mpkgraph.io.atomic import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, atomic_file, write_errors
from mpkgraph.sweep.points import STAGED_DATASET, Point
from mpkgraph.sweep.result import PointResult
from mpkgraph.sweep.sources import are_unchanged

RESULT_FILE = "result.json"
KEY_FILE = "_key"
"""In a run of a dataset; readers of datasets skip names that begin so."""
SWAP_TRIES = 10
"""Another process may put the same point in place at the same time."""


@dataclass(frozen=True)
class Store:
    """Where points are kept; None for what is not."""

    results: Path | None = None
    dataset: Path | None = None

    @property
    def is_used(self) -> bool:
        return self.results is not None or self.dataset is not None

    def prepare(self) -> None:
        """Make the folders. Raises GraphWriteError where that can't be done."""
        for folder in self._folders:
            _make_folder(folder)

    @property
    def _folders(self) -> list[Path]:
        points = None if self.results is None else self.results / "points"
        return [x for x in (points, self.dataset) if x is not None]

    def find(self, point: Point) -> PointResult | None:
        """What is known about a point and still holds.

        A point that failed is tried again, unless the pipeline itself was refused: then only a
        change helps.
        """
        if self.results is None:
            return None
        found = _read(self.results / "points" / point.name / RESULT_FILE)
        if found is None or found.key != point.key or found.values != point.values:
            return None
        if found.error is not None and found.error.kind != "refused":
            return None
        if not are_unchanged(found.sources, point.folder):
            return None
        folder = self.results / "points" / point.name
        if not all((folder / name).is_file() for name in found.files):
            return None
        if point.with_dataset and found.error is None and not self._has_run(found):
            return None
        return found

    def _has_run(self, result: PointResult) -> bool:
        if self.dataset is None:
            return True
        try:
            text = (self.dataset / f"run={result.name}" / KEY_FILE).read_text("ascii")
        except (OSError, ValueError):
            return False
        return text == run_key(result)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Path | None]:
        """An empty folder beside where points go, taken away at the end; None without a store."""
        if not self.is_used:
            yield None
            return
        folder = _temporary(self._folders[0])
        with write_errors(folder):
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, result: PointResult, stage: Path | None) -> None:
        """Keep a point and what was staged for it, in place of what was known.

        Raises GraphWriteError when that can't be done.
        """
        if stage is None:
            return
        tables = stage / STAGED_DATASET
        if self.dataset is not None:
            with write_errors(self.dataset):
                _put_run(tables, self.dataset / f"run={result.name}", result)
        if self.results is not None:
            with write_errors(self.results):
                shutil.rmtree(tables, ignore_errors=True)
                (stage / RESULT_FILE).write_bytes(_result_bytes(result))
                _swap(stage, self.results / "points" / result.name)

    def write_ranking(self, text: bytes) -> None:
        """The whole result as JSON, in the folder of results."""
        if self.results is not None:
            with atomic_file(self.results / "sweep.json") as stream:
                stream.write(text)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphWriteError(
            f"can't make the folder: {(error.strerror or str(error)).lower()}",
            where=str(folder),
            remedy="Choose a folder that you can write to",
        ) from error


def run_key(result: PointResult) -> str:
    """What a run of a dataset is known by: its point's key and the pipeline's files."""
    import hashlib

    text = orjson.dumps([result.key, dict(result.sources)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _put_run(tables: Path, place: Path, result: PointResult) -> None:
    """A run that failed has no tables: those of an earlier one are not of this pipeline."""
    if not tables.is_dir():
        if place.exists():
            _remove(place)
        return
    (tables / KEY_FILE).write_text(run_key(result), "ascii")
    if tables.stat().st_dev != place.parent.stat().st_dev:
        copy = _temporary(place.parent)
        try:
            shutil.copytree(tables, copy)
            _swap(copy, place)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return
    _swap(tables, place)


def _swap(new: Path, place: Path) -> None:
    """`new` becomes `place`, as a whole."""
    for _ in range(SWAP_TRIES):
        if place.exists():
            _remove(place)
        try:
            new.rename(place)
        except OSError:
            if not place.exists():
                raise
        else:
            return
    raise OSError(f"{place} is written by another process all the time")


def _remove(place: Path) -> None:
    old = _temporary(place.parent)
    with contextlib.suppress(FileNotFoundError):
        place.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _temporary(folder: Path) -> Path:
    return folder / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"


def _result_bytes(result: PointResult) -> bytes:
    return json_bytes(result.to_json())


def _read(path: Path) -> PointResult | None:
    """What cannot be read, or is of another version, is not there."""
    try:
        return PointResult.from_json(orjson.loads(path.read_bytes()))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None
