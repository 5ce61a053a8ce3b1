"""`mpkgraph compile` of the goldens' small pipelines: as records in files, and as functions.

The pipelines of `tests/pipelines` are a user's here: a copy of their file, in the user's folder.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import pytest

from mpkgraph.io.record import read_record, save_record
from tests.pipelines.kit import Made, Refused
from tests.pipelines.table import PIPELINES

GRAPH = "task_graph_rank0.json"
RECORD = "pipeline_rank0.json"


def cases(kind, ccs=(80, 90, 100)):
    return [
        pytest.param(pipeline, cc, result, id=pipeline.case(cc))
        for pipeline in PIPELINES
        for cc, result in pipeline.results.items()
        if isinstance(result, kind) and cc in ccs
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's working folder, empty."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


def saved(pipeline, cc):
    save_record(pipeline.record(cc), "recorded.json")
    return "recorded.json"


def copied(pipeline):
    """`pipes.py`, a copy of the file that holds the pipeline."""
    Path("pipes.py").write_text(
        Path(inspect.getsourcefile(pipeline.build)).read_text(encoding="utf-8"), encoding="utf-8"
    )
    return f"pipes.py:{pipeline.name}"


def init_options(pipeline):
    tokens = pipeline.tokens
    given = {
        "max_num_batched_tokens": tokens,
        "max_num_batched_requests": tokens,
        **pipeline.init,
    }
    return [x for name, value in given.items() for x in ("--init", f"{name}={value}")]


def refused_line(pipeline):
    lines, first = inspect.getsourcelines(pipeline.build)
    (at,) = [i for i, line in enumerate(lines) if line.rstrip().endswith("# refused")]
    return first + at


def is_one_message(result):
    assert result.code == 3
    assert result.out == ""
    assert result.err.startswith("mpkgraph: ")
    assert result.err.count("\n") == 1
    return True


@pytest.mark.parametrize(("pipeline", "cc", "refused"), cases(Refused))
def test_a_refused_function_names_the_users_line(pipeline, cc, refused, mpkgraph, folder):
    source = copied(pipeline)
    result = mpkgraph("compile", source, "-t", cc, "-o", "out", *init_options(pipeline))
    assert is_one_message(result)
    for part in refused.says:
        assert part in result.err
    assert f"pipes.py:{refused_line(pipeline)}: " in result.err
    assert not Path("out").exists()
    assert [x.name for x in folder.iterdir() if x.name != "__pycache__"] == ["pipes.py"]


@pytest.mark.parametrize(("pipeline", "cc", "refused"), cases(Refused))
def test_a_refused_record_names_its_place(pipeline, cc, refused, mpkgraph, folder):
    path = saved(pipeline, cc)
    result = mpkgraph("compile", path, "-o", "out")
    assert is_one_message(result)
    if pipeline.name == "py_noncontig":  # the record ends before the tensor
        assert "recorded.json, log: " in result.err
        assert "Tensor must be row-major or column-major" in result.err
    else:
        for part in refused.says:
            assert part in result.err
        assert "recorded.json, log[" in result.err
    assert [x.name for x in folder.iterdir()] == ["recorded.json"]


@pytest.mark.parametrize(("pipeline", "cc", "made"), cases(Made, ccs=(80, 90)))
def test_a_function_becomes_mirages_graph(pipeline, cc, made, mpkgraph, folder):
    source = copied(pipeline)
    result = mpkgraph("compile", source, "-t", cc, "-o", "out", "-q", *init_options(pipeline))
    assert (result.code, result.out) == (0, "")
    if not made.undefined:
        text = Path("out", GRAPH).read_bytes()
        assert hashlib.sha256(text).hexdigest() == made.sha256
    recorded = read_record(Path("out", RECORD))
    assert (recorded.target_cc, recorded.log) == (cc, pipeline.record(cc).log)
    # Whatever is warned of is warned of with the user's line, each line once.
    lines = result.err.splitlines()
    assert len(lines) == len(set(lines))
    assert all(line.startswith("mpkgraph: warning: ") for line in lines)
    assert all("pipes.py:" in line for line in lines)


@pytest.mark.parametrize(("pipeline", "cc", "made"), cases(Made, ccs=(90, 100)))
def test_a_record_becomes_mirages_graph(pipeline, cc, made, mpkgraph, folder):
    path = saved(pipeline, cc)
    assert mpkgraph("compile", path, "-o", "out", "-q").code == 0
    if not made.undefined:
        assert hashlib.sha256(Path("out", GRAPH).read_bytes()).hexdigest() == made.sha256
    assert read_record(Path("out", RECORD)) == read_record(path)
    # The record that was written makes the same graph again.
    again = mpkgraph("compile", f"out/{RECORD}", "-o", "again", "-q")
    assert again.code == 0
    assert Path("again", GRAPH).read_bytes() == Path("out", GRAPH).read_bytes()
    assert Path("again", RECORD).read_bytes() == Path("out", RECORD).read_bytes()
