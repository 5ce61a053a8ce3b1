"""How a child failed, as one error: what it was doing, what ended it, the end of its log.

A child says what it is about to do before it does it; what is left is to read its last words.
"""

from __future__ import annotations

import contextlib
import re
import signal
from pathlib import Path

from mpkgraph.errors import MpkGraphError, UsageError
from mpkgraph.mirage.errors import mirage_error
from mpkgraph.mirage.nvcc import error_lines
from mpkgraph.mirage.process import ChildResult
from mpkgraph.mirage.protocol import Message

TAIL_LINES = 8
LINE_LIMIT = 300
TAIL_BYTES = 1 << 16

SIGNAL_WORDS = {
    signal.SIGABRT: ("abort", "aborted (SIGABRT)"),
    signal.SIGSEGV: ("segfault", "died of a segmentation fault (SIGSEGV)"),
    signal.SIGFPE: ("arithmetic", "died of a division by zero (SIGFPE)"),
    signal.SIGBUS: ("segfault", "died of a bus error (SIGBUS)"),
    signal.SIGILL: ("illegal", "died of an illegal instruction (SIGILL)"),
    signal.SIGKILL: ("killed", "was killed (SIGKILL)"),
    signal.SIGTERM: ("killed", "was ended (SIGTERM)"),
}
STAGE_WORDS = {
    "python": "starting",
    "mirage": "importing Mirage",
    "source": "running the pipeline's source",
    "compile": "in compile()",
    "generate": "generating the task graph",
    "nvcc": "running nvcc",
    "init": "loading the kernel and initialising the runtime",
    "launch": "running on the GPU",
}

_LAST_WORDS = (
    re.compile(r"what\(\):\s*(.+)"),
    re.compile(r"Assertion .+ failed\.?.*"),
    re.compile(r"terminate called .+"),
)
_FRAME = re.compile(r'\s+File "')
_OUR_FRAME = re.compile(r'\s+File "(?:<string>|[^"]*[/\\]mpkgraph[/\\](?:mirage|pipeline)[/\\])')
_CRASH_NOISE = re.compile(r"Extension modules: |Current thread |Fatal Python error: |Traceback \(")
_COMMAND = re.compile(r"\['[^']*nvcc', ")
"""Mirage prints nvcc's command; it is in the report."""
_NO_MEMORY = re.compile(r"std::bad_alloc|MemoryError|Cannot allocate memory", re.IGNORECASE)
_NO_GPU_MEMORY = re.compile(r"CUDA out of memory|OutOfMemoryError|cudaErrorMemoryAllocation")
_NVCC_KILLED = re.compile(r"\bKilled\b|signal 9|out of memory|Cannot allocate memory")


def has_failed(result: ChildResult) -> bool:
    """Whether a child did not end as one that has done what it was asked for."""
    if result.timed_out or result.returncode != 0:
        return not _ended_after_compiling(result)
    return result.last("compiled") is None


def late_note(result: ChildResult) -> str | None:
    """What a script raised after it had compiled: worth a note, no failure."""
    error = result.last("error")
    if error is None or not _ended_after_compiling(result):
        return None
    where = f"{error['where']}: " if error.get("where") else ""
    return f"{where}after its pipeline had been compiled: {error['what']}"


def _ended_after_compiling(result: ChildResult) -> bool:
    """A Python exception, in nobody's compile() or launch, when a graph was there already."""
    kinds = [x.kind for x in result.messages]
    if "error" not in kinds or "end" not in kinds or "compiled" not in kinds:
        return False
    after = result.messages[len(kinds) - 1 - kinds[::-1].index("compiled") :]
    return not any(x.kind == "stage" for x in after)


def explain(result: ChildResult, *, limit_s: float | None = None) -> MpkGraphError:
    """The error that a failed child comes to; of a graph that kills Mirage, the planner's why."""
    error = _explain(result, limit_s)
    if _stage(result) == "generate" and result.returncode != 0 and not result.timed_out:
        reason = _planners_reason(result)
        if reason is not None:
            error.details = (f"mpkgraph's planner says of this pipeline: {reason}", *error.details)
    return error


