"""Multi-head latent attention against dense softmax in float64."""

import math

import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from mpkgraph.reference import TaskExecutionError  # noqa: E402
from tests.reference.bench import Bench, bf16, nan, same_bits  # noqa: E402
from tests.reference.paging import Batch  # noqa: E402

KEY, LATENT = 576, 512
SCALE = (0.1 * math.log(40.0) + 1.0) ** 2 / math.sqrt(192.0)
BLOCK = LATENT * 128


def _contiguous(batch, seed=1):
    """Rows of each request, as far apart as the longest is long; a guard of NaN behind."""
    longest = max(batch.lengths)
    keys = bf16(len(batch.new), longest, KEY, seed=seed)
    for request, length in enumerate(batch.lengths):
        keys[request, length:] = float("nan")
    return keys.flatten(0, 1)


def _dense(batch, queries, contiguous, num_heads):
    """(tokens, heads, 512) and log sums of weights (tokens, heads): a token at a time."""
    longest = max(batch.lengths)
    out = torch.full((batch.num_tokens, num_heads, LATENT), float("nan"), dtype=torch.float64)
    for request, (new, length) in enumerate(zip(batch.new, batch.lengths, strict=True)):
        keys = contiguous[request * longest : request * longest + length].double()
        for token in range(new):
            seen = keys[: length - new + token + 1]
            row = queries[batch.starts[request] + token].view(num_heads, KEY).double()
            out[batch.starts[request] + token] = (row @ seen.T * SCALE).softmax(1) @ seen[
                :, :LATENT
            ]
    return out


CASES = {
    "one token": ([1, 1], [300, 20], 1),
    "several tokens": ([4, 4], [515, 260], 4),
    "fewer than made for": ([1, 3], [130, 129], 4),
    "an empty place": ([2, 0, 3], [64, 0, 700], 3),
    "five": ([5], [200], 5),
}
RANKS = {"": 128, "tp2_": 64, "tp4_": 32, "tp8_": 16}
SPLITS = 6


