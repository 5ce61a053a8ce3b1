"""Run a user's script or function and collect the pipelines that it compiles.

The script uses Mirage's own Python API and is not changed: `import mirage` gives the stand-in,
GPUs are those of the target. **Running a script runs its code**, with all that it may do; only
compile what you trust. A recorded pipeline (`mpkgraph.io.record`) runs nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TextIO

from mpkgraph.errors import MpkGraphError, UsageError
from mpkgraph.frozen import dataclass
from mpkgraph.pipeline.compiled import (
    BOTH,
    Compiled,
    Emit,
    NewCompileGraph,
    graph_folder,
    write_files,
)
from mpkgraph.pipeline.function_parameters import bind_parameters, takes_kernel
from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.script_errors import ScriptError, late_note, script_error
from mpkgraph.pipeline.standin.environment import standin
from mpkgraph.pipeline.standin.finder import HOME_VARIABLE, check_mirage_home
from mpkgraph.pipeline.standin.session import Executor, Session, StopScriptError
from mpkgraph.pipeline.target import Target
from mpkgraph.pipeline.user_code import (
    UserFunction,
    is_function,
    read_script,
    run_as_main,
    shown,
    site_of,
)

__all__ = [
    "ScriptOptions",
    "ScriptResult",
    "is_function",
    "reference_function",
    "run_function",
    "run_script",
]


@dataclass(frozen=True)
class ScriptOptions:
    """How to run what the user wrote."""

    meta: bool = False
    """Give GPU tensors shapes and no memory."""
    output: Path | None = None
    """Folder for the graphs; `compile2` and so on in it for a process's further ones."""
    emit: Emit = BOTH
    """Which files to write, there and where the script itself says; none for a dry run."""
    new_compile_graph: NewCompileGraph | None = None
    """Makes a planner, once for each rank; None only collects."""
    executor: Executor | None = None
    """Runs a compiled pipeline when the script does."""
    keep_tensors: bool = False
    """Keep the tensors that are attached, with their values, beside each pipeline."""
    mirage_home: Path | None = None
    """Mirage's source tree for its pure-Python parts; None takes MIRAGE_HOME, if set."""
    stop_after: int | None = None
    """End the script once it has compiled so many pipelines."""
    stdout: TextIO | None = None
    """Where the script's prints go; None leaves them on standard output."""
    ranks: Sequence[int] | None = None
    """Ranks to run as, one after another; None is the target's."""
    init: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the kernel that a function receives, over the target's."""


@dataclass(frozen=True)
class ScriptResult:
    """What running came to. `compiled` goes by rank, then in the order of the calls."""

    compiled: tuple[Compiled, ...]
    notes: tuple[str, ...] = ()
    """What a user should know and is no error: how the script ended after it compiled."""
    refused: tuple[MpkGraphError, ...] = ()
    """Refusals of compile() that the script caught and went on from."""
    late_errors: tuple[str, ...] = ()
    """How the script failed after it had compiled; among the notes too."""
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict, repr=False)
    """Of a script those that it has at its end, by name."""


def run_script(
    path: str | os.PathLike[str],
    args: Sequence[str] = (),
    target: Target | None = None,
    options: ScriptOptions | None = None,
) -> ScriptResult:
    """Run a .py file as `python FILE ARGS...` would and collect what it compiles.

    Raises ScriptError when it fails or ends before it compiled anything, the refusal (a
    PipelineError) when a layer or compile() refuses what it is given and the script does not
    catch that, MissingDependencyError when it needs torch and there is none.
    """
    script = Path(path)
    source = read_script(script)
    functions: dict[str, Callable[..., Any]] = {}

    def run(_session: Session, _kernel: type[PersistentKernel]) -> None:
        run_as_main(script, source, functions)

    origin = {"script": shown(script), "options": list(args)}
    result = _run_ranks(
        run,
        target or Target(),
        options or ScriptOptions(),
        origin=origin,
        argv=[str(path), *args],
        import_folder=script.absolute().parent,
    )
    return dataclasses.replace(result, functions=functions)


def run_function(
    source: str | Callable[..., Any],
    settings: Mapping[str, object] | None = None,
    target: Target | None = None,
    options: ScriptOptions | None = None,
) -> ScriptResult:
    """Call a function, or the one named `module:function` or `file.py:function`, with a kernel.

    A function without positional parameters makes kernels of its own, as Mirage's test functions
    do. Else the kernel is in test mode, with Mirage's default parameters, the target's workers,
    schedulers and rank, and `options.init` over them. What the function leaves uncompiled is
    compiled when it returns; `settings` become its parameters (see `bind_parameters`).

    Raises as `run_script`, and UsageError when there is no such function or a setting is wrong.
    """
    named = UserFunction.named(source) if isinstance(source, str) else UserFunction.given(source)
    settings = settings or {}
    chosen = options or ScriptOptions()

    def run(session: Session, kernel_class: type[PersistentKernel]) -> None:
        function = named.load()
        arguments = bind_parameters(function, settings)
        if not takes_kernel(function):
            function(**arguments)
            return
        kernel: Any = kernel_class(**_init_parameters(session.target, chosen.init))
        function(kernel, **arguments)
        if not kernel._is_compiled:  # noqa: SLF001  Mirage's name
            session.compile(kernel, site=site_of(function))

    texts = {name: x if isinstance(x, str) else repr(x) for name, x in settings.items()}
    return _run_ranks(
        run,
        target or Target(),
        chosen,
        origin={"function": named.shown, "settings": texts},
        argv=[named.module],
        import_folder=named.folder,
    )


