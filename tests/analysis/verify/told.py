"""What rules say, word for word: findings of a test, kept in `tests/golden/findings`.

One file a test module, one section a test. Helpers of tests `note` what they found; the fixture
in `conftest.py` compares when the test has ended. The numbers and places in messages are checked
by nothing else, and a user reads nothing else.
"""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from pathlib import Path

from mpkgraph.analysis.verify.finding import Finding

FOLDER = Path(__file__).parents[2] / "golden" / "findings"
HEAD = "== "
_noted: list[Finding] = []


def note(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """The same findings, remembered for the test's section."""
    _noted.extend(found)
    return tuple(found)


def take() -> str:
    """What was noted since, as the text of a section."""
    text = "".join(_text(x) for x in _noted)
    _noted.clear()
    return text.encode("utf-8", "backslashreplace").decode()


def sections(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    parts = path.read_bytes().decode("utf-8").split(f"\n{HEAD}")
    return dict(part.removeprefix(HEAD).split("\n", 1) for part in parts if part.strip())


def update(path: Path, name: str, text: str) -> None:
    """Write one section; other processes write others of the file."""
    if not text and name not in sections(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = sections(path)
        kept.pop(name, None)
        if text:
            kept[name] = text
        parts = [f"{HEAD}{key}\n{kept[key].rstrip()}\n" for key in sorted(kept)]
        path.write_bytes("\n".join(parts).encode("utf-8"))
    Path(lock.name).unlink(missing_ok=True)


def _text(finding: Finding) -> str:
    where = finding.location
    facts = {
        "rank": where.rank,
        "operator": where.operator,
        "name": where.operator_name,
        "slot": where.slot,
        "tensor": where.tensor,
        "elements": where.elements,
        "bytes": where.byte_range,
        "event": where.event,
        "path": where.record_path,
    }
    lines = [
        f"{finding.rule.code} {finding.severity}: {finding.message}",
        f"    remedy: {finding.remedy}",
        "    at: " + ", ".join(f"{k} {v}" for k, v in facts.items() if v is not None),
        f"    count: {finding.count} {finding.count_of}, {finding.num_operators} operators",
        *(f"    witness: {x} of operator {x.operator}" for x in finding.witness),
    ]
    return "\n".join(lines) + "\n"
