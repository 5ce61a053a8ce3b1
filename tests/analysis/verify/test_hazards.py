"""Hazards of pipelines that are known to be wrong, or right; what findings say."""

from __future__ import annotations

import itertools
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
from mpkgraph.analysis.verify.rules.hazards.access import sorted_set
from mpkgraph.analysis.verify.rules.hazards.causes import Bindings
from mpkgraph.analysis.verify.rules.hazards.conflicts import _are_apart, walk_conflicts
from mpkgraph.analysis.verify.rules.hazards.pair_findings import PairReporter
from mpkgraph.analysis.verify.rules.hazards.pairs import PairFinder
from mpkgraph.analysis.verify.run import verify
from mpkgraph.catalog import DEFAULT
from mpkgraph.model import coverage, ids
from mpkgraph.views.operators import recover_operators
from tests import goldens, loaded
from tests.analysis.verify import told
from tests.analysis.verify.oracle import built, context_of
from tests.analysis.verify.rules.mutated import set_tasks, with_graph
from tests.pipelines import odd
from tests.pipelines.kit import COLUMNS, ROWS, WHOLE, attach, block, block_graph

WRONG = {
    odd.consumer_before_producer: ("MPK209", 1, 8),
    odd.hidden_output: ("MPK208", 1, 8),
    odd.map_output_replicated: ("MPK204", 0, 28),
    odd.residual_map_mismatch: ("MPK206", 2, 56),
    odd.two_outputs_diff_maps: ("MPK207", 1, 56),
    odd.war_buffer_reuse: ("MPK202", 3, 512),
    odd.waw_two_writers: ("MPK203", 1, 8),
}
"""By pipeline the rule, the layer where it is found, how many pairs of tasks."""

RIGHT = (
    odd.axis_unmapped,
    odd.chain_same_tensor_twice,
    odd.fork_join_uneven,
    odd.fork_lcm_12_4_6,
    odd.fork_three_way,
    odd.fuse_ok,
    odd.in_place,
    odd.join_lcm_4_6_12,
    odd.nested_fork,
    odd.strip_then_fork,
    odd.war_chain_barrier_ok,
)


def found(context: VerifyContext, **options):
    return told.note(verify([context], select=["hazards"], **options).findings)


@pytest.mark.parametrize("cc", [80, 90])
@pytest.mark.parametrize("build", WRONG, ids=lambda x: x.__name__)
def test_wrong_pipelines(build, cc):
    code, layer, count = WRONG[build]
    context = built(build, cc)
    (finding,) = found(context)
    assert (finding.rule.code, finding.severity) == (code, "error")
    assert finding.count == count
    assert context.operators[finding.location.operator].layer_index == layer
    assert finding.location.byte_range is not None
    assert finding.location.elements is not None
    assert str(finding.location.site).startswith("tests/pipelines/odd.py:")
    assert len(finding.witness) == 2
    assert all(str(x) in finding.message for x in finding.witness)
    assert finding.remedy
    assert not finding.message.endswith(".")


@pytest.mark.parametrize("build", RIGHT, ids=lambda x: x.__name__)
def test_right_pipelines(build):
    assert not found(built(build))


def test_a_stripped_edge_is_told_with_its_events():
    (finding,) = found(built(odd.residual_map_mismatch))
    assert finding.message.startswith(
        "task 19 (rmsnorm_hopper (1, 0, 0)) reads x_a[0:1, 0:4096], which task 2"
        " (rmsnorm_hopper (0, 0, 0)) writes: task 19 waits for event 11, and task 2 triggers"
        " event 2, which does not lead there. Mirage dropped the edge"
    )
    assert finding.location.event == 11
    assert finding.location.byte_range == (0, 8192)


def in_place_linear(kernel):
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512, 512)
    kernel.linear_layer(x, w, x, (8, 1, 1), block(kernel))


def test_in_place_what_others_read():
    (finding,) = found(built(in_place_linear))
    assert (finding.rule.code, finding.count) == ("MPK205", 8 * 7)
    assert finding.location.elements == ((0, 8), (0, 64))


def _argmax_in_one(kernel, *, copies):
    logits = attach(kernel, "logits", 1, 512)
    value, index = attach(kernel, "value", 1, 8), attach(kernel, "index", 1, 8)
    out = attach(kernel, "out", 1, 1)
    results = (value, value) if copies else (value, index)
    kernel.argmax_partial_layer(logits, results, (8, 1, 1), block(kernel))
    kernel.argmax_reduce_layer(results, out, (1, 1, 1), block(kernel))


