"""JSON Schemas of what commands print with `--json`, and what `to_json()` gives."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from mpkgraph.errors import UsageError

NAMES = (
    "mpkgraph-compile/1",
    "mpkgraph-diff/1",
    "mpkgraph-doctor/1",
    "mpkgraph-reduced/1",
    "mpkgraph-rules/1",
    "mpkgraph-run/1",
    "mpkgraph-show/1",
    "mpkgraph-sweep/1",
    "mpkgraph-task-functions/1",
    "mpkgraph-verify/1",
)
"""The values of `schema` in printed objects."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of printed objects whose `schema` is `name`.

    Objects may have further keys: new ones may come at any time, and the number in the name changes
    when one changes its meaning or goes.

    >>> json_schema("mpkgraph-verify/1")["title"]
    'What `mpkgraph verify --json` prints'

    Raises UsageError for a name that is none.
    """
    if name not in NAMES:
        raise UsageError(f"no schema is called {name!r}", remedy=f"There are {', '.join(NAMES)}")
    return json.loads(file_of(name).read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def file_of(name: str) -> Any:
    """The file of a schema, in the installed package."""
    return files(__name__).joinpath(file_name(name))


def file_name(name: str) -> str:
    """What the file of a schema is called.

    >>> file_name("mpkgraph-verify/1")
    'verify-1.json'
    """
    return name.removeprefix("mpkgraph-").replace("/", "-") + ".json"
