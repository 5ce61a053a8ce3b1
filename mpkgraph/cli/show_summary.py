"""The summary view: from the cache, of a graph in memory, or streamed when the file is large."""

from __future__ import annotations

import contextlib
import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mpkgraph.cli.loading import OPERATORS, Loaded, LoadOptions, of_rank, open_graphs, progress_bar
from mpkgraph.cli.output import Output
from mpkgraph.cli.request import ShowRequest
from mpkgraph.io.source import STDIN
from mpkgraph.model.source import GraphSource

if TYPE_CHECKING:
    from mpkgraph.analysis.summary import StreamAnswers, Summary
    from mpkgraph.io.cache import GraphCache
    from mpkgraph.io.entry_stream import EntryStream
    from mpkgraph.render.text import TextWriter

STREAM_BYTES = 64 << 20
"""A plain file of this size is streamed: in memory its columns take tens of MB."""
STREAM_COMPRESSED_BYTES = 1 << 20
"""Likewise a compressed file: Mirage's text shrinks to less than a fiftieth."""
SUMMARY = "summary"
"""Key of the summary among the results that are kept."""


def run_summary(request: ShowRequest, output: Output, options: LoadOptions) -> None:
    """Summarise one graph, or each rank of a directory."""
    found = [summary_of(loaded) for loaded in open_graphs(options)]
    summaries = of_rank(options, [(summary.rank, summary) for summary in found])
    if request.workers is not None:
        from mpkgraph.analysis.workers import worker_load

        summaries = [
            dataclasses.replace(
                summary,
                load=worker_load(summary.num_tasks, request.workers, request.schedulers),
            )
            for summary in summaries
        ]
    if output.form == "json":
        ranks = [summary.to_json() for summary in summaries]
        payload = ranks[0] if len(ranks) == 1 else {"ranks": ranks}
        output.write_json("summary", payload)
    elif output.form == "text":
        from mpkgraph.render.summary_text import summary_text

        def write(out: TextWriter) -> None:
            for summary in summaries:
                summary_text(out, summary, full=request.full)

        output.write_text(write)
    else:
        output.write_table(_operator_columns(summaries))


def summary_of(loaded: Loaded) -> Summary:
    """The summary of a graph file, by the shortest way; without the load of workers.

    A large file without a record is streamed, in some 40 MB. With a record it is read in memory:
    exact operators are compared with all tasks of the graph.
    """
    return _kept_summary(loaded) or (
        _stream(loaded) if _is_to_stream(loaded) else _summarise(loaded)
    )


def keep_summary(loaded: Loaded) -> None:
    """Keeps the summary, the operators and what else second commands need, of a graph that was
    read for another question.
    """
    _summarise(loaded)


def _kept_summary(loaded: Loaded) -> Summary | None:
    from mpkgraph.analysis.summary_store import SummaryStoreError, summary_from_bytes

    if loaded.cache is None:
        return None
    text = loaded.records.text
    data = loaded.kept.load(loaded.records.derivation.key(SUMMARY))
    source = GraphSource(path=loaded.path, record_path=None if text is None else text.path)
    try:
        return None if data is None else summary_from_bytes(data, source=source)
    except SummaryStoreError:
        return None


def _keep(loaded: Loaded, summary: Summary) -> None:
    from mpkgraph.analysis.summary_store import SummaryStoreError, summary_to_bytes

    with contextlib.suppress(SummaryStoreError):
        key = loaded.records.derivation.key(SUMMARY)
        loaded.kept.keep(key, summary_to_bytes(summary))


def _summarise(loaded: Loaded) -> Summary:
    """The summary of the graph in memory."""
    from mpkgraph.analysis.event_order import KnownOrder
    from mpkgraph.analysis.summary import SummaryOptions, summarise
    from mpkgraph.io.content import ContentHash

    with contextlib.closing(ContentHash(loaded.path)) as content_hash:
        graph, record = loaded.graph, loaded.record
        sha256 = graph.source.sha256
        if sha256 is None and loaded.path != STDIN and _is_plain(loaded.path):
            sha256 = content_hash.sha256()
    text = loaded.records.text
    summary = summarise(
        graph,
        loaded.operators,
        catalog=loaded.catalog,
        options=SummaryOptions(mirage_version=None if record is None else record.mirage_commit),
        order=None if loaded.cache is None else KnownOrder(loaded.context.levels),
    )
    if loaded.cache is not None:
        loaded.context.operator_totals  # noqa: B018  (what is computed is kept)
        loaded.context.tensor_totals  # noqa: B018
    source = dataclasses.replace(
        summary.source, sha256=sha256, record_path=None if text is None else text.path
    )
    summary = dataclasses.replace(summary, source=source)
    _keep(loaded, summary)
    return summary