def test_two_results_in_one_buffer():
    (finding,) = found(built(lambda kernel: _argmax_in_one(kernel, copies=True)))
    assert (finding.rule.code, finding.severity, finding.count) == ("MPK212", "error", 8)
    assert finding.location.tensor == "value"
    assert finding.location.elements == ((0, 1), (0, 1))
    assert not found(built(lambda kernel: _argmax_in_one(kernel, copies=False)))


def _norm_chain(kernel, *, copies):
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512)
    first, second, out = (attach(kernel, name, 8, 512) for name in ("a", "b", "out"))
    for target in (first, first if copies else second):
        kernel.rmsnorm_layer(x, w, target, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(first, w, out, (8, 1, 1), block(kernel))


def test_the_same_work_twice_is_a_warning():
    findings = found(built(lambda kernel: _norm_chain(kernel, copies=True)))
    assert {(x.rule.code, x.severity) for x in findings} == {
        ("MPK201", "warning"),  # the reader waits for the second writer alone
        ("MPK203", "warning"),
    }
    assert all("What is written is there already" in x.message for x in findings)
    assert not found(built(lambda kernel: _norm_chain(kernel, copies=False)))


def _rewritten_then_other(kernel):
    """Two layers write the same to `a`, a reader of the first is then overwritten by a third."""
    x, y, w = attach(kernel, "x", 8, 512), attach(kernel, "y", 8, 512), attach(kernel, "w", 512)
    a, b = attach(kernel, "a", 8, 512), attach(kernel, "b", 8, 512)
    for source in (x, x, y):
        kernel.rmsnorm_layer(source, w, a, (8, 1, 1), block(kernel))
        if source is x:
            kernel.rmsnorm_layer(a, w, b, (8, 1, 1), block(kernel))


def test_same_work_does_not_hide_a_later_overwrite():
    severities = {(x.rule.code, x.severity) for x in found(built(_rewritten_then_other))}
    assert ("MPK202", "error") in severities


def _new_reader(kernel, *, before):
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512)
    middle = kernel.new_tensor(dims=(8, 512), name="middle")
    out = attach(kernel, "out", 8, 512)
    if not before:
        kernel.rmsnorm_layer(x, w, middle, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(middle, w, out, (8, 1, 1), block(kernel))
    if before:
        kernel.rmsnorm_layer(x, w, middle, (8, 1, 1), block(kernel))


def test_new_memory_that_is_read_too_early():
    findings = found(built(lambda kernel: _new_reader(kernel, before=True)))
    assert sorted(x.rule.code for x in findings) == ["MPK209", "MPK210"]
    (early,) = [x for x in findings if x.rule.code == "MPK210"]
    assert "it is called before" in early.message
    assert early.location.elements == ((0, 1), (0, 512))
    assert not found(built(lambda kernel: _new_reader(kernel, before=False)))


def _part_written(kernel):
    x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512, 512)
    middle = kernel.new_tensor(dims=(8, 512), name="middle")
    dead = kernel.new_tensor(dims=(8, 512), name="dead")
    kernel.linear_layer(x, w, middle, (7, 1, 1), block(kernel))
    kernel.linear_layer(middle, w, dead, (8, 1, 1), block(kernel))


def test_new_memory_that_is_written_in_part_and_never_read():
    findings = {x.rule.code: x for x in found(built(_part_written))}
    assert findings["MPK210"].location.elements == ((0, 8), (511, 512))
    assert findings["MPK211"].location.tensor == "dead"
    assert findings["MPK211"].severity == "warning"


def test_without_a_record_memory_rules_are_skipped():
    context = built(_part_written)
    bare = VerifyContext(context.graph, recover_operators(context.graph), DEFAULT)
    result = verify([bare], select=["hazards"])
    assert not result.findings
    assert {rule.code for rule, _ in result.skipped} == {"MPK210", "MPK211"}


def _one_after_the_other(kernel):
    """Two writers of one tile each: placement decides."""
    x, w = attach(kernel, "x", 2, 512), attach(kernel, "w", 512)
    y, out = attach(kernel, "y", 2, 512), attach(kernel, "out", 2, 512)
    kernel.rmsnorm_layer(x, w, out, (1, 1, 1), block(kernel))
    kernel.rmsnorm_layer(y, w, out, (1, 1, 1), block(kernel))


@pytest.mark.parametrize(("workers", "severity"), [(1, "warning"), (2, "error"), (None, "error")])
def test_luck_of_placement(workers, severity):
    record = built(_one_after_the_other).record
    context = context_of(record, VerifyOptions(num_workers=workers))
    (finding,) = found(context)
    assert (finding.rule.code, finding.severity) == ("MPK203", severity)
    assert ("only by luck of placement" in finding.message) == (severity == "warning")


