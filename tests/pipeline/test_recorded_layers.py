"""Every layer method on every target, against what the real Mirage did (in this repository)."""

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.model.record import LayerCall
from mpkgraph.pipeline.layers import LAYERS
from tests.pipeline import recorded_layers

CCS = (80, 86, 89, 90, 100, 103, 110, 120)
SESSIONS = recorded_layers.sessions()


@pytest.mark.parametrize("cc", CCS)
@pytest.mark.parametrize("session", SESSIONS, ids=lambda x: f"world_size={x['world_size']}")
def test_does_what_mirage_did(session, cc):
    kernel, errors = recorded_layers.run(session, cc)
    log = [x.to_json() for x in kernel.record().log if isinstance(x, LayerCall)]
    assert len(log) == len(session["calls"])
    for call, entry, error in zip(session["calls"], log, errors, strict=True):
        expected = call["outcomes"][call["by_cc"][str(cc)]]
        assert recorded_layers.outcome(entry) == expected, call
        assert (error is None) == (expected[0] is None)
        if error is not None:
            assert isinstance(error, PipelineError)
            assert any(x.__name__ == expected[0].split(":")[0] for x in type(error).__mro__)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda x: f"world_size={x['world_size']}")
def test_every_method_is_among_the_calls(session):
    assert {x["method"] for x in session["calls"]} == {spec.method for spec in LAYERS}


def test_every_task_was_registered_on_every_target_that_has_it():
    registered = {cc: set() for cc in CCS}
    for session in SESSIONS:
        for call in session["calls"]:
            for cc in CCS:
                collect(call["outcomes"][call["by_cc"][str(cc)]], registered[cc])
    for cc in CCS:
        tasks = {task for spec in LAYERS for task in spec.tasks_on(cc)}
        assert tasks - registered[cc] == {"(task_name)"}
        assert registered[cc] - tasks == {"some_task"}


def collect(outcome, found):
    for entry in outcome[1]:
        if "task" not in entry:
            for nested in entry.values():
                collect(nested, found)
        elif entry["task"] is not None:
            found.add(entry["task"][0])
