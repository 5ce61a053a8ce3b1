"""What all tests share: the golden files of renderers, re-recorded with `--update-golden`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests import goldens

# Timing on a shared machine says nothing; CI repeats the same examples every time.
# Where a test does not say, fewer than hypothesis' 100 examples; `make test-all` tries many more.
settings.register_profile("default", deadline=None, max_examples=40)
settings.register_profile("ci", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("all", deadline=None, max_examples=500)
# Of a mutant it is enough that a test fails: the smallest example would take minutes to find.
settings.register_profile(
    "mutants", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate)
)
settings.load_profile(
    "all"
    if goldens.EVERY_GOLDEN
    else os.environ.get("MPKGRAPH_HYPOTHESIS", "ci" if os.environ.get("CI") else "default")
)

GOLDEN_FOLDER = Path(__file__).parent / "golden"

Golden = Callable[[str, str], None]
"""`golden(name, text)`: `text` must equal the file `tests/golden/NAME`, byte for byte."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what renderers give now to tests/golden instead of comparing with it",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares a text with a golden file; with `--update-golden` writes the file."""
    update = bool(request.config.getoption("--update-golden"))

    def compare(name: str, text: str) -> None:
        path = GOLDEN_FOLDER / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
            return
        if not path.exists():
            pytest.fail(
                f"no golden file {name}: record it with pytest --update-golden, and read it"
            )
        expected = path.read_bytes().decode("utf-8")
        # Lines first: pytest shows their difference well; then the bytes, for line ends.
        assert text.splitlines() == expected.splitlines(), f"differs from tests/golden/{name}"
        assert text == expected, f"line ends differ from tests/golden/{name}"

    return compare
