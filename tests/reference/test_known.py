"""Products that are looked up: only of memory that stays, and of the same bits."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.reference import known as module  # noqa: E402
from mpkgraph.reference.kernels.sums import products  # noqa: E402
from mpkgraph.reference.known import KnownProducts  # noqa: E402


def _pair():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 64, generator=generator).to(torch.bfloat16)
    weight = torch.randn(40, 64, generator=generator).to(torch.bfloat16)
    return x, weight


class _Counted(KnownProducts):
    def __init__(self):
        super().__init__()
        self.computed = 0

    def find(self, x, weights, compute):
        def counted():
            self.computed += 1
            return compute()

        return super().find(x, weights, counted)


def test_rows_of_a_weight_are_looked_up():
    x, weight = _pair()
    known = _Counted()
    known.add_constant(weight)
    whole = products(x, weight, known)
    for start, stop in ((0, 40), (8, 16), (39, 40)):
        assert torch.equal(products(x, weight[start:stop], known), whole[:, start:stop])
    assert known.computed == 1


@pytest.mark.parametrize("change", ["x", "sign of zero", "columns", "stride", "written"])
def test_what_is_not_the_same_is_added_up(change):
    x, weight = _pair()
    x[0, 0] = 0.0
    known = _Counted()
    known.add_constant(weight)
    products(x, weight, known)
    if change == "x":
        x[1, 5] += 1
    elif change == "sign of zero":
        x[0, 0] = -0.0
    elif change == "columns":
        x, weight = x[:, :32], weight[:, 32:]
    elif change == "stride":
        weight = weight[::2]
    else:
        weight = weight.clone()
    assert torch.equal(products(x, weight, known), products(x, weight))
    assert known.computed == 2 or change == "written"
    assert torch.equal(products(x, weight, known), products(x, weight))


def test_a_part_that_was_known_first_does_not_stand_for_more():
    x, weight = _pair()
    known = _Counted()
    known.add_constant(weight)
    assert torch.equal(products(x, weight[8:16], known), products(x, weight[8:16]))
    assert torch.equal(products(x, weight, known), products(x, weight))
    assert known.computed == 2


def test_the_oldest_results_go(monkeypatch):
    monkeypatch.setattr(module, "LIMIT_BYTES", 3 * (3 * 40 * 4 + 3 * 64 * 2))
    x, weight = _pair()
    known = _Counted()
    known.add_constant(weight)
    for step in range(8):
        y = x + step
        assert torch.equal(products(y, weight, known), products(y, weight))
    products(x + 7, weight, known)
    assert known.computed == 8
    products(x, weight, known)
    assert known.computed == 9
