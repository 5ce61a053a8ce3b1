"""Speculative decoding against loops over tokens, as the kernels' comments tell them."""

import pytest

torch = pytest.importorskip("torch")

from tests.reference.bench import Bench, bf16, close, same_bits  # noqa: E402

INT32 = torch.int32


def _ints(*values, dtype=torch.int64):
    return torch.tensor(values, dtype=dtype)


def _sevens(*shape, dtype=torch.int64):
    return torch.full(shape, 7, dtype=dtype)


def _run(bench, method, grid=(1, 1, 1), **arguments):
    tensors = {k: v for k, v in arguments.items() if isinstance(v, torch.Tensor)}
    for name, tensor in tensors.items():
        bench.attach(name, tensor)
    bench.layer(method, grid_dim=grid, **arguments | {name: name for name in tensors})
    return bench.run_everyway()


@pytest.mark.parametrize(
    ("drafts", "target", "accepted"),
    [
        ([5, 6, 7], [5, 6, 7, 8], 3),
        ([5, 6, 7], [5, 9, 7, 8], 1),
        ([5, 6, 7], [4, 6, 7, 8], 0),
    ],
)
def test_verify_strict(drafts, target, accepted):
    after = _run(
        Bench(100),
        "mtp_verify_strict_layer",
        grid=(2, 1, 1),
        draft_token_ids=_ints(drafts, [0, 0, 0]),
        target_token_ids=_ints(target, [0, 0, 0, 0]),
        accepted_count=_sevens(2, 1, dtype=INT32),
        output_tokens=_sevens(2, 4),
        num_draft_tokens=3,
    )
    assert after["accepted_count"].flatten().tolist() == [accepted + 1, 7]
    written = target[: accepted + 1]
    assert after["output_tokens"].flatten().tolist() == written + [7] * (8 - len(written))


def test_count_in_a_tensor_of_int64():
    """The kernel writes 32 bits, whatever was declared."""
    after = _run(
        Bench(100),
        "mtp_verify_strict_layer",
        draft_token_ids=_ints([5]),
        target_token_ids=_ints([5, 6]),
        accepted_count=torch.full((1, 1), -1),
        output_tokens=_sevens(1, 2),
        num_draft_tokens=1,
    )
    assert int(after["accepted_count"]) == -(2**32) + 2


def _probabilistic(drafts, target, p_target, p_draft, seed):
    """The rule in Python's numbers; (count, tokens)."""
    state, tokens = seed, []
    for i, draft in enumerate(drafts):
        if p_draft[i] == 0:
            if draft != target[i]:
                break
        else:
            state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
            if not p_target[i] > (state >> 33) / 2**31 * p_draft[i]:
                break
        tokens.append(draft)
    return len(tokens) + 1, [*tokens, target[len(tokens)]]


@pytest.mark.parametrize("seed", range(12))
def test_verify_probabilistic(seed):
    generator = torch.Generator().manual_seed(seed)
    drafts = torch.randint(0, 3, (1, 4), generator=generator)
    target = torch.randint(0, 3, (1, 5), generator=generator)
    p_target = torch.rand(1, 4, generator=generator)
    p_draft = torch.rand(1, 4, generator=generator)
    p_draft[0, seed % 4] = 0
    start = 2**63 + seed if seed % 2 else seed
    count, tokens = _probabilistic(
        drafts[0].tolist(), target[0].tolist(), p_target[0].tolist(), p_draft[0].tolist(), start
    )
    after = _run(
        Bench(100),
        "mtp_verify_probabilistic_layer",
        draft_token_ids=drafts,
        target_token_ids=target,
        target_probs=p_target,
        draft_probs=p_draft,
        seed=_ints(start - 2**64 if start >= 2**63 else start),
        accepted_count=_sevens(1, dtype=INT32),
        output_tokens=_sevens(1, 5),
        num_draft_tokens=4,
    )
    assert int(after["accepted_count"]) == count
    assert after["output_tokens"][0].tolist() == tokens + [7] * (5 - count)


