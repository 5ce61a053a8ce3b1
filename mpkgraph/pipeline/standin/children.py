"""Python processes that a script starts find the stand-in too, while the script runs.

A folder at the head of `PYTHONPATH` holds a `sitecustomize` that waits for `import mirage` (or
torch, or mpi4py) and then sets up what the script itself runs on. Processes of another Python are
left alone, and so are those that ignore `PYTHONPATH`. What they compile, and what is refused, they
leave in the folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mpkgraph.errors import GraphReadError
from mpkgraph.frozen import dataclass
from mpkgraph.io.record import read_record
from mpkgraph.model.record import PipelineRecord
from mpkgraph.pipeline.standin.session import Session

VARIABLE = "MPKGRAPH_CHILDREN"
SETTINGS = "settings.json"
RECORD_SUFFIX, REFUSED_SUFFIX = ".record.json", ".refused.txt"

SITE = '''"""Made by mpkgraph for the children of a script that it runs."""

import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
NAMES = ("mirage", "mpi4py", "torch")


class Finder:
    """Sets the stand-in up when one of its packages is imported."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in NAMES:
            return None
        sys.meta_path.remove(self)
        if HOME not in sys.path:
            sys.path.append(HOME)
        from mpkgraph.pipeline.standin.child import start

        start(FOLDER)
        for finder in list(sys.meta_path):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
        return None


def _own():
    """The sitecustomize that this one stands before."""
    sys.path[:] = [x for x in sys.path if os.path.abspath(x) != FOLDER]
    this = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
        if this is not None:
            sys.modules["sitecustomize"] = this


_own()
if os.environ.get("MPKGRAPH_CHILDREN") == FOLDER and (sys.prefix, sys.version_info[:2]) == PYTHON:
    sys.meta_path.insert(0, Finder())
'''


@dataclass(frozen=True)
class Children:
    """What child processes have left."""

    folder: Path

    def records(self) -> Iterator[PipelineRecord]:
        """The pipelines that they compiled, in the order of their process numbers."""
        for path in sorted(self.folder.glob(f"*{RECORD_SUFFIX}")):
            # One of a process that was ended while it wrote can't be read
            with suppress(GraphReadError):
                yield read_record(path)

    def refusals(self) -> list[str]:
        """Messages of refusals by compile()."""
        found = sorted(self.folder.glob(f"*{REFUSED_SUFFIX}"))
        return [x.read_text(encoding="utf-8", errors="replace") for x in found]


@contextmanager
def reached_children(
    session: Session, *, meta: bool, mirage_home: Path | None
) -> Iterator[Children]:
    """For as long as this lasts, Python processes that are started find the stand-in.

    The environment is whoever's calls this to put back.
    """
    folder = Path(tempfile.mkdtemp(prefix="mpkgraph-children-"))
    try:
        settings = {
            "target": dataclasses.asdict(session.target),
            "meta": meta,
            "mirage_home": None if mirage_home is None else str(mirage_home),
            "emit": sorted(session.emit),
            "executor": _name_of(session.executor),
        }
        (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        home = str(Path(__file__).resolve().parents[3])
        head = f"HOME = {home!r}\nPYTHON = ({sys.prefix!r}, {sys.version_info[:2]!r})\n"
        docstring, rest = SITE.split("\n\n", 1)
        text = f"{docstring}\n\n{head}{rest}"
        (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
        path = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{folder}{os.pathsep}{path}" if path else str(folder)
        os.environ[VARIABLE] = str(folder)
        yield Children(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _name_of(executor: Any) -> str | None:
    """`module:class` of what executes pipelines, made anew in each process."""
    kind = type(executor)
    return None if executor is None else f"{kind.__module__}:{kind.__qualname__}"
