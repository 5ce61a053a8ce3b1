"""What is kept of findings is of tests that are there."""

from __future__ import annotations

from pathlib import Path

from tests.analysis.verify import told

HERE = Path(__file__).parent


def test_sections_are_of_tests():
    kept = sorted(told.FOLDER.glob("*.txt"))
    assert kept
    for path in kept:
        (module,) = HERE.rglob(f"{path.stem}.py")
        text = module.read_text(encoding="utf-8")
        for name in told.sections(path):
            assert f"def {name.partition('[')[0]}(" in text, (path.name, name)
