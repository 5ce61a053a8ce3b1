"""`mpkgraph show --html`: load, lay out, colour, write."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpkgraph.cli.loading import Loaded, LoadOptions, load, load_one
from mpkgraph.cli.request import ShowRequest
from mpkgraph.errors import UsageError

if TYPE_CHECKING:
    from mpkgraph.analysis.page import Overlay
    from mpkgraph.analysis.schedule.result import Schedule


def run_page(request: ShowRequest, options: LoadOptions, schedule: Schedule | None = None) -> None:
    """Write the page that is asked for, coloured by a schedule too when there is one."""
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.page import make_page, parse_overlays
    from mpkgraph.analysis.page.overlay_file import read_document
    from mpkgraph.analysis.page.run import is_run, run_overlays
    from mpkgraph.cli.show_run import wrote
    from mpkgraph.render.html import save_page

    # A file that is no overlay is said before a large graph is read
    overlays: list[Overlay] = []
    runs: list[tuple[str, Any]] = []
    for path in request.overlay:
        document = read_document(path)
        if is_run(document):
            runs.append((path, document))
        else:
            overlays += parse_overlays(document, path)
    target = request.html or ""
    if any(Path(target).exists() and Path(target).samefile(path) for path in request.overlay):
        raise UsageError(
            "this would overwrite the overlay", where=target, remedy="Name another file"
        )
    loaded = load_one(options, "a page")
    record = loaded.record
    if runs:
        from mpkgraph.io.graph_hash import graph_sha256

        text = graph_sha256(loaded.graph)
        for path, document in reversed(runs):
            overlays[:0] = run_overlays(
                document, loaded.operators, loaded.graph.rank, text, where=path
            )
    if schedule is not None:
        from mpkgraph.analysis.page.schedule import schedule_overlays

        overlays[:0] = schedule_overlays(schedule, loaded.graph.rank)
    if request.against is not None:
        overlays.insert(0, _differences(request.against, options, loaded))
    if request.findings:
        overlays.insert(0, _findings(request, options, loaded))
    context = GraphContext(loaded.graph, loaded.operators, loaded.catalog)
    save_page(make_page(context, record, overlays), target)
    size = Path(target).stat().st_size
    wrote(target, f"{size / 1024:,.0f} KiB, {loaded.graph.num_tasks:,} tasks")


def _differences(left: str, options: LoadOptions, right: Loaded) -> Overlay:
    """What differs from the graph `left`, which is read like the other one."""
    from mpkgraph.analysis.diff.compare import compare
    from mpkgraph.analysis.diff.page_overlay import diff_overlay
    from mpkgraph.analysis.diff.side import Side
    from mpkgraph.analysis.page.page import page_title

    # of a folder the same rank; of a file whatever rank it is
    rank = right.graph.rank if Path(left).is_dir() else None
    other = load_one(dataclasses.replace(options, path=left, record=None, rank=rank), "a diff")
    sides = [
        Side.of(x.graph, x.operators, x.record, name=page_title(x.path), catalog=x.catalog)
        for x in (other, right)
    ]
    found = compare(sides[0], sides[1])
    return diff_overlay(found.result, found.right.operators)


def _findings(request: ShowRequest, options: LoadOptions, chosen: Loaded) -> Overlay:
    """What verify finds in the graph; all ranks of a directory are looked at together."""
    from mpkgraph.analysis.page import findings_overlay
    from mpkgraph.analysis.verify.context import VerifyContext, VerifyOptions
    from mpkgraph.analysis.verify.run import verify

    ranks = [chosen]
    if options.rank is not None and Path(options.path).is_dir():
        every = load(dataclasses.replace(options, rank=None))
        ranks = [chosen if item.path == chosen.path else item for item in every]
    wanted = VerifyOptions(num_workers=request.workers, num_schedulers=request.schedulers)
    result = verify(
        [
            VerifyContext(item.graph, item.operators, item.catalog, item.record, wanted)
            for item in ranks
        ]
    )
    return findings_overlay(result, chosen.operators, chosen.graph.rank)
