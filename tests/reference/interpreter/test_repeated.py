"""Large tensors of one block: the same values whether pages are mapped or copied."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

from mpkgraph.reference.interpreter import repeated  # noqa: E402
from mpkgraph.reference.interpreter.buffer import Buffer  # noqa: E402
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


def _buffer(blocks, name, num_pages, turn):
    return blocks.buffer(name, "DT_BFLOAT16", num_pages * repeated.PAGE, "key", _make, turn)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps files in memory")
def test_joined_pages_are_the_parts_rows():
    blocks, page = Blocks(), repeated.PAGE
    one, other = _buffer(blocks, "a", 20, 3), _buffer(blocks, "b", 10, 6)
    parts = [(one, 0, 10 * page), (other, 0, 5 * page)]
    parts += [(one, 10 * page, 10 * page), (other, 5 * page, 5 * page)]
    whole = repeated.joined("c", "DT_BFLOAT16", parts, 30 * page)
    copy = torch.cat([x.data[start : start + size] for x, start, size in parts])
    assert torch.equal(whole.data, copy)
    assert not whole.guards_broken()
    whole.data.fill_(0)
    assert torch.equal(one.data, _buffer(Blocks(), "a", 20, 3).data)


def test_parts_that_are_not_pages_are_not_joined():
    blocks, page = Blocks(), repeated.PAGE
    one = _buffer(blocks, "a", 20, 3)
    own = Buffer.new("b", "DT_BFLOAT16", 4 * page, "zero")
    assert repeated.joined("c", "DT_BFLOAT16", [(one, 0, page // 2)], page // 2) is None
    assert repeated.joined("c", "DT_BFLOAT16", [(one, 0, page), (own, 0, page)], 2 * page) is None
    assert repeated.joined("c", "DT_BFLOAT16", [(one, 19 * page, 2 * page)], 2 * page) is None


def test_no_two_tensors_begin_at_one_page():
    blocks = Blocks()
    assert [blocks.free_turn("key", 5, name) for name in "abca"] == [5, 6, 0, 5]
    assert blocks.free_turn("other", 5, "d") == 5