def reference_function(name: str, target: Target | None = None) -> Callable[..., Any]:
    """A function of the user's by `module:function` or `file.py:function`, to be called later.

    Its module may import Mirage, which then is the stand-in. Raises UsageError when there is none,
    or its module fails.
    """
    named = UserFunction.named(name)
    session = Session(target=target or Target(), emit=frozenset())
    with standin(session, import_folder=named.folder, argv=[named.module]):
        try:
            return named.load()
        except MpkGraphError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"its file fails when it is loaded: {type(error).__name__}: {error}",
                where=name,
                remedy="Keep the function in a file that does nothing else",
            ) from error


Run = Callable[[Session, type[PersistentKernel]], None]


def _run_ranks(
    run: Run,
    target: Target,
    options: ScriptOptions,
    *,
    origin: dict[str, Any],
    argv: Sequence[str],
    import_folder: Path,
) -> ScriptResult:
    """Each rank in its turn, with nothing of the one before but installed packages."""
    ranks = (target.rank,) if options.ranks is None else tuple(options.ranks)
    home = options.mirage_home
    if home is None and os.environ.get(HOME_VARIABLE):
        home = Path(os.environ[HOME_VARIABLE])
    home = None if home is None else check_mirage_home(home)
    output = None if options.output is None else Path(options.output).absolute()
    sessions = []
    for rank in ranks:
        session = Session(
            target=dataclasses.replace(target, rank=rank),
            output=output,
            emit=options.emit,
            compile_graph=options.new_compile_graph and options.new_compile_graph(),
            executor=options.executor,
            keep_tensors=options.keep_tensors,
            origin={**origin, "world_size": target.world_size, "rank": rank},
            stop_after=options.stop_after,
        )
        with standin(
            session,
            meta=options.meta,
            mirage_home=home,
            import_folder=import_folder,
            argv=argv,
            stdout=options.stdout,
        ) as kernel_class:
            ended = _run_once(run, session, kernel_class, meta=options.meta)
        _adopt(session, options)
        _check_something(session, ended, is_executed=options.executor is not None)
        sessions.append(session)
    return ScriptResult(
        compiled=tuple(x for session in sessions for x in session.compiled),
        notes=tuple(dict.fromkeys(x for session in sessions for x in session.notes)),
        refused=tuple(x for session in sessions for x in session.refused),
        late_errors=tuple(x for session in sessions for x in session.late_errors),
    )


def _run_once(
    run: Run, session: Session, kernel_class: type[PersistentKernel], *, meta: bool
) -> bool:
    """Whether the script ended by itself, and not with an error."""
    try:
        run(session, kernel_class)
    except StopScriptError:
        return False
    except MpkGraphError:
        raise
    except SystemExit as error:
        _ended(error, session, meta=meta)
        return error.code in {None, 0}
    except Exception as error:  # noqa: BLE001  the script's own, whatever it is
        _ended(error, session, meta=meta)
        return False
    return True


def _adopt(session: Session, options: ScriptOptions) -> None:
    """Count what processes that the script started compiled as the script's, after its own."""
    planners: dict[str, Any] = {}
    for record in session.child_records:
        index = len(session.compiled)
        process = Path(record.path or "").name.partition("-")[0]
        if process not in planners:
            planners[process] = options.new_compile_graph and options.new_compile_graph()
        plan = None if planners[process] is None else planners[process](record)
        files: tuple[Path, ...] = ()
        if session.output is not None and session.emit:
            folder = graph_folder(session.output, index)
            files = write_files(folder, record.my_gpu_id, record, plan, session.emit)
        session.compiled.append(Compiled(record, record.my_gpu_id, index, None, plan, files))
    count = len(session.child_records)
    if count:
        graphs = "1 pipeline was" if count == 1 else f"{count} pipelines were"
        session.notes.append(f"{graphs} compiled by processes that the script started")


def _check_something(session: Session, ended_well: bool, *, is_executed: bool) -> None:
    """Raise unless a pipeline was compiled, or a script that is run for its own test passed it."""
    if session.compiled:
        return
    if session.refused:
        raise session.refused[0]
    refusals = session.child_refusals
    if ended_well and is_executed and refusals:
        count = len(refusals)
        pipelines = "1 pipeline" if count == 1 else f"{count} pipelines"
        session.notes.append(
            f"the script ended well; processes that it started were refused {pipelines}: "
            f"{refusals[0]}"
        )
        return
    if refusals:
        raise ScriptError(
            f"a process that the script started was refused its pipeline: {refusals[0]}",
            remedy="Nothing else was compiled",
        )
    raise ScriptError(
        "the script ended without a call of compile()",
        remedy="Does it need arguments? They pass after --",
    )


def _ended(error: BaseException, session: Session, *, meta: bool) -> None:
    """An exception counts when no pipeline was compiled; later it is worth a note."""
    if not session.compiled:
        if isinstance(error, SystemExit) and session.refused:
            raise session.refused[0] from error
        raise script_error(error, meta=meta) from error
    if not (isinstance(error, SystemExit) and error.code in {None, 0}):
        note = late_note(error, len(session.compiled), meta=meta)
        session.notes.append(note)
        session.late_errors.append(note)


def _init_parameters(target: Target, given: Mapping[str, Any]) -> dict[str, Any]:
    workers, schedulers = target.configuration
    parameters = {
        **PersistentKernel.get_default_init_parameters(),
        "test_mode": True,
        "num_workers": workers,
        "num_local_schedulers": schedulers,
        "world_size": target.world_size,
        "mpi_rank": target.rank,
    }
    unknown = sorted(set(given) - set(parameters))
    if unknown:
        raise UsageError(
            f"the kernel has no parameter {', '.join(map(repr, unknown))}",
            remedy=f"It has {', '.join(parameters)}",
        )
    return {**parameters, **given}
