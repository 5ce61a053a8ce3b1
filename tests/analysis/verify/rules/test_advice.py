"""Advice: a costly pipeline a rule, and a clean twin."""

from types import SimpleNamespace

import numpy as np
import pytest

from mpkgraph.analysis.verify.rules.advice import CHECKS, synchronisation
from mpkgraph.analysis.verify.rules.advice.synchronisation import _linked, _starts_of
from mpkgraph.analysis.verify.run import verify
from mpkgraph.model import ids
from tests.analysis.verify.rules.mutated import set_tasks, with_graph
from tests.analysis.verify.rules.raw_layers import (
    Layer,
    Tensor,
    codes,
    context_of,
    found,
    record_of,
    without_record,
)
from tests.pipelines.kit import COLUMNS, ROWS

NORM = "rmsnorm_hopper"


def norm(grid, source="x", target="y", rows=24, hidden=4096):
    return Layer(
        NORM,
        (grid, 1, 1),
        (
            Tensor((rows, hidden), ROWS, name=source),
            Tensor((hidden,), name="w"),
            Tensor((rows, hidden), ROWS, name=target),
        ),
    )


def linear(grid, rows=8, k=4096, n=4096):
    return Layer(
        "linear_swapAB_hopper",
        grid,
        (Tensor((rows, k)), Tensor((n, k), ROWS), Tensor((rows, n), COLUMNS)),
    )


def one(context, code):
    (finding,) = [x for x in found(context, "MPK5") if x.rule.code == code]
    assert finding.severity == "advice"
    return finding


def test_nothing_runs_unless_it_is_selected():
    context = context_of(record_of(linear((64, 8, 1))))
    assert all(x.rule.family != "advice" for x in verify([context]).findings)
    assert codes(context, "MPK503")
    assert not any(rule.is_default for row in CHECKS for rule in row.rules)


@pytest.mark.parametrize(
    ("tasks", "workers", "rest"),
    [
        (128, 128, 0),
        (136, 128, 8),
        (64, 128, 0),
        (192, 128, 0),
        (288, 128, 32),
        (520, 64, 0),
        (129, 128, 1),
        (520, 128, 8),
        (648, 128, 0),
    ],
)
def test_last_waves(tasks, workers, rest):
    """Few tasks left over; not half a wave, and not after many full ones."""
    context = context_of(record_of(norm(tasks, rows=tasks)), num_workers=workers)
    if not rest:
        assert codes(context, "MPK501") == []
        return
    finding = one(context, "MPK501")
    assert finding.count == rest
    assert f"{workers - rest} workers idle" in finding.message
    assert ("1 task is left" in finding.message) == (rest == 1)


def test_waits_for_nothing():
    """Grids of 12 and 4 rows meet in 4 events; of 6 and 8 in 2, where most waits are idle."""
    assert codes(context_of(record_of(norm(12), norm(4, "y", "z"))), "MPK502") == []
    finding = one(context_of(record_of(norm(6), norm(8, "y", "z"))), "MPK502")
    # Each of 2 events has 3 producers of 4 rows and 4 consumers of 3: 6 of 12 pairs meet
    assert finding.count == 12
    assert "of 24 waits" in finding.message
    first, second = finding.witness
    assert (first.operator, second.operator) == (0, 1)
    assert "(6, 1, 1) and (8, 1, 1)" in finding.remedy


def test_waits_for_nothing_after_others():
    """Layers whose waits are needed, or are too many to be looked at, hide no later ones."""
    layers = norm(24), norm(4, "y", "z"), norm(6, "z", "y2")
    finding = one(context_of(record_of(*layers)), "MPK502")
    # Two events of 2 producers of 6 rows and 3 consumers of 4: of 12 pairs 8 meet
    assert (finding.count, finding.location.tensor) == (4, "z")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synchronisation, "MAX_WAITS", 23)
        assert one(context_of(record_of(*layers)), "MPK502").count == 4
        patch.setattr(synchronisation, "MAX_WAITS", 11)
        assert codes(context_of(record_of(*layers)), "MPK502") == []


def test_waits_are_counted_against_the_tiles():
    """A slow second opinion: every pair of tasks of an event, element by element."""
    context = context_of(record_of(norm(6), norm(8, "y", "z")))
    graph = context.graph
    producer, consumer = context.operators
    rows_of = {int(task): set(range(x * 4, x * 4 + 4)) for x, task in enumerate(producer.task_ids)}
    idle = sum(
        graph.tasks.trigger_indices[p] == graph.tasks.dependent_indices[c]
        and not rows_of[int(p)] & set(range(x * 3, x * 3 + 3))
        for p in producer.task_ids
        for x, c in enumerate(consumer.task_ids)
    )
    assert one(context, "MPK502").count == idle


