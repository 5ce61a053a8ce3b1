"""What reducing a pipeline came to."""

from __future__ import annotations

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.reference.validation.reduce import Reduced
from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter


def reduced_text(out: TextWriter, result: Reduced) -> None:
    """How much smaller it became, and where it is."""
    before, after = result.before, result.after
    out.heading(f"reduced to {result.path}", f"still shows {result.target}")
    out.table(
        {
            "": ["layers", "tensors", "elements", "tasks"],
            "before": [before.layers, before.tensors, before.elements, before.tasks],
            "after": [after.layers, after.tensors, after.elements, after.tasks],
        }
    )
    out.line()
    end = "nothing smaller shows it" if result.is_complete else "time ran out"
    out.line(printable(f"{result.num_tries:,} pipelines tried; {end}"))


def reduced_json(result: Reduced) -> bytes:
    return json_bytes(result.to_json())
