"""`mpkgraph verify --html`: the page of a graph, coloured by what was found or by a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpkgraph.cli.verify_request import VerifyRequest
from mpkgraph.errors import UsageError
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.page import Overlay
    from mpkgraph.analysis.verify.context import VerifyContext
    from mpkgraph.analysis.verify.report import CheckedPipeline, Pipeline
    from mpkgraph.reference.validation.result import RunReport


def check_page(request: VerifyRequest) -> None:
    """Refuse, before anything is planned, to write the page over what is read or written."""
    if request.html is None:
        return
    target = Path(request.html)
    for name in (*request.sources, request.record, request.baseline):
        if name is not None and target.exists() and Path(name).exists() and target.samefile(name):
            raise UsageError(
                "this would overwrite a source", where=request.html, remedy="Name another file"
            )
    for option, name in (("-o", request.output), ("--write-baseline", request.write_baseline)):
        if name is not None and target.absolute() == Path(name).absolute():
            raise UsageError(
                f"--html and {option} name one file", where=name, remedy="Name another file"
            )


def findings_page(
    request: VerifyRequest, pipelines: Sequence[tuple[Pipeline, CheckedPipeline]]
) -> None:
    """The page of the rank with the gravest findings, coloured by them."""
    from mpkgraph.analysis.page import findings_overlay
    from mpkgraph.analysis.verify.rule import SEVERITIES

    pipeline, checked = _only(pipelines)
    result = checked.result
    found = sorted(result.unfolded, key=lambda x: SEVERITIES.index(x.severity))
    context = _choose(pipeline.ranks, [x.location.rank for x in found], request.rank)
    rank = context.graph.rank

    def overlays() -> Sequence[Overlay]:
        return [findings_overlay(result, context.operators, rank)]

    _write(request.html or "", pipeline.name, pipeline.ranks, context, overlays)


def run_page(
    request: VerifyRequest, ranks: Sequence[VerifyContext], reports: Sequence[RunReport]
) -> None:
    """The page of the rank in which a run went wrong first, coloured by its errors."""
    from mpkgraph.analysis.page.run import run_overlays, worst_ranks

    document: dict[str, Any] = _only(reports).to_json()
    context = _choose(ranks, list(worst_ranks(document)), request.rank)

    def overlays() -> Sequence[Overlay]:
        return run_overlays(document, context.operators, context.graph.rank)

    _write(request.html or "", document["name"], ranks, context, overlays)


def _only(pipelines: Sequence[Any]) -> Any:
    if len(pipelines) != 1:
        raise UsageError(
            f"a page is of one pipeline, and there are {len(pipelines)}",
            remedy="Name one alone, or show each graph: mpkgraph show GRAPH --html FILE",
        )
    return pipelines[0]


def _choose(
    ranks: Sequence[VerifyContext], concerned: Sequence[int], asked: int | None
) -> VerifyContext:
    by_rank = {x.graph.rank: x for x in ranks}
    wanted = [*([] if asked is None else [asked]), *concerned]
    return next((by_rank[x] for x in wanted if x in by_rank), ranks[0])


def _write(
    target: str,
    name: str,
    ranks: Sequence[VerifyContext],
    context: VerifyContext,
    overlays: Callable[[], Sequence[Overlay]],
) -> None:
    from mpkgraph.analysis.page import make_page
    from mpkgraph.render.html import save_page

    notes = []
    if len(ranks) > 1:
        others = ", ".join(str(x.graph.rank) for x in ranks if x is not context)
        notes.append(f"rank {context.graph.rank} of {len(ranks)}; no page was written of {others}")
    title = printable(name) if context.graph.source.path is None else None
    page = make_page(context.view, context.record, overlays(), notes=notes, title=title)
    save_page(page, target)
    size = Path(target).stat().st_size
    said = [f"{size / 1024:,.0f} KiB", f"{context.graph.num_tasks:,} tasks", *notes]
    click.echo(f"wrote {printable(target)}: {', '.join(said)}", err=True)
