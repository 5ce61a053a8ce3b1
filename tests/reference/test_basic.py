"""Norms, linears, elementwise kernels and embedding."""

import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from mpkgraph.reference import TaskCall, TaskExecutionError  # noqa: E402
from mpkgraph.reference.table import TASK_FUNCTIONS  # noqa: E402
from tests.reference.bench import Bench, bf16, close, nan, same_bits  # noqa: E402


def active(rows):
    return {"qo_indptr_buffer": torch.tensor([0, rows], dtype=torch.int32)}


@pytest.mark.parametrize(("cc", "grid"), [(80, (6, 1, 1)), (90, (3, 1, 1)), (100, (1, 1, 1))])
def test_rmsnorm(cc, grid):
    bench = Bench(cc)
    x = bench.attach("x", bf16(6, 512))
    w = bench.attach("w", bf16(512, seed=1))
    bench.attach("out", nan(6, 512))
    bench.layer("rmsnorm_layer", input="x", weight="w", output="out", grid_dim=grid)
    expected = functional.rms_norm(x.double(), (512,), w.double(), 1e-6)
    close(bench.run_everyway()["out"], expected, bench.row.task_type)


@pytest.mark.parametrize("cc", [80, 90, 100])
@pytest.mark.parametrize("grid", [(1, 1, 1), (4, 1, 1), (12, 1, 1)])
def test_linear(cc, grid):
    bench = Bench(cc, meta=active(5))
    x = bench.attach("x", bf16(5, 256))
    w = bench.attach("w", bf16(96, 256, seed=1))
    bench.attach("out", nan(5, 96))
    bench.layer("linear_layer", input="x", weight="w", output="out", grid_dim=grid)
    expected = functional.linear(x.double(), w.double())
    close(bench.run_everyway()["out"], expected, bench.row.task_type)


@pytest.mark.parametrize("cc", [80, 90, 100])
@pytest.mark.parametrize("rank", [0, 1])
def test_linear_with_residual(cc, rank):
    bench = Bench(cc, world_size=2, rank=rank, meta=active(5))
    x = bench.attach("x", bf16(5, 256))
    w = bench.attach("w", bf16(96, 256, seed=1))
    r = bench.attach("r", bf16(5, 96, seed=2))
    bench.attach("out", nan(5, 96))
    bench.layer(
        "linear_with_residual_layer",
        input="x",
        weight="w",
        residual="r",
        output="out",
        grid_dim=(4, 1, 1),
    )
    expected = functional.linear(x.double(), w.double()) + (r.double() if rank == 0 else 0)
    close(bench.run_everyway()["out"], expected, bench.row.task_type)


def test_residual_that_is_the_output():
    """As multi-token prediction does it: each element is read before it is written."""
    bench = Bench(100)
    x, w = bench.attach("x", bf16(2, 64)), bench.attach("w", bf16(32, 64, seed=1))
    out = bench.attach("out", bf16(2, 32, seed=2))
    bench.layer(
        "linear_with_residual_layer",
        input="x",
        weight="w",
        residual="out",
        output="out",
        grid_dim=(2, 1, 1),
    )
    expected = functional.linear(x.double(), w.double()) + out.double()
    close(bench.run_everyway()["out"], expected, bench.row.task_type)


@pytest.mark.parametrize(
    "name",
    [
        "TASK_LINEAR_HOPPER",
        "TASK_LINEAR_WITH_RESIDUAL_HOPPER",
        "TASK_LINEAR_CUTLASS_HOPPER",
        "TASK_LINEAR_CUTLASS_WITH_RESIDUAL_HOPPER",
    ],
)
def test_linears_that_no_layer_makes(name):
    x, w, r, out = bf16(5, 256), bf16(96, 256, seed=1), bf16(5, 96, seed=2), nan(5, 96)
    has_residual = "RESIDUAL" in name
    TASK_FUNCTIONS[name].run(TaskCall(name, (x, w, r) if has_residual else (x, w), (out,)))
    close(out, functional.linear(x.double(), w.double()) + has_residual * r.double(), name)


@pytest.mark.parametrize("cc", [90, 100])
@pytest.mark.parametrize("grid", [(1, 1, 1), (4, 1, 1), (4, 4, 1), (1, 8, 1)])
def test_splitk_linear(cc, grid):
    bench = Bench(cc)
    x = bench.attach("x", bf16(5, 256))
    w = bench.attach("w", bf16(96, 256, seed=1, scale=1 / 16))
    out = bench.attach("out", bf16(5, 96, seed=2))
    bench.layer("splitk_linear_layer", input="x", weight="w", output="out", grid_dim=grid)
    whole = bench.run_whole()["out"]
    # Backwards, slices are added in another order
    assert same_bits(bench.run_tasks()["out"], whole)
    expected = functional.linear(x.double(), w.double()) + out.double()
    torch.testing.assert_close(whole.double(), expected, rtol=0, atol=0.02 * (1 + grid[1]))


def _silu_mul(x, groups):
    parts = x.double().unflatten(-1, (groups, 2, -1))
    return (functional.silu(parts[..., 0, :]) * parts[..., 1, :]).flatten(-2)


@pytest.mark.parametrize("grid", [(1, 1, 1), (8, 1, 1)])
def test_silu_mul(grid):
    bench = Bench(90, meta=active(3))
    x = bench.attach("x", bf16(5, 128))
    bench.attach("out", nan(5, 64))
    bench.layer("silu_mul_layer", input="x", output="out", grid_dim=grid)
    out = bench.run_everyway()["out"]
    assert out[3:].isnan().all()
    close(out[:3], _silu_mul(x[:3], grid[0]), bench.row.task_type)


