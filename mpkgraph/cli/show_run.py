"""What `mpkgraph show` does for each view: load, ask one question, render the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpkgraph.cli.loading import Loaded, LoadOptions, load, load_one, open_graphs
from mpkgraph.cli.output import Output
from mpkgraph.cli.request import ShowRequest
from mpkgraph.errors import SelectionError, UsageError
from mpkgraph.render.escape import printable

if TYPE_CHECKING:
    from mpkgraph.analysis.context import GraphContext
    from mpkgraph.analysis.csr import IntArray
    from mpkgraph.analysis.drawing import Drawing
    from mpkgraph.analysis.table import Table
    from mpkgraph.render.text import TextWriter


MIN_BATCH = 64
"""Tasks in detail from which it pays to unpack all columns, and to remember what tasks share."""
PICTURE_SUFFIXES = frozenset(
    {".png", ".svg", ".pdf", ".dot", ".jpg", ".jpeg", ".gif", ".webp", ".ps", ".eps"}
)


def run_show(request: ShowRequest) -> int:
    """Answer one `mpkgraph show`; the exit code."""
    output = Output.of_options(
        as_json=request.as_json,
        as_csv=request.as_csv,
        as_parquet=request.as_parquet,
        path=request.output,
        color=request.color,
    )
    _check(request, output)
    if request.draw or request.extract or (request.html and not request.schedule):
        if request.html:
            from mpkgraph.cli.show_page import run_page

            run_page(request, load_options(request))
        if request.draw:
            _draw(request)
        if request.extract:
            _extract(request)
    elif request.tiles:
        from mpkgraph.cli.show_tiles import run_tiles

        run_tiles(request, load_options(request), request.tiles)
    elif request.schedule:
        from mpkgraph.cli.show_schedule import run_schedule

        run_schedule(request, output, load_options(request))
    elif request.path_ends is not None:
        _paths(request, output)
    elif request.list_what is not None:
        _list(request, output, request.list_what)
    elif request.hops is not None:
        _neighbourhood(request, output)
    elif request.task_type or request.variant or request.waits_on or request.triggers:
        _list(request, output, "tasks")
    elif request.has_selection:
        _details(request, output)
    else:
        from mpkgraph.cli.show_summary import run_summary

        run_summary(request, output, load_options(request))
    return 0


def load_options(request: ShowRequest) -> LoadOptions:
    return LoadOptions(
        path=request.path,
        record=request.record,
        use_record=not request.no_record,
        mirage_home=request.mirage_home,
        use_cache=not request.no_cache,
        processes=request.processes,
        rank=request.rank,
        progress=not request.no_progress,
    )


def _check(request: ShowRequest, output: Output) -> None:
    views = [
        name
        for name, wanted in (
            ("--schedule", request.schedule),
            ("--tiles", request.tiles),
            ("--list", request.list_what),
            ("--path", request.path_ends),
            ("--draw", request.draw),
            ("--extract", request.extract),
            ("--html", request.html),
        )
        if wanted
    ]
    together = ({"--draw", "--extract", "--html"}, {"--schedule", "--html"})
    if len(views) > 1 and not any(set(views) <= allowed for allowed in together):
        raise UsageError(f"{views[0]} and {views[1]} can't go together")
    if request.record is not None and request.no_record:
        raise UsageError("--record and --no-record can't go together")
    if request.all_paths and request.path_ends is None:
        raise UsageError("--all-paths needs the two tasks", remedy="Add --path FROM TO")
    if request.hops is not None and not request.has_selection:
        raise UsageError(
            "--hops needs a selection to start from", remedy="Add --task, --operator or the like"
        )
    if request.schedulers is not None and request.workers is None and not request.schedule:
        raise UsageError("--schedulers needs the number of workers", remedy="Add --workers N")
    page_alone = request.html is not None and not request.schedule
    if (request.draw or request.extract or request.tiles or page_alone) and output.path is not None:
        raise UsageError(
            "-o has nothing to do here",
            remedy="--draw, --tiles, --extract and --html name the file",
        )
    if request.html and request.has_selection and not (request.draw or request.extract):
        raise UsageError(
            "--html shows the whole graph",
            remedy="Leave the selection out, or add it to the page's address: page.html#task=17",
        )
    if request.tiles and not (request.operator or request.task):
        raise UsageError(
            "--tiles needs an operator", remedy="Add --operator N, or --task IDS to mark some"
        )
    _check_overwrite(request)
    if output.path is not None and Path(output.path).suffix.lower() in PICTURE_SUFFIXES:
        raise UsageError(
            f"-o writes {output.form}, and this is the name of a picture",
            where=output.path,
            remedy=f"Draw with --draw {printable(output.path)}",
        )
    if request.extract and not request.has_selection:
        raise UsageError(
            "--extract needs a selection", remedy="Add --operator 3-7, --task 2-10 --hops 1, ..."
        )


def _check_overwrite(request: ShowRequest) -> None:
    files = (
        request.output,
        request.draw,
        request.tiles,
        request.extract,
        request.html,
        request.trace,
        request.gantt,
    )
    for name in files:
        if name is None or request.path == "-":
            continue
        target, source = Path(name), Path(request.path)
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError(
                "this would overwrite the graph", where=name, remedy="Name another file"
            )


def _context(request: ShowRequest, purpose: str) -> tuple[Loaded, GraphContext]:
    loaded = load_one(load_options(request), purpose)
    return loaded, loaded.context


def _details(request: ShowRequest, output: Output) -> None:
    if output.form in {"csv", "parquet"}:
        raise UsageError(
            f"details are no table for --{output.form}", remedy="Add --list tasks, or use --json"
        )
    loaded, context = _context(request, "a detailed view")
    from dataclasses import fields

    import numpy as np

    asked = list(_asked(request, context))
    if any(len(items) >= MIN_BATCH for *_, items in asked):
        # What is damaged in the cache shows before anything is written
        for column in fields(context.graph.tasks):
            getattr(context.graph.tasks, column.name)
    if output.form == "json":
        payload = {
            name: map(partial(_detail_json, context, detail), items)
            for name, detail, _, items in asked
            if items
        }
        output.write_json("details", {**_identity(loaded), **payload})
        return

    def write(out: TextWriter) -> None:
        for name, detail, text, items in asked:
            if name == "tasks" and len(items) >= MIN_BATCH:
                from mpkgraph.render.task_batch_text import tasks_text

                tasks_text(out, context, np.array(items, dtype=np.int64))
                continue
            for item in items:
                text(out, detail(context, item))

    output.write_text(write)


def _detail_json(context: GraphContext, detail: Callable[..., Any], item: Any) -> Any:
    return detail(context, item).to_json()


def _asked(
    request: ShowRequest, context: GraphContext
) -> Iterator[tuple[str, Callable[..., Any], Callable[..., None], list[Any]]]:
    """What is asked: its name, a function to a detail, one that writes it, and the items.

    Each kind is imported when it is asked for.
    """
    from mpkgraph.analysis import select
    from mpkgraph.render import show_text

    graph, operators, catalog = context.graph, context.operators, context.catalog
    if request.task:
        from mpkgraph.analysis.task_detail import task_detail

        chosen = select.TaskFilter(task_ids=request.task)
        tasks = select.select_tasks(graph, operators, chosen, catalog)
        yield "tasks", task_detail, show_text.task_text, tasks.tolist()
    if request.event:
        from mpkgraph.analysis.event_detail import event_detail

        events = select.select_events(request.event, graph)
        yield "events", event_detail, show_text.event_text, events.tolist()
    if request.operator:
        from mpkgraph.analysis.operator_detail import operator_detail

        places = select.select_operators(request.operator, operators, catalog)
        yield "operators", operator_detail, show_text.operator_text, places.tolist()
    if request.tensor:
        from mpkgraph.analysis.tensor_detail import tensor_detail

        places = select.select_tensors(request.tensor, graph)
        names = [graph.tensors[i] for i in places.tolist()]
        yield "tensors", tensor_detail, show_text.tensor_text, names


def _selection(request: ShowRequest, context: GraphContext) -> IntArray:
    """Ids of the tasks that the options select, with what is within `--hops` of them."""
    import numpy as np

    from mpkgraph.analysis.select import TaskFilter, select_tasks

    task_filter = TaskFilter(
        types=request.task_type,
        operators=request.operator,
        tensors=request.tensor,
        task_ids=request.task,
        variants=request.variant,
        waits_on=request.waits_on,
        triggers=request.triggers,
    )
    chosen = select_tasks(context.graph, context.operators, task_filter, context.catalog)
    if request.event:
        either = np.zeros(context.graph.num_tasks, dtype=np.bool_)
        for events in (TaskFilter(waits_on=request.event), TaskFilter(triggers=request.event)):
            either[select_tasks(context.graph, context.operators, events, context.catalog)] = True
        chosen = chosen[either[chosen]]
    if request.hops is not None:
        from mpkgraph.analysis.neighbourhood import neighbourhood

        chosen = neighbourhood(
            context.all_ranks,
            chosen,
            max_hops=request.hops,
            direction=request.direction,  # type: ignore[arg-type]
        ).task_ids
    return chosen


def _list(request: ShowRequest, output: Output, what: str) -> None:
    from mpkgraph.cli import kept_views

    options, purpose = load_options(request), "a list"
    opened = open_graphs(options)
    is_kept = what in kept_views.KEPT_LISTS and not request.has_selection and _is_alone(opened)
    kept = kept_views.kept_list(opened[0], what) if is_kept else None
    if kept is not None:
        table, rank = kept
        _write_table(output, {"path": opened[0].path, "rank": rank}, table)
        return
    loaded = load_one(options, purpose, opened)
    table = _table(request, loaded.context, what)
    if is_kept:
        kept_views.keep_list(loaded, what, table)
    _write_table(output, _identity(loaded), table)


def _is_alone(opened: Sequence[Loaded]) -> bool:
    """Whether it is one graph whatever its rank is."""
    return len(opened) == 1 and opened[0].options.rank is None


def _table(request: ShowRequest, context: GraphContext, what: str) -> Table:
    import numpy as np

    from mpkgraph.analysis import lists
    from mpkgraph.analysis.csr import expand_ranges
    from mpkgraph.analysis.select import select_events, select_tensors
    from mpkgraph.analysis.tensor_list import tensor_list
    from mpkgraph.model.distinct import distinct

    graph = context.graph
    if what == "events" and request.event and request.hops is None and not _narrows(request):
        return lists.event_list(context, select_events(request.event, graph))
    tasks = _selection(request, context) if request.has_selection else None
    if what == "tasks":
        return lists.task_list(context, tasks)
    if what == "slots":
        return lists.slot_list(context, tasks)
    if tasks is None:
        everything = {"events": lists.event_list, "operators": lists.operator_list}
        return everything.get(what, tensor_list)(context)
    if what == "events":
        both = context.events.dependents_of(tasks), context.events.triggers_of(tasks)
        nodes = distinct(np.concatenate(both))
        events = nodes[(nodes >= 0) & (nodes < graph.num_events)]
        if request.event:
            events = np.intersect1d(events, select_events(request.event, graph))
        return lists.event_list(context, events)
    if what == "operators":
        owners = distinct(context.operators.owners(tasks)).astype(np.int64)
        return lists.operator_list(context, owners[owners >= 0])
    columns = graph.tasks
    slots = expand_ranges(columns.starts_of(tasks), columns.slot_counts(tasks))
    tensors = distinct(graph.layout_tensors[columns.values("slot_layouts", slots)])
    if request.tensor and request.hops is None:
        tensors = np.intersect1d(tensors, select_tensors(request.tensor, graph))
    return tensor_list(context, tensors[tensors >= 0])


def _narrows(request: ShowRequest) -> bool:
    """Whether options other than --event select."""
    return bool(
        request.task
        or request.operator
        or request.tensor
        or request.task_type
        or request.variant
        or request.waits_on
        or request.triggers
    )


def _neighbourhood(request: ShowRequest, output: Output) -> None:
    import dataclasses

    from mpkgraph.analysis.lists import task_list
    from mpkgraph.analysis.neighbourhood import neighbourhood
    from mpkgraph.analysis.table import Column, Table

    loaded, context = _context(request, "a neighbourhood")
    start = _selection(dataclasses.replace(request, hops=None), context)
    found = neighbourhood(
        context.all_ranks,
        start,
        max_hops=request.hops,
        direction=request.direction,  # type: ignore[arg-type]
    )
    if output.form == "json":
        output.write_json("neighbourhood", {**_identity(loaded), **found.to_json()})
        return
    tasks = task_list(context, found.task_ids)
    columns = dict(tasks.columns)
    table = Table(
        "tasks",
        {
            "task_id": columns.pop("task_id"),
            "hops": Column(found.hops, "to the selection; negative before it"),
            **columns,
        },
    )
    _write_table(output, _identity(loaded), table)


def _paths(request: ShowRequest, output: Output) -> None:
    if output.form in {"csv", "parquet"}:
        raise UsageError(f"paths are no table for --{output.form}", remedy="Use --json")
    from mpkgraph.analysis.paths import find_paths
    from mpkgraph.render.show_paths import paths_text

    loaded, context = _context(request, "a path")
    source, target = request.path_ends or (0, 0)
    found = find_paths(context, source, target, limit=request.limit if request.all_paths else 1)
    if output.form == "json":
        output.write_json("paths", {**_identity(loaded), **found.to_json()})
    else:
        output.write_text(lambda out: paths_text(out, found, context, all_asked=request.all_paths))


def _draw(request: ShowRequest) -> None:
    from mpkgraph.render.graphviz import format_of, render

    target = request.draw or ""
    wanted = format_of(target)
    level = request.level or ("tasks" if request.has_selection else "operators")
    drawing = _operators_drawing(request) if level == "operators" else _tasks_drawing(request)
    for warning in render(
        drawing, target, wanted, timeout_s=request.draw_timeout, force=request.force
    ):
        click.echo(f"mpkgraph: dot: {printable(warning)}", err=True)
    wrote(target)


def _operators_drawing(request: ShowRequest) -> Drawing:
    if request.has_selection:
        raise UsageError(
            "--level operators draws all operators", remedy="Leave the selection or --level out"
        )
    from mpkgraph.cli import kept_views

    fold = False if request.full else None
    options = load_options(request)
    opened = open_graphs(options)
    kept = None
    if _is_alone(opened):
        kept = kept_views.kept_drawing(opened[0], reduce=request.reduce, fold=fold)
    if kept is not None:
        from mpkgraph.analysis.drawing import check_size

        if not request.force:
            check_size(len(kept.nodes), len(kept.edges))
        return kept
    from mpkgraph.analysis.drawing import RankPart, draw_operators, draw_ranks
    from mpkgraph.analysis.structure import operator_edges

    loaded = load(options, opened)
    parts = [
        RankPart(item.graph, item.operators, operator_edges(item.graph, item.operators))
        for item in loaded
    ]
    names = loaded[0].catalog
    if len(parts) > 1:
        return draw_ranks(
            parts, catalog=names, reduce=request.reduce, fold=fold, force=request.force
        )
    drawing = draw_operators(
        parts[0].graph,
        parts[0].operators,
        parts[0].edges,
        catalog=names,
        reduce=request.reduce,
        fold=fold,
        force=request.force,
    )
    if _is_alone(opened):
        kept_views.keep_drawing(loaded[0], drawing, reduce=request.reduce, fold=fold)
    return drawing


def _tasks_drawing(request: ShowRequest) -> Drawing:
    from mpkgraph.analysis.drawing import draw_tasks

    loaded, context = _context(request, "a picture of tasks")
    return draw_tasks(
        loaded.graph,
        loaded.operators,
        _selection(request, context).tolist(),
        catalog=loaded.catalog,
        reduce=request.reduce,
        force=request.force,
    )


def _extract(request: ShowRequest) -> None:
    from mpkgraph.analysis.extract import extract
    from mpkgraph.io.writer import save_graph

    loaded, context = _context(request, "an extract")
    chosen = _selection(request, context)
    if not (chosen >= 2).any():
        raise SelectionError(
            "the selection has no task of a layer", remedy="Select tasks from 2 on"
        )
    target = request.extract or ""
    graph = extract(loaded.graph, chosen).graph
    save_graph(graph, target)
    wrote(target, f"{graph.num_tasks:,} tasks, {graph.num_events:,} events")


def wrote(path: str, note: str = "") -> None:
    """Says on standard error that a file is there."""
    click.echo(f"wrote {printable(path)}{': ' if note else ''}{note}", err=True)


def _write_table(output: Output, identity: dict[str, Any], table: Table) -> None:
    if output.form == "json":
        output.write_json(
            table.name, {**identity, "num_rows": table.num_rows, "rows": table.json_rows()}
        )
    elif output.form == "text":
        from mpkgraph.render.show_text import table_text

        output.write_text(lambda out: table_text(out, table))
    else:
        output.write_table(table.to_columns())


def _identity(loaded: Loaded) -> dict[str, Any]:
    return {"path": loaded.graph.source.path, "rank": loaded.graph.rank}
