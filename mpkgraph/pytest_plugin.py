"""pytest: keep the task graphs of pipelines under regression test.

    def test_decoder(mpk_pipeline):
        decoder = mpk_pipeline("decoder.py:build", target="h100", settings={"layers": 2})
        decoder.assert_graph_matches("golden/decoder.json.zst")
        decoder.assert_no_findings()

`pytest --mpkgraph-update` writes the golden graphs instead of comparing with them. pytest finds
this module by itself where mpkgraph is installed; it imports nothing until a test asks for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from mpkgraph.analysis.verify.run import VerifyResult
    from mpkgraph.model.graph import TaskGraph
    from mpkgraph.model.record import PipelineRecord
    from mpkgraph.pipeline.compiled import CompileResult

UPDATE = "--mpkgraph-update"
MAX_LINES = 40
"""Of a difference that a failing test shows."""

PipelineFixture = Callable[..., "PipelineUnderTest"]
_T = TypeVar("_T")
_UPDATED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("mpkgraph").addoption(
        UPDATE,
        action="store_true",
        default=False,
        help="write the golden task graphs that tests compare with",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_UPDATED] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    written = config.stash.get(_UPDATED, [])
    if written:
        terminalreporter.section("golden task graphs written")
        for line in written:
            terminalreporter.line(line)


@pytest.fixture
def mpk_pipeline(request: pytest.FixtureRequest) -> PipelineFixture:
    """A function that compiles a pipeline with the planner, for tests about its task graph.

    It takes what `mpkgraph.compile` takes. Files are looked for in the folder of the test, then in
    the working folder.
    """
    folder = request.path.parent
    config = request.config

    def compiled(pipeline: str | Path | Callable[..., Any], **options: Any) -> PipelineUnderTest:
        import mpkgraph

        found = pipeline if callable(pipeline) else _found(folder, str(pipeline))
        result = mpkgraph.compile(found, **options)
        return PipelineUnderTest(
            getattr(pipeline, "__qualname__", str(pipeline)),
            result,
            folder=folder,
            update=bool(config.getoption(UPDATE)),
            written=config.stash[_UPDATED],
        )

    return compiled


class PipelineUnderTest:
    """A compiled pipeline: its graphs, and assertions about them."""

    def __init__(
        self,
        name: str,
        result: CompileResult,
        *,
        folder: Path,
        update: bool,
        written: list[str],
    ) -> None:
        self.name = name
        self.result = result
        self._folder = folder
        self._update = update
        self._written = written

    @property
    def graphs(self) -> list[TaskGraph]:
        """By rank, then in the order of the script's compile() calls."""
        return [x.graph for x in self.result.compiled if x.graph is not None]

    @property
    def graph(self) -> TaskGraph:
        """The one graph. Raises ValueError when the pipeline made several."""
        return self._only(self.graphs)

    @property
    def record(self) -> PipelineRecord:
        """What the one graph was made of. Raises ValueError when the pipeline made several."""
        return self._only([x.record for x in self.result.compiled])

    def _only(self, values: list[_T]) -> _T:
        if len(values) != 1:
            raise ValueError(f"{self.name} made {len(values)} graphs: use graphs, or compile one")
        return values[0]

    @cached_property
    def findings(self) -> VerifyResult:
        """What static verify says of all graphs together."""
        import mpkgraph

        return mpkgraph.verify([x.record for x in self.result.compiled])

    def assert_no_findings(self, severity: str = "error") -> None:
        """Fails when static verify finds something of this severity or a worse one."""
        __tracebackhide__ = True
        levels = ("error", "warning", "advice")
        if severity not in levels:
            raise ValueError(f"{severity!r} is none of {', '.join(levels)}")
        counted = levels[: levels.index(severity) + 1]
        found = [x for x in self.findings.findings if x.severity in counted]
        if found:
            lines = [f"{x.severity} {x.rule.code} {x.rule.name}: {x.message}" for x in found]
            pytest.fail(f"{self.name}:\n" + "\n".join(lines), pytrace=False)

    def assert_graph_matches(self, golden: str | Path, *, exact: bool = False) -> None:
        """Fails when the graph is not the one in a file, and says what differs.

        `golden` is a graph file (`.json`, or `.json.zst` to keep it small), looked for from the
        folder of the test. Other numbers of tasks and events are no difference unless `exact`.
        With `--mpkgraph-update` the file is written instead.
        """
        __tracebackhide__ = True
        path = self._folder / golden
        text = _text(self.graph)
        if self._update:
            if not (path.exists() and _digest_of(path) == hashlib.sha256(text).digest()):
                _write(path, text)
                self._written.append(str(path))
            return
        if not path.exists():
            pytest.fail(f"{path} is not there: run pytest with {UPDATE} to write it", pytrace=False)
        if _digest_of(path) == hashlib.sha256(text).digest():
            return
        difference = _difference(path, self.graph)
        if exact or difference:
            shown = difference or "only the numbers of tasks and events, or their order, differ"
            pytest.fail(
                f"the graph of {self.name} is not that of {path}:\n{shown}\n"
                f"If that is meant, run pytest with {UPDATE}",
                pytrace=False,
            )


def _found(folder: Path, pipeline: str) -> str:
    """A pipeline named from the folder of the test, as compile takes it."""
    file, colon, function = pipeline.rpartition(":")
    if not (colon and function.isidentifier()):
        file, function = pipeline, ""
    beside = folder / file
    if not beside.exists():
        return pipeline
    return f"{beside}:{function}" if function else str(beside)


def _text(graph: TaskGraph) -> bytes:
    from mpkgraph.io.writer import text_chunks

    return b"".join(text_chunks(graph))


def _digest_of(path: Path) -> bytes:
    """sha256 of the JSON text in a file, compressed or not."""
    from mpkgraph.io.source import open_source

    digest = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 20))
    with open_source(path) as source:
        while size := source.readinto(buffer):
            digest.update(buffer[:size])
    return digest.digest()


def _write(path: Path, text: bytes) -> None:
    from mpkgraph.io.atomic import atomic_file

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zst":
        import zstandard

        text = zstandard.ZstdCompressor(level=19).compress(text)
    elif path.suffix == ".gz":
        import gzip

        text = gzip.compress(text, mtime=0)
    with atomic_file(path) as stream:
        stream.write(text)


def _difference(left: Path, right: TaskGraph) -> str:
    """What a diff says, cut to a screen; empty for graphs that differ in numbering only."""
    import io

    from mpkgraph.api import diff
    from mpkgraph.render.diff.text import report_text
    from mpkgraph.render.text import TextWriter

    report = diff(left, right)
    if report.is_equal:
        return ""
    stream = io.StringIO()
    report_text(TextWriter(stream), report)
    lines = stream.getvalue().splitlines()
    more = len(lines) - MAX_LINES
    return "\n".join([*lines[:MAX_LINES], *([f"and {more} more lines"] if more > 0 else [])])
