"""Attention against torch's own, request by request and head by head."""

import pytest

torch = pytest.importorskip("torch")
functional = torch.nn.functional

from tests.reference.bench import Bench, bf16, close, nan, same_bits  # noqa: E402
from tests.reference.paging import Batch  # noqa: E402

WIDTH = 64
POSITIONS = 1024


def _tables():
    """cos and sin as models make them."""
    frequency = 10000.0 ** (-torch.arange(0, WIDTH, 2) / WIDTH)
    angle = torch.outer(torch.arange(POSITIONS), frequency).repeat(1, 2)
    return angle.cos().to(torch.bfloat16), angle.sin().to(torch.bfloat16)


def _head(x, norm, turn, position):
    """One head of one token, normed and turned, rounded where the kernels round."""
    if norm is not None:
        x = functional.rms_norm(x.double(), (WIDTH,), norm.double(), 1e-6).to(torch.bfloat16)
    if turn is not None:
        cos, sin = (t[position].double() for t in turn)
        wide = x.double()
        x = (wide * cos + torch.cat((-wide[WIDTH // 2 :], wide[: WIDTH // 2])) * sin).bfloat16()
    return x


def _expected(batch, qkv, caches, heads, per_head, norms=(None, None), turn=None):
    """Output rows and caches after it, with torch's attention over gathered pages."""
    k_cache, v_cache = (c.clone() for c in caches)
    out = nan(batch.num_tokens, heads * per_head * WIDTH).double()
    for request, (new, length) in enumerate(zip(batch.new, batch.lengths, strict=True)):
        if not new:
            continue
        for head in range(heads):
            group = qkv[batch.rows(request).start : batch.rows(request).stop]
            group = group.view(new, heads, per_head + 2, WIDTH)[:, head]
            queries = []
            for token in range(new):
                position = length - new + token
                queries.append(
                    [_head(group[token, h], norms[0], turn, position) for h in range(per_head)]
                )
                place = (*batch.place(request, position), head)
                k_cache[place] = _head(group[token, per_head], norms[1], turn, position)
                v_cache[place] = group[token, per_head + 1]
            keys = batch.gathered(k_cache[:, :, head], request, length).double()
            values = batch.gathered(v_cache[:, :, head], request, length).double()
            mask = torch.ones(new, length, dtype=torch.bool).tril(length - new)
            for h in range(per_head):
                q = torch.stack([token[h] for token in queries]).double()
                found = functional.scaled_dot_product_attention(
                    q[None], keys[None], values[None], attn_mask=mask
                )[0]
                column = (head * per_head + h) * WIDTH
                out[batch.rows(request), column : column + WIDTH] = found
    return out, k_cache, v_cache


CASES = {
    "decode": ([1, 1], [70, 3]),
    "several tokens": ([3, 2], [130, 64]),
    "an empty place": ([2, 0, 1], [65, 0, 200]),
    "prefill": ([4, 4], [4, 4]),
}


def _bench(batch, cc, heads, per_head, *, norm=True, turn=True):
    bench = Bench(cc, meta=batch.meta, **batch.sizes)
    qkv = bench.attach("qkv", bf16(batch.num_tokens, heads * (per_head + 2) * WIDTH))
    shape = (batch.num_pages, batch.page_size, heads, WIDTH)
    caches = bench.attach("k", bf16(*shape, seed=1)), bench.attach("v", bf16(*shape, seed=2))
    norms = tables = (None, None)
    if norm:
        norms = bench.attach("qn", bf16(WIDTH, seed=3)), bench.attach("kn", bf16(WIDTH, seed=4))
    if turn:
        tables = tuple(bench.attach(n, t) for n, t in zip(("cos", "sin"), _tables(), strict=True))
    names = {
        "input": "qkv",
        "k_cache": "k",
        "v_cache": "v",
        "q_norm": "qn" if norm else None,
        "k_norm": "kn" if norm else None,
        "cos_pos_embed": "cos" if turn else None,
        "sin_pos_embed": "sin" if turn else None,
    }
    return bench, qkv, caches, norms, tables if turn else None, names


@pytest.mark.parametrize("cc", [80, 90, 100])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("norm", "turn"), [(True, True), (False, True), (False, False)])
def test_paged(cc, case, norm, turn):
    heads, per_head = 2, 2
    batch = Batch(*CASES[case], page_size=64)
    bench, qkv, caches, norms, tables, names = _bench(
        batch, cc, heads, per_head, norm=norm, turn=turn
    )
    bench.attach("out", nan(batch.num_tokens, heads * per_head * WIDTH))
    bench.layer("paged_attention_layer", **names, output="out", grid_dim=(len(batch.new), heads, 1))
    after = bench.run_everyway()
    out, k_cache, v_cache = _expected(batch, qkv, caches, heads, per_head, norms, tables)
    close(after["out"], out, bench.row.task_type)
    # New keys may round the other way after the norm
    torch.testing.assert_close(after["k"], k_cache, rtol=2**-7, atol=2**-8)
    assert same_bits(after["v"], v_cache)


def _split_strides(tokens, chunks, heads, per_head, width):
    """As Mirage's demo gives them: (tokens, chunks * q * width, heads)."""
    dims = (tokens, chunks * per_head * width, heads)
    return dims, (chunks * heads * per_head * width, 1, chunks * per_head * width)


@pytest.mark.parametrize("cc", [90, 100])
@pytest.mark.parametrize(
    "case", [([1], [700]), ([1, 1], [300, 20]), ([3, 2], [515, 257]), ([1, 0, 2], [256, 0, 1000])]
)
def test_split_and_merge(cc, case):
    heads, per_head, chunks = 2, 2, 4
    batch = Batch(*case, page_size=128)
    bench, qkv, caches, norms, tables, names = _bench(batch, cc, heads, per_head)
    tokens = batch.num_tokens
    lse_dims, lse_strides = _split_strides(tokens, chunks, heads, per_head, 1)
    tmp_dims, tmp_strides = _split_strides(tokens, chunks, heads, per_head, WIDTH)
    lse = torch.full(lse_dims, float("nan")).as_strided(lse_dims, lse_strides)
    tmp = nan(*tmp_dims).as_strided(tmp_dims, tmp_strides)
    bench.attach("lse", lse)
    bench.attach("tmp", tmp)
    grid = (len(batch.new), heads, chunks)
    bench.layer(
        "paged_attention_split_kv_layer",
        **names,
        lse="lse",
        output="tmp",
        attention_params=(heads * per_head, chunks),
        grid_dim=grid,
    )
    split = bench.run_everyway()
    expected, k_cache, v_cache = _expected(batch, qkv, caches, heads, per_head, norms, tables)
    torch.testing.assert_close(split["k"], k_cache, rtol=2**-7, atol=2**-8)
    assert same_bits(split["v"], v_cache)

    merge = Bench(cc, meta=batch.meta, **batch.sizes)
    merge.attach("lse", split["lse"])
    merge.attach("tmp", split["tmp"])
    merge.attach("out", nan(tokens, heads * per_head * WIDTH))
    merge.layer(
        "paged_attention_split_kv_merge_layer",
        lse="lse",
        output_tmp="tmp",
        output="out",
        attention_params=(heads * per_head, WIDTH),
        grid_dim=(len(batch.new), heads, 1),
    )
    out = merge.run_everyway()["out"]
    torch.testing.assert_close(out.double(), expected, rtol=2**-6, atol=2**-7)


def test_split_of_demo_strides():
    """The demo's partial outputs have a row stride without the width: places come from params."""
    heads, per_head, chunks = 2, 2, 4
    batch = Batch([2], [300], page_size=128)
    results = []
    for row in (chunks * heads * per_head, chunks * heads * per_head * WIDTH):
        bench, *_, names = _bench(batch, 90, heads, per_head)
        lse_dims, lse_strides = _split_strides(2, chunks, heads, per_head, 1)
        tmp_dims, tmp_strides = _split_strides(2, chunks, heads, per_head, WIDTH)
        bench.attach("lse", torch.full(lse_dims, 0.0).as_strided(lse_dims, lse_strides))
        buffer = torch.zeros(tmp_dims, dtype=torch.bfloat16)
        bench.attach("tmp", buffer.as_strided(tmp_dims, (row, *tmp_strides[1:])))
        bench.layer(
            "paged_attention_split_kv_layer",
            **names,
            lse="lse",
            output="tmp",
            attention_params=(heads * per_head, chunks),
            grid_dim=(1, heads, chunks),
        )
        tmp = bench.run_everyway()["tmp"]
        results.append(tmp.as_strided((buffer.numel(),), (1,), tmp.storage_offset()).clone())
    assert same_bits(*results)


@pytest.mark.parametrize(("norm", "turn"), [(True, True), (False, False)])
@pytest.mark.parametrize("extend", [0, 3])
def test_contiguous(norm, turn, extend):
    heads, per_head, step = 2, 2, 70
    tokens = extend + 1
    # One page that is the whole cache
    batch = Batch([tokens], [step + tokens], page_size=128)
    batch.meta = {"step": torch.tensor([step], dtype=torch.int32)}
    bench, qkv, caches, norms, tables, names = _bench(
        batch, 80, heads, per_head, norm=norm, turn=turn
    )
    bench.attach("out", nan(tokens, heads * per_head * WIDTH))
    method = "single_batch_extend_attention_layer" if extend else "attention_layer"
    bench.layer(method, **names, output="out", grid_dim=(1, heads, 1))
    after = bench.run_everyway()
    out, k_cache, v_cache = _expected(batch, qkv, caches, heads, per_head, norms, tables)
    close(after["out"], out, bench.row.task_type)
    torch.testing.assert_close(after["k"], k_cache, rtol=2**-7, atol=2**-8)
    assert same_bits(after["v"], v_cache)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paged_kv_indices_buffer": torch.tensor([9, 9, 9])}, "is given page 9, and the cache"),
        ({"paged_kv_indices_buffer": torch.tensor([0])}, "needs entry 1 of paged_kv_indices"),
        ({"paged_kv_indptr_buffer": None}, "reads the meta tensor paged_kv_indptr_buffer"),
    ],
)
def test_wrong_page_tables(change, message):
    from mpkgraph.reference import TaskExecutionError

    batch = Batch([1], [70], page_size=64)
    batch.meta |= change
    bench, *_, names = _bench(batch, 90, 1, 2, norm=False, turn=False)
    bench.attach("out", nan(1, 2 * WIDTH))
    bench.layer("paged_attention_layer", **names, output="out", grid_dim=(1, 1, 1))
    with pytest.raises(TaskExecutionError, match=message):
        bench.run_whole()
