"""Mirage's own test-mode scripts, unchanged: the records and graphs that they give on Mirage.

They are looked for in the source tree that MIRAGE_HOME names.
"""

from __future__ import annotations

import hashlib
import io
import runpy
from functools import partial

import pytest

from mpkgraph.errors import MpkGraphError
from mpkgraph.io.record import read_record
from mpkgraph.io.writer import write_graph
from mpkgraph.pipeline import Target, exception_text
from mpkgraph.planner.plan import plan
from mpkgraph.planner.variants import VariantRegistry
from tests import goldens
from tests.pipeline.mirage_home import differences, mirage_home
from tests.pipeline.scripts import call, run, write

pytest.importorskip("torch")


def new_compile_graph():
    return partial(plan, registry=VariantRegistry())


def cases():
    """(golden's record, script, function) of those made by Mirage's test scripts."""
    paths = [x for x in goldens.records() if "/tests/" in x.as_posix()]
    if not paths:
        return [pytest.param(None, marks=pytest.mark.skip(reason=goldens.ABSENT), id="no-goldens")]
    return [pytest.param(x, id=goldens.record_name(x).split("/")[1]) for x in paths]


@pytest.mark.parametrize("path", cases())
def test_gives_mirages_record_and_graph(path, tmp_path):
    home = mirage_home()
    golden = read_record(path)
    script = home / golden.origin["script"]
    function = golden.origin["function"]
    options = {
        "target": Target(cc=golden.target_cc, multicast=False),
        "emit": frozenset(),
        "meta": True,
        "new_compile_graph": new_compile_graph,
    }
    if function.startswith("_CASE"):
        text = runpy.run_path(str(script))[function]
        child = write(tmp_path, text)
        with pytest.raises(MpkGraphError) as caught:
            run(child, **options)
        assert caught.value.where.startswith(f"{child}:")
        return
    if golden.has_exception:
        with pytest.raises(MpkGraphError) as caught:
            call(script, function, **options)
        assert exception_text(caught.value) == golden.extra["exception"]
        return
    (compiled,) = call(script, function, **options).compiled
    assert differences(compiled.record, golden) == []
    stream = io.BytesIO()
    write_graph(compiled.graph, stream)
    facts = goldens.index()[goldens.record_name(path).rpartition("/")[0]]
    assert hashlib.sha256(stream.getvalue()).hexdigest() == facts["graphs"][0]["sha256"]


def scripts():
    home = mirage_home(required=False)
    if home is None:
        skip = pytest.mark.skip(reason="MIRAGE_HOME is not set")
        return [pytest.param(None, marks=skip, id="no-mirage")]
    folder = home / "tests/runtime_python/test_mode"
    return [pytest.param(x, id=x.stem) for x in sorted(folder.glob("test_*.py"))]


NUM_GRAPHS = {"test_grid_dim_sweep_testmode": 4}
"""Others have one, or end when the first one's outputs are not as expected."""

STARTS_PYTHON = "test_case2_case3_negative_testmode"
"""Wants what the processes that it starts compile to be refused, and so ends without a graph."""


@pytest.mark.parametrize("script", scripts())
def test_runs_as_a_script(script):
    target = Target(cc=100)
    if script.stem == STARTS_PYTHON:
        with pytest.raises(MpkGraphError, match="refused its pipeline"):
            run(script, target=target, emit=frozenset())
        return
    result = run(
        script,
        target=target,
        emit=frozenset(),
        meta=True,
        new_compile_graph=new_compile_graph,
    )
    assert len(result.compiled) == NUM_GRAPHS.get(script.stem, 1)
    assert "after its" in result.notes[-1]
    assert all(x.graph is not None for x in result.compiled)
