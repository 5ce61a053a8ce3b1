"""Scripts of Mirage's test mode run to their end, and their own assertions see real values."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.pipeline import Target  # noqa: E402
from mpkgraph.planner.plan import ProcessPlanner  # noqa: E402
from mpkgraph.reference.interpreter.script_run import ScriptExecutor  # noqa: E402
from tests.pipeline.mirage_home import mirage_home  # noqa: E402
from tests.pipeline.scripts import run, write  # noqa: E402

MIRAGES_OWN = (
    "test_rmsnorm_testmode",
    "test_fork_point_testmode",
    "test_join_point_testmode",
    "test_residual_stripping_testmode",
)
"""Those that take seconds; all but the two of large expert tables are like them."""


def _executed(script, cc=90):
    executor = ScriptExecutor()
    result = run(
        script,
        target=Target(cc=cc),
        emit=frozenset(),
        new_compile_graph=ProcessPlanner,
        executor=executor,
    )
    return result, executor


@pytest.mark.parametrize("name", MIRAGES_OWN)
def test_mirages_own_scripts_pass(name, capsys):
    script = mirage_home() / "tests/runtime_python/test_mode" / f"{name}.py"
    result, executor = _executed(script)
    assert not result.late_errors
    assert executor.num_runs == len(result.compiled)
    assert "PASSED" in capsys.readouterr().out


KERNEL = """
import torch
from mirage.mpk.persistent_kernel import PersistentKernel

params = PersistentKernel.get_default_init_parameters()
params.update(test_mode=True, num_workers=8, num_local_schedulers=4, max_num_batched_tokens=4)
pk = PersistentKernel(**params)
torch.manual_seed(0)
x = torch.randn(4, 512, device="cuda", dtype=torch.bfloat16)
w = torch.ones(512, device="cuda", dtype=torch.bfloat16)
"""
NORM = """
pk.rmsnorm_layer(
    input=x_dt, weight=pk.attach_input(w, name="w"), output={output},
    grid_dim=(4, 1, 1), block_dim=(256, 1, 1),
)
pk.compile()
"""


def test_in_place_results_are_the_scripts(tmp_path):
    """A tensor that is normalised in place: what it held before is kept for the check."""
    body = NORM.format(output="x_dt")
    script = write(
        tmp_path,
        KERNEL
        + "before = x.clone()\nx_dt = pk.attach_input(x, name='x')\n"
        + body
        + """
pk.run_test_mode()
right = before.float() * torch.rsqrt(before.float().square().mean(-1, keepdim=True) + 1e-6)
assert torch.allclose(x.float(), right, rtol=2**-7), "wrong"
pk.run_test_mode()
assert not torch.equal(x, before)
assert x.device.type == "cuda"
""",
    )
    result, executor = _executed(script)
    assert result.late_errors == ()
    assert executor.num_runs == 2
    (compiled,) = result.compiled
    kept = executor.before[id(compiled.record)]["x"]
    assert not torch.equal(kept, compiled.tensors["x"])


def test_views_of_one_tensor_share_their_memory(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + "both = torch.zeros(8, 512, device='cuda', dtype=torch.bfloat16)\nboth[:4] = x\n"
        + "x_dt = pk.attach_input(both[:4], name='x')\n"
        + NORM.format(output="pk.attach_input(both[4:], name='y')")
        + "pk.run_test_mode()\nassert (both[4:] != 0).any() and torch.equal(both[:4], x)\n",
    )
    assert _executed(script)[0].late_errors == ()


def test_a_launch_that_crashes_is_the_scripts_error(tmp_path):
    script = write(
        tmp_path,
        KERNEL
        + "ids = torch.full((4, 1), 10**6, device='cuda', dtype=torch.int64)\n"
        + "table = torch.randn(16, 512, device='cuda', dtype=torch.bfloat16)\n"
        + """
pk.embed_layer(
    input=pk.attach_input(ids, name="ids"), weight=pk.attach_input(table, name="table"),
    output=pk.attach_input(x, name="out"), grid_dim=(1, 1, 1), block_dim=(256, 1, 1),
    input_source=1,
)
pk.compile()
pk.run_test_mode()
""",
    )
    result, _ = _executed(script)
    assert "the kernel would crash" in result.late_errors[0]
