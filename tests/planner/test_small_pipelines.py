"""The goldens' small pipelines, made here from functions: Mirage's bytes in every clone.

function --PersistentKernel--> record --plan--> graph --writer--> text, whose sha256 Mirage's has
"""

from __future__ import annotations

import hashlib
import inspect
import json

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.io.record import parse_record, read_record
from mpkgraph.io.writer import text_chunks
from mpkgraph.planner.plan import plan
from tests import goldens
from tests.pipelines.kit import Made, Refused
from tests.pipelines.table import PIPELINES


def cases(kind):
    return [
        pytest.param(pipeline, cc, result, id=pipeline.case(cc))
        for pipeline in PIPELINES
        for cc, result in pipeline.results.items()
        if isinstance(result, kind)
    ]


def digest(graph):
    text = hashlib.sha256()
    for chunk in text_chunks(graph):
        text.update(chunk)
    return text.hexdigest()


@pytest.mark.parametrize(("pipeline", "cc", "made"), cases(Made))
def test_the_plan_has_mirages_digest(pipeline, cc, made):
    found = plan(pipeline.record(cc))
    graph = found.graph
    assert (graph.num_tasks, graph.num_null_tasks, graph.num_events) == (
        made.num_tasks,
        made.num_null_tasks,
        made.num_events,
    )
    if made.undefined:
        assert [x.code for x in found.warnings] == ["map-past-rank"]
        return
    assert digest(graph) == made.sha256


@pytest.mark.parametrize(("pipeline", "cc", "refused"), cases(Refused))
def test_what_mirage_refuses_is_refused(pipeline, cc, refused):
    record = pipeline.record(cc)
    with pytest.raises(PipelineError) as caught:
        plan(record)
    error = caught.value
    assert error.exit_code == 3
    assert error.remedy
    if record.has_exception:  # by Mirage's Python: its own words, which layers know better
        assert str(record.extra["exception"]).rstrip(": ") in error.what
        return
    for part in refused.says:
        assert part in str(error)
    assert error.where.endswith(f"tests/pipelines/{source_of(pipeline)}:{refused_line(pipeline)}")


@pytest.mark.parametrize(("pipeline", "cc", "_"), cases((Made, Refused)))
def test_a_saved_record_says_the_same(pipeline, cc, _):
    record = pipeline.record(cc)
    again = parse_record(json.dumps(record.to_json()).encode(), file="pipeline_rank0.json")
    assert again == record
    # Each entry of the log stands where the function made it.
    file = inspect.getsourcefile(pipeline.build)
    assert len(record.call_sites) == len(record.log)
    assert {x.file for x in record.call_sites} <= {
        file,
        file.replace(source_of(pipeline), "kit.py"),
    }


@pytest.mark.parametrize(("pipeline", "cc", "_"), cases((Made, Refused)))
def test_our_record_is_the_goldens(pipeline, cc, _):
    path = goldens.require() / pipeline.case(cc) / "pipeline_rank0.json.zst"
    if not path.exists():
        pytest.skip("Mirage refused it before anything was recorded")
    ours, golden = pipeline.record(cc), read_record(path)
    assert exactly(x.to_json() for x in ours.tensors) == exactly(
        x.to_json() for x in golden.tensors
    )
    assert exactly(x.to_json() for x in ours.log) == exactly(x.to_json() for x in golden.log)


def test_the_table_is_the_goldens_index():
    goldens.require()
    listed = {}
    for case, facts in goldens.iter_cases():
        if not case.startswith("models/"):
            listed[case] = [
                (x["sha256"], x["tasks"], x["events"], x["null_tasks"]) for x in facts["graphs"]
            ]
    assert listed == {
        pipeline.case(cc): [(x.sha256, x.num_tasks, x.num_events, x.num_null_tasks)]
        if isinstance(x, Made)
        else []
        for pipeline in PIPELINES
        for cc, x in pipeline.results.items()
    }


def exactly(values):
    """As text: 4 and 4.0, or True and 1, are different."""
    return [json.dumps(x, sort_keys=True) for x in values]


def source_of(pipeline):
    return inspect.getsourcefile(pipeline.build).rsplit("/", 1)[-1]


def refused_line(pipeline):
    """Of the call that is at fault, in the file of its function."""
    lines, first = inspect.getsourcelines(pipeline.build)
    (at,) = [i for i, line in enumerate(lines) if line.rstrip().endswith("# refused")]
    return first + at
