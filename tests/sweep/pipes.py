"""Small pipelines to sweep, as a user would write them in one file."""

from __future__ import annotations

import shutil
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"

NORM = """
import mirage as mi
from mpkgraph.pipeline.tensors import TensorSpec


def norm(kernel, rows: int = 8, columns: int = 512, grid: int = 0):
    x = kernel.attach_input(TensorSpec((rows, columns), "bfloat16"), name="x")
    w = kernel.attach_input(TensorSpec((columns,), "bfloat16"), name="w")
    y = kernel.new_tensor(dims=(rows, columns), dtype=mi.bfloat16, name="y")
    kernel.rmsnorm_layer(
        input=x, weight=w, output=y, grid_dim=(grid or rows, 1, 1), block_dim=(128, 1, 1)
    )
"""

SCRIPT = """
import argparse

import mirage
from mirage.mpk.persistent_kernel import PersistentKernel
from pipes import norm

parser = argparse.ArgumentParser()
parser.add_argument("--rows", type=int, default=8)
parser.add_argument("--columns", type=int, default=512)
parser.add_argument("--again", action="store_true")
args = parser.parse_args()
workers, schedulers = mirage.get_configurations_from_gpu(0)
for _ in range(1 + args.again):
    parameters = PersistentKernel.get_default_init_parameters()
    parameters.update(test_mode=True, num_workers=workers, num_local_schedulers=schedulers)
    kernel = PersistentKernel(**parameters)
    norm(kernel, args.rows, args.columns)
    kernel.compile()
"""

TRAPS = (
    NORM
    + """

def trap(kernel, kind: str = "good", rows: int = 8):
    import os, signal, sys, time

    print("this is said by the script")
    if kind == "exit":
        os._exit(7)
    if kind == "kill":
        sys.stderr.write("the last words\\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "forever":
        time.sleep(3600)
    if kind == "raise":
        raise ValueError("not today")
    if kind == "quit":
        sys.exit(0)
    if kind == "stdin":
        assert sys.stdin.read() == ""
    if kind == "closed":
        sys.stdin.close()
        sys.stdout.close()
        os.close(1)
    if kind == "refused":
        x = kernel.new_tensor(dims=(rows,), dtype=mi.bfloat16, name="x")
        kernel.rmsnorm_layer(
            input=x, weight=x, output=x, grid_dim=(1, 1, 1), block_dim=(128, 1, 1)
        )
    norm(kernel, rows)
"""
)


def write(folder: Path) -> Path:
    """`pipes.py`, `script.py`, `traps.py` and the examples in a working folder."""
    (folder / "pipes.py").write_text(NORM, encoding="utf-8")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "traps.py").write_text(TRAPS, encoding="utf-8")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    return folder