def _is_to_stream(loaded: Loaded) -> bool:
    """Whether the file is large or of unknown size, and nothing asks for it in memory."""
    if loaded.records.text is not None or (loaded.options.processes or 1) > 1:
        return False
    if loaded.path == STDIN:
        return True
    try:
        size = Path(loaded.path).stat().st_size
    except (OSError, ValueError):
        return False
    if size < STREAM_COMPRESSED_BYTES:
        return False
    if size < STREAM_BYTES and _is_plain(loaded.path):
        return False
    return not loaded.is_in_cache


def _stream(loaded: Loaded) -> Summary:
    """The summary of a file that is read once, in little memory; the cache learns all of it."""
    from mpkgraph.analysis.summary import summarise_stream
    from mpkgraph.io.content import ContentHash
    from mpkgraph.io.resident import give_back_code, map_large_arrays

    is_file = loaded.path != STDIN
    is_plain = is_file and _is_plain(loaded.path)
    cache = loaded.cache if is_file else None
    passes: list[EntryStream] = []
    answers: list[StreamAnswers] = []
    with contextlib.ExitStack() as stack:
        content_hash = stack.enter_context(contextlib.closing(ContentHash(loaded.path)))
        spool = None if cache is None else stack.enter_context(cache.spool())
        if spool is not None or is_plain:
            content_hash.start()

        def sha256() -> str | None:
            return content_hash.sha256() if is_plain else None

        def watch(cache: GraphCache, spool: BinaryIO) -> EntryStream:
            from mpkgraph.io.entry_stream import EntryStream
            from mpkgraph.views.extents import each_completed

            passes[:] = [EntryStream(loaded.path, each_completed, sha256, spool, cache.limit_bytes)]
            return passes[0]

        map_large_arrays()
        with progress_bar(enabled=loaded.options.progress) as progress:
            summary = summarise_stream(
                loaded.path,
                catalog=loaded.catalog,
                progress=progress,
                watch=None if cache is None or spool is None else partial(watch, cache, spool),
                keep=None if spool is None else answers.append,
                relieve=give_back_code,
            )
        source = dataclasses.replace(summary.source, sha256=sha256())
        summary = dataclasses.replace(summary, source=source)
        content = content_hash.result() if passes else None
        entries = passes[-1] if passes else None
        if cache is None or content is None or entries is None or entries.graph_entry is None:
            return summary
        blocks = entries.graph_entry
        if cache.store_entry(loaded.path, content, entries.rank, blocks.parts(), blocks.num_bytes):
            loaded.kept.sha256 = content.sha256
            if entries.operators_entry is not None:
                loaded.kept.keep(loaded.records.derivation.key(OPERATORS), entries.operators_entry)
            _keep(loaded, summary)
            from mpkgraph.cli.kept_answers import CachedAnswers

            kept = CachedAnswers(loaded)
            found = answers[-1]
            if found.event_levels is not None:
                kept.keep_event_levels(found.event_levels)
            if found.totals is not None and entries.operators_entry is not None:
                kept.keep_operator_totals(found.totals)
            if found.tensor_totals is not None and entries.operators_entry is not None:
                kept.keep_tensor_totals(found.tensor_totals)
    return summary


def _is_plain(path: str) -> bool:
    from mpkgraph.io.cache import is_plain

    return is_plain(path)


def _operator_columns(summaries: list[Summary]) -> dict[str, list[object]]:
    """One row an operator of every rank, for CSV and Parquet."""
    rows = [
        {
            "rank": summary.rank,
            "operator": operator.index,
            "name": operator.name,
            "task_type": operator.task_type_name,
            "kind": operator.kind,
            "layer_method": operator.layer_method,
            "grid_dim": operator.grid_dim,
            "num_subtasks": operator.num_subtasks,
            "num_tasks": operator.num_tasks,
            "first_task_id": operator.first_task_id,
            "num_events_in": operator.num_events_in,
            "num_events_out": operator.num_events_out,
            "bytes_read": operator.bytes_read,
            "bytes_written": operator.bytes_written,
            "inputs": " ".join(slot.tensor for slot in operator.inputs),
            "outputs": " ".join(slot.tensor for slot in operator.outputs),
        }
        for summary in summaries
        for operator in summary.operators
    ]
    names = rows[0] if rows else {"rank": 0, "operator": 0, "name": ""}
    return {name: [row[name] for row in rows] for name in names}
