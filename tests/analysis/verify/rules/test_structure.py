"""Structure: a sound graph with one column changed a rule, which gives exactly that rule."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.rules.structure.metadata import _places
from mpkgraph.analysis.verify.rules.structure.queues import hanging_tasks
from mpkgraph.analysis.verify.rules.structure.triggers import subject
from mpkgraph.analysis.workers import assign_workers
from mpkgraph.catalog import EVENT_EMPTY, EVENT_END_OF_TASK_GRAPH
from mpkgraph.model import ids
from mpkgraph.model.graph import NULL_TASK_TYPE, TaskGraph
from tests.analysis.graphs import document, graph_of
from tests.analysis.verify.rules.mutated import (
    add_events,
    bare,
    codes,
    findings,
    planned,
    set_events,
    set_tasks,
    with_graph,
)
from tests.naive import graph_from_document
from tests.pipelines import odd
from tests.pipelines.kit import attach, attach_all, block, record_of

HIDDEN = 512
NORM, LINEAR, LAST = slice(2, 10), slice(10, 18), slice(18, 26)
"""Tasks of the three layers: 8 rows, 8 column tiles, 8 rows."""


def three_layers(kernel: Any) -> None:
    x, a, b, c = attach_all(kernel, "x", "a", "b", "c", dims=(8, HIDDEN))
    w, w_lin = attach(kernel, "w", HIDDEN), attach(kernel, "w_lin", HIDDEN, HIDDEN)
    kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
    kernel.linear_layer(a, w_lin, b, (8, 1, 1), block(kernel))
    kernel.rmsnorm_layer(b, w, c, (8, 1, 1), block(kernel))


@pytest.fixture(scope="module")
def sound() -> VerifyContext:
    """Events: 0 and 1 fixed, 2 before the linear, 3 before the last norm, 4 the end."""
    context = planned(record_of(three_layers))
    assert context.graph.num_events == 5
    return context


def found(context: VerifyContext, graph: TaskGraph, **options: Any) -> dict[str, Any]:
    """What is found of a changed graph by code, with its operators as they were."""
    got = findings("structure", with_graph(context, graph, **options))
    assert len(set(codes(got))) == len(got), codes(got)
    return {finding.rule.code: finding for finding in got}


def local(index: int) -> np.uint64:
    """The id of an event of rank 0."""
    return np.uint64(ids.EventId(rank=0, event_index=index, nvshmem=False).encode())


def test_a_sound_graph_is_clean(sound):
    assert not findings("structure", sound)
    assert not findings("structure", bare(sound.graph))
    assert not findings("structure", with_graph(sound, sound.graph, num_workers=3))


def test_an_event_that_gets_too_few_triggers(sound):
    got = found(sound, add_events(sound.graph, "num_triggers", 2, 1))
    assert set(got) == {"MPK301"}
    finding = got["MPK301"]
    assert finding.severity == "error"
    assert (finding.location.event, finding.location.operator) == (2, 1)
    assert "event 2 needs 9 triggers and gets 8" in finding.message
    assert "16 tasks never start" in finding.message
    assert [task.task_id for task in finding.witness] == [2, 10]


def row_by_row(kernel: Any) -> None:
    """Events 2 to 9 before tasks 10 to 17, one each."""
    tensors = attach_all(kernel, "x", "a", "b", dims=(8, HIDDEN))
    w = attach(kernel, "w", HIDDEN)
    for source, target in itertools.pairwise(tensors):
        kernel.rmsnorm_layer(source, w, target, (8, 1, 1), block(kernel))


@pytest.mark.parametrize("moved", [-1, 1, 7])
def test_a_range_of_one_task_that_is_another_one(moved):
    """As many as wait for the event, and not the one that does."""
    context = planned(record_of(row_by_row))
    graph = context.graph
    for column in ("first_task_ids", "last_task_ids"):
        value = int(getattr(graph.events, column)[5]) + moved
        graph = set_events(graph, column, 5, np.uint64(value))
    assert not findings("MPK309", context)
    (finding,) = findings("MPK309", with_graph(context, graph))
    assert finding.location.event == 5


@pytest.mark.parametrize(
    ("amount", "says"), [(1, "waits for events that never"), (-1, "waits for events that complete")]
)
def test_several_events_of_one_layer_are_one_finding(amount, says):
    context = planned(record_of(row_by_row))
    graph = add_events(context.graph, "num_triggers", [3, 5], amount)
    past = local(graph.num_events)  # no event: whoever waits for it is told by another rule
    graph = set_tasks(graph, "dependent_events", context.operators[1].task_ids[0], past)
    (finding,) = (
        x
        for x in findings("structure", with_graph(context, graph))
        if x.rule.code == ("MPK301" if amount > 0 else "MPK302")
    )
    assert says in finding.message
    assert (finding.count, finding.location.event) == (2, 3)


def test_an_event_that_no_task_triggers(sound):
    graph = set_tasks(sound.graph, "trigger_events", NORM, local(3))
    got = found(sound, graph)
    assert set(got) == {"MPK301", "MPK302"}
    assert "gets 0" in got["MPK301"].message
    assert got["MPK302"].location.event == 3


def test_an_event_that_completes_early(sound):
    got = found(sound, add_events(sound.graph, "num_triggers", 3, -1))
    assert set(got) == {"MPK302"}
    assert "event 3 needs 7 triggers and gets 8" in got["MPK302"].message


@pytest.mark.parametrize(("amount", "code"), [(1, "MPK301"), (-1, "MPK302")])
def test_the_end_gets_another_number_of_triggers(sound, amount, code):
    got = found(sound, add_events(sound.graph, "num_triggers", 4, amount))
    assert set(got) == {code}
    assert got[code].location.event == 4
    assert got[code].message.startswith("the end of the graph (event 4)")


def test_tasks_that_event_1_does_not_hand_out(sound):
    got = found(sound, set_events(sound.graph, "last_task_ids", 1, 24))
    assert set(got) == {"MPK303"}
    assert got["MPK303"].count == 2
    assert got["MPK303"].witness[0].task_id == 24


def test_events_that_wait_for_each_other(sound):
    graph = set_tasks(sound.graph, "trigger_events", LAST, local(2))
    graph = set_tasks(graph, "trigger_events", NORM, local(4))
    got = findings("structure", with_graph(sound, graph))
    # The circle leads nowhere: the end does not wait for the tasks in it either
    assert codes(got) == ["MPK304", "MPK306", "MPK306"]
    assert "events 2 -> 3 -> 2" in got[0].message
    assert [task.task_id for task in got[0].witness] == [10, 18]


def test_a_circle_is_told_by_the_tasks_that_close_it():
    """Of those that wait for an event the one that triggers the next."""
    links = [(None, 2), (2, 4), (2, 3), (2, 4), (3, 4), (3, 2)]
    (finding,) = findings("MPK304", bare(graph_of(links, 5)))
    assert "events 2 -> 3 -> 2 wait for each other through tasks 4, 7" in finding.message
    assert [task.task_id for task in finding.witness] == [4, 7]


@pytest.mark.parametrize("size", [8, 9, 12])
def test_a_long_circle_is_told_in_part(size):
    links = [(2 + n, 2 + (n + 1) % size) for n in range(size)]
    (finding,) = findings("MPK304", bare(graph_of(links, size + 3)))
    path = " -> ".join(str(2 + n) for n in range(8))
    assert f"events {path}{' -> 2' if size == 8 else ' ...'} wait" in finding.message
    assert (finding.count, len(finding.witness)) == (size, 8)


def test_a_task_that_triggers_what_it_waits_for(sound):
    graph = set_tasks(sound.graph, "trigger_events", 10, local(2))
    graph = add_events(add_events(graph, "num_triggers", 2, 1), "num_triggers", 3, -1)
    got = found(sound, graph)
    assert set(got) == {"MPK304"}
    assert "events 2 -> 2" in got["MPK304"].message


def reversed_order(sound: VerifyContext) -> TaskGraph:
    """The first and the last layer trade events: tasks 2 to 9 wait for 18 to 25 and all else."""
    columns = sound.graph.tasks
    dependent, trigger = columns.dependent_events.copy(), columns.trigger_events.copy()
    dependent[NORM], dependent[LAST] = columns.dependent_events[LAST], columns.dependent_events[2]
    trigger[NORM], trigger[LAST] = columns.trigger_events[LAST], columns.trigger_events[2]
    graph = replace(
        sound.graph, tasks=replace(columns, dependent_events=dependent, trigger_events=trigger)
    )
    graph = set_events(graph, "first_task_ids", 3, 2)
    graph = set_events(graph, "last_task_ids", 3, 10)
    return replace(graph, first_tasks=np.arange(18, 26))


def test_a_task_that_waits_for_one_behind_it(sound):
    got = findings("structure", bare(reversed_order(sound)))
    assert codes(got) == ["MPK305", "MPK305"]
    assert {finding.severity for finding in got} == {"error"}
    assert [task.task_id for task in got[0].witness] == [2, 17]
    assert "One worker hangs, and with 3, 5, 15" in got[0].message


@pytest.mark.parametrize(
    ("num_workers", "severity"), [(1, "error"), (8, "error"), (16, "error"), (24, "warning")]
)
def test_whether_it_hangs_is_found_by_running_the_queues(sound, num_workers, severity):
    graph = reversed_order(sound)
    got = findings("structure", with_graph(sound, graph, num_workers=num_workers))
    assert set(codes(got)) == {"MPK305"}
    assert {finding.severity for finding in got} == {severity}


@pytest.mark.parametrize(
    ("init", "says"),
    [
        ({"num_workers": 1}, "With 1 workers 24 tasks never run"),
        ({"num_workers": 24, "num_local_schedulers": 1}, "With 24 workers it runs"),
        ({"num_workers": 24, "num_local_schedulers": 25}, "With 24 workers it runs"),
        ({"num_workers": 161}, "One worker hangs"),
        ({"num_workers": 0}, "One worker hangs"),
        ({"num_workers": "many"}, "One worker hangs"),
    ],
)
def test_workers_are_those_of_the_record(sound, init, says):
    context = with_graph(sound, reversed_order(sound))
    record = replace(sound.record, init={**sound.record.init, **init})
    got = findings("structure", replace(context, record=record))
    assert says in got[0].message


@pytest.mark.parametrize("num_workers", [1, 2, 3, 5, 8, 16, 17, 23, 24, 30])
def test_hanging_tasks_are_those_that_no_schedule_runs(sound, num_workers):
    for graph in (sound.graph, reversed_order(sound)):
        context = bare(graph)
        assert hanging_tasks(context, num_workers, None).tolist() == _stuck(graph, num_workers)
    assert not len(hanging_tasks(sound, num_workers, None))


def _stuck(graph: TaskGraph, num_workers: int) -> list[int]:
    """Tasks that never run, by running whatever can run until nothing can."""
    workers = assign_workers(graph.num_tasks, num_workers).tolist()
    queues: dict[int, list[int]] = {}
    for task in range(1, graph.num_tasks):
        queues.setdefault(workers[task], []).append(task)
    counts = [0] * graph.num_events
    moved = True
    while moved:
        moved = False
        for queue in queues.values():
            if not queue:
                continue
            event = int(graph.tasks.dependent_indices[queue[0]])
            if event < 0 or counts[event] >= int(graph.events.num_triggers[event]):
                counts[int(graph.tasks.trigger_indices[queue.pop(0)])] += 1
                moved = True
    return sorted(task for queue in queues.values() for task in queue)


def test_work_that_the_end_does_not_wait_for(sound):
    graph = set_tasks(sound.graph, "trigger_events", 25, np.uint64(ids.EVENT_INVALID_ID))
    graph = add_events(graph, "num_triggers", 4, -1)
    got = found(sound, graph)
    assert set(got) == {"MPK306"}
    assert (got["MPK306"].count, got["MPK306"].witness[0].task_id) == (1, 25)
    assert "trigger no event" in got["MPK306"].message


def test_layers_whose_work_is_lost_alike_are_told_once(sound):
    graph = sound.graph
    for tasks in (NORM, LAST):
        graph = set_tasks(graph, "trigger_events", tasks, np.uint64(ids.EVENT_INVALID_ID))
    got = [x for x in findings("structure", with_graph(sound, graph)) if x.rule.code == "MPK306"]
    (finding,) = (x for x in got if "trigger no event" in x.message)
    assert (finding.location.operator, finding.num_operators, finding.count) == (0, 2, 8)


def test_a_graph_without_an_end(sound):
    got = found(sound, set_events(sound.graph, "event_types", 4, EVENT_EMPTY))
    assert set(got) == {"MPK306"}
    assert "never ends" in got["MPK306"].message


def test_an_empty_graph():
    context = planned(record_of(odd.empty_graph))
    assert codes(findings("structure", context)) == ["MPK307"]
    assert codes(findings("structure", bare(context.graph))) == ["MPK307"]


@pytest.mark.parametrize("num_tasks", [0, 1, 2])
def test_a_graph_that_lacks_even_the_fixed_tasks(num_tasks):
    made = document([], 3)
    graph = graph_from_document({**made, "all_tasks": made["all_tasks"][:num_tasks]}, 0)
    assert "MPK307" in codes(findings("structure", bare(graph)))


def test_events_past_the_end_of_the_list(sound):
    graph = set_tasks(sound.graph, "trigger_events", 25, local(77))
    graph = add_events(graph, "num_triggers", 4, -1)
    got = found(sound, graph)
    assert set(got) == {"MPK306", "MPK308"}
    assert got["MPK308"].location.event == 77


def test_a_task_can_not_wait_for_another_rank(sound):
    away = np.uint64(ids.EventId(rank=1, event_index=3, nvshmem=False).encode())
    graph = set_tasks(sound.graph, "dependent_events", 18, away)
    got = found(sound, graph)
    assert set(got) == {"MPK308", "MPK309"}
    assert "event 3 of rank 1" in got["MPK308"].message


@pytest.mark.parametrize(("first", "last"), [(18, 25), (17, 26), (10, 18), (26, 18), (18, 999)])
def test_a_range_that_is_not_what_waits(sound, first, last):
    graph = set_events(sound.graph, "first_task_ids", 3, first)
    got = found(sound, set_events(graph, "last_task_ids", 3, last))
    assert set(got) == {"MPK309"}
    assert got["MPK309"].remedy == "Make the range [18, 26)"


def test_a_range_of_the_fixed_tasks_that_nobody_waits_for(sound):
    graph = set_tasks(sound.graph, "dependent_events", LAST, local(2))
    for first, last, is_bad in ((0, 0, False), (18, 18, False), (0, 1, True), (1, 2, True)):
        changed = set_events(graph, "first_task_ids", 3, first)
        changed = set_events(changed, "last_task_ids", 3, last)
        got = [
            x for x in findings("structure", with_graph(sound, changed)) if x.rule.code == "MPK309"
        ]
        assert [x.witness[0].task_id for x in got if x.location.event == 3] == [first] * is_bad


def test_ranges_after_a_null_task(sound):
    graph = set_tasks(sound.graph, "task_types", 10, NULL_TASK_TYPE)
    assert "MPK309" not in codes(findings("structure", with_graph(sound, graph)))
    graph = set_events(graph, "last_task_ids", 3, 25)
    assert "MPK309" in codes(findings("structure", with_graph(sound, graph)))


def test_the_first_of_several_ranges_is_the_witness():
    def build(kernel: Any) -> None:
        x, a, b = attach_all(kernel, "x", "a", "b", dims=(8, HIDDEN))
        w = attach(kernel, "w", HIDDEN)
        kernel.rmsnorm_layer(x, w, a, (8, 1, 1), block(kernel))
        kernel.rmsnorm_layer(a, w, b, (8, 1, 1), block(kernel))

    context = planned(record_of(build))
    graph = set_events(context.graph, "last_task_ids", [4, 6], 99)
    got = found(context, graph)
    assert (got["MPK309"].location.event, got["MPK309"].count) == (4, 2)
    assert [x.task_id for x in got["MPK309"].witness] == [12]


@pytest.mark.parametrize(
    ("column", "event", "wanted"),
    [
        ("trigger_events", 0, {"MPK301", "MPK306", "MPK310"}),
        ("trigger_events", 1, {"MPK301", "MPK306", "MPK310"}),
        # Nobody triggers event 0; event 1 is complete when the task is handed out
        ("dependent_events", 0, {"MPK301", "MPK309"}),
        ("dependent_events", 1, {"MPK309"}),
    ],
)
def test_a_task_that_uses_an_event_of_the_runtime(sound, column, event, wanted):
    assert set(found(sound, set_tasks(sound.graph, column, 18, local(event)))) == wanted


@pytest.mark.parametrize("num_triggers", [1, 2])
def test_triggers_of_the_event_that_ends_the_runtime_are_counted(sound, num_triggers):
    """One task triggers event 0 and another waits for it, which both are findings."""
    graph = set_tasks(sound.graph, "trigger_events", 18, local(0))
    graph = set_tasks(graph, "dependent_events", 19, local(0))
    graph = set_events(graph, "num_triggers", 0, num_triggers)
    got = {(x.rule.code, x.location.event) for x in findings("structure", with_graph(sound, graph))}
    assert (("MPK301", 0) in got) == (num_triggers > 1)
    assert {code for code, _ in got} >= {"MPK309", "MPK310"}


@pytest.mark.parametrize(
    ("tasks", "told"), [([5], "task 5"), ([5, 7], "task 5 (of 2)"), ([5, 7, 9], "task 5 (of 3)")]
)
def test_tasks_of_no_operator_are_called_by_the_first(sound, tasks, told):
    assert subject(sound, None, np.array(tasks)) == told


def test_a_graph_with_several_ends(sound):
    graph = set_events(sound.graph, "event_types", [2, 3], EVENT_END_OF_TASK_GRAPH)
    got = findings("structure", with_graph(sound, graph))
    (finding,) = (x for x in got if "3 events end the graph: 2, 3, 4" in x.message)
    assert finding.location.event == 2


def test_a_fixed_task_belongs_to_no_operator(sound):
    away = np.uint64(ids.EventId(rank=1, event_index=3, nvshmem=False).encode())
    got = found(sound, set_tasks(sound.graph, "dependent_events", 1, away))
    assert got["MPK308"].location.operator is None
    assert got["MPK308"].message.startswith("task 1 has 1 tasks")


@pytest.mark.parametrize(
    ("column", "event", "value", "says"),
    [
        ("event_types", 0, EVENT_EMPTY, "EVENT_TERMINATION"),
        ("event_types", 1, EVENT_EMPTY, "EVENT_LAUNCH_DEPENDENT_TASKS"),
        ("event_types", 2, 901, "event 2 is EVENT_LAUNCH_TASKS"),
        ("last_task_ids", 1, 99, "more than tasks 2 to 25"),
        ("first_task_ids", 1, 0, "launches [0, 26)"),
        ("num_triggers", 1, 2, "needs 2 triggers"),
    ],
)
def test_an_entry_that_the_runtime_knows_by_place(sound, column, event, value, says):
    got = findings("structure", with_graph(sound, set_events(sound.graph, column, event, value)))
    finding = next(x for x in got if x.rule.code == "MPK310")
    assert set(codes(got)) <= {"MPK310", "MPK301"}
    assert says in finding.message


@pytest.mark.parametrize(("task", "wanted"), [(0, "TASK_TERMINATE"), (1, "TASK_BEGIN_TASK_GRAPH")])
def test_a_task_that_the_runtime_knows_by_place(sound, task, wanted):
    got = findings("structure", with_graph(sound, set_tasks(sound.graph, "task_types", task, 119)))
    (finding,) = [x for x in got if x.rule.code == "MPK310"]
    assert f"task {task} is " in finding.message
    assert f"takes it for {wanted}" in finding.message
    assert finding.remedy == f"Put a {wanted} task there"
    assert [x.task_id for x in finding.witness] == [task]


def test_null_tasks():
    context = planned(record_of(odd.fork_duplicate_edges_second))
    got = findings("structure", context)
    assert codes(got) == ["MPK311"]
    assert got[0].count == context.graph.num_null_tasks
    null = int(got[0].witness[0].task_id)
    assert context.graph.tasks.task_types[null] == NULL_TASK_TYPE


@pytest.mark.parametrize(
    ("first_tasks", "says"),
    [
        ([*range(2, 10), 12], "wait for an event"),
        ([*range(3, 10)], "wait for nothing and are missing"),
        ([*range(2, 10), 2], "are listed twice"),
        ([*range(2, 10), 99], "are no tasks of a layer"),
    ],
)
def test_first_tasks(sound, first_tasks, says):
    got = found(sound, replace(sound.graph, first_tasks=np.array(first_tasks)))
    assert set(got) == {"MPK312"}
    assert got["MPK312"].severity == "warning"
    assert says in got["MPK312"].message


def test_metadata_of_another_grid_point(sound):
    got = found(sound, set_tasks(sound.graph, "request_ids", 5, 0))
    assert set(got) == {"MPK313"}
    assert got["MPK313"].severity == "warning"  # a norm does not look
    assert "task 5 at (3, 0, 0) has request_id 0, its place in the grid makes it 3" in (
        got["MPK313"].message
    )


def test_metadata_of_a_layer_after_sound_ones(sound):
    """Without a record the metadata are the grid: then no grid holds the tiles."""
    changed = set_tasks(sound.graph, "request_ids", 20, 0)
    (finding,) = findings("structure", with_graph(sound, changed))
    assert finding.rule.code == "MPK313"
    assert (finding.location.operator, finding.witness[0].task_id) == (2, 20)
    assert codes(findings("all", bare(changed))) == ["MPK118"]


def test_metadata_of_a_grid_that_tiles_tell():
    """Without a record too: a layer of one task is at the origin, and its request is 0."""
    assert codes(findings("MPK313", bare(graph_of([(None, 2)], 3)))) == ["MPK313"]


@pytest.mark.parametrize("num_subtasks", [1, 3])
def test_places_of_tasks_some_of_which_lack(num_subtasks):
    """Where each would stand among those of the whole grid; subtasks of a point are alike."""
    grid = (2, 3, 4)
    points = list(itertools.product(*map(range, grid)))
    chosen = [points[n] for n in (0, 5, 5, 11, 23)]
    operator = SimpleNamespace(
        grid_dim=grid, num_subtasks=num_subtasks, grid_positions=np.array(chosen, dtype=np.int32)
    )
    assert (_places(operator) // num_subtasks).tolist() == [points.index(p) for p in chosen]
    assert not (_places(operator) % num_subtasks).any()


def test_metadata_of_a_kernel_whose_output_tiles_differ():
    """It learns its part of the input from metadata all the same."""

    def build(kernel: Any) -> None:
        tokens = attach(kernel, "tokens", 1, 64, dtype="int64")
        found = attach(kernel, "found", 1, 8, dtype="int64")
        kernel.find_ngram_partial_layer(tokens, found, (8, 1, 1), block(kernel))

    context = planned(record_of(build))
    task = int(context.operators[0].task_ids[2])
    graph = set_tasks(context.graph, "request_ids", task, 0)
    (finding,) = findings("MPK313", with_graph(context, graph))
    assert finding.severity == "error"


def test_metadata_that_a_kernel_splits_by():
    context = planned(record_of(experts, 100))
    task = int(context.operators[0].task_ids[2])
    graph = set_tasks(context.graph, "expert_offsets", task, 0)
    got = findings("structure", with_graph(context, graph))
    assert codes(got) == ["MPK313"]
    assert got[0].severity == "error"


def experts(kernel: Any) -> None:
    x, w = attach(kernel, "x", 8, HIDDEN), attach(kernel, "w", 16, 256, HIDDEN)
    route = attach(kernel, "route", 16, 8, dtype="int32")
    mask, out = attach(kernel, "mask", 17, dtype="int32"), attach(kernel, "out", 8, 2, 256)
    kernel.moe_w13_linear_layer(x, w, route, mask, out, (10, 2, 1), block(kernel))


def test_a_join_of_two_tensors_of_one_producer_never_completes():
    def build(kernel):
        logits, value = attach(kernel, "logits", 1, HIDDEN), attach(kernel, "value", 1, 8)
        index, other = attach(kernel, "index", 1, 8, dtype="int64"), attach(kernel, "y", 1, 8)
        weight, mid = attach(kernel, "w", 8), attach(kernel, "mid", 1, 8)
        out = attach(kernel, "out", 1, 8)
        kernel.argmax_partial_layer(logits, (value, index), (8, 1, 1), block(kernel))
        kernel.rmsnorm_layer(other, weight, mid, (1, 1, 1), block(kernel))
        kernel.linear_with_residual_layer(mid, value, index, out, (1, 1, 1), block(kernel))

    got = findings("structure", planned(record_of(build)))
    assert codes(got) == ["MPK301"]
    assert "event 2 needs 17 triggers and gets 9" in got[0].message
