"""Where `import mirage` leads while a script runs.

First the stand-in's own modules, then pure-Python parts of a Mirage source tree on top of them,
never an installed `mirage` (which PyPI also has of astronomers). torch is patched as soon as it
is imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from mpkgraph.errors import UsageError
from mpkgraph.pipeline.standin.modules import ModuleContent

SHADOWED = ("mirage", "mpi4py")
"""Packages that only the stand-in provides while a script runs."""

HOME_VARIABLE = "MIRAGE_HOME"


class StandinFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of `SHADOWED`; others are left to the finders after it."""

    def __init__(self, modules: Mapping[str, ModuleContent], mirage_home: Path | None) -> None:
        self._modules = modules
        self._sources = None if mirage_home is None else mirage_home / "python"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname.partition(".")[0] not in SHADOWED:
            return None
        content = self._modules.get(fullname)
        if content is not None:
            spec = importlib.machinery.ModuleSpec(
                fullname, _ContentLoader(content), is_package=content.is_package
            )
            if content.is_package:
                spec.submodule_search_locations = self._folders(fullname)
            return spec
        from_tree = self._from_tree(fullname)
        if from_tree is not None:
            return from_tree
        raise ModuleNotFoundError(self._absent(fullname), name=fullname)

    def _folders(self, package: str) -> list[str]:
        """The tree's folder of a package: tools that walk `__path__` find the tree's modules."""
        if self._sources is None:
            return []
        folder = self._sources.joinpath(*package.split("."))
        return [str(folder)] if folder.is_dir() else []

    def _from_tree(self, fullname: str) -> importlib.machinery.ModuleSpec | None:
        if self._sources is None or not fullname.startswith("mirage."):
            return None
        base = self._sources.joinpath(*fullname.split("."))
        if base.is_dir():
            entry = base / "__init__.py"
            return importlib.util.spec_from_file_location(
                fullname,
                entry if entry.is_file() else None,
                loader=None if entry.is_file() else _ContentLoader(ModuleContent({})),
                submodule_search_locations=[str(base)],
            )
        source = base.with_suffix(".py")
        if source.is_file():
            return importlib.util.spec_from_file_location(fullname, source)
        return None

    def _absent(self, fullname: str) -> str:
        text = f"No module named {fullname!r} in the stand-in of {fullname.partition('.')[0]}"
        if self._sources is None:
            return (
                f"{text}. Model builders and other pure-Python parts of Mirage are used when "
                f"{HOME_VARIABLE} names its source tree"
            )
        return f"{text} or in {HOME_VARIABLE}"


class _ContentLoader(importlib.abc.Loader):
    def __init__(self, content: ModuleContent) -> None:
        self._content = content

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        del spec
        return None  # the usual kind of module

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._content.names)
        late = self._content.late
        if not late:
            return

        def late_name(name: str) -> Any:
            if name not in late:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            value = late[name]()
            setattr(module, name, value)
            return value

        vars(module)["__getattr__"] = late_name


class ImportHook(importlib.abc.MetaPathFinder):
    """Calls back once a module has been imported, before who imports it goes on."""

    def __init__(self, name: str, imported: Callable[[], None]) -> None:
        self._name = name
        self._imported = imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _CallingLoader(spec.loader, self._imported)
                return spec
        return None


class _CallingLoader(importlib.abc.Loader):
    def __init__(self, real: importlib.abc.Loader, imported: Callable[[], None]) -> None:
        self._real = real
        self._imported = imported

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        module.__loader__ = self._real
        self._real.exec_module(module)
        self._imported()


def check_mirage_home(mirage_home: Path) -> Path:
    """The folder as an absolute path. Raises UsageError when it is no Mirage source tree."""
    folder = mirage_home.expanduser().absolute()
    if not (folder / "python" / "mirage" / "mpk").is_dir():
        raise UsageError(
            f"{mirage_home} is no source tree of Mirage: it has no python/mirage/mpk",
            where=HOME_VARIABLE,
            remedy="Name the folder that you cloned Mirage into, or unset it",
        )
    return folder
