"""Graphs that Mirage made, run in every order: the same, right values each time."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mpkgraph.analysis.execution.legality import order_faults  # noqa: E402
from mpkgraph.analysis.execution.schedulers import make_scheduler  # noqa: E402
from mpkgraph.reference.interpreter.initial import Initial, InitialOptions  # noqa: E402
from mpkgraph.reference.interpreter.operators import _split  # noqa: E402
from mpkgraph.reference.interpreter.program import Program  # noqa: E402
from mpkgraph.reference.interpreter.run import run_program  # noqa: E402
from mpkgraph.reference.validation.validate import RunOptions, validate  # noqa: E402
from tests import goldens  # noqa: E402
from tests.reference.running import contexts  # noqa: E402

ORDERS = ("batched", "program", "fifo", "reversed", "adversarial", "random")
GOOD = (
    "gpu/small_argmax-cc90",
    "gpu/small_embed-cc90",
    "gpu/small_linear-cc90",
    "gpu/small_linear_residual-cc90",
    "gpu/small_mlp-cc90",
    "gpu/small_newtensor-cc90",
    "gpu/small_rmsnorm-cc90",
    "bad/fork_lcm_12_4_6-cc90",
    "bad/in_place-cc90",
    "bad/join_lcm_4_6_12-cc90",
    "bad/nested_fork-cc80",
    "bad/war_chain_barrier_ok-cc90",
    "tests/test_fork_point-cc100",
)


def _case(name):
    if not goldens.index():
        pytest.skip(goldens.ABSENT)
    return contexts(name)


@pytest.mark.parametrize("case", GOOD)
def test_good_graphs_are_right_in_every_order(case):
    report = validate(_case(case), RunOptions(schedules=ORDERS, seeds=(0, 1)))
    assert len(report.outcomes) == len(ORDERS) + 1
    for outcome in report.outcomes:
        assert outcome.passes, outcome.schedule
        assert outcome.verdicts
        # Joined or one by one, in any order: equal to the bit
        assert all(x.difference.max_abs_error == 0 for x in outcome.verdicts)
    assert not report.fails


def _tensors(program, name):
    initial = Initial(program, InitialOptions())
    memories = initial.memories()
    scheduler = make_scheduler(
        name, program.tasks, groups=program.groups, num_workers=8, num_schedulers=2
    )
    result = run_program(program, memories, scheduler)
    return memories, result


@pytest.mark.parametrize("name", ORDERS)
def test_orders_are_legal(name):
    program = Program.of(_case("gpu/small_mlp-cc90"))
    _, result = _tensors(program, name)
    order = [program.tasks.task(x) for x in result.order.tolist()]
    assert not list(order_faults(program.tasks.graphs, order))
    assert result.num_calls == (3 if name == "batched" else 32)


@pytest.mark.parametrize("case", ["ag", "mc"])
def test_ranks_run_together(case):
    """All-gather by puts, and the all-reduce over multicast: the same sums on both ranks."""
    program = Program.of(_case(f"models/qwen3_demo-Qwen3-8B-ws2-{case}-L2-cc90"))
    small = [x for x in program.ranks if len(x.shapes)]
    assert [x.rank for x in small] == [0, 1]
    from mpkgraph.analysis.execution.counters import Counters
    from mpkgraph.analysis.execution.schedulers import steps

    for name in ORDERS:
        counters = Counters(program.tasks)
        scheduler = make_scheduler(
            name, program.tasks, groups=program.groups, num_workers=128, num_schedulers=16
        )
        order = [program.tasks.task(x) for step in steps(counters, scheduler) for x in step]
        assert not counters.num_left
        assert not list(order_faults(program.tasks.graphs, order))


def test_what_is_made_up_is_the_same_each_time():
    program = Program.of(_case("gpu/small_mlp-cc90"))
    one, other = (Initial(program, InitialOptions(seed=5)).memories()[0] for _ in range(2))
    third = Initial(program, InitialOptions(seed=6)).memories()[0]
    for name in ("x", "w_gate", "w_gatedup"):
        assert torch.equal(one.whole(name), other.whole(name))
        assert not torch.equal(one.whole(name), third.whole(name))
    assert one.buffers["out"].unwritten().all()


def test_shuffled_tensors_take_turns():
    program = Program.of(_case("gpu/small_mlp-cc90"))
    (memory,) = Initial(program, InitialOptions()).memories()
    call = program.ranks[0].shuffled["w_gatedup"]
    gate, up, both = (memory.whole(x) for x in ("w_gate", "w_up", "w_gatedup"))
    rows = gate.shape[0] // call.num_groups
    for group in range(call.num_groups):
        start = 2 * rows * group
        assert torch.equal(both[start : start + rows], gate[rows * group : rows * (group + 1)])
        assert torch.equal(both[start + rows : start + 2 * rows], up[rows * group :][:rows])


@pytest.mark.parametrize("seed", range(6))
def test_boxes_cover_each_task_once(seed):
    rng = np.random.default_rng(seed)
    grid = rng.integers(1, 5, 3)
    every = np.array(list(itertools.product(*map(range, grid))))
    kept = np.flatnonzero(rng.random(len(every)) < (0.6 if seed % 2 else 1.1))
    points = np.concatenate([every, np.zeros((len(every), 1), dtype=int)], axis=1)
    joinable = tuple(bool(x) for x in rng.integers(0, 2, 3))
    covered = []
    for box in _split(points[kept], kept, joinable):
        start = every[box.first]
        assert all(n == 1 or joinable[axis] for axis, n in enumerate(box.joined))
        steps = itertools.product(*map(range, box.joined))
        covered += [tuple(int(x) for x in start + np.array(step)) for step in steps]
    assert sorted(covered) == sorted(tuple(x) for x in every[kept].tolist())
    if len(kept) == len(every) and any(joinable):
        fixed = [int(grid[a]) for a in range(3) if not joinable[a]]
        assert len(_split(points[kept], kept, joinable)) == int(np.prod(fixed))


def test_a_graph_alone_runs_as_far_as_it_tells():
    from mpkgraph.analysis.verify.subjects import context_of

    (with_record,) = _case("gpu/small_linear-cc90")
    report = validate([context_of(with_record.graph)])
    assert not report.fails
    assert [x.name for x in report.outcomes[0].verdicts] == ["out"]


def test_types_without_a_function_are_said():
    (context,) = _case("gpu/small_mlp-cc90")
    from mpkgraph.reference.interpreter.unknown import unexecuted

    program = Program.of([context])
    plan = program.ranks[0].order[1]
    object.__setattr__(plan, "__dict__", {**plan.__dict__, "function": None})
    found = unexecuted(program)
    assert [x.operator for x in found.causes] == [plan.operator.index]
    assert [x.operator_name for x in found.operators][1].startswith("linear")
    assert found.tensors[0] == {"act", "out"}
    assert found.has(0, plan.operator.index)
    assert SimpleNamespace(n=found.num_tasks).n == 16


def test_what_only_a_record_tells_is_not_executed_without_one():
    from mpkgraph.analysis.verify.subjects import context_of

    (with_record,) = _case("gpu/small_embed-cc90")
    report = validate([context_of(with_record.graph)])
    assert report.fails  # nothing could be checked
    assert not report.outcomes[0].faults
    (skipped,) = report.skipped
    assert "param 0" in skipped.reason
    assert not validate([with_record]).fails
