"""What a report knows of what was checked, and where its findings are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpkgraph.analysis.verify.finding import Finding, Location, TaskRef
from mpkgraph.analysis.verify.report import CheckedPipeline, CheckedRank, Place, VerifyReport
from mpkgraph.analysis.verify.run import verify
from mpkgraph.analysis.verify.subjects import pipeline_of
from mpkgraph.errors import GraphReadError
from mpkgraph.model.record import CallSite
from mpkgraph.views.operators import recover_operators
from tests.analysis.verify.oracle import built
from tests.analysis.verify.rules.mutated import bare
from tests.pipelines import odd
from tests.verdicts import CUT


@pytest.fixture(scope="module")
def context():
    return built(odd.waw_two_writers)


def test_a_rank_with_its_record_and_without(context):
    rank = CheckedRank.of(context)
    assert rank == CheckedRank(
        rank=0,
        graph_file=None,
        record_file=None,
        has_record=True,
        num_tasks=context.graph.num_tasks,
        num_operators=3,
    )
    assert rank.file is None
    recorded = replace(context, record=replace(context.record, path="pipeline_rank0.json"))
    assert CheckedRank.of(recorded).file == "pipeline_rank0.json"
    named = replace(context.graph, source=replace(context.graph.source, path="graph.json"))
    alone = CheckedRank.of(bare(named))
    assert (alone.file, alone.has_record) == ("graph.json", False)
    assert alone.num_operators == len(recover_operators(named))
    assert CheckedRank.of(replace(recorded, graph=named)).file == "graph.json"


@pytest.mark.parametrize(
    ("site", "rank", "place"),
    [
        (CallSite("model.py", 7), 1, Place("model.py", 7)),
        (None, 1, Place("rank1.json")),
        (None, 0, Place("a pipeline")),
        (None, 5, Place("a pipeline")),
    ],
)
def test_a_finding_is_at_its_line_else_in_its_file(context, site, rank, place):
    here = CheckedRank.of(context)
    ranks = (here, replace(here, rank=1, graph_file="rank1.json", record_file="record1.json"))
    result = verify([context])
    finding = Finding(CUT, "cut", Location(rank=rank, site=site), "mend it")
    pipeline = CheckedPipeline("a pipeline", None, ranks, result)
    assert pipeline.place(finding) == place
    compiled = replace(pipeline, site=CallSite("model.py", 90))
    assert compiled.place(finding) == (place if site else Place("model.py", 90))


def test_what_is_not_said_of_a_finding_and_of_a_report(context):
    finding = Finding(CUT, "cut", Location(), "mend it")
    assert (finding.count, finding.num_operators, finding.witness) == (1, 1, ())
    assert finding.severity == CUT.severity
    report = VerifyReport((CheckedPipeline("p", None, (), verify([context])),))
    assert (report.stale, report.notes, report.fail_on) == (0, (), "error")
    assert report.fails
    assert report.counts["error"] == len(report.findings) == 1


def test_tasks_in_json():
    assert TaskRef(7).to_json() == {
        "task_id": 7,
        "operator": None,
        "operator_name": None,
        "grid_position": None,
    }
    known = TaskRef(7, 2, "norm", (1, 0, 3))
    assert known.to_json()["grid_position"] == [1, 0, 3]
    assert (str(TaskRef(7)), str(known)) == ("task 7", "task 7 (norm (1, 0, 3))")
    assert str(TaskRef(7, 2, "norm")) == "task 7 (norm)"


def test_a_result_prints_in_a_line(context):
    finding = Finding(CUT, "cut", Location(), "mend it")
    advice = replace(finding, severity_here="advice")
    result = verify([context], select=["MPK203"])
    told = {
        (): "nothing found",
        (finding,): "1 error",
        (finding, finding): "2 errors",
        (finding, advice, advice): "1 error, 2 advice",
    }
    for findings, text in told.items():
        assert repr(replace(result, findings=findings)) == f"<VerifyResult: {text}, by 1 rules>"


def test_a_pipeline_has_one_graph_a_rank(context):
    other = replace(context, graph=replace(context.graph, rank=1))
    assert [x.graph.rank for x in pipeline_of("p", [other, context]).ranks] == [0, 1]
    with pytest.raises(GraphReadError, match="two graphs of rank 0"):
        pipeline_of("p", [context, other, context])
    with pytest.raises(GraphReadError, match="no graph"):
        pipeline_of("p", [])