def test_waits_of_a_consumer_that_reads_all_are_needed():
    layers = (
        norm(8, rows=8),
        Layer(
            "linear_swapAB_hopper",
            (64, 1, 1),
            (
                Tensor((8, 4096), name="y"),
                Tensor((4096, 4096), ROWS),
                Tensor((8, 4096), COLUMNS),
            ),
        ),
    )
    assert codes(context_of(record_of(*layers)), "MPK502") == []


def test_repeats_of_waits_are_one_finding():
    layers = [norm(6), norm(8, "y", "z"), norm(6, "z", "y2"), norm(8, "y2", "z2")]
    found_here = found(context_of(record_of(*layers)), "MPK502")
    assert sorted(x.num_operators for x in found_here) == [1, 2]


def test_repeated_work():
    assert codes(context_of(record_of(linear((64, 1, 1)))), "MPK503") == []
    context = context_of(record_of(linear((64, 8, 1))))
    finding = one(context, "MPK503")
    assert finding.count == 448
    assert "only 64 differ" in finding.message
    assert "grid.y 1" in finding.remedy
    first, second = finding.witness
    assert first.grid_position == (0, 0, 0)
    assert second.grid_position == (0, 1, 0)
    assert codes(without_record(record_of(linear((64, 8, 1)))), "MPK503")


def test_metadata_tell_tasks_with_equal_tiles_apart():
    """Requests of an attention, rows of a quantization."""
    cache = Tensor((16, 64, 8, 128), (-1, 2, -1))
    attention = Layer(
        "paged_attention_hopper",
        (8, 8, 1),
        (
            Tensor((8, 6144), (-1, 1, -1)),
            cache,
            cache,
            *[Tensor((128,))] * 2,
            *[Tensor((512, 128))] * 2,
            Tensor((8, 4096), (-1, 1, -1)),
        ),
        (32, 8, 1, 1, 512, 64),
    )
    assert codes(context_of(record_of(attention)), "MPK503") == []


def test_tiny_tasks():
    silu = Layer("silu_mul", (64, 1, 1), (Tensor((8, 1024), COLUMNS), Tensor((8, 512), COLUMNS)))
    finding = one(context_of(record_of(silu)), "MPK504")
    assert "at most 384 bytes" in finding.message
    assert "Join 11 tasks" in finding.remedy
    fewer = Layer("silu_mul", (8, 1, 1), silu.slots)
    assert codes(context_of(record_of(fewer)), "MPK504") == []
    larger = Layer(
        "silu_mul", (64, 1, 1), (Tensor((8, 16384), COLUMNS), Tensor((8, 8192), COLUMNS))
    )
    assert codes(context_of(record_of(larger)), "MPK504") == []


def test_tiles_that_are_not_touched_make_no_task_larger():
    dummy = Tensor((8, 1 << 16), COLUMNS)
    init = Layer("tensor_init", (64, 1, 1), (Tensor((8, 1024), COLUMNS), dummy, dummy))
    assert f"at most {8 * 16 * 2} bytes" in one(context_of(record_of(init)), "MPK504").message


def test_operators_with_an_event_between_them():
    """Tasks without an event are linked to none, though all of them lack the same."""
    context = context_of(record_of(norm(6), norm(8, "y", "z"), norm(4, "z", "y2")))
    columns = context.graph.tasks
    silent = np.uint64(ids.EVENT_INVALID_ID)
    for tasks in ([], [int(context.operators[0].task_ids[0])]):
        changed = with_graph(context, set_tasks(context.graph, "trigger_events", tasks, silent))
        columns = changed.graph.tasks
        wanted = {
            (first.index, second.index)
            for first in context.operators
            for second in context.operators
            for event in columns.trigger_indices[first.task_ids].tolist()
            if event >= 0 and event in columns.dependent_indices[second.task_ids].tolist()
        }
        assert _linked(changed) == sorted(wanted)


def test_tiles_of_tasks_some_of_which_have_none():
    use = SimpleNamespace(
        tasks=np.array([5, 3]),
        offsets=np.array([50, 30]),
        layout=SimpleNamespace(lowest=2),
    )
    starts, here = _starts_of(use, np.array([3, 4, 5, 9, 3]))
    assert here.tolist() == [True, False, True, False, True]
    assert starts[here].tolist() == [32, 52, 32]
