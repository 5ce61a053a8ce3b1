"""Routing and experts against dense loops, FP8 against dequantized float64."""

import struct

import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from tests.reference.bench import Bench, bf16, close, nan, same_bits  # noqa: E402

EXPERTS, CHOICES = 128, 8
FP8 = torch.float8_e4m3fn


def _routing(rows, experts=EXPERTS, choices=CHOICES, seed=0):
    """Random choices as the kernels hand them on: the list of experts not in order."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.stack(
        [torch.randperm(experts, generator=generator)[:choices] for _ in range(rows)]
    )
    routing = torch.zeros(experts, rows, dtype=torch.int32)
    for row in range(rows):
        for place, expert in enumerate(chosen[row].tolist()):
            routing[expert, row] = place + 1
    active = chosen.unique()
    active = active[torch.randperm(len(active), generator=generator)]
    mask = torch.full((experts + 1,), -1, dtype=torch.int32)
    mask[: len(active)] = active
    mask[experts] = len(active)
    return chosen, routing, mask


def _dense(x, weight, chosen):
    """(rows, choices, columns) in float64, a row and a choice at a time."""
    rows, choices = chosen.shape
    out = torch.empty(rows, choices, weight.shape[1], dtype=torch.float64)
    for row in range(rows):
        for place in range(choices):
            source = x[row] if x.dim() == 2 else x[row, place]
            out[row, place] = functional.linear(source, weight[int(chosen[row, place])])
    return out


@pytest.mark.parametrize("cc", [90, 100])
@pytest.mark.parametrize("layer", ["w13", "w2"])
@pytest.mark.parametrize("grid", [(1, 1, 1), (5, 2, 1), (10, 4, 1)])
def test_linear_of_experts(cc, layer, grid):
    experts, choices, rows, k, columns = 16, 3, 5, 64, 128
    chosen, routing, mask = _routing(rows, experts, choices)
    bench = Bench(cc)
    x = bench.attach("x", bf16(*((rows, k) if layer == "w13" else (rows, choices, k))))
    w = bench.attach("w", bf16(experts, columns, k, seed=1, scale=1 / 8))
    bench.attach("routing", routing)
    bench.attach("mask", mask)
    bench.attach("out", nan(rows, choices, columns))
    bench.layer(
        f"moe_{layer}_linear_layer",
        input="x",
        weight="w",
        moe_routing_indices="routing",
        moe_mask="mask",
        output="out",
        grid_dim=grid,
    )
    out = bench.run_everyway()["out"]
    close(out, _dense(x.double(), w.double(), chosen), bench.row.task_type)


def test_linear_of_experts_leaves_others_alone():
    """A row that no expert of the list takes keeps what it holds."""
    _, routing, mask = _routing(2, 16, 2)
    routing[:, 1] = 0
    bench = Bench(100)
    bench.attach("x", bf16(2, 64))
    bench.attach("w", bf16(16, 128, 64, seed=1))
    bench.attach("routing", routing)
    bench.attach("mask", mask)
    bench.attach("out", nan(2, 2, 128))
    bench.layer(
        "moe_w13_linear_layer",
        input="x",
        weight="w",
        moe_routing_indices="routing",
        moe_mask="mask",
        output="out",
        grid_dim=(10, 1, 1),
    )
    out = bench.run_everyway()["out"]
    assert not out[0].isnan().any()
    assert out[1].isnan().all()


def _routed(bench, rows):
    bench.attach("weights", torch.full((rows, CHOICES), float("nan")))
    bench.attach("routing", torch.full((EXPERTS, rows), 99, dtype=torch.int32))
    bench.attach("mask", torch.full((EXPERTS + 1,), 99, dtype=torch.int32))
    return tuple(bench.handles[name] for name in ("weights", "routing", "mask"))


def _check_routing(after, experts):
    """Routing and list by loops over the chosen experts (rows, k)."""
    expected = torch.zeros_like(after["routing"])
    for row, chosen in enumerate(experts.tolist()):
        for place, expert in enumerate(chosen):
            expected[expert, row] = place + 1
    assert torch.equal(after["routing"], expected)
    active = sorted(set(experts.flatten().tolist()))
    assert after["mask"][-1] == len(active)
    assert sorted(after["mask"][: len(active)].tolist()) == active
    assert (after["logits"] == 0).all()


def test_topk_softmax():
    rows = 7
    bench = Bench(100)
    logits = bench.attach("logits", bf16(rows, EXPERTS))
    bench.layer(
        "moe_topk_softmax_routing_layer",
        input="logits",
        output=_routed(bench, rows),
        grid_dim=(1, 1, 1),
    )
    after = bench.run_everyway()
    # Of equal logits the lower expert: sorted by a key that says so
    keyed = torch.softmax(logits.double(), 1) - torch.arange(EXPERTS) * 1e-12
    values, experts = keyed.topk(CHOICES, 1)
    expected = values / values.sum(1, keepdim=True)
    close(after["weights"], expected, bench.row.task_type)
    _check_routing(after, experts)


@pytest.mark.parametrize(("num_groups", "kept"), [(8, 4), (4, 1), (1, 1)])
def test_topk_sigmoid(num_groups, kept):
    rows, scale = 5, 2.5
    bench = Bench(100)
    logits = bench.attach("logits", bf16(rows, EXPERTS))
    bias = bench.attach("bias", bf16(EXPERTS, seed=1, scale=0.1).float())
    bench.layer(
        "moe_topk_sigmoid_routing_layer",
        input="logits",
        bias="bias",
        output=_routed(bench, rows),
        grid_dim=(1, 1, 1),
        num_groups=num_groups,
        topk_group=kept,
        routed_scaling_factor=scale,
    )
    after = bench.run_everyway()
    experts, weights = [], []
    for row in range(rows):
        score = torch.sigmoid(logits[row].double())
        biased = (score + bias.double()).tolist()
        size = EXPERTS // num_groups
        groups = [biased[g * size : (g + 1) * size] for g in range(num_groups)]
        best = sorted(range(num_groups), key=lambda g: -sum(sorted(groups[g])[-2:]))[:kept]
        usable = [e for e in range(EXPERTS) if e // size in best]
        chosen = sorted(usable, key=lambda e: (-biased[e], e))[:CHOICES]
        experts.append(chosen)
        weights.append(score[chosen] / score[chosen].sum() * scale)
    close(after["weights"], torch.stack(weights), bench.row.task_type)
    _check_routing(after, torch.tensor(experts))


@pytest.mark.parametrize("grid", [(1, 1, 1), (5, 1, 1), (5, 4, 1)])
def test_weighted_sum(grid):
    bench = Bench(100)
    x = bench.attach("x", bf16(5, CHOICES, 64))
    w = bench.attach("w", torch.rand(5, CHOICES, generator=torch.Generator().manual_seed(1)))
    r = bench.attach("r", bf16(5, 64, seed=2))
    bench.attach("out", nan(5, 64))
    bench.layer(
        "moe_mul_sum_add_layer", input="x", weight="w", residual="r", output="out", grid_dim=grid
    )
    expected = torch.einsum("bj,bji->bi", w.double(), x.double()) + r.double()
    close(bench.run_everyway()["out"], expected, bench.row.task_type)


# FP8


def _quantize(x):
    """Block by block: e4m3 values and float32 scales, as checkpoints have them."""
    blocks = x.float().unflatten(-1, (-1, 128))
    scale = blocks.abs().amax(-1) / 448
    return (blocks / scale.unsqueeze(-1)).flatten(-2).to(FP8), scale


def _dequantized(values, scale):
    return values.double() * scale.double().repeat_interleave(128, -1)


def _power(scale):
    """At or below each scale: what the experts' kernels take."""
    power = torch.ldexp(torch.ones_like(scale), torch.frexp(scale).exponent - 1)
    assert ((power <= scale) & (scale < 2 * power)).all()
    return power


