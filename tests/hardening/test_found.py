"""What the fuzzer found, as small as it gets."""

from __future__ import annotations

import json

import pytest

INIT = {
    "workers": {"num_workers": "8"},
    "schedulers": {"num_local_schedulers": [4]},
    "fewer workers": {"num_workers": -3},
    "no parameter": {"\u202ename": 1},
    "world": {"world_size": "two"},
    "meta tensors": {"meta_tensors": 3},
}


@pytest.fixture
def replan(small, refuse, tmp_path):
    """Plan a changed record for another GPU, which calls the layers again."""

    def call(change):
        record = json.loads(small.record.read_text())
        change(record)
        path = tmp_path / "record.json"
        path.write_text(json.dumps(record))
        return refuse("compile", path, "--target", "100", "--dry-run", codes=(3,))

    return call


@pytest.mark.parametrize("change", INIT)
def test_records_whose_kernel_can_not_be_made(change, replan):
    said = replan(lambda record: record["init"].update(INIT[change]))
    assert "record.json" in said
    assert "init" in said


@pytest.mark.parametrize(
    "change",
    [{"further": 1}, {"grid_dim": 3}, {"grid_dim": ["a", 1, 1]}, {"input": {"tensor": 99}}],
    ids=str,
)
def test_records_whose_layer_can_not_be_called(change, replan):
    def to(record):
        layer = next(x for x in record["log"] if x["op"] == "layer")
        layer["args"].update(change)

    assert "record.json, log[" in replan(to)
