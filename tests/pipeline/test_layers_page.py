"""The page of layers is that of the table, and says of the goldens what they hold."""

import json

import pytest

from mpkgraph.pipeline.layers import LAYERS
from tests import goldens
from tests.pipeline import layers_page


@pytest.fixture
def update(request):
    return request.config.getoption("--update-golden")


def test_the_calls_of_the_goldens_are_current(update):
    goldens.require()
    found = layers_page.golden_calls()
    if update:
        rows = (f" {json.dumps(method)}: {json.dumps(x)}" for method, x in found.items())
        text = "{\n" + ",\n".join(rows) + "\n}\n"
        layers_page.GOLDEN_CALLS.write_text(text, encoding="utf-8")
    assert layers_page.kept_calls() == found


def test_the_page_is_current(update):
    text = layers_page.page(layers_page.kept_calls())
    if update:
        layers_page.PAGE.write_text(text, encoding="utf-8")
    assert layers_page.PAGE.read_text(encoding="utf-8").splitlines() == text.splitlines()


def test_every_layer_and_task_is_on_the_page():
    text = layers_page.PAGE.read_text(encoding="utf-8")
    for spec in LAYERS:
        assert f"### {spec.method}\n" in text
        for cc in (80, 90, 100, 120):
            for task in spec.tasks_on(cc):
                assert task == "(task_name)" or f"`{task}`" in text
