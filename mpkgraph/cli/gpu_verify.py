"""What `mpkgraph verify --run gpu` does: compile with Mirage, launch, compare, render."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mpkgraph.cli.gpu_options import GpuRequest
from mpkgraph.cli.output import Output
from mpkgraph.cli.plan_request import plan_options
from mpkgraph.cli.run_options import RunRequest
from mpkgraph.cli.run_run import check_torch, limits_of, render_reports
from mpkgraph.cli.verify_request import VerifyRequest
from mpkgraph.errors import UsageError
from mpkgraph.io.atomic import atomic_file
from mpkgraph.mirage.compile import DEFAULT_LIMIT_S, STAGING_PREFIX
from mpkgraph.mirage.doctor import diagnose, gather_facts
from mpkgraph.mirage.gpu_run import LAUNCH_LIMIT_S, GpuRun, RunOptions, run_on_gpu

if TYPE_CHECKING:
    from mpkgraph.mirage.protocol import Message

FOR_CPU = ("schedule", "seed", "max_orders", "inputs", "replay", "reduce", "reference", "against")
"""Options of a run that the GPU's does not take."""


def run_verify_gpu(request: VerifyRequest, run: RunRequest, gpu: GpuRequest, output: Output) -> int:
    """Answer `verify --run gpu`; the exit code."""
    if not run.run:
        raise UsageError("--where does nothing without --run", remedy="Add --run")
    for name in FOR_CPU:
        if getattr(run, name):
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is for a run without a GPU", remedy="Leave it out")
    if output.form not in {"text", "json"}:
        raise UsageError(f"a run is told as text or json, not as {output.form}")
    if not request.sources:
        raise UsageError("there is nothing to run", remedy="Give a script, a function or a record")
    if (request.world_size or 1) > 1 or request.all_ranks:
        raise UsageError("one GPU is used, for one rank", remedy="Run it without --world-size")
    if gpu.no_poison and gpu.poison_shared:
        raise UsageError("--no-poison leaves shared memory as it is", remedy="Leave one out")
    if request.meta:
        raise UsageError("--meta gives tensors no values to run on", remedy="Leave it out")
    check_torch()
    home = None if request.mirage_home is None else Path(request.mirage_home)
    options = plan_options(request, emit=frozenset(), stdout=sys.stderr)
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX))
    outcome = run_on_gpu(
        request.sources,
        options,
        diagnose(gather_facts(home)),
        RunOptions(
            repeat=gpu.repeat or 1,
            launch_limit_s=gpu.launch_limit or LAUNCH_LIMIT_S,
            limit_s=gpu.time_limit or DEFAULT_LIMIT_S,
            poison=not gpu.no_poison,
            poison_shared=gpu.poison_shared,
            profile=gpu.measure is not None,
            sanitize=gpu.sanitize,
            use_cache=not gpu.no_kernel_cache,
            keep=staging,
            on_message=_progress if sys.stderr.isatty() else None,
        ),
    )
    from mpkgraph.mirage.gpu_check import check_gpu_run, save_gpu_run

    reports = check_gpu_run(outcome, request.sources[0], limits_of(run))
    if run.save is not None:
        save_gpu_run(Path(run.save), outcome, reports)
    if request.html is not None:
        from mpkgraph.analysis.verify.subjects import context_of
        from mpkgraph.cli.verify_page import run_page

        run_page(request, [context_of(x.graph, x.record) for x in outcome.graphs], reports)
    if gpu.measure is not None:
        _keep_profile(outcome, gpu.measure)
    code = render_reports(reports, output)
    shutil.rmtree(staging, ignore_errors=True)
    return 1 if outcome.num_sanitizer_errors else code


def _keep_profile(outcome: GpuRun, path: str) -> None:
    files = [x.profile for x in outcome.graphs if x.profile is not None]
    if len(files) != 1:
        raise UsageError(f"{len(files)} graphs were measured", remedy="Run one pipeline")
    with atomic_file(path) as stream:
        stream.write(files[0].read_bytes())


def _progress(message: Message) -> None:
    words = {"nvcc": "compiling the kernel with nvcc", "launch": "running on the GPU"}
    if message.kind == "stage" and message["stage"] in words:
        sys.stderr.write(f"mpkgraph: {words[message['stage']]}\n")
