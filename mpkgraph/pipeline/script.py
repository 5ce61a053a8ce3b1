"""Run a user's script or function and collect the pipelines that it compiles.

The script uses Mirage's own Python API and is not changed: `import mirage` gives the stand-in,
GPUs are those of the target. **Running a script runs its code**, with all that it may do; only
compile what you trust. A recorded pipeline (`mpkgraph.io.record`) runs nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import io
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from mpkgraph.errors import MpkGraphError, UsageError
from mpkgraph.model.record import CallSite
from mpkgraph.pipeline.compiled import BOTH, Compiled, Emit, NewCompileGraph
from mpkgraph.pipeline.function_parameters import bind_parameters, takes_kernel
from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.script_errors import ScriptError, late_note, script_error
from mpkgraph.pipeline.standin.environment import standin
from mpkgraph.pipeline.standin.finder import HOME_VARIABLE, check_mirage_home
from mpkgraph.pipeline.standin.session import Executor, Session, StopScriptError
from mpkgraph.pipeline.target import Target


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
    try:
        with io.open_code(str(script.absolute())) as stream:
            source = stream.read()
    except OSError as error:
        raise UsageError(
            f"can't read the script: {error.strerror or error}", where=str(path)
        ) from error

    def run(_session: Session, _kernel: type[PersistentKernel]) -> None:
        _run_as_main(script, source)

    origin = {"script": _shown(script), "options": list(args)}
    return _run_ranks(
        run,
        target or Target(),
        options or ScriptOptions(),
        origin=origin,
        argv=[str(path), *args],
        import_folder=script.absolute().parent,
    )


def run_function(
    name: str,
    settings: Mapping[str, str] | None = None,
    target: Target | None = None,
    options: ScriptOptions | None = None,
) -> ScriptResult:
    """Call `module:function` or `file.py:function` with a kernel and collect its pipeline.

    A function without positional parameters makes kernels of its own, as Mirage's test functions
    do. Else the kernel is in test mode, with Mirage's default parameters, the target's workers,
    schedulers and rank, and `options.init` over them. What the function leaves uncompiled is
    compiled when it returns; `settings` become its parameters (see `bind_parameters`).

    Raises as `run_script`, and UsageError when there is no such function or a setting is wrong.
    """
    module, _, function_name = name.rpartition(":")
    if not is_function(name):
        raise UsageError(f"{name!r} is not module:function or file.py:function")
    settings = settings or {}
    chosen = options or ScriptOptions()
    is_file = module.endswith(".py")
    folder = Path(module).absolute().parent if is_file else Path.cwd()

    def run(session: Session, kernel_class: type[PersistentKernel]) -> None:
        function = _load(module, function_name, is_file=is_file)
        arguments = bind_parameters(function, settings)
        if not takes_kernel(function):
            function(**arguments)
            return
        kernel: Any = kernel_class(**_init_parameters(session.target, chosen.init))
        function(kernel, **arguments)
        if not kernel._is_compiled:  # noqa: SLF001  Mirage's name
            session.compile(kernel, site=_site_of(function))

    shown = f"{_shown(Path(module)) if is_file else module}:{function_name}"
    return _run_ranks(
        run,
        target or Target(),
        chosen,
        origin={"function": shown, "settings": dict(settings)},
        argv=[module],
        import_folder=folder,
    )


def is_function(name: str) -> bool:
    """Whether an argument is of the form `module:function` or `file.py:function`.

    >>> is_function("models.decoder:build"), is_function("dir/mlp.py:build")
    (True, True)
    >>> is_function("mlp.py"), is_function("pipeline_rank0.json.zst")
    (False, False)
    """
    module, colon, function = name.rpartition(":")
    if not colon or not function.isidentifier():
        return False
    return module.endswith(".py") or all(part.isidentifier() for part in module.split("."))


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
            _run_once(run, session, kernel_class, meta=options.meta)
        sessions.append(session)
    return ScriptResult(
        compiled=tuple(x for session in sessions for x in session.compiled),
        notes=tuple(dict.fromkeys(x for session in sessions for x in session.notes)),
        refused=tuple(x for session in sessions for x in session.refused),
    )


def _run_once(
    run: Run, session: Session, kernel_class: type[PersistentKernel], *, meta: bool
) -> None:
    try:
        run(session, kernel_class)
    except StopScriptError:
        pass
    except MpkGraphError:
        raise
    except SystemExit as error:
        _ended(error, session, meta=meta)
    except Exception as error:  # noqa: BLE001  the script's own, whatever it is
        _ended(error, session, meta=meta)
    if session.compiled:
        return
    if session.refused:
        raise session.refused[0]
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
        session.notes.append(late_note(error, len(session.compiled), meta=meta))


def _run_as_main(script: Path, source: bytes) -> None:
    """As Python runs a file: a fresh module `__main__`."""
    file = str(script.absolute())
    module = types.ModuleType("__main__")
    module.__file__ = file
    vars(module)["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    code = compile(source, file, "exec", dont_inherit=True)
    exec(code, vars(module))  # noqa: S102  running the user's script is what this is for


def _load(module: str, function: str, *, is_file: bool) -> Callable[..., Any]:
    if is_file:
        loaded = _load_file(Path(module))
    else:
        try:
            loaded = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise UsageError(
                f"no module {error.name!r}",
                where=f"{module}:{function}",
                remedy="It is looked for from the working folder",
            ) from error
    value = getattr(loaded, function, None)
    if not callable(value):
        names = sorted(
            key
            for key, item in vars(loaded).items()
            if isinstance(item, types.FunctionType) and item.__module__ == loaded.__name__
        )
        raise UsageError(
            f"{module} has no function {function!r}",
            remedy=f"It has {', '.join(names) or 'none'}",
        )
    return value  # type: ignore[no-any-return]


def _load_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path.absolute())
    if spec is None or spec.loader is None:
        raise UsageError("this is no Python file", where=str(path))
    loaded = importlib.util.module_from_spec(spec)
    # Before it runs, as an import does: dataclasses look their module up.
    sys.modules[path.stem] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _site_of(function: Callable[..., Any]) -> CallSite | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else CallSite(code.co_filename, code.co_firstlineno)


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


def _shown(path: Path) -> str:
    """A path for the record: below the working folder, else the name alone."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name
