"""What the child does before each launch, and before it loads a kernel, on a GPU that is none."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpkgraph.mirage.child import launch
from mpkgraph.mirage.child.kernel_hooks import META_TENSORS, _all_meta_tensors, _launcher_in
from mpkgraph.mirage.gpu_run import _sanitized
from mpkgraph.mirage.process import ChildResult

torch = pytest.importorskip("torch")

RACES = """\
========= COMPUTE-SANITIZER
hello
========= Error: Race reported between Read access at f()+0x10 in x.cuh:7
=========     and Write access at f()+0x20 in x.cuh:5 [1024 hazards]
=========
========= RACECHECK SUMMARY: 2 hazards displayed (2 errors, 0 warnings)
"""


class Library:
    """Notes what is asked of it."""

    def __init__(self, status=0):
        self.calls = []
        self._status = status

    def mpkgraph_fill(self, _pointer, byte, size):
        self.calls.append(("fill", byte, size))

    def mpkgraph_fill_shared(self, word):
        self.calls.append(("shared", word))
        return self._status


class Channel:
    def __init__(self):
        self.sent = []

    def send(self, kind, **fields):
        self.sent.append((kind, fields))


def prepared(library, number=0, **options):
    """A run of one tensor and one buffer, after `prepare()`; what was called, in order."""
    run = object.__new__(launch._Run)
    run._torch = SimpleNamespace(
        uint8=torch.uint8,
        cuda=SimpleNamespace(synchronize=lambda: library.calls.append(("synchronize",))),
    )
    run._attached = {"out": torch.ones(4), "x": torch.ones(4)}
    run._before = {"out": torch.zeros(4), "x": torch.zeros(4)}
    run._poisoned = {"out"}
    run._is_poisoned = options.pop("poison", True)
    run._options, run._library, run._channel = options, library, Channel()
    run._buffers = lambda: {"mid": (4096, 64, None)}
    run.prepare(number)
    return run


def test_each_run_begins_alike():
    library = Library()
    run = prepared(library, number=1)
    assert library.calls == [("fill", 0xFF, 64), ("shared", 0), ("synchronize",)]
    assert run._attached["out"].isnan().all()
    assert run._attached["x"].tolist() == [0] * 4


def test_shared_memory_full_of_nan():
    library = Library()
    prepared(library, poison_shared=True)
    assert ("shared", -1) in library.calls


def test_a_launch_behind_other_work_is_none_of_ours():
    library = Library()
    run = prepared(library, number=1, poison=False)
    assert library.calls == [("synchronize",)]
    assert run._attached["out"].tolist() == [0] * 4


def test_shared_memory_that_cannot_be_filled():
    run = prepared(Library(status=720))
    assert "CUDA error 720" in run._channel.sent[0][1]["text"]


def test_meta_tensors_that_are_not_there():
    step = object()
    kernel = SimpleNamespace(meta_tensors={"step": step})
    with _all_meta_tensors(kernel) as missing:
        assert set(kernel.meta_tensors) == set(META_TENSORS)
        assert kernel.meta_tensors["tokens"].data_ptr() == 0
    assert missing == META_TENSORS[1:]
    assert kernel.meta_tensors == {"step": step}


def test_the_file_that_is_loaded(tmp_path):
    kernel = SimpleNamespace(mpi_rank=1)
    assert _launcher_in(None, kernel) is None
    assert _launcher_in(str(tmp_path), kernel) is None
    file = tmp_path / f"mpk_launcher_rank1{sysconfig.get_config_var('EXT_SUFFIX')}"
    file.touch()
    assert _launcher_in(str(tmp_path), kernel) == file


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (RACES, 2),
        ("========= ERROR SUMMARY: 3 errors\n", 3),
        ("========= ERROR SUMMARY: 0 errors\n", 0),
        ("nothing of it\n", None),
    ],
)
def test_what_compute_sanitizer_counts(tmp_path, text, count):
    log = Path(tmp_path, "log")
    log.write_text(text, encoding="utf-8")
    result = ChildResult((), 0, 1.0, log, timed_out=False, out_of_memory=False)
    errors, lines = _sanitized(result)
    assert errors == count
    if text == RACES:
        assert lines[0].startswith("Error: Race reported between Read access at f()")
        assert lines[1].endswith("[1024 hazards]")
        assert len(lines) == 2
