"""The process around a script: set up for it, and as it was afterwards however it ended."""

from __future__ import annotations

import builtins
import contextlib
import os
import signal
import site
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TextIO

from mpkgraph.pipeline.kernel import PersistentKernel
from mpkgraph.pipeline.recorder import watch_registrations
from mpkgraph.pipeline.standin.children import reached_children
from mpkgraph.pipeline.standin.core_names import PATCHABLE
from mpkgraph.pipeline.standin.finder import SHADOWED, ImportHook, StandinFinder
from mpkgraph.pipeline.standin.kernel import kernel_class
from mpkgraph.pipeline.standin.modules import mirage_modules
from mpkgraph.pipeline.standin.ranks import set_rank_variables
from mpkgraph.pipeline.standin.session import Session
from mpkgraph.pipeline.standin.snapshot import Snapshot
from mpkgraph.pipeline.target import use_target


@contextmanager
def standin(
    session: Session,
    *,
    meta: bool = False,
    mirage_home: Path | None = None,
    import_folder: Path | None = None,
    argv: Sequence[str] | None = None,
    stdout: TextIO | None = None,
    reaches_children: bool = True,
) -> Iterator[type[PersistentKernel]]:
    """`import mirage` means the stand-in, and GPUs are the session's target.

    Gives `PersistentKernel`. `import_folder` comes first in `sys.path`, the script's prints go to
    `stdout` when it is given. Python processes that the script starts find the stand-in as well,
    and what they compile is in `session.child_records`. At the end everything is as it was: modules
    of the script are forgotten, those of installed packages stay.
    """
    kernel = kernel_class(session)
    modules = mirage_modules(session.target, kernel, mirage_home)
    with _process_state(), ExitStack() as stack:
        for name in [x for x in sys.modules if x.partition(".")[0] in SHADOWED]:
            del sys.modules[name]

        def torch_imported() -> None:
            from mpkgraph.pipeline.standin.torch_session import torch_session

            stack.enter_context(torch_session(session.target, meta=meta))

        sys.meta_path.insert(0, StandinFinder(modules, mirage_home))
        if sys.modules.get("torch") is not None:
            torch_imported()
        else:
            sys.meta_path.insert(0, ImportHook("torch", torch_imported))
        if import_folder is not None:
            sys.path.insert(0, str(import_folder))
        if argv is not None:
            sys.argv = list(argv)
        if stdout is not None:
            stack.enter_context(contextlib.redirect_stdout(stdout))
        set_rank_variables(os.environ, session.target)
        if reaches_children:
            children = reached_children(session, meta=meta, mirage_home=mirage_home)
            left = stack.enter_context(children)
            stack.callback(session.take_children, left)
        stack.enter_context(use_target(session.target))
        stack.enter_context(watch_registrations(session.watch))
        yield kernel


@contextmanager
def _process_state() -> Iterator[None]:
    """What a script can change of its process and that outlives it."""
    names = Snapshot([builtins, PersistentKernel, *PATCHABLE])
    environ = dict(os.environ)
    folder = Path.cwd()
    argv, path, meta_path = sys.argv, list(sys.path), list(sys.meta_path)
    modules = dict(sys.modules)
    hooks = (sys.excepthook, sys.displayhook, threading.excepthook)
    streams = (sys.stdin, sys.stdout, sys.stderr)
    limit = sys.getrecursionlimit()
    signals = _signal_handlers()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for number, handler in signals.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        sys.setrecursionlimit(limit)
        sys.stdin, sys.stdout, sys.stderr = streams
        sys.excepthook, sys.displayhook, threading.excepthook = hooks
        names.restore()
        _restore_modules(modules)
        sys.argv = argv
        sys.path[:] = path
        sys.meta_path[:] = meta_path
        os.environ.clear()
        os.environ.update(environ)
        # The folder may be gone; then the script's is as good.
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _signal_handlers() -> dict[int, signal.Handlers]:
    """Python's handlers; only the main thread may set them."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    # None is a handler that was not installed from Python.
    return {n: h for n, h in handlers.items() if h is not None}  # type: ignore[misc]


def _restore_modules(before: dict[str, ModuleType]) -> None:
    for name, module in list(sys.modules.items()):
        if name not in before and not _is_installed(module):
            del sys.modules[name]
    sys.modules.update(before)


def _installed_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages())
    folders.add(site.getusersitepackages())
    folders.add(str(Path(__file__).parents[2]))
    return tuple(folder + os.sep for folder in folders)


INSTALLED = _installed_folders()
"""Folders of packages that stay imported: Python's, installed ones and our own."""


def is_installed_file(file: str) -> bool:
    """Whether a source file is of Python, an installed package or ourselves."""
    return file.startswith(("<frozen", *INSTALLED))


def _is_installed(module: ModuleType) -> bool:
    """Modules without a file are built in, or made by an installed package (`six.moves`)."""
    if getattr(module, "__name__", "").partition(".")[0] in SHADOWED:
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        folders = list(getattr(module, "__path__", []))
        return not folders or all(is_installed_file(f"{x}{os.sep}") for x in folders)
    return is_installed_file(file)