def test_accept_commit():
    after = _run(
        Bench(100),
        "mtp_accept_commit_layer",
        accepted_count=_ints(2, 9, dtype=INT32),
        output_tokens=_ints([5, 6, 8, 9]),
        current_position=_ints(40, 9, dtype=INT32),
        new_position=_sevens(2, dtype=INT32),
        final_output=_sevens(1, 4),
        num_new_tokens=_sevens(2, dtype=INT32),
        num_draft_tokens=3,
    )
    assert after["new_position"].tolist() == [42, 7]
    assert after["num_new_tokens"].tolist() == [2, 7]
    assert after["final_output"].tolist() == [[5, 6, 7, 7]]


@pytest.mark.parametrize(("kind", "dtype"), [("token", torch.int64), ("float", torch.float32)])
def test_scatter(kind, dtype):
    after = _run(
        Bench(100),
        f"mtp_{kind}_scatter_layer",
        src=torch.tensor([[3], [4]], dtype=dtype),
        dst=_sevens(2, 3, dtype=dtype),
        batch_size=2,
        num_slots=3,
        slot_idx=1,
    )
    assert after["dst"].tolist() == [[7, 3, 7], [7, 4, 7]]


@pytest.mark.parametrize("steps", [(0, 3), (9, 5), (7, 10)])
def test_prepare_verify(steps):
    length = 10
    tokens = _sevens(2, length)
    after = _run(
        Bench(100),
        "mtp_prepare_verify_layer",
        grid=(2, 1, 1),
        main_token=_ints([50], [60]),
        draft_tokens=_ints([51, 52], [61, 62]),
        tokens_buffer=tokens,
        step=_ints(*steps, dtype=INT32),
        num_new_tokens=_sevens(2, dtype=INT32),
        num_draft_tokens=2,
        max_seq_len=length,
    )
    expected, counts = tokens.clone(), []
    for request, step in enumerate(steps):
        counts.append(max(min(3, length - step - 1), 0))
        for i in range(3):
            if step + 1 + i < length:
                expected[request, step + 1 + i] = 50 + 10 * request + i
    assert same_bits(after["tokens_buffer"], expected)
    assert after["num_new_tokens"].tolist() == counts


def test_build_embed_input():
    meta = {
        "tokens": torch.arange(20).view(2, 10),
        "step": torch.tensor([2, 7], dtype=INT32),
    }
    after = _run(
        Bench(100, meta=meta),
        "mtp_build_embed_input_layer",
        output_tokens=_ints([90], [91], [92], [93]),
        mtp_input_tokens=_sevens(4, 1),
        batch_size=4,
        max_seq_len=10,
    )
    assert after["mtp_input_tokens"].flatten().tolist() == [3, 4, 5, 93]
    bench = Bench(100, meta=meta)
    bench.attach("made", _ints([90], [91], [92], [93]))
    bench.attach("out", _sevens(4, 1))
    bench.layer(
        "mtp_build_embed_input_layer",
        output_tokens="made",
        mtp_input_tokens="out",
        batch_size=4,
        max_seq_len=10,
        grid_dim=(2, 1, 1),
    )
    # Every request's task writes all rows: the last one stays
    for after in (bench.run_whole(), bench.run_tasks()):
        assert after["out"].flatten().tolist() == [18, 19, 0, 93]


def test_softmax_gather():
    logits = bf16(3, 500)
    after = _run(
        Bench(100),
        "softmax_gather_layer",
        logits=logits,
        token_ids=_ints([4], [499], [500]),
        output_probs=torch.full((3, 1), 7.0),
    )
    share = torch.softmax(logits.double(), 1)
    expected = torch.stack([share[0, 4], share[1, 499], torch.tensor(0.0).double()])
    close(after["output_probs"].flatten(), expected, "TASK_SOFTMAX_GATHER_SM100")


