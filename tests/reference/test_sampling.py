import math

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.reference.kernels.sampling import gumbel, philox  # noqa: E402
from tests.reference.bench import Bench, bf16  # noqa: E402

# Known answers of Philox 4x32-10 from its authors' library (Random123)
ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), ANSWERS)
def test_generator(counter, key, answer):
    words = philox(tuple(torch.tensor([word]) for word in counter), key)
    assert tuple(int(word) for word in words) == answer


def test_noise_is_gumbel():
    """Mean 0.5772, variance pi**2 / 6, few words equal. The kernel takes a logarithm to base 2
    inside, which moves all noise by ln(ln 2) and changes no argmax.
    """
    noise = gumbel(42, 64, 1024).double()
    assert abs(noise.mean() - (0.5772 + math.log(math.log(2)))) < 0.02
    assert abs(noise.var() - 1.6449) < 0.03
    assert len(noise.unique()) > 0.98 * noise.numel()


def test_frequencies_follow_the_softmax():
    rows, columns = 4096, 4
    logits = torch.tensor([0.0, 1.0, -1.0, 0.5]).repeat(rows, 1).to(torch.bfloat16)
    bench = Bench(100)
    bench.attach("logits", logits)
    bench.attach("out", torch.full((rows, 1), -1, dtype=torch.int32))
    bench.layer("sampling_sm100_layer", logits="logits", output="out", grid_dim=(1, 1, 1), seed=7)
    out = bench.run_everyway()["out"].flatten()
    share = torch.bincount(out.long(), minlength=columns) / rows
    assert (share - torch.softmax(logits[0].float(), 0)).abs().max() < 0.03


@pytest.mark.parametrize("grid", [(1, 1, 1), (4, 1, 1)])
@pytest.mark.parametrize("offset", [0, 256])
def test_argmax_with_noise(grid, offset):
    """Row by row; of equal sums, many far from 0, the last. Each tile has the same noise."""
    rows, columns = 8, 101
    bench = Bench(100)
    logits = bench.attach("logits", bf16(rows, columns) + offset)
    bench.attach("out", torch.full((rows, 1), -1, dtype=torch.int32))
    bench.layer("sampling_sm100_layer", logits="logits", output="out", grid_dim=grid, seed=3)
    out = bench.run_everyway()["out"].flatten().tolist()
    each = rows // grid[0]
    noise = gumbel(3, each, columns)
    for row in range(rows):
        sums = [
            float(logits[row, c] + noise[row % each, c].to(torch.bfloat16)) for c in range(columns)
        ]
        best = max(sums)
        assert out[row] == max(c for c in range(columns) if sums[c] == best)
