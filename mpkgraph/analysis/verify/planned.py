"""Pipelines that were planned here, ready to be verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyOptions
from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.analysis.verify.subjects import context_of, pipeline_of
from mpkgraph.catalog import DEFAULT, catalog_for
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.errors import PipelineError
from mpkgraph.pipeline.compile import CompileOptions
from mpkgraph.pipeline.compiled import Compiled, CompileResult
from mpkgraph.pipeline.custom_tasks import with_custom_tasks


def planned_pipelines(
    result: CompileResult, name: str, options: CompileOptions, verify_options: VerifyOptions
) -> Iterator[Pipeline]:
    """One pipeline for each graph of a process, with all its ranks."""
    catalog = DEFAULT if options.mirage_home is None else catalog_for(options.mirage_home)
    tasks = with_custom_tasks(REGISTERED_TASKS, options.tasks)
    by_index: dict[int, list[Compiled]] = {}
    for item in result.compiled:
        by_index.setdefault(item.index, []).append(item)
    for index, items in sorted(by_index.items()):
        ranks = [
            context_of(x.graph, x.record, catalog=catalog, options=verify_options, tasks=tasks)
            for x in items
            if x.graph is not None
        ]
        title = name if len(by_index) == 1 else f"{name}, graph {index + 1}"
        rank, times = Counter(x.graph.rank for x in ranks).most_common(1)[0] if ranks else (0, 0)
        if times > 1:
            of_them = "all" if times == len(ranks) else f"{times} of them"
            raise PipelineError(
                f"it was compiled for {len(ranks)} ranks, and is rank {rank} in {of_them}",
                where=title,
                remedy="Let it ask MPI or the environment which rank it is, or leave out "
                "--all-ranks",
            )
        yield pipeline_of(title, ranks, items[0].site)
