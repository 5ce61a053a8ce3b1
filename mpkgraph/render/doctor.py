"""`compile --doctor` as a table and as JSON."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, TextIO

from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.mirage.doctor import Diagnosis

WIDTH = 100
MARKS = {"ok": "ok", "missing": "MISSING", "worked around": "worked around", "note": "note"}


def doctor_text(out: TextIO, diagnosis: Diagnosis) -> None:
    """A row a check: its name, its state, what was found; the remedy below."""
    names = max(len(x.name) for x in diagnosis.checks)
    marks = max(len(MARKS[x.status]) for x in diagnosis.checks)
    indent = names + marks + 4
    for check in diagnosis.checks:
        head = f"{printable(check.name):{names}}  {MARKS[check.status]:{marks}}  "
        _paragraph(out, head, printable(check.found), indent)
        if check.remedy is not None and check.status != "ok":
            _paragraph(out, " " * indent, f"-> {printable(check.remedy)}", indent + 3)
    out.write(f"\n{diagnosis.summary}\n")


def doctor_json(diagnosis: Diagnosis) -> bytes:
    """Schema `mpkgraph-doctor/1`."""
    from mpkgraph.analysis.json_text import json_bytes

    return json_bytes(diagnosis.to_json())


def _paragraph(out: TextIO, head: str, text: str, indent: int) -> None:
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    out.writelines(f"{line.rstrip()}\n" for line in lines or [head])
