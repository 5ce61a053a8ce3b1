"""`compile --backend mirage` and `--doctor`: what the command does with the real Mirage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mpkgraph.cli.compile_run import FINDINGS, CompileRequest
from mpkgraph.errors import UsageError
from mpkgraph.mirage.doctor import Diagnosis, diagnose, gather_facts
from mpkgraph.mirage.find import find_mirage

if TYPE_CHECKING:
    from mpkgraph.mirage.compile import MirageResult
    from mpkgraph.mirage.protocol import Message
    from mpkgraph.pipeline.compile import CompileOptions

STAGES = {
    "mirage": "importing Mirage",
    "source": "running the pipeline's source",
    "generate": "generating the graph",
    "nvcc": "compiling the kernel with nvcc, which takes a while",
}


def run_doctor(request: CompileRequest) -> int:
    """`--doctor`: 0 when kernels can be compiled and run here, else 1."""
    from mpkgraph.render.doctor import doctor_json, doctor_text

    if request.pipelines:
        raise UsageError("--doctor compiles nothing", remedy="Leave the pipeline out")
    diagnosis = _diagnosis(request)
    if request.as_json:
        sys.stdout.buffer.write(doctor_json(diagnosis))
    else:
        doctor_text(sys.stdout, diagnosis)
    return 0 if diagnosis.can("run") else FINDINGS


def compiled_by_mirage(request: CompileRequest, options: CompileOptions) -> MirageResult | None:
    """Mirage's graphs; None when `auto` leaves it to the planner, which is noted."""
    from mpkgraph.mirage.compile import MirageOptions, compile_with_mirage

    is_choice = request.backend == "auto"
    if is_choice and find_mirage(_home(request)) is None:
        _note(request, "planned: there is no Mirage here")
        return None
    diagnosis = _diagnosis(request)
    if is_choice and not diagnosis.can("graph"):
        first = diagnosis.blockers("graph")[0]
        _note(request, f"planned: Mirage can't be used here ({first.name}: {first.found})")
        return None
    mirage = MirageOptions(
        kernel=request.kernel,
        limit_s=request.time_limit,
        use_cache=not request.no_kernel_cache,
        on_message=None if request.quiet or not sys.stderr.isatty() else _progress,
    )
    return compile_with_mirage(request.pipelines, options, diagnosis, mirage)


def _diagnosis(request: CompileRequest) -> Diagnosis:
    return diagnose(gather_facts(_home(request)))


def _home(request: CompileRequest) -> Path | None:
    return None if request.mirage_home is None else Path(request.mirage_home)


def _note(request: CompileRequest, text: str) -> None:
    if not request.quiet:
        from mpkgraph.render.escape import printable

        sys.stderr.write(f"mpkgraph: note: {printable(text)}\n")


def _progress(message: Message) -> None:
    if message.kind == "stage" and message["stage"] in STAGES:
        sys.stderr.write(f"mpkgraph: {STAGES[message['stage']]}\n")
