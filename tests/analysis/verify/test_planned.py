"""From what was compiled to what is verified: graphs by process, ranks, sites, headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.planned import planned_pipelines
from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.catalog import DEFAULT, header
from mpkgraph.errors import GraphReadError, PipelineError
from mpkgraph.io.record import save_record
from mpkgraph.model.record import CallSite, PipelineRecord
from mpkgraph.pipeline.compile import CompileOptions, compile_pipelines
from mpkgraph.pipeline.compiled import Compiled, CompileResult
from mpkgraph.planner.plan import plan
from tests.pipelines.kit import attach, block, record_of


def norm(kernel: Any) -> None:
    x, out = attach(kernel, "x", 8, 512), attach(kernel, "out", 8, 512)
    kernel.rmsnorm_layer(x, attach(kernel, "w", 512), out, (8, 1, 1), block(kernel))


def rank_of(number: int, world_size: int = 3) -> PipelineRecord:
    return record_of(norm, world_size=world_size, mpi_rank=number)


def compiled(record: PipelineRecord, index: int = 0, line: int = 1) -> Compiled:
    return Compiled(record, record.my_gpu_id, index, CallSite("script.py", line), plan(record))


def pipelines(*items: Compiled, **options: Any) -> list[Pipeline]:
    options = {"options": CompileOptions(), "verify_options": VerifyOptions(), **options}
    return list(planned_pipelines(CompileResult(items), "script.py", **options))


def test_ranks_of_one_graph_are_one_pipeline():
    """It was compiled where the first of them was."""
    ranks = [compiled(rank_of(number), line=10 + number) for number in (2, 0, 1)]
    (found,) = pipelines(*ranks)
    assert (found.name, [x.graph.rank for x in found.ranks]) == ("script.py", [0, 1, 2])
    assert found.site == CallSite("script.py", 12)


def test_graphs_of_one_process_are_pipelines_of_their_own():
    items = [compiled(rank_of(0, 1), index, 20 + index) for index in (1, 0)]
    found = pipelines(*items)
    assert [x.name for x in found] == ["script.py, graph 1", "script.py, graph 2"]
    assert [x.site.line for x in found if x.site is not None] == [20, 21]


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        ((1, 1, 1), "compiled for 3 ranks, and is rank 1 in all"),
        ((0, 2, 2), "compiled for 3 ranks, and is rank 2 in 2 of them"),
        ((2, 0, 2), "compiled for 3 ranks, and is rank 2 in 2 of them"),
    ],
)
def test_a_script_that_is_one_rank_several_times(ranks, says):
    with pytest.raises(PipelineError, match=f"^script.py: it was {says}. "):
        pipelines(*(compiled(rank_of(number)) for number in ranks))


def test_what_has_no_graph_is_refused():
    record = rank_of(0, 1)
    with pytest.raises(GraphReadError, match="there is no graph to verify"):
        pipelines(Compiled(record, 0, 0, None))


def test_a_record_with_another_mirages_headers(tmp_path: Path):
    """Its numbers are those of the graph, and the rules must know the tasks by them."""
    path = tmp_path / header.RUNTIME_HEADER
    path.parent.mkdir(parents=True)
    numbers = {**DEFAULT.task_type_numbers, "TASK_RMS_NORM_HOPPER": 4242}
    enums = (("TaskType", numbers), ("EventType", {x: n for n, x in DEFAULT.event_types.items()}))
    path.write_text(
        "\n".join(
            f"enum {name} {{ {', '.join(f'{x} = {n}' for x, n in values.items())} }};"
            for name, values in enums
        )
    )
    save_record(rank_of(0, 1), tmp_path / "pipeline_rank0.json")
    options = CompileOptions(mirage_home=tmp_path, emit=frozenset())
    result = compile_pipelines([str(tmp_path / "pipeline_rank0.json")], options)
    (found,) = planned_pipelines(result, "mine", options, VerifyOptions())
    (context,) = found.ranks
    assert set(context.graph.tasks.task_types[2:].tolist()) == {4242}
    assert context.name(context.operators[0]) == "rmsnorm_hopper"
    assert context.effects(context.operators[0]).task_type == "TASK_RMS_NORM_HOPPER"


def test_what_rules_keep_for_each_other_is_no_part_of_a_context():
    record = rank_of(0, 1)
    graph = plan(record).graph
    one = context_of(graph, record)
    other = VerifyContext(graph, one.operators, one.catalog, record, one.options)
    one.memo["a rule"] = 1
    assert one == other
