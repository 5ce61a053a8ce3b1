"""What `mpkgraph compile` was asked, checked; compiled by the library, reported by a renderer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mpkgraph.cli.plan_request import PlanRequest, compiled, plan_options
from mpkgraph.errors import UsageError
from mpkgraph.pipeline.compiled import BOTH, Emit

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.report import VerifyReport
    from mpkgraph.pipeline.compile import CompileOptions
    from mpkgraph.pipeline.compiled import CompileResult

FINDINGS = 1
"""Exit code of `--check` when planning warned or static verify found an error."""


@dataclass(frozen=True, kw_only=True)
class CompileRequest(PlanRequest):
    """The command's options as click gives them."""

    pipelines: tuple[str, ...]
    output_dir: str | None
    emit: str
    dry_run: bool
    check: bool
    backend: str
    kernel: bool | None
    time_limit: float
    no_kernel_cache: bool
    doctor: bool
    as_json: bool
    quiet: bool

    @property
    def files(self) -> Emit:
        if self.dry_run:
            return frozenset()
        return BOTH if self.emit == "both" else frozenset({self.emit})


def run_compile(request: CompileRequest) -> int:
    """Compile, report, and give the exit code."""
    from mpkgraph.render.compile_text import compile_json, compile_text, warning_lines

    if request.doctor:
        from mpkgraph.cli.mirage_run import run_doctor

        return run_doctor(request)
    if not request.pipelines:
        raise UsageError(
            "there is nothing to compile",
            remedy="Give a PIPELINE: a script, a function or a record",
        )
    options = plan_options(
        request,
        emit=request.files,
        output=None if request.output_dir is None else Path(request.output_dir),
        # A script's prints must not run into the report
        stdout=sys.stderr if request.as_json else None,
    )
    result = _compiled(request, options)
    report = _check(request, result, options) if request.check else None
    for line in warning_lines(result):
        sys.stderr.write(line + "\n")
    if request.as_json:
        sys.stdout.buffer.write(compile_json(result, report))
    elif not request.quiet:
        compile_text(sys.stdout, result)
    if report is None:
        return 0
    if not request.as_json:
        from mpkgraph.render.text import TextWriter, text_options
        from mpkgraph.render.verify.text import report_text

        report_text(TextWriter(sys.stderr, text_options(sys.stderr)), report)
    return FINDINGS if report.fails or result.has_warnings else 0


def _compiled(request: CompileRequest, options: CompileOptions) -> CompileResult:
    """By the backend that was asked for, or that works."""
    if request.backend != "planner":
        from mpkgraph.cli.mirage_run import compiled_by_mirage

        result = compiled_by_mirage(request, options)
        if result is not None:
            return result
    for name, given in (("--kernel", request.kernel), ("--host-only", request.kernel is False)):
        if given and request.backend == "planner":
            raise UsageError(f"{name} is for Mirage", remedy="Add --backend mirage")
    return compiled(request.pipelines, options, show_traceback=request.traceback)


def _check(request: CompileRequest, result: CompileResult, options: CompileOptions) -> VerifyReport:
    """Static verify of what was planned, with the rules that run by default."""
    from mpkgraph.analysis.verify.context import VerifyOptions
    from mpkgraph.analysis.verify.planned import planned_pipelines
    from mpkgraph.analysis.verify.report import VerifyReport, check

    verify_options = VerifyOptions(
        num_workers=request.workers, num_schedulers=request.schedulers, target_cc=options.cc
    )
    pipelines = planned_pipelines(result, request.pipelines[0], options, verify_options)
    return VerifyReport(tuple(check(x) for x in pipelines))
