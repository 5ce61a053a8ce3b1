"""The stand-in in a process that a script has started (see `children`)."""

from __future__ import annotations

import atexit
import json
import os
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from mpkgraph.errors import MpkGraphError
from mpkgraph.io.record import save_record
from mpkgraph.model.record import CallSite
from mpkgraph.pipeline.compiled import Compiled
from mpkgraph.pipeline.standin.children import RECORD_SUFFIX, REFUSED_SUFFIX, SETTINGS
from mpkgraph.pipeline.standin.environment import standin
from mpkgraph.pipeline.standin.session import Executor, Session
from mpkgraph.pipeline.target import Target
from mpkgraph.planner.plan import ProcessPlanner

_OPEN = ExitStack()
"""Open for as long as the process lasts."""


class ChildSession(Session):
    """A session that leaves what it came to in the folder of the script's run."""

    folder: Path

    def generate(
        self, kernel: Any, num_gpus: int, my_gpu_id: int, site: CallSite | None = None
    ) -> Compiled:
        before = len(self.compiled)
        try:
            compiled = super().generate(kernel, num_gpus, my_gpu_id, site)
        except MpkGraphError as error:
            self._path(len(self.refused), REFUSED_SUFFIX).write_text(str(error), encoding="utf-8")
            raise
        if len(self.compiled) > before:
            save_record(compiled.record, self._path(compiled.index, RECORD_SUFFIX))
        return compiled

    def _path(self, index: int, suffix: str) -> Path:
        return self.folder / f"{os.getpid():010d}-{index:04d}{suffix}"


def start(folder: str) -> None:
    """Set the stand-in up for the rest of this process."""
    settings = json.loads((Path(folder) / SETTINGS).read_text(encoding="utf-8"))
    session = ChildSession(
        target=Target(**settings["target"]),
        compile_graph=ProcessPlanner(),
        emit=frozenset(settings["emit"]),
        executor=_executor(settings["executor"]),
    )
    session.folder = Path(folder)
    atexit.register(_OPEN.close)
    home = settings["mirage_home"]
    _OPEN.enter_context(
        standin(
            session,
            meta=settings["meta"],
            mirage_home=None if home is None else Path(home),
            reaches_children=False,
        )
    )


def _executor(name: str | None) -> Executor | None:
    """Made when a pipeline is launched: it imports torch, which may just be on its way in."""
    if name is None:
        return None
    module, _, kind = name.partition(":")
    made: list[Executor] = []

    def execute(compiled: Compiled) -> None:
        if not made:
            made.append(getattr(import_module(module), kind)())
        made[0](compiled)

    return execute
