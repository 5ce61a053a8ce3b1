import pytest

torch = pytest.importorskip("torch")

from mpkgraph.reference import TASK_FUNCTIONS, Settings, TaskCall  # noqa: E402


def _argmax(scores, chunks, cc=80):
    rows, columns = scores.shape
    meta = {"qo_indptr_buffer": torch.tensor([0, rows], dtype=torch.int32)}
    values = torch.empty(rows, chunks, dtype=torch.bfloat16)
    positions = torch.empty(rows, chunks, dtype=torch.int64)
    out = torch.full((rows, 1), 77)
    tile = columns // chunks
    TASK_FUNCTIONS["TASK_ARGMAX_PARTIAL"].run(
        TaskCall(
            "TASK_ARGMAX_PARTIAL",
            (scores,),
            (values, positions),
            meta=meta,
            joined=(chunks, 1, 1),
            tile_dims=((rows, tile), (rows, 1), (rows, 1)),
        )
    )
    TASK_FUNCTIONS["TASK_ARGMAX_REDUCE"].run(
        TaskCall(
            "TASK_ARGMAX_REDUCE",
            (values, positions),
            (out,),
            params=(tile,),
            meta=meta,
            settings=Settings(target_cc=cc),
        )
    )
    return values, positions, out


def test_distinct_values():
    order = torch.randperm(4096, generator=torch.Generator().manual_seed(1))
    scores = (order.view(1, 4096) - 2048).to(torch.bfloat16)
    top = scores.float().topk(1).values
    _, _, out = _argmax(scores, 8)
    assert scores.float().gather(1, out).equal(top)


def _winner_by_threads(row, threads):
    """The kernel's reduction, a thread after the other."""
    best = []
    for thread in range(threads):
        value, index = -49920.0, -1
        for i in range(thread, len(row), threads):
            if row[i] > value:
                value, index = row[i], i
        best.append((value, index))
    firsts = []
    for warp in range(threads // 32):
        lanes = best[warp * 32 : warp * 32 + 32]
        firsts.append(_reduce(lanes))
    return _reduce(firsts + [(-49920.0, -1)] * (32 - len(firsts)))


def _reduce(lanes):
    lanes = list(lanes)
    for offset in (16, 8, 4, 2, 1):
        old = list(lanes)
        for lane in range(32 - offset):
            if old[lane + offset][0] > old[lane][0]:
                lanes[lane] = old[lane + offset]
    return lanes[0]


@pytest.mark.parametrize("seed", range(4))
def test_ties_go_as_the_threads_reduce(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 3, (5, 1024), generator=generator).to(torch.bfloat16)
    _, positions, out = _argmax(scores, 2)
    for row in range(5):
        for chunk in range(2):
            part = scores[row, chunk * 512 : chunk * 512 + 512].tolist()
            assert positions[row, chunk] == _winner_by_threads(part, 128)[1]
    assert (scores.gather(1, out) == scores.max(dim=1, keepdim=True).values).all()


def test_nothing_above_the_lowest():
    scores = torch.full((2, 256), -60000.0, dtype=torch.bfloat16)
    scores[1, 200] = float("nan")
    values, positions, out = _argmax(scores, 2)
    assert (positions == -1).all()
    assert (out == -1).all()
    assert (values == torch.tensor(-5e4, dtype=torch.bfloat16)).all()