def _accumulate_twice(kernel):
    x, w, y = (attach(kernel, n, 8, 512) for n in ("x", "w", "y"))
    for _ in range(2):
        grid = (2, 1, 1)
        graph = block_graph(grid, [(x, WHOLE), (w, COLUMNS), (y, COLUMNS)])
        kernel.kn_graph.customized([x, w, y], graph)
        kernel.kn_graph.register_task(graph, "splitk_linear_sm100")


@pytest.mark.parametrize(
    ("params", "codes"),
    [
        (([1, 4, 0], [1, 4, 1]), set()),
        (([1, 4, 1], [1, 4, 1]), {"MPK203"}),
        (([2, 4, 0], [1, 5, 0]), {"MPK203"}),
    ],
)
def test_params_may_keep_two_layers_apart(params, codes):
    """Each scatters one column of the same tensor, the one that its third param names."""

    def build(kernel):
        out = attach(kernel, "out", 1, 4, dtype="int64")
        for number, own in enumerate(params):
            x = attach(kernel, f"x{number}", 1, 1, dtype="int64")
            graph = block_graph((1, 1, 1), [(x, WHOLE), (out, WHOLE)])
            kernel.kn_graph.customized([x, out], graph)
            kernel.kn_graph.register_task(graph, "mtp_token_scatter", own)

    assert {x.rule.code for x in found(built(build, 100))} == codes


@pytest.mark.parametrize("params", [([1, 4], [1, 4, 1]), ([1, 4, 0], [1, 4]), (None, [1, 4, 1])])
def test_params_that_are_missing_keep_nothing_apart(params):
    """The planner refuses them; a record need not be the planner's."""
    use = SimpleNamespace(effect=SimpleNamespace(disjoint_params=(2,)))
    earlier, later = (
        SimpleNamespace(use=use, operator=SimpleNamespace(task_type=1, params=x)) for x in params
    )
    context = SimpleNamespace(layer=lambda x: None if x.params is None else x)
    assert not _are_apart(context, earlier, later)
    other = SimpleNamespace(use=use, operator=SimpleNamespace(task_type=1, params=[1, 4, 2]))
    same_type = SimpleNamespace(use=use, operator=SimpleNamespace(task_type=1, params=[1, 4, 1]))
    other_type = SimpleNamespace(use=use, operator=SimpleNamespace(task_type=0, params=[1, 4, 1]))
    assert _are_apart(context, other, same_type)
    assert not _are_apart(context, other, other_type)
    assert not _are_apart(context, other_type, other)


def test_sums_need_no_order():
    assert not found(built(_accumulate_twice, 100))


def _grids_that_do_not_fit(kernel):
    x, w, y, out = (attach(kernel, n, 12, 512) for n in ("x", "w", "y", "out"))
    for source, target, rows in ((x, y, 5), (y, out, 4)):
        graph = block_graph((rows, 1, 1), [(source, ROWS), (w, WHOLE), (target, ROWS)])
        kernel.kn_graph.customized([source, w, target], graph)
        kernel.kn_graph.register_task(graph, "elementwise_add_sm100")


def test_grids_that_do_not_fit_still_wait_for_all():
    """gcd 1: one event over everything, a barrier."""
    assert not found(built(_grids_that_do_not_fit, 100))


def _a_remainder(kernel):
    x, w, y, out = (attach(kernel, n, 6, 512) for n in ("x", "w", "y", "out"))
    for source, target, rows in ((x, y, 4), (y, out, 2)):
        graph = block_graph((rows, 1, 1), [(source, ROWS), (w, WHOLE), (target, ROWS)])
        kernel.kn_graph.customized([source, w, target], graph)
        kernel.kn_graph.register_task(graph, "elementwise_add_sm100")


def test_a_remainder_that_shifts_tiles_against_each_other():
    """Tiles of 1 row and of 3: the second event's producers begin in the first one's readers."""
    (finding,) = found(built(_a_remainder, 100))
    assert (finding.rule.code, finding.count) == ("MPK201", 1)
    assert finding.location.elements == ((2, 3), (0, 512))
    assert "The grids 4x1x1 and 2x1x1 cut y into parts that do not fit" in finding.message
    assert finding.remedy.startswith("Choose grids of")


@pytest.mark.parametrize("stuck", [4, 8])
def test_tasks_that_can_never_run_touch_nothing(stuck):
    """Tasks that wait for what only all tasks complete: the last writer's first ones."""
    context = built(odd.waw_two_writers)
    late = context.operators[1].task_ids[:stuck]
    assert found(context)[0].count == 8
    end = int(context.graph.tasks.trigger_events[context.operators[2].task_ids[0]])
    got = found(with_graph(context, set_tasks(context.graph, "dependent_events", late, end)))
    left = [("MPK203", 4), ("MPK201", 4)]  # what reads the other rows waits for no first writer
    assert [(x.rule.code, x.count) for x in got] == (left if stuck == 4 else [])


