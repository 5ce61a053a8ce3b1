"""Splits, structure and ranks on graphs that the real Mirage made: what is wrong, nothing else."""

from __future__ import annotations

import pytest

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.run import verify
from tests import goldens, loaded

FAMILIES = ("splits", "structure", "ranks")
SMALL = 3_000_000
"""Bytes of a graph that every run of the tests reads; larger ones repeat these layer by layer."""

GOOD = [x for x in goldens.graphs(max_bytes=SMALL) if getattr(x, "group", None) != "bad"]

REAL_ERRORS = {
    # 12 blocks on 5,120 columns leave 8 unwritten
    "tests/test_moe_w13_linear": {"MPK101"},
    # Blocks of rows that each count all rows, chunks and results that do not divide; and the
    # embedding of 8 rows reads 8 ids of a list of 4
    "models/qwen3_demo-Qwen3-8B-promptlookup": {"MPK101", "MPK102", "MPK110", "MPK111"},
    # The join of experts counts its producers twice
    "models/deepseek_v3": {"MPK301"},
}
"""Faults of Mirage's own demos and tests, by the start of a case's name."""

BAD = {
    "axis_unmapped": {"MPK108"},
    "empty_graph": {"MPK307"},
    "fork_duplicate_edges_second": {"MPK311"},
    "grid_larger_than_dim": {"MPK102"},
    "grid_nondiv_linear": {"MPK101"},
    "grid_nondiv_then_reader": {"MPK101"},
    "grid_over_4096": {"MPK116"},
    "linear_n_mismatch": {"MPK111"},
    "map_dim_out_of_range": {"MPK103"},
    "map_output_replicated": {"MPK107"},
    "map_swap_output": {"MPK109"},
    "map_swap_weight": {"MPK109"},
    "output_rows_smaller": {"MPK111"},
    "shuffle_group_mismatch": {"MPK112"},
    "two_outputs_diff_maps": {"MPK110"},
}
"""What these families find in the pipelines that are wrong on purpose; in all others nothing."""

PLACES = {
    "axis_unmapped": (0, "out"),
    "grid_larger_than_dim": (0, "out"),
    "grid_nondiv_linear": (0, "out"),
    "grid_nondiv_then_reader": (0, "mid"),
    "linear_n_mismatch": (0, "w"),
    "map_dim_out_of_range": (0, "x"),
    "map_output_replicated": (0, "out"),
    "map_swap_output": (0, "out"),
    "map_swap_weight": (0, "w"),
    "output_rows_smaller": (0, "out"),
    "shuffle_group_mismatch": (1, "mid"),
}
"""Operator and tensor that are wrong."""


def context_of(golden: goldens.Golden, *, with_record: bool) -> VerifyContext:
    return loaded.verified(golden) if with_record else loaded.verified_alone(golden)


def expected(case: str) -> set[str]:
    return next((codes for start, codes in REAL_ERRORS.items() if case.startswith(start)), set())


@pytest.mark.parametrize("with_record", [True, False], ids=["record", "graph"])
@pytest.mark.parametrize("golden", GOOD, ids=str)
def test_good_graphs_have_no_errors_but_the_real_ones(golden, with_record):
    result = verify([context_of(golden, with_record=with_record)], select=FAMILIES)
    errors = {x.rule.code for x in result.findings if x.severity == "error"}
    if with_record:
        assert errors == expected(golden.case)
    else:
        assert errors <= expected(golden.case)  # a remainder is a warning then


@pytest.mark.parametrize("ranks", goldens.multi_rank())
def test_all_ranks_together_have_no_errors_but_the_real_ones(ranks):
    if sum(golden.num_bytes for golden in ranks) > 5 * SMALL:
        pytest.skip("a larger model with the same layers")
    result = verify([context_of(x, with_record=True) for x in ranks], select=FAMILIES)
    errors = {x.rule.code for x in result.findings if x.severity == "error"}
    assert errors == expected(ranks[0].case)
    assert not [x for x in result.findings if x.rule.family == "ranks"]


@pytest.mark.parametrize("golden", goldens.graphs(group="bad"), ids=str)
def test_bad_pipelines_give_their_rule_at_its_place(golden):
    name = golden.case.removeprefix("bad/").rpartition("-")[0]
    result = verify([context_of(golden, with_record=True)], select=FAMILIES)
    assert {x.rule.code for x in result.findings} == BAD.get(name, set())
    if name in PLACES:
        (finding,) = result.findings
        assert (finding.location.operator, finding.location.tensor) == PLACES[name]
        assert finding.witness


@pytest.mark.parametrize("golden", goldens.graphs(group="bad"), ids=str)
def test_bad_graphs_without_a_record_give_nothing_in_sound_ones(golden):
    name = golden.case.removeprefix("bad/").rpartition("-")[0]
    result = verify([context_of(golden, with_record=False)], select=FAMILIES)
    assert bool(result.findings) <= bool(BAD.get(name))
    # Of the second only its reader tells that there are more rows: a read of memory nobody wrote
    needs_record = {"shuffle_group_mismatch", "grid_nondiv_then_reader"}
    assert bool(result.findings) or name in needs_record or name not in BAD