def _planners_reason(result: ChildResult) -> str | None:
    """Why no graph can be made of the pipeline that the child was about to make one of."""
    from mpkgraph.io.record import read_record
    from mpkgraph.mirage.compare import plan_like
    from mpkgraph.planner.plan import ProcessPlanner

    stage = result.last("stage")
    folder = None if stage is None else stage.get("folder")
    for path in sorted(Path(folder).glob("pipeline_rank*.json")) if folder else ():
        _, error = plan_like(ProcessPlanner(), read_record(path))
        if error is not None:
            return error.what
    return None


def _explain(result: ChildResult, limit_s: float | None) -> MpkGraphError:
    for explanation in (_time_limit, _nvcc, _launch, _signal, _exception):
        error = explanation(result, limit_s)
        if error is not None:
            return error
    if result.returncode == 0 or result.last("end") is not None:
        return mirage_error(
            "no-graph",
            "the script ended without a call of compile()",
            remedy="Does it need arguments? They pass after --",
            log=result.log,
        )
    return mirage_error(
        "failed",
        f"Mirage's process ended with status {result.returncode} while {_doing(result)}",
        where=_site(result),
        log=result.log,
        details=tail(result.log),
    )


def _time_limit(result: ChildResult, limit_s: float | None) -> MpkGraphError | None:
    if not result.timed_out:
        return None
    return mirage_error(
        "time-limit",
        f"Mirage's process was still {_doing(result)} after {limit_s:g} s and was killed",
        where=_site(result),
        remedy="Give it longer with --time-limit SECONDS, or look at what it waits for",
        log=result.log,
        details=tail(result.log),
    )


def _nvcc(result: ChildResult, _limit: float | None) -> MpkGraphError | None:
    message = result.last("nvcc")
    if message is None or message["returncode"] == 0:
        return None
    log = Path(message["log"]) if message.get("log") else result.log
    text = _text(log)
    seconds = message["report"]["seconds"]
    if result.out_of_memory or message["returncode"] < 0 or _NVCC_KILLED.search(text):
        return mirage_error(
            "nvcc-memory",
            f"nvcc was killed after {seconds:.0f} s, most likely for want of memory",
            where=_site(result),
            remedy="Let it have more memory (a kernel takes some GB), or fewer things beside it",
            log=log,
            details=tail(log),
        )
    return mirage_error(
        "nvcc-failed",
        f"nvcc could not compile the kernel (status {message['returncode']}, {seconds:.0f} s)",
        where=_site(result),
        remedy=f"The source is {_kept_source(log)}: look at the first error",
        log=log,
        details=tuple(x[:LINE_LIMIT] for x in error_lines(text)),
    )


def _launch(result: ChildResult, _limit: float | None) -> MpkGraphError | None:
    failed, hung = result.last("cuda-error"), result.last("hung")
    if failed is not None:
        text = str(failed["text"])
        memory = _NO_GPU_MEMORY.search(text) is not None
        return mirage_error(
            "gpu-memory" if memory else "cuda-error",
            f"the launch failed on the GPU: {text}",
            where=_site(result),
            remedy=None if memory else "--sanitize memcheck shows the access",
            log=result.log,
        )
    if hung is not None:
        return mirage_error(
            "launch-hang",
            "the kernel did not end within its time and was killed",
            where=_site(result),
            log=result.log,
        )
    return None


