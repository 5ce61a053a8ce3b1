"""The user's own code: found, read and started as Python would do it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpkgraph.errors import UsageError
from mpkgraph.model.record import CallSite


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


def read_script(script: Path) -> bytes:
    """The source of a script. Raises UsageError when it can't be read."""
    try:
        with io.open_code(str(script.absolute())) as stream:
            return stream.read()
    except OSError as error:
        raise UsageError(
            f"can't read the script: {error.strerror or error}", where=str(script)
        ) from error


def run_as_main(script: Path, source: bytes, functions: dict[str, Callable[..., Any]]) -> None:
    """As Python runs a file: a fresh module `__main__`. Leaves its functions, by name."""
    file = str(script.absolute())
    module = types.ModuleType("__main__")
    module.__file__ = file
    vars(module)["__builtins__"] = __builtins__
    sys.modules["__main__"] = module
    code = compile(source, file, "exec", dont_inherit=True)
    try:
        exec(code, vars(module))  # noqa: S102  running the user's script is what this is for
    finally:  # scripts end by sys.exit
        functions |= {
            key: item for key, item in vars(module).items() if isinstance(item, types.FunctionType)
        }


@dataclass(frozen=True)
class UserFunction:
    """A function that is to be called, which need not be loaded yet."""

    module: str
    """Its module's name, or the path of its file."""
    shown: str
    """Its name in a record."""
    folder: Path
    """Where its imports are looked for first."""
    load: Callable[[], Callable[..., Any]]

    @classmethod
    def named(cls, name: str) -> UserFunction:
        """`module:function` or `file.py:function`. Raises UsageError for another form."""
        if not is_function(name):
            raise UsageError(f"{name!r} is not module:function or file.py:function")
        module, _, function = name.rpartition(":")
        is_file = module.endswith(".py")
        return cls(
            module,
            f"{shown(Path(module)) if is_file else module}:{function}",
            Path(module).absolute().parent if is_file else Path.cwd(),
            lambda: load_function(module, function, is_file=is_file),
        )

    @classmethod
    def given(cls, function: Callable[..., Any]) -> UserFunction:
        """One that the caller has, of a notebook perhaps."""
        module = str(getattr(function, "__module__", None) or "__main__")
        name = getattr(function, "__qualname__", type(function).__name__)
        return cls(module, f"{module}:{name}", Path.cwd(), lambda: function)


def load_function(module: str, function: str, *, is_file: bool) -> Callable[..., Any]:
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
    # Not by the loader: its cache takes an edit within the same second for what it has compiled
    code = compile(read_script(path), str(path.absolute()), "exec", dont_inherit=True)
    exec(code, vars(loaded))  # noqa: S102  running the user's file is what this is for
    return loaded


def site_of(function: Callable[..., Any]) -> CallSite | None:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else CallSite(code.co_filename, code.co_firstlineno)


def shown(path: Path) -> str:
    """A path for the record: below the working folder, else the name alone."""
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name