def _never_written(kernel):
    w = attach(kernel, "w", 512)
    middle = kernel.new_tensor(dims=(8, 512), name="middle")
    for source, target in ((middle, "out"), (attach(kernel, "x", 8, 512), "other")):
        kernel.rmsnorm_layer(source, w, attach(kernel, target, 8, 512), (8, 1, 1), block(kernel))


def test_events_that_end_the_runtime_are_told_too():
    """A file may name event 0, which one trigger completes."""
    context = built(odd.waw_two_writers)
    first, second = (context.operators[at].task_ids for at in (0, 1))
    zero = ids.EventId(rank=0, event_index=0, nvshmem=False).encode()
    graph = set_tasks(context.graph, "trigger_events", first, np.uint64(zero))
    (finding,) = found(with_graph(context, graph))
    assert f"task {first[0]} triggers event 0, which does not lead there" in finding.message
    graph = set_tasks(context.graph, "trigger_events", first[0], np.uint64(zero))
    graph = set_tasks(graph, "dependent_events", second, np.uint64(zero))
    (finding,) = found(with_graph(context, graph))
    assert f"task {second[1]} waits for event 0, and task {first[1]} triggers" in finding.message
    assert (finding.count, finding.location.event) == (7, 0)


@pytest.mark.parametrize(
    ("tensor", "axes", "is_output", "cause"),
    [
        (7, ROWS, False, "groups"),
        (7, COLUMNS, False, "second-edge"),
        (7, COLUMNS, True, "groups"),  # what an output reads has no edge of its own
        (8, ROWS, False, "second-edge"),
        (8, ROWS, True, "second-edge"),
        (8, COLUMNS, False, "second-edge"),
    ],
)
def test_only_the_first_edge_between_two_layers_makes_events(tensor, axes, is_output, cause):
    """That edge is over tensor 7, whose rows its reader takes."""
    first, second = SimpleNamespace(index=0), SimpleNamespace(index=1)
    edge = SimpleNamespace(producer=0, tensor=7, input_map=ROWS)
    bindings = SimpleNamespace(
        places={0: 0, 1: 1},
        _ids={"x": tensor},
        dag=SimpleNamespace(in_edges=[[], [edge]]),
        last_writer=lambda *_: first,
    )
    written = SimpleNamespace(slot=SimpleNamespace(name="x", is_output=True))
    read = SimpleNamespace(slot=SimpleNamespace(name="x", input_map=axes, is_output=is_output))
    conflict = SimpleNamespace(
        hazard="RAW",
        earlier=SimpleNamespace(operator=first, use=written, writes=True),
        later=SimpleNamespace(operator=second, use=read, tensor="x"),
    )
    assert Bindings.cause(bindings, conflict) == cause


def test_new_memory_that_two_layers_write_and_none_reads():
    """The last of them is told."""

    def build(kernel):
        x, w = attach(kernel, "x", 8, 512), attach(kernel, "w", 512)
        dead = kernel.new_tensor(dims=(8, 512), name="dead")
        for _ in range(3):
            kernel.rmsnorm_layer(x, w, dead, (8, 1, 1), block(kernel))

    (finding,) = (x for x in found(built(build)) if x.rule.code == "MPK211")
    assert finding.location.operator == 2


@pytest.mark.parametrize("values", [[], [3], [5, 3, 5, 5, 3, 9, 9], [2, 2, 2], list(range(5))])
def test_distinct_values(values):
    assert sorted_set(np.array(values, dtype=np.int64)).tolist() == sorted(set(values))


def test_of_two_layers_and_a_tensor_the_worst_is_told(monkeypatch):
    """What is lost before what is there already, then reads, then the most pairs."""
    monkeypatch.setattr(PairReporter, "_finding", lambda _, conflict: conflict)
    reporter = PairReporter(None, None, None, None)
    operator, tensor = SimpleNamespace(index=3), "x"

    def conflict(hazard, count, *, same=False, at=operator):
        return SimpleNamespace(
            hazard=hazard,
            is_same_value=same,
            pairs=SimpleNamespace(count=count),
            earlier=SimpleNamespace(operator=at),
            later=SimpleNamespace(tensor=tensor),
        )

    same = conflict("RAW", 9, same=True)
    few, many = conflict("RAW", 2), conflict("RAW", 5)
    write, overwrite = conflict("WAW", 7), conflict("WAR", 8)
    other = conflict("WAR", 1, at=SimpleNamespace(index=4))
    for order in itertools.permutations([same, few, many, write, overwrite]):
        assert list(reporter.findings([*order, other])) == [many, other]
    assert list(reporter.findings([same, overwrite, write])) == [write]
    assert list(reporter.findings([same])) == [same]