@pytest.mark.parametrize(
    ("shape", "is_packed"),
    [
        ((5, 512), True),
        ((3, 384), True),
        ((5, 512), False),
        ((3, 384), False),
        ((2, 3, 256), False),
    ],
)
def test_quantize(shape, is_packed):
    rows, blocks = torch.Size(shape[:-1]).numel(), shape[-1] // 128
    bench = Bench(100)
    x = bf16(*shape)
    x.view(rows, -1)[0, :128] *= 1000
    x.view(rows, -1)[1, :128] = 0
    bench.attach("x", x)
    bench.attach("q", torch.full(shape, 7.0).to(FP8))
    if is_packed:
        bench.attach("s", torch.full((-(-blocks // 4), -(-rows // 4) * 4), 99, dtype=torch.uint32))
    else:
        bench.attach("s", torch.full((*shape[:-1], blocks), float("nan")))
    bench.layer(
        "quantize_fp8_layer",
        input="x",
        output_fp8="q",
        output_scale="s",
        grid_dim=(rows, 1, 1),
        scale_ue8m0=is_packed,
    )
    after = bench.run_everyway()
    if is_packed:
        scale = torch.empty(rows, blocks, dtype=torch.float64)
        for row in range(rows):
            for block in range(blocks):
                word = int(after["s"].view(torch.int32)[block // 4, row]) & 0xFFFFFFFF
                scale[row, block] = 2.0 ** ((word >> block % 4 * 8 & 0xFF) - 127)
        assert (after["s"].view(torch.int32)[:, rows:] == 99).all()
    else:
        scale = after["s"].double().view(rows, blocks)
    largest = x.double().view(rows, blocks, 128).abs().amax(2).clamp(min=1e-10)
    # Scales fit the largest element: tightly, or to the next power of two
    assert (largest <= scale * 448 * (1 + 1e-6)).all()
    assert (scale * 448 < largest * (2 if is_packed else 1 + 1e-6)).all()
    back = _dequantized(after["q"].view(rows, -1), scale)
    error = (back - x.double().view(rows, -1)).abs()
    # Half a unit of three bits of mantissa, or of the smallest there is
    step = torch.maximum(
        x.double().view(rows, -1).abs() * 2**-4, scale.repeat_interleave(128, 1) * 2**-10
    )
    assert (error <= step * (1 + 1e-6)).all()


def test_quantize_does_one_row_a_task():
    bench = Bench(100)
    bench.attach("x", bf16(4, 128))
    bench.attach("q", torch.full((4, 128), 7.0).to(FP8))
    bench.attach("s", torch.full((4, 1), float("nan")))
    bench.layer(
        "quantize_fp8_layer",
        input="x",
        output_fp8="q",
        output_scale="s",
        grid_dim=(2, 1, 1),
        scale_ue8m0=False,
    )
    after = bench.run_everyway()
    assert after["s"].isnan().flatten().tolist() == [False, False, True, True]


def _packed(scale):
    """Powers of two (rows, blocks) as words (rows, ceil(blocks / 4))."""
    rows, blocks = scale.shape
    words = torch.zeros(rows, -(-blocks // 4), dtype=torch.int64)
    for block in range(blocks):
        words[:, block // 4] |= (scale[:, block].log2().long() + 127) << block % 4 * 8
    return words.to(torch.uint32)


@pytest.mark.parametrize("has_residual", [False, True])
@pytest.mark.parametrize(("k", "grid"), [(512, 1), (512, 4), (896, 3)])
def test_linear_fp8(has_residual, k, grid):
    rows, columns = 5, 96
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(n, k, generator=generator).to(FP8) for n in (rows, columns))
    x_scale, w_scale = (
        2.0 ** torch.randint(-4, 4, (n, k // 128), generator=generator) for n in (rows, columns)
    )
    bench = Bench(100)
    bench.attach("x", x)
    words = torch.zeros(-(-k // 512), 8, dtype=torch.uint32)
    words[:, :rows] = _packed(x_scale).T
    bench.attach("xs", words)
    bench.attach("w", w)
    # Column-major, as the layer takes it
    bench.attach("ws", _packed(w_scale).T.contiguous().T)
    r = bench.attach("r", bf16(rows, columns, seed=2))
    bench.attach("out", nan(rows, columns))
    more = {"residual": "r"} if has_residual else {}
    bench.layer(
        f"linear_fp8_{'with_residual_' * has_residual}layer",
        input_fp8="x",
        input_scale="xs",
        weight_fp8="w",
        weight_scale="ws",
        output="out",
        grid_dim=(grid, 1, 1),
        **more,
    )
    expected = functional.linear(_dequantized(x, x_scale), _dequantized(w, w_scale))
    close(bench.run_everyway()["out"], expected + has_residual * r.double(), bench.row.task_type)


@pytest.mark.parametrize("layer", ["w13", "w2"])
@pytest.mark.parametrize("grid", [(1, 1, 1), (7, 2, 1)])
def test_fp8_of_experts(layer, grid):
    experts, choices, rows, k, columns = 16, 3, 5, 256, 128
    chosen, routing, mask = _routing(rows, experts, choices)
    shape = (rows, k) if layer == "w13" else (rows, choices, k)
    x, x_scale = _quantize(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    w, w_scale = _quantize(
        torch.randn(experts, columns, k, generator=torch.Generator().manual_seed(2)) / 16
    )
    bench = Bench(100)
    for name, tensor in (
        ("x", x),
        ("xs", x_scale),
        ("w", w),
        ("ws", w_scale),
        ("routing", routing),
        ("mask", mask),
        ("out", nan(rows, choices, columns)),
    ):
        bench.attach(name, tensor)
    bench.layer(
        f"moe_{layer}_fp8_layer",
        input_fp8="x",
        input_scale="xs",
        weight_fp8="w",
        weight_scale="ws",
        moe_routing_indices="routing",
        moe_mask="mask",
        output="out",
        grid_dim=grid,
    )
    weight = _dequantized(w, _power(w_scale))
    expected = _dense(_dequantized(x, _power(x_scale)), weight, chosen)
    close(bench.run_everyway()["out"], expected, bench.row.task_type)


def test_scale_bits_are_those_of_the_float():
    """What the layer hands to the kernel."""
    bench = Bench(100)
    bench.attach("logits", bf16(1, EXPERTS))
    bench.attach("bias", torch.zeros(EXPERTS))
    bench.layer(
        "moe_topk_sigmoid_routing_layer",
        input="logits",
        bias="bias",
        output=_routed(bench, 1),
        grid_dim=(1, 1, 1),
        routed_scaling_factor=2.5,
    )
    assert struct.unpack("f", struct.pack("i", bench.task.params[2])) == (2.5,)
    assert not same_bits(bench.run_whole()["weights"], nan(1, CHOICES, dtype=torch.float32))
