"""Python processes that a script starts find the stand-in, for as long as the script runs."""

from __future__ import annotations

import os
import tempfile

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.cli.main import run as command  # noqa: E402
from mpkgraph.errors import MpkGraphError  # noqa: E402
from mpkgraph.planner.plan import ProcessPlanner  # noqa: E402
from tests.pipeline.scripts import run, write  # noqa: E402

KERNEL = """
import torch
from mirage.mpk.persistent_kernel import PersistentKernel

params = PersistentKernel.get_default_init_parameters()
params.update(test_mode=True, num_workers=8, num_local_schedulers=4, max_num_batched_tokens=4)
pk = PersistentKernel(**params)
x = pk.attach_input(torch.ones(4, 512, device="cuda").to(torch.bfloat16), name="x")
w = pk.attach_input(torch.ones(512, device="cuda").to(torch.bfloat16), name="w")
out = torch.zeros(4, 512, device="cuda").to(torch.bfloat16)
out_dt = pk.attach_input(out, name="out")
pk.rmsnorm_layer(input=x, weight=w, output=out_dt, grid_dim={grid}, block_dim=(256, 1, 1))
pk.compile()
pk.run_test_mode()
print("sum", float(out.float().sum()))
"""
PARENT = """
import subprocess
import sys

done = subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True)
assert {check}, done.stdout + done.stderr
"""


def _script(tmp_path, check, grid="(4, 1, 1)", child=None):
    child = KERNEL.format(grid=grid) if child is None else child
    return write(tmp_path, PARENT.format(child=child, check=check))


def test_what_a_child_compiles_is_the_scripts(tmp_path, capfd, monkeypatch):
    """... and its launch executes, so that the child's own check sees values."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = os.environ.get("PYTHONPATH")
    script = _script(tmp_path, '"sum 2048.0" in done.stdout')
    assert command(["verify", str(script), "--run"]) == 0
    out = capfd.readouterr().out
    assert "1 pipeline was compiled by processes that the script started" in out
    assert "ok  out" in out.replace("    ", "  ")
    assert not list(temporary.glob("mpkgraph-children-*"))
    assert (os.environ.get("PYTHONPATH"), "MPKGRAPH_CHILDREN" in os.environ) == (path, False)


REFUSED = """
l, z, j, k = (pk.new_tensor(dims=(4, 512), name=name) for name in "lzjk")
square = pk.attach_input(torch.ones(512, 512, device="cuda").to(torch.bfloat16), name="square")
norm = {"grid_dim": (4, 1, 1), "block_dim": (256, 1, 1)}
pk.rmsnorm_layer(input=x, weight=w, output=l, **norm)
pk.rmsnorm_layer(input=x, weight=w, output=z, **norm)
pk.linear_with_residual_layer(
    input=l, weight=square, residual=z, output=j, grid_dim=(8, 1, 1), block_dim=(256, 1, 1)
)
pk.rmsnorm_layer(input=l, weight=w, output=k, **norm)
pk.compile()
"""
"""A fork whose branch joins: no task can trigger two events."""


def test_a_child_may_be_refused_as_the_script_expects(tmp_path, capfd):
    child = KERNEL.format(grid="(4, 1, 1)").partition("out = ")[0] + REFUSED
    script = _script(tmp_path, '"case 3" in done.stderr and done.returncode', child=child)
    assert command(["verify", str(script), "--run"]) == 0
    said = capfd.readouterr().err
    assert "ended well; processes that it started were refused 1 pipeline" in said
    # Nothing was compiled: no graph to write, or to check
    with pytest.raises(MpkGraphError, match=r"was refused its pipeline: .*case 3"):
        run(script, emit=frozenset(), new_compile_graph=ProcessPlanner)
    wrong = _script(tmp_path, '"case 2" in done.stderr', child=child)
    assert command(["verify", str(wrong), "--run"]) == 3
    assert "AssertionError" in capfd.readouterr().err


def test_children_that_are_no_concern_are_left_alone(tmp_path):
    child = (
        "import sys, json\n"
        "assert 'mpkgraph' not in sys.modules and 'torch' not in sys.modules\n"
        "print('children', any('mpkgraph-children' in x for x in sys.path))"
    )
    script = _script(tmp_path, '"children False" in done.stdout', child=child)
    with pytest.raises(MpkGraphError, match="without a call of compile"):
        run(script, emit=frozenset(), new_compile_graph=ProcessPlanner)


def test_the_users_own_sitecustomize_still_runs(tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins\nbuiltins.mine = 41\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(own))
    script = _script(tmp_path, '"mine 41" in done.stdout', child="print('mine', mine)")
    with pytest.raises(MpkGraphError, match="without a call of compile"):
        run(script, emit=frozenset(), new_compile_graph=ProcessPlanner)
