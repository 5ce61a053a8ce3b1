"""Results computed from a graph file, kept in the cache beside the graph's columns.

A result depends on the content of the file and on more: the record that tells its operators, the
names of another Mirage version, mpkgraph itself. All of that is in its key, so nothing ever has
to be declared stale.
"""

from __future__ import annotations

import os
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from mpkgraph.frozen import dataclass
from mpkgraph.io.digest import text_digest

if TYPE_CHECKING:
    from mpkgraph.catalog import Catalog
    from mpkgraph.io.cache import GraphCache

FORMAT_VERSION = 1
"""Goes up with any change of what results look like or mean."""

_CODE_FOLDERS = ("analysis", "catalog", "io", "model", "views")


@dataclass(frozen=True)
class Derivation:
    """What a result is computed from, the graph apart. `record_sha256` None: tasks alone."""

    catalog: Catalog
    record_sha256: str | None = None

    @cached_property
    def _facts(self) -> list[str]:
        names = self.catalog
        tables = [
            names.source,
            *(
                sorted(table.items())
                for table in (names.task_types, names.event_types, names.data_types)
            ),
        ]
        fingerprint = text_digest(orjson.dumps(tables))
        return [str(FORMAT_VERSION), code_stamp(), self.record_sha256 or "recovered", fingerprint]

    def key(self, what: str) -> str:
        """The key of a result called `what`."""
        return orjson.dumps([what, *self._facts]).decode()


class KeptResults:
    """The results of one graph file in a cache; without a cache there are none.

    `sha256` is that of the bytes of the file that the graph was read from; None before it was
    read, when the cache says what the file holds.
    """

    def __init__(self, cache: GraphCache | None, path: str, sha256: str | None = None) -> None:
        self._cache = cache
        self._path = path
        self.sha256 = sha256

    def load(self, key: str) -> bytes | None:
        """The bytes that were kept under this key."""
        if self._cache is None:
            return None
        return self._cache.lookup_result(self._path, key, sha256=self.sha256)

    def keep(self, key: str, data: bytes) -> None:
        """Keeps bytes computed from the graph that was read; nothing else is known to be of it."""
        if self._cache is not None and self.sha256 is not None:
            self._cache.store_result(self._path, key, data, sha256=self.sha256)


@cache
def code_stamp() -> str:
    """Changes when a module that makes results does: in a checkout the version alone says little.

    Empty where the modules are no files.
    """
    root = Path(__file__).parents[1]
    stamps: list[tuple[str, int, int]] = []
    folders = [os.fspath(root / folder) for folder in _CODE_FOLDERS]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        status = entry.stat()
                        stamps.append((entry.path, status.st_size, status.st_mtime_ns))
                    elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                        folders.append(entry.path)
    except OSError:
        return ""
    return text_digest(orjson.dumps(sorted(stamps)))
