"""What `mpkgraph diff` does: get both sides, compare each rank, render."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpkgraph.analysis.diff.options import DiffOptions
from mpkgraph.cli.diff_request import DiffRequest
from mpkgraph.cli.output import Output
from mpkgraph.errors import UsageError
from mpkgraph.io.identical import same_sha256
from mpkgraph.io.source import STDIN
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.diff.compare import Comparison
    from mpkgraph.analysis.diff.report import DiffReport
    from mpkgraph.analysis.diff.side import Side
    from mpkgraph.analysis.verify.report import Pipeline

DIFFERENT = 1
"""Exit code when the sides differ."""


def run_diff(request: DiffRequest) -> int:
    """Answer one `mpkgraph diff`; the exit code."""
    form = request.chosen_form
    options = DiffOptions.of_words(
        request.only_words,
        request.ignored_words,
        ignore_names=request.ignore_names,
        strict_names=request.strict_names,
    )
    _check(request, form)
    if request.apply_ is not None:
        return _apply(request, request.apply_)
    path = None if request.output == STDIN else request.output
    report, comparisons = _report(request, options)
    if request.patch is not None:
        from mpkgraph.analysis.diff.patch_file import save_patches

        save_patches(comparisons, request.patch)
    if request.draw is not None:
        _draw(request.draw, comparisons)
    _render(report, comparisons, request, Output(form, path, request.color))
    return 0 if report.is_equal else DIFFERENT


def _apply(request: DiffRequest, patch: str) -> int:
    """`--apply`: the right graph of a patch, from the left one."""
    from mpkgraph.analysis.diff.patch_file import apply_patches, load_patches
    from mpkgraph.io.writer import save_graph

    if request.output is None:
        raise UsageError("--apply writes a graph", remedy="Name its file with -o FILE")
    patches = load_patches(patch)
    graphs = [x.graph for x in _pipeline(request, 0, []).ranks]
    made = apply_patches(patches, graphs, patch)
    if len(made) == 1:
        save_graph(made[0], request.output)
        return 0
    folder = Path(request.output)
    folder.mkdir(parents=True, exist_ok=True)
    for graph in made:
        save_graph(graph, folder / f"task_graph_rank{graph.rank}.json")
    return 0


def _check(request: DiffRequest, form: str) -> None:
    sources = request.sources
    if request.stat and (form not in {"text", "json"} or request.full):
        raise UsageError("--stat is one line of text")
    if not sources:
        raise UsageError(
            "there is nothing to compare",
            remedy="Give two graphs, directories, records, scripts or functions",
        )
    if len(sources) > 2:
        raise UsageError(f"{len(sources)} sources", remedy="Give a left one and a right one")
    if request.apply_ is not None:
        if len(sources) > 1 or request.patch or request.draw or form != "text" or request.stat:
            raise UsageError("--apply takes LEFT and -o FILE alone")
    elif len(sources) == 1 and not (request.ranks or request.is_planned_apart):
        raise UsageError(
            "there is no right side",
            remedy="Name it; or compare two ranks with --ranks L R, or plan the left twice with "
            "--left-set and --right-set, --left-target and --right-target",
        )
    if sources.count(STDIN) > 1:
        raise UsageError("standard input can be one side only", remedy="Name a file")
    written = (request.output, request.patch, request.draw)
    for name in written:
        if name is None or not Path(name).exists():
            continue
        for source in sources:
            if Path(source).exists() and Path(name).samefile(source):
                raise UsageError(
                    "this would overwrite a source", where=name, remedy="Name another file"
                )


def _report(request: DiffRequest, options: DiffOptions) -> tuple[DiffReport, list[Comparison]]:
    from mpkgraph.analysis.diff.report import DiffReport, compare_ranks, report_of

    if request.draw is not None:
        from mpkgraph.render.graphviz import format_of

        format_of(request.draw)  # a name that asks for no format is said before all else
    names = (request.sources[0], request.sources[-1])
    if len(request.sources) == 2 and not request.is_planned_apart and not request.ranks:
        found = same_sha256(*names)
        wants_more = request.patch or request.draw or request.chosen_form == "dot"
        if found is not None and not wants_more:
            return DiffReport((), *names, sha256=found), []
    notes: list[str] = []
    pipelines = [_pipeline(request, side, notes) for side in (0, 1)]
    left, right = (_sides(x) for x in pipelines)
    comparisons = compare_ranks(left, right, options)
    if request.findings:
        from mpkgraph.analysis.diff.findings import with_findings

        comparisons = with_findings(comparisons, pipelines[0].ranks, pipelines[1].ranks)
    if request.makespan:
        from mpkgraph.cli.diff_makespan import with_makespan

        comparisons = with_makespan(comparisons, request, pipelines[0].ranks, pipelines[1].ranks)
    report = report_of(comparisons, left, right, names, options, list(dict.fromkeys(notes)))
    return report, comparisons


def _pipeline(request: DiffRequest, side: int, notes: list[str]) -> Pipeline:
    from mpkgraph.cli.verify_sources import SourceReader, kind_of

    own = request.of_side(side)
    kind = kind_of(own.sources[0])
    if kind == "graph" or (kind == "folder" and _has_graphs(own.sources[0])):
        # What the other side is planned with does nothing here
        own = replace(
            own,
            arguments=(),
            settings=(),
            init=(),
            meta=False,
            register=(),
            multicast=None,
            world_size=None,
            all_ranks=False,
            schedulers=None,
            target=None,
        )
    reader = SourceReader(own)
    found = list(reader.pipelines())
    notes += reader.notes
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} graphs were made by one process",
            where=own.sources[0],
            remedy="Compile into a directory, and name the graph's file in it",
        )
    return found[0]


def _has_graphs(folder: str) -> bool:
    return any(Path(folder).glob("task_graph_rank*.json*"))


def _sides(pipeline: Pipeline) -> Mapping[int, Side]:
    from mpkgraph.analysis.diff.side import Side

    several = len(pipeline.ranks) > 1
    return {
        x.graph.rank: Side(
            name=(several and x.graph.source.path) or pipeline.name,
            graph=x.graph,
            operators=x.operators,
            catalog=x.catalog,
            record=x.record,
        )
        for x in pipeline.ranks
    }


def _draw(path: str, comparisons: list[Comparison]) -> None:
    from mpkgraph.render.diff.overlay import to_dot
    from mpkgraph.render.graphviz import format_of, render_dot

    one = _one(comparisons)
    warnings = render_dot(to_dot(one.result, one.overview), path, format_of(path))
    for warning in warnings:
        click.echo(f"mpkgraph: warning: {printable(warning)}", err=True)


def _one(comparisons: list[Comparison]) -> Comparison:
    """The rank that is drawn. Raises UsageError where there are several."""
    if len(comparisons) > 1:
        ranks = ", ".join(str(x.left.graph.rank) for x in comparisons)
        raise UsageError(
            f"a picture is of one rank, and there are {ranks}", remedy="Choose one with --rank"
        )
    if not comparisons:
        raise UsageError("the sides have no rank in common", remedy="Choose two with --ranks")
    return comparisons[0]


def _render(
    report: DiffReport, comparisons: list[Comparison], request: DiffRequest, output: Output
) -> None:
    if output.form == "html":
        from mpkgraph.render.diff.html import report_html

        with output.binary() as stream:
            stream.write(report_html(report, [x.overview for x in comparisons]))
        return
    if output.form == "dot":
        from mpkgraph.render.diff.overlay import to_dot

        one = _one(comparisons)
        with output.binary() as stream:
            stream.write(to_dot(one.result, one.overview).encode("utf-8"))
        return
    if output.form == "json":
        from mpkgraph.render.diff.json_form import report_json

        with output.binary() as stream:
            stream.write(report_json(report))
        return
    from mpkgraph.render.diff.text import report_text, stat_text

    if request.stat:
        output.write_text(lambda out: stat_text(out, report))
    else:
        output.write_text(lambda out: report_text(out, report, full=request.full))
