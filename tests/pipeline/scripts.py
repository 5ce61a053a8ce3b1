"""Scripts as users write them, and their runs."""

from __future__ import annotations

import textwrap

from mpkgraph.pipeline import Target
from mpkgraph.pipeline.script import ScriptOptions, run_function, run_script

RMSNORM = """
import torch
import mirage
from mirage.mpk.persistent_kernel import PersistentKernel

num_workers, num_schedulers = mirage.get_configurations_from_gpu(0)
params = PersistentKernel.get_default_init_parameters()
params["test_mode"] = True
params["num_workers"] = num_workers
params["num_local_schedulers"] = num_schedulers
pk = PersistentKernel(**params)

x = torch.randn(16, 4096, dtype=torch.bfloat16, device="cuda")
w = torch.randn(4096, dtype=torch.bfloat16, device="cuda")
out = torch.zeros(16, 4096, dtype=torch.bfloat16, device="cuda")
x_dt = pk.attach_input(x, name="x")
w_dt = pk.attach_input(w, name="w")
out_dt = pk.attach_input(out, name="out")
block_dim = (256, 1, 1) if pk.target_cc >= 90 else (128, 1, 1)
pk.rmsnorm_layer(input=x_dt, weight=w_dt, output=out_dt, grid_dim=(16, 1, 1), block_dim=block_dim)
pk.compile(output_dir="test_output")
pk.run_test_mode()
torch.cuda.synchronize()
print("Max diff:", (out - x).abs().max().item())
pk.finalize()
"""
"""The example of Mirage's guide to test mode."""

NORM = """
import mirage as mi

def norm(pk, rows=8, columns=512):
    x = pk.new_tensor(dims=(rows, columns), dtype=mi.bfloat16, name="x")
    w = pk.new_tensor(dims=(columns,), dtype=mi.bfloat16, name="w")
    y = pk.new_tensor(dims=(rows, columns), dtype=mi.bfloat16, name="y")
    pk.rmsnorm_layer(input=x, weight=w, output=y, grid_dim=(rows, 1, 1), block_dim=(128, 1, 1))
"""
"""A pipeline without torch, in a function that takes a kernel."""

KERNEL = (
    NORM
    + """
def kernel(**given):
    params = mi.PersistentKernel.get_default_init_parameters()
    params.update(test_mode=True, **given)
    return mi.PersistentKernel(**params)
"""
)
"""`norm`, and `kernel` to make one for it."""


def write(folder, text, name="pipeline.py"):
    """A script in a folder; its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def run(path, *args, target=None, **options):
    return run_script(path, args, target or Target(cc=90), ScriptOptions(**options))


def call(path, name, target=None, settings=None, **options):
    function = f"{path}:{name}"
    return run_function(function, settings, target or Target(cc=90), ScriptOptions(**options))


def layer_names(compiled):
    """Registered task names of the pipeline."""
    return [layer.register_name for layer in compiled.record.layers]


def line_of(path, text):
    """Number of the first line that holds a text."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
