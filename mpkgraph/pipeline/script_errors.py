"""What went wrong in a user's script, said by the script's lines and not by ours."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from mpkgraph.errors import MissingDependencyError, MpkGraphError
from mpkgraph.frozen import dataclass
from mpkgraph.model.record import CallSite
from mpkgraph.pipeline.standin.environment import is_installed_file

SHOWN_FRAMES = 3
"""Lines of the script in a message: where it failed, and what called that."""

TORCH_INSTALL = "Install it: pip install 'mpkgraph[torch]' (a build for the CPU is enough)"


NO_VALUES = "With --meta large GPU tensors have no values; run without it for a script that asks"


class ScriptError(MpkGraphError):
    """A script that failed, or ended, before it compiled a pipeline.

    `frames` are its lines, outermost first; `__cause__` is the exception itself.
    """

    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A line of the script in a traceback."""

    site: CallSite
    function: str

    def __str__(self) -> str:
        return f"{self.site} in {self.function}"


def script_frames(traceback: TracebackType | None) -> tuple[Frame, ...]:
    """The lines that are the user's, outermost first."""
    frames = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not is_installed_file(code.co_filename):
            frames.append(Frame(CallSite(code.co_filename, traceback.tb_lineno), code.co_name))
        traceback = traceback.tb_next
    return tuple(frames)


def describe(error: BaseException) -> str:
    """`ValueError: message`, on one line."""
    if isinstance(error, SystemExit):
        return f"the script exited with {_status(error.code)}"
    message = " ".join(str(error).split())
    name = type(error).__name__
    return f"{name}: {message}" if message else name


def where_in_script(error: BaseException) -> str | None:
    """`script.py:12 in build (from line 40 in <module>)`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{CallSite(error.filename, error.lineno or 1)}"
    frames = script_frames(error.__traceback__)[-SHOWN_FRAMES:]
    if not frames:
        return None
    *outer, last = frames
    called = ", ".join(
        f"from line {frame.site.line} in {frame.function}"
        if frame.site.file == last.site.file
        else f"from {frame}"
        for frame in reversed(outer)
    )
    return f"{last} ({called})" if called else f"{last}"


def script_error(error: BaseException, *, meta: bool) -> MpkGraphError:
    """The error to end with, for an exception before any pipeline was compiled."""
    if isinstance(error, MpkGraphError):
        return error
    where = where_in_script(error)
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return MissingDependencyError(
            "the script imports torch, which is not installed", where=where, remedy=TORCH_INSTALL
        )
    result = ScriptError(describe(error), where=where, remedy=_remedy(error, meta=meta))
    result.frames = script_frames(error.__traceback__)
    return result


def late_note(error: BaseException, num_compiled: int, *, meta: bool) -> str:
    """The note for an exception after pipelines were compiled."""
    where = where_in_script(error)
    graphs = "its pipeline" if num_compiled == 1 else f"its {num_compiled} pipelines"
    text = f"after {graphs} had been compiled: {describe(error)}"
    if meta and _asks_meta(error):
        text += f". {NO_VALUES}"
    return f"{where}: {text}" if where else text


def _remedy(error: BaseException, *, meta: bool) -> str | None:
    text = str(error).lower()
    if isinstance(error, SystemExit):
        return "No pipeline was compiled: the script has to reach compile()"
    if meta and _asks_meta(error):
        return NO_VALUES
    if not meta and (isinstance(error, MemoryError) or "allocate memory" in text):
        return "Run with --meta: GPU tensors then take no memory"
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mirage"):
        return "It has to be installed where mpkgraph is"
    return None


def _asks_meta(error: BaseException) -> bool:
    return "meta" in str(error).lower()


def _status(code: Any) -> str:
    if code is None:
        return "status 0"
    return f"status {code}" if isinstance(code, int) else f"the message {str(code)!r}"
