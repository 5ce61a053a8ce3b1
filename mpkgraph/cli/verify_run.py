"""What `mpkgraph verify` does: get pipelines, check each, render the report."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from mpkgraph.analysis.verify.baseline import Baseline, save_baseline
from mpkgraph.analysis.verify.report import CheckedPipeline, Pipeline, VerifyReport, check
from mpkgraph.analysis.verify.rule import Severity
from mpkgraph.analysis.verify.run import Suppress, find_rules, select_rules
from mpkgraph.analysis.verify.suppression import InlineComments, SuppressedAt
from mpkgraph.cli.gpu_options import GpuRequest
from mpkgraph.cli.output import Output
from mpkgraph.cli.run_options import RunRequest
from mpkgraph.cli.verify_page import check_page, findings_page
from mpkgraph.cli.verify_request import VerifyRequest
from mpkgraph.cli.verify_sources import SourceReader
from mpkgraph.errors import UsageError
from mpkgraph.io.source import STDIN
from mpkgraph.render.escape import printable

FINDINGS = 1
"""Exit code when there are findings as bad as `--fail-on`."""

__all__ = ["VerifyRequest", "run_verify"]


def run_verify(
    request: VerifyRequest, run: RunRequest | None = None, gpu: GpuRequest | None = None
) -> int:
    """Answer one `mpkgraph verify`; the exit code."""
    form = request.chosen_form
    path = None if request.output == STDIN else request.output
    output = Output(form, path, request.color)
    if request.list_rules or request.explain is not None:
        _tell(request, output)
        return 0
    if run is not None and run.list_tasks:
        from mpkgraph.cli.run_run import list_tasks

        list_tasks(request, output)
        return 0
    _check_overwrite(request)
    check_page(request)
    if run is not None and gpu is not None and gpu.is_asked:
        from mpkgraph.cli.gpu_verify import run_verify_gpu

        return run_verify_gpu(request, run, gpu, output)
    if run is not None and run.is_asked:
        from mpkgraph.cli.run_run import run_pipelines

        return run_pipelines(request, run, output)
    report = _report(request)
    if request.write_baseline is not None:
        findings = [x for pipeline in report.pipelines for x in pipeline.result.unfolded]
        save_baseline(findings, request.write_baseline)
    _render(report, output)
    return FINDINGS if report.fails and request.write_baseline is None else 0


def _report(request: VerifyRequest) -> VerifyReport:
    select_rules(request.selected, request.ignored)  # a word that is no rule is said at once
    comments = InlineComments()
    options = [SuppressedAt(text) for text in request.suppress]
    ways: list[Suppress] = [*options, comments]
    # One that is written anew takes up what is known too
    known = None
    if request.baseline is not None:
        known = Baseline.load(request.baseline)
        if request.write_baseline is None:
            ways.append(known)
    sources = SourceReader(request)
    checked: list[CheckedPipeline] = []
    pipelines: list[Pipeline] = []
    num_drawn = 0
    for pipeline in sources.pipelines():
        found = check(pipeline, select=request.selected, ignore=request.ignored, suppress=ways)
        checked.append(found)
        if request.html is not None:
            pipelines.append(pipeline)
        if request.tiles is not None:
            from mpkgraph.cli.verify_tiles import draw_findings

            num_drawn = draw_findings(pipeline, found.result.findings, request.tiles, num_drawn)
    if request.tiles is not None:
        what = "1 picture" if num_drawn == 1 else f"{num_drawn} pictures"
        click.echo(f"wrote {what} to {printable(request.tiles)}", err=True)
    if request.html is not None:
        findings_page(request, list(zip(pipelines, checked, strict=True)))
    unused = [f"--suppress {x.text} suppresses nothing" for x in options if not x.is_used]
    return VerifyReport(
        tuple(checked),
        fail_on=cast("Severity", request.fail_on),
        stale=0 if known is None or request.write_baseline is not None else known.num_left,
        notes=(*sources.notes, *comments.notes, *unused),
    )


def _render(report: VerifyReport, output: Output) -> None:
    if output.form == "text":
        from mpkgraph.render.verify.text import report_text

        output.write_text(lambda out: report_text(out, report))
        return
    from mpkgraph.render.verify import render_report

    data = render_report(report, output.form)
    with output.binary() as stream:
        stream.write(data)


def _tell(request: VerifyRequest, output: Output) -> None:
    """`--explain` and `--list-rules`."""
    if output.form not in {"text", "json"}:
        raise UsageError(f"rules are told as text or json, not as {output.form}")
    if request.sources:
        option = "--list-rules" if request.list_rules else "--explain"
        raise UsageError(f"{option} takes no SOURCE", remedy="Ask for one thing at a time")
    from mpkgraph.render.verify.rules import explain_text, rules_json, rules_text

    if request.explain is not None:
        rules = find_rules(request.explain)
    else:
        rules = list(select_rules(request.selected or ["all"], request.ignored))
    if output.form == "json":
        with output.binary() as stream:
            stream.write(rules_json(rules))
    elif request.explain is not None:
        output.write_text(lambda out: explain_text(out, rules))
    else:
        output.write_text(lambda out: rules_text(out, rules))


def _check_overwrite(request: VerifyRequest) -> None:
    for name in (request.output, request.write_baseline):
        if name is None or not Path(name).exists():
            continue
        for source in request.sources:
            if Path(source).exists() and Path(name).samefile(source):
                raise UsageError(
                    "this would overwrite a source", where=name, remedy="Name another file"
                )