def test_new_memory_that_no_layer_writes():
    (finding,) = found(built(_never_written))
    assert finding.rule.code == "MPK210"
    assert finding.message.endswith("no layer writes the tensor")


def test_new_memory_whose_tiles_are_too_irregular_to_tell(monkeypatch):
    monkeypatch.setattr(coverage, "MAX_CELLS", 1)
    assert not [x for x in found(built(_part_written)) if x.rule.code == "MPK210"]


def test_new_memory_whose_rows_are_one():
    """A stride of 0 leaves no box to tell, only bytes."""

    def build(kernel):
        rows = kernel.new_tensor(dims=(8, 512), strides=(0, 1), name="rows")
        w, y = attach(kernel, "w", 512), attach(kernel, "y", 8, 512)
        kernel.rmsnorm_layer(rows, w, y, (8, 1, 1), block(kernel))

    (finding,) = found(built(build))
    assert finding.rule.code == "MPK210"
    assert finding.location.elements is None
    assert finding.location.byte_range == (0, 1024)


# -- Real graphs --

DEEPSEEK = {("MPK208", "error"), ("MPK202", "error"), ("MPK202", "warning")}
ACROSS_RANKS = {("MPK206", "warning"), ("MPK202", "warning")}
REAL = {
    "deepseek_v3-L0,3-b1": DEEPSEEK,
    "deepseek_v3-L0,3-t8": DEEPSEEK,
    "deepseek_v3-full-b1": DEEPSEEK,
    "deepseek_v3-L0,3-ws2-mc": DEEPSEEK,
    "deepseek_v3-L0,3-ws2-ag": DEEPSEEK | ACROSS_RANKS,
    "deepseek_v3-L0,3-mtp1": DEEPSEEK | {("MPK210", "error"), ("MPK211", "warning")},
    "qwen3_demo-Qwen3-8B-ws2-ag": ACROSS_RANKS,
    "qwen3_demo-Qwen3-8B-splitkv-L2-cc100": {("MPK207", "warning")},
    "qwen3_demo-Qwen3-8B-splitkv-L2-cc90": {("MPK207", "warning")},
    "qwen3_demo-Qwen3-8B-promptlookup": {("MPK210", "error")},
}
"""By the start of a case's name what is really wrong with it (docs/findings-in-mirage.md)."""


def expected(golden) -> set[tuple[str, str]]:
    name = golden.case.split("/")[1]
    return next((what for start, what in REAL.items() if name.startswith(start)), set())


@pytest.mark.parametrize(
    "golden",
    [
        *goldens.graphs(max_bytes=30_000_000, group="models"),
        *goldens.graphs(group="tests"),
        *goldens.graphs(group="gpu"),
    ],
    ids=str,
)
def test_real_graphs(golden):
    assert {
        (x.rule.code, x.severity)
        for x in verify([loaded.verified(golden)], select=["hazards"]).findings
    } == expected(golden)


@pytest.mark.parametrize(
    "golden",
    goldens.graphs(max_bytes=2_000_000, group="models"),
    ids=str,
)
def test_real_graphs_without_their_record(golden):
    """Nothing is found that the record would not show."""
    bare = {
        (x.rule.code, x.severity)
        for x in verify([loaded.verified_alone(golden)], select=["hazards"]).findings
    }
    assert {x for x in bare if x[1] == "error"} <= expected(golden)


def test_all_pairs_of_layers_are_those_that_others_counted():
    """Two layers of DeepSeek-V3, counted with another implementation on Mirage's own graph."""
    mine = [x for x in goldens.all_graphs() if "deepseek_v3-L0,3-b1" in x.case]
    if not mine:
        pytest.skip(goldens.ABSENT)
    context = loaded.verified(mine[0])
    steps = walk_conflicts(context, PairFinder(context), prune=False)
    conflicts = [x for step in steps for x in step.conflicts]
    assert Counter(x.hazard for x in conflicts) == {"RAW": 44, "WAR": 53, "WAW": 42}
    assert Counter(x.later.tensor for x in conflicts) == {
        "fp8_input_7168_shared": 54,
        "fp8_scale_7168_shared": 54,
        "rmsnorm_out": 12,
        "c_latent_out": 12,
        "contiguous_kv": 4,
        "k_pe_out": 3,
    }