def _signal(result: ChildResult, _limit: float | None) -> MpkGraphError | None:
    if result.returncode >= 0:
        return None
    number = -result.returncode
    kind, words = "signal", f"died of signal {number}"
    with contextlib.suppress(ValueError):
        kind, words = SIGNAL_WORDS.get(signal.Signals(number), (kind, words))
    text = _text(result.log)
    said = _last_words(text)
    remedy = None
    if _NO_MEMORY.search(text) or (number == signal.SIGKILL and result.out_of_memory):
        kind = "memory"
        remedy = "It ran out of memory. --meta gives tensors of a script no memory"
    what = f"Mirage's process {words} while {_doing(result)}"
    if said:
        what = f"{what}: {said}"
    return mirage_error(
        kind,
        what,
        where=_site(result),
        remedy=remedy or "mpkgraph compile --backend planner says what Mirage can't take",
        log=result.log,
        details=tail(result.log),
    )


def _exception(result: ChildResult, _limit: float | None) -> MpkGraphError | None:
    error = result.last("error")
    if error is None:
        return None
    what, name = str(error["what"]), str(error["type"])
    where = error.get("where") or _site(result)
    if error.get("is_ours") and name == "UsageError":
        return UsageError(what, where=error.get("where"), remedy=error.get("remedy"))
    kind, remedy = "script", error.get("remedy")
    stage = _stage(result)
    if stage == "mirage":
        kind = "import"
        what = f"Mirage can't be imported: {what}"
        remedy = "mpkgraph compile --doctor says what is missing"
    elif "nvcc not found" in what:
        kind = "nvcc-missing"
        remedy = "Install the CUDA toolkit, or add --host-only for the graph alone"
    elif _NO_GPU_MEMORY.search(what) or name == "OutOfMemoryError":
        kind = "gpu-memory"
        remedy = "--host-only --meta makes the graph without memory on the GPU"
    elif name == "MemoryError":
        kind = "memory"
        remedy = "--meta gives tensors of a script no memory"
    elif stage in {"compile", "generate", "init"}:
        kind = "mirage"
        what = f"{what} (while {_doing(result)})"
    return mirage_error(
        kind, what, where=where, remedy=remedy, log=result.log, details=tail(result.log)
    )


def _stage(result: ChildResult) -> str:
    message = result.last("stage")
    return "python" if message is None else str(message["stage"])


def _call(result: ChildResult) -> Message | None:
    return result.last("call")


def _site(result: ChildResult) -> str | None:
    """The user's line that made the last call."""
    call = _call(result)
    return None if call is None or call.get("site") is None else str(call["site"])


def _doing(result: ChildResult) -> str:
    stage = _stage(result)
    calls = result.of_kind("call")
    if stage != "source" or not calls:
        return STAGE_WORDS.get(stage, stage)
    last = calls[-1]
    if last["method"] != "register_task":
        return f"in {last['method']}()"
    layers = [x["method"] for x in calls if x["method"] != "register_task"]
    layer = layers[-1] if layers and layers[-1].endswith("_layer") else "a layer"
    return f"registering {layer} (task {last.get('task')})"


def tail(log: Path, lines: int = TAIL_LINES) -> tuple[str, ...]:
    """The last lines of a log that say something: not where in our own code Python was."""
    found: list[str] = []
    skipping = False
    for line in _text(log).splitlines():
        if _FRAME.match(line):
            skipping = _OUR_FRAME.match(line) is not None
        elif not line.startswith("    "):
            skipping = _CRASH_NOISE.match(line) is not None
        if not skipping and line.strip() and not _COMMAND.match(line):
            found.append(line.rstrip()[:LINE_LIMIT])
    return tuple(found[-lines:])


def _last_words(text: str) -> str | None:
    for pattern in _LAST_WORDS:
        found = pattern.findall(text)
        if found:
            return " ".join(str(found[-1]).split())[:LINE_LIMIT]
    return None


def _kept_source(log: Path) -> str:
    found = sorted(log.parent.glob("test_rank*.cu"))
    return str(found[0]) if found else "beside its log"


def _text(log: Path) -> str:
    with contextlib.suppress(OSError), log.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - TAIL_BYTES))
        return stream.read().decode("utf-8", errors="replace")
    return ""
