"""Every recorded pipeline, told to our kernel again, gives the record that Mirage's gave.

record of Mirage --calls--> PersistentKernel --record()--> the same record
"""

import json

import pytest

from mpkgraph.io.record import parse_record, read_record
from tests import goldens
from tests.pipeline.replay import Replay

RECORDERS_OWN = ("case", "generate")
"""Keys of the recording session, not of the pipeline."""


def content(document):
    return {key: value for key, value in document.items() if key not in RECORDERS_OWN}


def exactly(value):
    """As text: 4 and 4.0, or True and 1, are different."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("path", goldens.record_params())
def test_gives_the_same_record(path):
    source = read_record(path)
    expected = content(source.to_json())
    found = content(Replay(source).record().to_json())
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key == "log":
            assert len(found["log"]) == len(value)
            for position, (left, right) in enumerate(zip(found["log"], value, strict=True)):
                assert exactly(left) == exactly(right), f"log[{position}]"
        assert exactly(found[key]) == exactly(value), key


@pytest.mark.parametrize("path", goldens.record_params())
def test_what_we_record_can_be_read(path):
    record = Replay(read_record(path)).record()
    data = json.dumps(record.to_json()).encode()
    again = parse_record(data, file="pipeline_rank0.json")
    assert again == record
    assert len(record.call_sites) == len(record.log)
