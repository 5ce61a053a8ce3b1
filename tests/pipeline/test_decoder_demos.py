"""Mirage's Qwen3 and Llama 3 demos, unchanged but for the model's weights: Mirage's own records."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpkgraph.errors import MpkGraphError
from mpkgraph.io.record import read_record
from mpkgraph.pipeline import Target, exception_text
from tests import goldens
from tests.pipeline.mirage_home import differences, mirage_home
from tests.pipeline.scripts import run

pytest.importorskip("torch")

DECODER = Path(__file__).with_name("fake_decoder.py")

ALL_LAYERS = ("qwen3_demo-Qwen3-8B-b8-full-cc90", "qwen3_demo-Qwen3-8B-ws2-mc-full-cc90")
"""Full models that stand for the others: their layers are those of the models with two."""


def cases():
    """Folders of the demos' records."""
    names = sorted(
        name
        for case, _ in goldens.iter_cases()
        if (name := case.removeprefix("models/")).startswith(("qwen3_demo", "llama3_demo"))
        and ("-L2-" in name or name in ALL_LAYERS)
    )
    absent = pytest.param(None, marks=pytest.mark.skip(reason=goldens.ABSENT), id="no-goldens")
    return names or [absent]


@pytest.mark.parametrize("case", cases())
def test_gives_mirages_records(case, tmp_path, monkeypatch):
    home = mirage_home()
    monkeypatch.setenv("MIRAGE_HOME", str(home))
    monkeypatch.chdir(tmp_path)  # the demos write there
    folder = goldens.require() / "models" / case
    records = [read_record(x) for x in sorted(folder.glob("pipeline_rank*.json.zst"))]
    origin = records[0].origin
    target = Target(
        cc=records[0].target_cc, world_size=origin["world_size"], multicast=origin["multicast"]
    )

    def demo():
        return run(
            DECODER,
            str(origin.get("num_layers", 0)),
            str(home / origin["script"]),
            *origin["options"],
            target=target,
            ranks=range(target.world_size),
            meta=True,
            emit=frozenset(),
        )

    if records[0].has_exception:
        with pytest.raises(MpkGraphError) as caught:
            demo()
        assert exception_text(caught.value) == records[0].extra["exception"]
        return
    result = demo()
    assert [x.rank for x in result.compiled] == [x.my_gpu_id for x in records]
    for compiled, record in zip(result.compiled, records, strict=True):
        assert differences(compiled.record, record) == []