def test_prob_scatter_and_extract():
    after = _run(
        Bench(100),
        "prob_scatter_layer",
        prob=torch.tensor([[0.5], [0.25], [0.125]]),
        step_counter=_ints(2, -1, 4, dtype=INT32),
        buffer=torch.full((3, 4), 7.0),
        max_positions=4,
    )
    expected = torch.full((3, 4), 7.0)
    expected[0, 2] = 0.5
    assert same_bits(after["buffer"], expected)
    after = _run(
        Bench(100),
        "prob_extract_layer",
        buffer=torch.arange(12.0).view(3, 4),
        offset=_ints(0, -3, 2, dtype=INT32),
        output=torch.full((3, 3), 7.0),
        max_positions=4,
        num_extract=3,
    )
    assert after["output"].tolist() == [[1, 2, 3], [0, 0, 4], [11, 0, 0]]


# Prompt lookup


def _ngram(tokens, step, size):
    """First place where the last `size` tokens stood before; None for nowhere."""
    known = tokens[: step + 1]
    for start in range(len(known) - size):
        if known[start : start + size] == known[-size:]:
            return start
    return None


@pytest.mark.parametrize(("seed", "step"), [(0, 700), (1, 300), (2, 40), (3, 2), (4, 3)])
@pytest.mark.parametrize("num_tasks", [1, 4])
def test_find_ngram(seed, step, num_tasks):
    size, count = 3, 5
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 6, (1, 1024), generator=generator)
    meta = {"step": torch.tensor([step], dtype=INT32)}
    nowhere = 2**63 - 1
    partial = _run(
        Bench(90, meta=meta),
        "find_ngram_partial_layer",
        grid=(num_tasks, 1, 1),
        input=tokens,
        output=torch.full((1, num_tasks), nowhere),
        ngram_size=size,
    )["output"]
    expected = _ngram(tokens[0].tolist(), step, size)
    assert int(partial.min()) == (nowhere if expected is None else expected)

    bench = Bench(90, meta=meta)
    bench.attach("places", partial)
    bench.attach("tokens", tokens)
    bench.attach("out", _sevens(1, count + 1))
    bench.layer(
        "find_ngram_global_layer",
        input=(bench.handles["places"], bench.handles["tokens"]),
        output="out",
        grid_dim=(1, 1, 1),
        ngram_size=size,
        spec_length=count,
    )
    drafts = [-1] * count
    if expected is not None:
        for i in range(count):
            if expected + size + i <= step:
                drafts[i] = int(tokens[0, expected + size + i])
    assert bench.run_everyway()["out"].tolist() == [[int(tokens[0, step]), *drafts]]


def test_no_ngram_in_few_tokens():
    """Nothing is written while there are no more tokens than the n-gram has."""
    after = _run(
        Bench(90, meta={"step": torch.tensor([2], dtype=INT32)}),
        "find_ngram_partial_layer",
        input=torch.zeros(1, 64, dtype=torch.int64),
        output=_sevens(1, 1),
        ngram_size=3,
    )
    assert int(after["output"]) == 7


@pytest.mark.parametrize(("target", "accepted"), [([5, 6, 7], 2), ([5, 9, 7], 1), ([4, 6, 7], 0)])
def test_verify_greedy(target, accepted):
    meta = {
        "step": torch.tensor([3], dtype=INT32),
        "tokens": _sevens(1, 10),
        "num_new_tokens": _sevens(1, dtype=INT32),
    }
    bench = Bench(90, meta=meta)
    bench.attach("drafts", _ints([4, 5, 6]))
    bench.attach("target", _ints(target))
    bench.attach("out", _sevens(1, 1))
    bench.layer(
        "target_verify_greedy_layer",
        input=(bench.handles["drafts"], bench.handles["target"]),
        output="out",
        grid_dim=(1, 1, 1),
    )
    after = bench.run_everyway()
    written = target[: accepted + 1]
    assert after["meta.tokens"].flatten().tolist() == [7] * 4 + written + [7] * (6 - len(written))
    assert after["meta.num_new_tokens"].tolist() == [accepted + 1]
    assert int(after["out"]) == 7
