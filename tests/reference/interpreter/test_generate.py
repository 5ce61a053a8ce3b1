"""Made-up inputs make sense together."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.reference.interpreter.buffer import Buffer  # noqa: E402
from mpkgraph.reference.interpreter.generate import fill  # noqa: E402
from mpkgraph.reference.interpreter.memory import TensorShape  # noqa: E402
from mpkgraph.reference.interpreter.roles import TensorRole  # noqa: E402


def _filled(name, dims, strides, role):
    shape = TensorShape(name, dims, strides, "DT_INT32", "attach_input")
    buffer = Buffer.new(name, "DT_INT32", 4 * shape.num_elements, "none")
    fill(buffer, shape, role, 3, 0)
    return buffer.view(dims, strides, 0)


@pytest.mark.parametrize(("experts", "rows", "choices"), [(64, 16, 8), (4, 3, 4), (8, 1, 2)])
def test_experts_that_rows_choose(experts, rows, choices):
    role = {x: TensorRole(x, limit=choices, rows=rows) for x in ("routing", "experts")}
    routing = _filled("r", (experts, rows), (rows, 1), role["routing"])
    listed = _filled("m", (experts + 1,), (1,), role["experts"])
    for row in range(rows):
        places = routing[:, row][routing[:, row] > 0].tolist()
        assert sorted(places) == list(range(1, choices + 1))
    active = routing.any(1).nonzero().squeeze(1).tolist()
    assert listed[: int(listed[-1])].tolist() == active
    assert (listed[len(active) : -1] == -1).all()