def _groups(ranks, q_len):
    """Of heads, or of query tokens."""
    if ranks:
        return -(-q_len // {"tp2_": 2, "tp4_": 4, "tp8_": 2}[ranks])
    return next(n for n in range(1, 129) if 128 % n == 0 and 128 // n * q_len <= 128)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ranks", RANKS)
def test_decode_and_reduce(ranks, case):
    new, lengths, q_len = CASES[case]
    num_heads = RANKS[ranks]
    batch = Batch(new, lengths, page_size=128)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    # Small queries: with large ones a single key wins
    queries = bench.attach("q", bf16(batch.num_tokens, num_heads * KEY, scale=0.2))
    contiguous = bench.attach("kv", _contiguous(batch))
    blocks = len(new) * _groups(ranks, q_len) * SPLITS
    bench.attach("partial", nan(blocks, BLOCK))
    bench.attach("lse", nan(blocks, 128, dtype=torch.float32))
    length = {"q_len_real" if ranks == "tp8_" else "q_len": q_len, "kv_len": SPLITS * 128}
    bench.layer(
        f"mla_mtp_decode_{ranks}layer",
        q_input="q",
        kv_input="kv",
        output_partial="partial",
        output_lse="lse",
        **length,
    )
    parts = bench.run_everyway()

    reduce = Bench(100, meta=batch.meta, **batch.sizes)
    reduce.attach("partial", parts["partial"])
    reduce.attach("lse", parts["lse"])
    reduce.attach("out", nan(batch.num_tokens, num_heads * LATENT))
    reduce.layer(
        f"mla_mtp_decode_{ranks}reduce_layer" if ranks else "mla_mtp_reduce_layer",
        input_partial="partial",
        input_lse="lse",
        output="out",
        **length,
    )
    out = reduce.run_whole()["out"]
    if case == "several tokens":  # for time: there are thousands of tasks
        assert same_bits(reduce.run_tasks()["out"], out)
    expected = _dense(batch, queries, contiguous, num_heads)
    torch.testing.assert_close(out.double().view(expected.shape), expected, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("ranks", RANKS)
def test_logarithm_of_a_split(ranks):
    """Of the first block: natural for all heads, base 2 for ranks."""
    num_heads = RANKS[ranks]
    batch = Batch([1], [300], page_size=128)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    queries = bench.attach("q", bf16(1, num_heads * KEY, scale=0.2))
    contiguous = bench.attach("kv", _contiguous(batch))
    bench.attach("partial", nan(8, BLOCK))
    bench.attach("lse", nan(8, 128, dtype=torch.float32))
    bench.layer(
        f"mla_mtp_decode_{ranks}layer",
        q_input="q",
        kv_input="kv",
        output_partial="partial",
        output_lse="lse",
        kv_len=1024,
        **{"q_len_real" if ranks == "tp8_" else "q_len": 1},
    )
    after = bench.run_whole()
    tiles = 128
    scores = queries.view(num_heads, KEY).double() @ contiguous[:tiles].double().T * SCALE
    rows = num_heads
    expected = scores.logsumexp(1) * (math.log2(math.e) if ranks else 1)
    torch.testing.assert_close(after["lse"][0, :rows].double(), expected, rtol=1e-5, atol=1e-5)
    means = scores.softmax(1) @ contiguous[:tiles, :LATENT].double()
    stored = after["partial"][0].view(LATENT, 128)[:, :rows].T
    torch.testing.assert_close(stored.double(), means, rtol=2**-7, atol=2**-7)


def test_more_tokens_than_decode_takes():
    """They are left to the prefill: nothing is written."""
    batch = Batch([9], [200], page_size=128)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    bench.attach("q", bf16(9, 64 * KEY))
    bench.attach("kv", _contiguous(batch))
    bench.attach("partial", nan(8, BLOCK))
    bench.attach("lse", nan(8, 128, dtype=torch.float32))
    bench.layer(
        "mla_mtp_decode_tp2_layer",
        q_input="q",
        kv_input="kv",
        output_partial="partial",
        output_lse="lse",
        q_len=16,
        kv_len=1024,
    )
    after = bench.run_everyway()
    assert after["partial"].isnan().all()
    assert after["lse"].isnan().all()


@pytest.mark.parametrize(("q_len", "num_heads"), [(1, 128), (2, 128), (4, 16)])
def test_decode_layer(q_len, num_heads):
    """`mla_decode_layer`, whose grid splits rows that the kernel counts from the start."""
    batch = Batch([q_len], [300], page_size=128)
    splits, groups = 4, max(1, q_len * num_heads // 128)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    queries = bench.attach("q", bf16(q_len * num_heads, KEY, scale=0.2))
    contiguous = bench.attach("kv", _contiguous(batch))
    rows = splits * groups
    bench.attach("partial", nan(rows, BLOCK))
    bench.attach("lse", nan(rows, 128, dtype=torch.float32))
    grid = (splits, 1, 1) if q_len == 1 else (splits, groups, 1)
    bench.layer(
        "mla_decode_layer",
        q_input="q",
        kv_input="kv",
        output_partial="partial",
        output_lse="lse",
        mla_params=(num_heads, KEY, LATENT, splits, 1024),
        grid_dim=grid,
        q_len=q_len,
    )
    parts = bench.run_everyway()
    expected = _dense(batch, queries.view(q_len, -1), contiguous, num_heads).flatten(0, 1)
    # A layer makes two columns
    for start in (0, 256, 510):
        reduce = Bench(100, meta=batch.meta, **batch.sizes)
        reduce.attach("partial", parts["partial"])
        reduce.attach("lse", parts["lse"])
        reduce.attach("out", nan(q_len * num_heads, LATENT))
        reduce.layer(
            "mla_reduce_layer",
            input_partial="partial",
            input_lse="lse",
            output="out",
            mla_params=(num_heads, LATENT, splits, start, 2),
            grid_dim=(1, 1, 1) if q_len == 1 else (groups, 1, 1),
            q_len=q_len,
        )
        out = reduce.run_everyway()["out"]
        made = slice(start, start + 2)
        torch.testing.assert_close(out[:, made].double(), expected[:, made], rtol=2**-7, atol=2**-7)
        assert out.isnan().sum() == out.numel() - 2 * len(out)


@pytest.mark.parametrize("case", [([20], [20]), ([16, 70], [100, 300]), ([64, 3], [64, 9])])
def test_prefill(case):
    num_heads, rope = 2, 64
    batch = Batch(*case, page_size=128)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    nope = bench.attach("nope", bf16(batch.num_tokens, num_heads * LATENT, scale=0.2))
    pe = bench.attach("pe", bf16(batch.num_tokens, num_heads * rope, seed=1, scale=0.2))
    apart = batch.max_seq_length
    ckv = bench.attach("ckv", bf16(len(batch.new) * apart, LATENT, seed=2))
    kpe = bench.attach("kpe", bf16(len(batch.new) * apart, rope, seed=3))
    bench.attach("out", nan(batch.num_tokens, num_heads * LATENT))
    bench.layer(
        "mla_prefill_layer",
        q_nope="nope",
        q_pe="pe",
        ckv="ckv",
        kpe="kpe",
        output="out",
        mla_params=(num_heads, 512, LATENT, rope, LATENT),
        grid_dim=(num_heads, 2, len(batch.new)),
    )
    out = bench.run_everyway()["out"]
    for request, (new, length) in enumerate(zip(batch.new, batch.lengths, strict=True)):
        rows = slice(batch.starts[request], batch.starts[request + 1])
        if new < 16:
            assert out[rows].isnan().all()
            continue
        span = slice(request * apart, request * apart + length)
        keys = torch.cat((ckv[span], kpe[span]), 1).double()
        mask = torch.ones(new, length, dtype=torch.bool).tril(length - new)
        for head in range(num_heads):
            query = torch.cat(
                (
                    nope[rows].view(new, num_heads, -1)[:, head],
                    pe[rows].view(new, num_heads, -1)[:, head],
                ),
                1,
            )
            expected = functional.scaled_dot_product_attention(
                query.double()[None], keys[None], ckv[span].double()[None], mask, scale=SCALE
            )[0]
            got = out[rows].view(new, num_heads, LATENT)[:, head]
            torch.testing.assert_close(got.double(), expected, rtol=2**-7, atol=2**-7)


def test_prefill_of_eight_ranks():
    num_heads, length, requests = 2, 100, 2
    bench = Bench(100)
    nope = bench.attach("nope", bf16(requests * length, num_heads * 128))
    pe = bench.attach("pe", bf16(requests * length, num_heads * 64, seed=1))
    k = bench.attach("k", bf16(requests * length, 192, seed=2))
    v = bench.attach("v", bf16(requests * length, 128, seed=3))
    bench.attach("out", nan(requests * length, num_heads * 128))
    bench.layer(
        "mla_prefill_tp8_layer",
        q_nope="nope",
        q_pe="pe",
        k="k",
        v="v",
        output="out",
        mla_params=(num_heads, length),
        grid_dim=(num_heads, 2, requests),
    )
    out = bench.run_everyway()["out"].view(requests, length, num_heads, 128)
    query = torch.cat((nope.view(-1, num_heads, 128), pe.view(-1, num_heads, 64)), 2)
    expected = functional.scaled_dot_product_attention(
        query.view(requests, length, num_heads, 192).transpose(1, 2).double(),
        k.view(requests, 1, length, 192).double().expand(-1, num_heads, -1, -1),
        v.view(requests, 1, length, 128).double().expand(-1, num_heads, -1, -1),
        is_causal=True,
    )
    torch.testing.assert_close(out.transpose(1, 2).double(), expected, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("is_split", [False, True])
@pytest.mark.parametrize("case", [([2, 1], [130, 130]), ([1, 0, 3], [128, 0, 60])])
def test_gather(is_split, case):
    batch = Batch(*case, page_size=64)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    latent = bench.attach("latent", bf16(batch.num_tokens, LATENT))
    pe = bench.attach("pe", bf16(batch.num_tokens, 128, seed=1))
    cache = bench.attach("cache", bf16(batch.num_pages, 64, KEY, seed=2))
    apart = batch.max_seq_length if is_split else max(batch.lengths)
    names = {"contiguous_kv": KEY}
    if is_split:
        names = {"ckv_sep": LATENT, "kpe_sep": KEY - LATENT}
    for name, width in names.items():
        bench.attach(name, nan(len(batch.new) * apart, width))
    bench.layer(
        f"mla_kv_gather_{'split_' * is_split}layer",
        c_latent_new="latent",
        k_pe_new="pe",
        paged_cache="cache",
        mla_params=(KEY, LATENT, 64),
        grid_dim=(len(batch.new), 1, 1),
        **{name: name for name in names},
    )
    after = bench.run_everyway()
    expected, rows = cache.clone(), nan(len(batch.new) * apart, KEY)
    for request, (new, length) in enumerate(zip(batch.new, batch.lengths, strict=True)):
        for position in range(length if new else 0):
            place, token = batch.place(request, position), position - (length - new)
            if token >= 0:
                row = batch.starts[request] + token
                expected[place][:LATENT] = latent[row]
                expected[place][LATENT:] = pe[row, : KEY - LATENT]
            rows[request * apart + position] = expected[place]
    assert same_bits(after["cache"], expected)
    got = torch.cat([after[name] for name in names], 1)
    assert same_bits(got, rows)


def test_block_that_is_too_small():
    batch = Batch([4], [200], page_size=128)
    bench = Bench(100, meta=batch.meta, **batch.sizes)
    bench.attach("q", bf16(4 * 128, KEY))
    bench.attach("kv", _contiguous(batch))
    bench.attach("partial", nan(1, BLOCK))
    bench.attach("lse", nan(1, 128, dtype=torch.float32))
    bench.layer(
        "mla_decode_layer",
        q_input="q",
        kv_input="kv",
        output_partial="partial",
        output_lse="lse",
        mla_params=(128, KEY, LATENT, 4, 1024),
        grid_dim=(4, 4, 1),
        q_len=4,
    )
    with pytest.raises(TaskExecutionError, match=r"reaches element \d+ of memory that holds"):
        bench.run_whole()
