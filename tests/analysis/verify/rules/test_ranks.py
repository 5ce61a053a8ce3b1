"""Ranks: two ranks of one pipeline, with one of them changed a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.run import verify
from mpkgraph.model import ids
from tests.analysis.verify.rules.mutated import (
    add_events,
    codes,
    findings,
    planned,
    set_tasks,
    with_graph,
)
from tests.pipelines.kit import attach, block, record_of

HIDDEN = 512


def all_reduce(kernel: Any, grid: int = 8, world_size: int = 2) -> None:
    x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", HIDDEN, HIDDEN)
    partial = kernel.new_tensor(dims=(8, HIDDEN), name="partial", io_category="nvshmem_tensor")
    dims = world_size, 8, HIDDEN
    buffer = kernel.new_tensor(dims=dims, name="buffer", io_category="nvshmem_tensor")
    out = attach(kernel, "out", 8, HIDDEN)
    kernel.linear_layer(x, w, partial, (grid, 1, 1), block(kernel))
    kernel.allreduce_layer(partial, buffer, out, (grid, 1, 1), block(kernel))


def rank(number: int, grid: int = 8, world_size: int = 2) -> VerifyContext:
    record = record_of(
        lambda kernel: all_reduce(kernel, grid, world_size),
        world_size=world_size,
        mpi_rank=number,
    )
    return planned(record)


@pytest.fixture(scope="module")
def both() -> tuple[VerifyContext, VerifyContext]:
    return rank(0), rank(1)


def put_tasks(context: VerifyContext) -> Any:
    return context.operators[1].task_ids


def test_two_sound_ranks_are_clean(both):
    assert not findings("ranks", *both)
    assert not findings("structure", *both)
    assert not findings("ranks", *(replace(context, record=None) for context in both))


def test_a_trigger_on_which_nothing_waits(both):
    task = int(put_tasks(both[0])[3])
    event = both[0].graph.tasks.trigger_events[task]
    end = both[0].graph.num_events - 1
    graph = set_tasks(both[0].graph, "trigger_events", task, event + (end - (int(event) & 0xFFFF)))
    got = findings("ranks", with_graph(both[0], graph), both[1])
    assert codes(got) == ["MPK601", "MPK602"]
    assert got[0].witness[0].task_id == task
    assert (got[0].location.rank, got[1].location.rank) == (0, 1)
    assert "needs 1 and gets 0" in got[1].message


@pytest.mark.parametrize("number", [0, 1])
def test_a_trigger_of_the_event_that_ends_the_runtime(both, number):
    task = int(put_tasks(both[number])[3])
    event = int(both[number].graph.tasks.trigger_events[task])
    graph = set_tasks(
        both[number].graph, "trigger_events", task, np.uint64(event - (event & 0xFFFF))
    )
    changed = list(both)
    changed[number] = with_graph(both[number], graph)
    got = findings("ranks", *changed)
    assert codes(got) == (["MPK601", "MPK602"] if number == 0 else ["MPK602", "MPK601"])
    (finding,) = (x for x in got if x.rule.code == "MPK601")
    assert (finding.location.rank, finding.witness[0].task_id) == (number, task)


@pytest.mark.parametrize("stride", [0, -4096])
def test_a_put_into_planes_of_no_stride(both, stride):
    """There is no plane to look at then; the file is odd, and no reason to fail."""
    layouts = tuple(
        replace(x, strides=(stride, *x.strides[1:])) if x.base_ptr == "buffer" else x
        for x in both[0].graph.layouts
    )
    assert layouts != both[0].graph.layouts
    changed = with_graph(both[0], replace(both[0].graph, layouts=layouts))
    assert verify([changed, both[1]], select=["hazards"]).rules


def test_an_event_that_needs_another_number_of_puts(both):
    event = int(both[1].graph.tasks.dependent_indices[both[1].operators[2].task_ids[0]])
    graph = add_events(both[1].graph, "num_triggers", event, 1)
    (finding,) = findings("ranks", both[0], with_graph(both[1], graph))
    assert finding.rule.code == "MPK602"
    assert (finding.location.rank, finding.location.event) == (1, event)


def test_who_waits_for_another_ranks_event_waits_for_none_of_its_own(both):
    """The two have the same index; that they are mixed up is another rule's finding."""
    tasks = both[1].operators[2].task_ids
    event = int(both[1].graph.tasks.dependent_indices[tasks[0]])
    graph = add_events(both[1].graph, "num_triggers", event, 1)
    there = ids.EventId(rank=0, event_index=event, nvshmem=False).encode()
    mine = tasks[both[1].graph.tasks.dependent_indices[tasks] == event]
    graph = set_tasks(graph, "dependent_events", mine, np.uint64(there))
    got = findings("ranks", both[0], with_graph(both[1], graph))
    assert (1, "MPK602") not in [(x.location.rank, x.rule.code) for x in got]


def test_counts_are_told_from_one_rank_alone(both):
    event = int(both[0].graph.tasks.dependent_indices[both[0].operators[2].task_ids[0]])
    graph = add_events(both[0].graph, "num_triggers", event, 1)
    got = findings("ranks", with_graph(both[0], graph))
    assert codes(got) == ["MPK602", "MPK604"]


def test_graphs_that_differ(both):
    got = findings("ranks", both[0], rank(1, grid=4))
    assert "MPK603" in codes(got)
    finding = next(x for x in got if x.rule.code == "MPK603")
    assert "8x1x1" in finding.message
    assert "4x1x1" in finding.message


def test_ranks_that_do_not_talk_may_differ():
    def build(kernel: Any, rows: int) -> None:
        x, w = attach(kernel, "x", rows, HIDDEN), attach(kernel, "w", HIDDEN)
        kernel.rmsnorm_layer(x, w, attach(kernel, "out", rows, HIDDEN), (rows, 1, 1), (256, 1, 1))

    one, two = (
        planned(record_of(lambda kernel, n=rows: build(kernel, n), world_size=2, mpi_rank=number))
        for number, rows in enumerate((8, 4))
    )
    assert not findings("ranks", one, two)


def test_a_missing_rank(both):
    (finding,) = findings("ranks", both[1])
    assert (finding.rule.code, finding.severity) == ("MPK604", "warning")
    assert "rank 0 is missing" in finding.message


def test_world_sizes_that_differ(both):
    got = findings("ranks", both[0], rank(1, world_size=3))
    assert "MPK605" in codes(got)
    got = findings("ranks", both[0], both[0], both[1])
    assert "MPK605" in codes(got)


def test_three_ranks_of_which_the_last_differs():
    three = [rank(number, world_size=3) for number in range(3)]
    assert not findings("ranks", *three)
    got = findings("ranks", *three[:2], rank(2, grid=4, world_size=3))
    (finding,) = (x for x in got if x.rule.code == "MPK603")
    assert finding.message.startswith("rank 0 and rank 2 have different graphs")
    assert finding.location.rank == 2


def test_the_first_of_three_ranks_is_missing():
    (finding,) = findings("ranks", *(rank(number, world_size=3) for number in (2, 1)))
    assert "the graph of rank 0 is missing: only rank 1, 2 of 3 is given" in finding.message
    assert finding.location.rank == 2
