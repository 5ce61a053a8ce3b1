"""What is said of a script that failed: its line, the error, what to do."""

from __future__ import annotations

import pytest

from mpkgraph.errors import MissingDependencyError, PipelineError
from mpkgraph.pipeline.script_errors import (
    NO_VALUES,
    TORCH_INSTALL,
    late_note,
    script_error,
    where_in_script,
)

META = "Run with --meta: GPU tensors then take no memory"
INSTALL = "It has to be installed where mpkgraph is"


def missing(name: str | None) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("error", "meta", "remedy"),
    [
        (MemoryError(), False, META),
        (MemoryError(), True, None),
        (RuntimeError("you tried to allocate memory: 8 EB"), False, META),
        (RuntimeError("you tried to Allocate Memory: 8 EB"), True, None),
        (RuntimeError("Cannot copy out of meta tensor; no data!"), True, NO_VALUES),
        (RuntimeError("Cannot copy out of meta tensor; no data!"), False, None),
        (ValueError("no"), False, None),
        (ValueError("no"), True, None),
        (missing("numpi"), False, INSTALL),
        (missing("mirage.new"), False, None),
        (missing(None), False, INSTALL),
        (SystemExit(2), False, "No pipeline was compiled: the script has to reach compile()"),
    ],
)
def test_what_to_do(error, meta, remedy):
    assert script_error(error, meta=meta).remedy == remedy
    note = late_note(error, 2, meta=meta)
    assert note.startswith("after its 2 pipelines had been compiled: ")
    assert note.endswith(NO_VALUES) == (remedy == NO_VALUES)


def test_errors_that_are_said_otherwise():
    own = PipelineError("mine")
    assert script_error(own, meta=False) is own
    torch = script_error(missing("torch"), meta=False)
    assert isinstance(torch, MissingDependencyError)
    assert torch.remedy == TORCH_INSTALL


@pytest.mark.parametrize(("line", "told"), [(7, 7), (None, 1), (0, 1)])
def test_where_a_script_is_no_python(line, told):
    assert where_in_script(SyntaxError("no", ("mine.py", line, 1, "x"))) == f"mine.py:{told}"
    assert where_in_script(SyntaxError("no")) is None
