"""`mpkgraph compile --sweep` and `mpkgraph verify --sweep`: what is asked, run, rendered."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mpkgraph.cli.output import Output
from mpkgraph.cli.plan_request import plan_options
from mpkgraph.errors import UsageError

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.rule import Severity
    from mpkgraph.cli.compile_run import CompileRequest
    from mpkgraph.cli.run_options import RunRequest
    from mpkgraph.cli.verify_request import VerifyRequest
    from mpkgraph.sweep.points import SweepOptions
    from mpkgraph.sweep.result import RankBy, SweepResult
    from mpkgraph.sweep.run import Progress, RunOptions, SweepRun

TABLE_FORMS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}


@dataclass(frozen=True)
class SweepRequest:
    """The options of `sweep_options` as click gives them."""

    sweep: tuple[str, ...]
    rank_by: str
    results: str | None
    table: tuple[str, ...]
    dataset: str | None
    jobs: int | None
    ray: str | None
    point_timeout: float | None
    cost: str | None
    kv_length: int | None

    def check(self) -> None:
        """Raises UsageError for what can't go together."""
        if self.ray is not None and self.jobs is not None:
            raise UsageError(
                "--jobs is for processes of this machine",
                remedy="A Ray cluster runs as many points as it has cores",
            )
        for name in self.table:
            if Path(name).suffix.lower() not in TABLE_FORMS:
                raise UsageError(
                    f"--table {name}: its ending says no form",
                    remedy=f"Use {', '.join(TABLE_FORMS)}",
                )


def run_compile_sweep(request: CompileRequest, swept: SweepRequest) -> int:
    """Answer one `mpkgraph compile --sweep`; the exit code."""
    from mpkgraph.sweep.points import CheckOptions, SweepOptions

    of_mirage = {
        "--doctor": request.doctor,
        f"--backend {request.backend}": request.backend != "planner",
        "--kernel": request.kernel is not None,
        "--no-kernel-cache": request.no_kernel_cache,
    }
    for option, given in of_mirage.items():
        if given:
            raise UsageError(f"{option} is not for sweeps: they plan", remedy="Leave it out")
    if request.output_dir is not None and swept.results is not None:
        raise UsageError("-o and --results can't go together", remedy="-o keeps results too")
    results = swept.results or request.output_dir
    if request.dry_run:
        if results is not None:
            raise UsageError("--dry-run keeps nothing", remedy="Leave one of them out")
    elif results is None:
        raise UsageError(
            "a sweep needs a folder for its graphs", remedy="Give -o DIR, or --dry-run"
        )
    options = SweepOptions(
        request.pipelines,
        swept.sweep,
        plan_options(request, emit=frozenset()),
        CheckOptions(cost=swept.cost, kv_length=swept.kv_length),
        request.files,
        request.traceback,
    )
    run = dataclasses.replace(_run_options(swept, results), fail_on_warnings=request.check)
    output = Output("json" if request.as_json else "text", None, None)
    return _answer(options, run, swept, output, quiet=request.quiet)


def run_verify_sweep(request: VerifyRequest, run_request: RunRequest, swept: SweepRequest) -> int:
    """Answer one `mpkgraph verify --sweep`; the exit code."""
    from mpkgraph.analysis.verify.run import select_rules
    from mpkgraph.analysis.verify.suppression import SuppressedAt
    from mpkgraph.cli.verify_sources import kind_of
    from mpkgraph.sweep.points import CheckOptions, SweepOptions

    if run_request.is_asked:
        raise UsageError(
            "a sweep does not run pipelines", remedy="Run the points that you like one by one"
        )
    form = request.chosen_form
    _refuse_for_sweeps(request, form)
    if not request.sources:
        raise UsageError("there is nothing to sweep", remedy="Give a script, function or record")
    for source in request.sources:
        if ".py" not in source and kind_of(source) == "graph":
            raise UsageError(
                "a graph has nothing to sweep",
                where=source,
                remedy="Sweep the script, function or record that it is made of",
            )
    select_rules(request.selected, request.ignored)  # a word that is no rule is said at once
    for text in request.suppress:
        SuppressedAt(text)
    options = SweepOptions(
        request.sources,
        swept.sweep,
        plan_options(request, emit=frozenset()),
        CheckOptions(
            tuple(request.selected),
            tuple(request.ignored),
            request.suppress,
            request.baseline,
            swept.cost,
            swept.kv_length,
        ),
        show_traceback=request.traceback,
    )
    run = dataclasses.replace(
        _run_options(swept, swept.results), fail_on=cast("Severity", request.fail_on)
    )
    path = None if request.output == "-" else request.output
    return _answer(options, run, swept, Output(form, path, request.color))


def _refuse_for_sweeps(request: VerifyRequest, form: str) -> None:
    """Raises UsageError for options that are of one report."""
    if form not in {"text", "json"}:
        raise UsageError(
            f"a sweep is told as text or json, not as {form}",
            remedy="Verify the point alone, or use --table for CSV and Parquet",
        )
    given: dict[str, Any] = {
        "--list-rules": request.list_rules,
        "--explain": request.explain,
        "--write-baseline": request.write_baseline,
        "--record": request.record,
        "--no-record": request.no_record,
    }
    for name, value in given.items():
        if value:
            raise UsageError(f"{name} and --sweep can't go together")


def _run_options(swept: SweepRequest, results: str | None) -> RunOptions:
    from mpkgraph.sweep.run import RunOptions

    swept.check()
    return RunOptions(
        results=None if results is None else Path(results),
        dataset=None if swept.dataset is None else Path(swept.dataset),
        jobs=swept.jobs,
        point_timeout=swept.point_timeout,
        ray=swept.ray,
        rank_by=cast("RankBy", swept.rank_by),
    )


def _answer(
    options: SweepOptions,
    run: RunOptions,
    swept: SweepRequest,
    output: Output,
    *,
    quiet: bool = False,
) -> int:
    from mpkgraph.render.sweep_json import sweep_json
    from mpkgraph.sweep.run import sweep
    from mpkgraph.sweep.store import Store

    with _progress() as progress:
        found = sweep(options, run, progress)
    for line in _notes(found):
        sys.stderr.write(f"mpkgraph: note: {line}\n")
    result = found.result
    Store(run.results).write_ranking(sweep_json(result))
    for name in swept.table:
        _write_table(result, name)
    if output.form == "json":
        with output.binary() as stream:
            stream.write(sweep_json(result))
    elif not quiet:
        from mpkgraph.render.sweep_text import sweep_text

        output.write_text(lambda out: sweep_text(out, result))
    return result.exit_code


def _write_table(result: SweepResult, name: str) -> None:
    from mpkgraph.render.sweep_json import sweep_json

    output = Output(TABLE_FORMS[Path(name).suffix.lower()], name, None)
    if output.form == "json":
        with output.binary() as stream:
            stream.write(sweep_json(result))
    else:
        output.write_table(result.table().to_columns())


def _notes(found: SweepRun) -> Iterator[str]:
    total = len(found.result.points)
    if found.num_known:
        yield f"{found.num_known} of {total} points were known"
    if found.num_nodes is not None and found.num_known < total:
        plural = "s" * (found.num_nodes != 1)
        yield f"{total - found.num_known} points ran on {found.num_nodes} node{plural}"


@contextmanager
def _progress() -> Iterator[Progress]:
    """Counts points on standard error when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _all, _failed: None
        return

    def tell(done: int, total: int, failed: int) -> None:
        text = f"{done} of {total} points" + (f", {failed} not planned" if failed else "")
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()

    try:
        yield tell
    finally:
        sys.stderr.write("\r\x1b[K")