def test_silu_mul_of_experts():
    bench = Bench(100)
    x = bench.attach("x", bf16(4, 8, 64))
    bench.attach("out", nan(4, 8, 32))
    bench.layer("moe_silu_mul_layer", input="x", output="out", grid_dim=(4, 8, 1))
    out = bench.run_everyway()["out"]
    close(out, _silu_mul(x, 1), bench.row.task_type)


def test_rmsnorm_linear():
    bench = Bench(80, meta=active(3))
    x, g = bench.attach("x", bf16(4, 256)), bench.attach("g", bf16(256, seed=1))
    w = bench.attach("w", bf16(64, 256, seed=2, scale=1 / 16))
    bench.attach("out", nan(4, 64))
    bench.layer(
        "rmsnorm_linear_layer",
        input="x",
        weight_norm="g",
        weight_linear="w",
        output="out",
        grid_dim=(4, 1, 1),
    )
    out = bench.run_everyway()["out"]
    normed = functional.rms_norm(x.double(), (256,), g.double(), 1e-6)
    assert (out[3:] == 0).all()
    # The products with the norm's weight are rounded before the sum
    torch.testing.assert_close(
        out[:3].double(), functional.linear(normed, w.double())[:3], rtol=2**-7, atol=2**-5
    )


def test_silu_mul_linear_with_residual():
    bench = Bench(80)
    x, w = bench.attach("x", bf16(4, 256)), bench.attach("w", bf16(64, 128, seed=2, scale=1 / 16))
    r = bench.attach("r", bf16(4, 64, seed=3))
    bench.attach("out", nan(4, 64))
    bench.layer(
        "silu_mul_linear_with_residual_layer",
        input="x",
        weight="w",
        residual="r",
        output="out",
        grid_dim=(4, 1, 1),
    )
    gate, up = x.double().chunk(2, 1)
    expected = functional.linear(functional.silu(gate) * up, w.double()) + r.double()
    out = bench.run_everyway()["out"]
    torch.testing.assert_close(out.double(), expected, rtol=2**-7, atol=2**-5)


def test_identity():
    bench = Bench(80)
    x = bench.attach("x", bf16(3, 64))
    bench.attach("out", nan(3, 64))
    bench.layer("identity_layer", input="x", output="out", grid_dim=(4, 1, 1))
    assert same_bits(bench.run_everyway()["out"], x)


def test_elementwise_add():
    bench = Bench(100)
    a, b = bench.attach("a", bf16(4, 64)), bench.attach("b", bf16(4, 64, seed=1))
    bench.attach("out", nan(4, 64))
    bench.layer("elementwise_add_layer", input_a="a", input_b="b", output="out", grid_dim=(4, 1, 1))
    close(bench.run_everyway()["out"], a.double() + b.double(), bench.row.task_type)


def test_tensor_init():
    bench = Bench(100)
    bench.attach("x", nan(4, 64))
    dummy = bench.attach("dummy", bf16(4, 64))
    bench.layer(
        "tensor_init_layer",
        input="x",
        dummy_input="dummy",
        dummy_output="dummy",
        grid_dim=(4, 1, 1),
    )
    after = bench.run_everyway()
    assert (after["x"] == 0).all()
    assert same_bits(after["dummy"], dummy)


def test_argmax_does_nothing():
    bench = Bench(90)
    bench.attach("x", bf16(2, 64))
    bench.attach("out", torch.full((2, 1), 77))
    bench.layer("argmax_layer", input="x", output="out", grid_dim=(1, 1, 1))
    assert (bench.run_everyway()["out"] == 77).all()


@pytest.mark.parametrize("grid", [(1, 1, 1), (4, 1, 1)])
def test_embedding(grid):
    bench = Bench(90)
    ids = bench.attach("ids", torch.tensor([[3], [0], [-1], [9]]))
    table = bench.attach("table", bf16(10, 64))
    bench.attach("out", nan(4, 64))
    bench.layer(
        "embed_layer", input="ids", weight="table", output="out", grid_dim=grid, input_source=1
    )
    out = bench.run_everyway()["out"]
    expected = functional.embedding(ids.flatten().clamp(min=0), table)
    expected[2] = 0
    assert same_bits(out, expected)


def test_embedding_of_tokens():
    meta = {"tokens": torch.arange(8).view(1, 8), "step": torch.tensor([5], dtype=torch.int32)}
    bench = Bench(90, meta=meta)
    bench.attach("ids", torch.zeros(2, 1, dtype=torch.int64))
    table = bench.attach("table", bf16(10, 64))
    bench.attach("out", nan(2, 64))
    bench.layer(
        "embed_layer", input="ids", weight="table", output="out", grid_dim=(1, 1, 1), input_source=0
    )
    assert same_bits(bench.run_everyway()["out"], table[5:7])


def test_embedding_of_an_id_beyond_the_table():
    call = TaskCall(
        "TASK_EMBEDDING", (torch.tensor([[10]]), bf16(10, 64)), (nan(1, 64),), params=(1,)
    )
    with pytest.raises(TaskExecutionError, match="token id 10 is beyond the table of 10 rows"):
        TASK_FUNCTIONS["TASK_EMBEDDING"].run(call)


def test_meta_tensor_that_is_missing():
    call = TaskCall("TASK_SILU_MUL", (bf16(2, 64),), (nan(2, 32),))
    with pytest.raises(TaskExecutionError, match="reads the meta tensor qo_indptr_buffer"):
        TASK_FUNCTIONS["TASK_SILU_MUL"].run(call)


def test_param_that_is_not_known():
    call = TaskCall("TASK_EMBEDDING", (torch.tensor([[1]]), bf16(10, 64)), (nan(1, 64),))
    with pytest.raises(TaskExecutionError, match="param 0 of the layer is not known"):
        TASK_FUNCTIONS["TASK_EMBEDDING"].run(call)
