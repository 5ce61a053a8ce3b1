"""Large tensors of one block: the same values whether pages are mapped or copied."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from mpkgraph.reference.interpreter import repeated  # noqa: E402
from mpkgraph.reference.interpreter.repeated import Blocks  # noqa: E402


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(repeated, "BLOCK_PAGES", 7)


def _make(size):
    return np.random.default_rng(3).integers(0, 256, size, dtype=np.uint8)


SIZES = (repeated.PAGE * 20, repeated.PAGE * 20 + 6, 100, repeated.PAGE * 7)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps files in memory")
@pytest.mark.parametrize("num_bytes", SIZES)
@pytest.mark.parametrize("turn", [0, 3, 6, 12])
def test_mapped_and_copied_are_the_same(num_bytes, turn, monkeypatch):
    mapped = Blocks().buffer("w", "DT_BFLOAT16", num_bytes, "key", _make, turn)
    monkeypatch.setattr(repeated._File, "of", lambda _block: None)
    copied = Blocks().buffer("w", "DT_BFLOAT16", num_bytes, "key", _make, turn)
    assert torch.equal(mapped.data, copied.data)
    block = np.roll(_make(7 * repeated.PAGE), -(turn % 7) * repeated.PAGE)
    assert np.array_equal(mapped.data.numpy(), np.resize(block, num_bytes))
    for buffer in (mapped, copied):
        assert not buffer.guards_broken()
        buffer.raw[buffer.guard - 1] = 1
        assert buffer.guards_broken()


def test_who_writes_has_a_copy():
    blocks = Blocks()
    one, other = (
        blocks.buffer(name, "DT_BFLOAT16", repeated.PAGE * 30, "key", _make, 0) for name in "ab"
    )
    before = other.data.clone()
    one.data.fill_(1)
    assert torch.equal(other.data, before)
    del one, blocks
    assert torch.equal(other.data, before)
