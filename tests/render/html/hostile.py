"""The example graph with names that try to be markup, script, or something else than they are."""

from __future__ import annotations

import json
from pathlib import Path

import mpkgraph
from mpkgraph.model.graph import TaskGraph
from tests.cli.conftest import EXAMPLE

NAMES = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=2>",
    '"><svg onload=window.hacked=3>',
    "javascript:window.hacked=4",
    "${window.hacked=5}{{data}}",
    "<!--<script>",
)
FILE = "<img src=x onerror=alert(1)>.json"


def hostile_graph(folder: Path) -> TaskGraph:
    """Read from a file with a hostile name in `folder`."""
    document = json.loads((EXAMPLE / "task_graph_rank0.json").read_text())
    names: dict[str, str] = {}
    for task in document["all_tasks"]:
        for slot in (task["inputs"] or []) + (task["outputs"] or []):
            old = slot["base_ptr"]
            if old != "nullptr":
                new = names.setdefault(old, NAMES[len(names) % len(NAMES)] + f" {len(names)}")
                slot["base_ptr"] = new
    document["all_tasks"][5]["<b>extra</b>"] = "</script><script>window.hacked=6</script>"
    path = folder / FILE
    path.write_text(json.dumps(document))
    return mpkgraph.read(path)
