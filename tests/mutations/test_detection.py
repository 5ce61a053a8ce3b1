"""Every class of faults is found at its rate, with fixed random numbers."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tests.goldens import EVERY_GOLDEN
from tests.mutations.behaviour import Behaviour
from tests.mutations.graph_faults import GRAPH_FAULTS, set_events, set_tasks
from tests.mutations.harness import run_graph_fault, run_record_fault
from tests.mutations.record_faults import RECORD_FAULTS
from tests.mutations.subjects import model_subjects, parallel_subjects, small_subjects

COUNT = 10 if EVERY_GOLDEN else 3
SUBJECTS = (*small_subjects(), *model_subjects()[:2], *model_subjects()[4:6])
RECORD_RATES = {
    # A legal pipeline of another meaning: only what becomes of a buffer may be told
    "buffer reused while needed": 0.0,
}
"""Of classes that are not always found, the least that is."""
ALONE_RATES = {
    # The graph does not say where a tensor ends, and alone in a layer a tile breaks no pattern
    "tile moved outside": 0.8,
    # A task whose slots no other tells the size of
    "tile dims halved": 0.8,
    "tile strides halved": 0.8,
}


@pytest.mark.parametrize("fault", RECORD_FAULTS, ids=lambda x: x.name)
def test_faults_of_records(fault):
    tally = run_record_fault(fault, SUBJECTS, Random(f"7 {fault.name}"), COUNT).recorded
    assert not tally.crashed
    assert tally.tried
    assert tally.rate >= RECORD_RATES.get(fault.name, 1.0), tally.missed


@pytest.mark.parametrize("fault", GRAPH_FAULTS, ids=lambda x: x.name)
def test_faults_of_graphs(fault):
    subjects = parallel_subjects() if fault.parallel else SUBJECTS
    result = run_graph_fault(fault, subjects, Random(f"7 {fault.name}"), COUNT)
    for tally, least in ((result.alone, ALONE_RATES.get(fault.name, 1.0)), (result.recorded, 1.0)):
        assert not tally.crashed
        assert tally.tried
        assert tally.rate >= least, tally.missed


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda x: x.name)
def test_the_good_ones_are_good(subject):
    behaviour = subject.behaviour
    assert not behaviour.hangs
    assert not behaviour.ends_early
    assert behaviour.spoilt_by(Behaviour(subject.graph)) is None


def test_what_brute_force_says_of_faults():
    """A fork: 16 rows, each with an event for two layers of readers."""
    subject = next(x for x in small_subjects() if x.name == "fork cc90")
    graph, good = subject.graph, subject.behaviour
    task = int(np.flatnonzero(graph.tasks.dependent_indices >= 2)[0])
    nothing = np.uint64(0x7FFFFFFFFFFFFFFE)
    free = set_tasks(graph, "dependent_events", task, nothing)
    assert good.spoilt_by(Behaviour(free)) == "loses an order that data need"
    silent = set_tasks(graph, "trigger_events", task, nothing)
    assert good.spoilt_by(Behaviour(silent)) == "hangs"
    event = int(graph.tasks.dependent_indices[task])
    assert good.spoilt_by(Behaviour(set_events(graph, "num_triggers", event, 2))) == "hangs"
    early = set_events(graph, "num_triggers", graph.num_events - 1, 1)
    assert good.spoilt_by(Behaviour(early)) == "ends early"
    # Waiting for what is complete anyway spoils nothing
    first = int(np.flatnonzero(graph.tasks.dependent_indices < 0)[-1])
    late = set_tasks(graph, "dependent_events", first, np.uint64(1))
    assert good.spoilt_by(Behaviour(late)) is None
