"""Which Mirage there is: installed, or in a source tree; its version, commit, core and headers.

Nothing is imported. PyPI's `mirage` is of astronomers, and releases of `mirage-project` lack MPK:
both are told apart from what is needed.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import json
import os
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpkgraph.errors import UsageError
from mpkgraph.pipeline.installed import DISTRIBUTIONS, installed_mirage
from mpkgraph.pipeline.standin.finder import HOME_VARIABLE

ROOT_VARIABLE = "MIRAGE_ROOT"
"""Where Mirage itself looks for its `include` and `deps`."""
_CORE_TAG = re.compile(r"core\.(.+)\.(?:so|pyd)")


@dataclass(frozen=True)
class FoundMirage:
    """A folder that `import mirage` can take, and what belongs to it."""

    package: Path
    """The folder `mirage`."""
    origin: str
    """How it was found: `--mirage-home`, `MIRAGE_HOME` or `installed`."""
    distribution: str | None
    version: str | None
    commit: str | None
    has_mpk: bool
    cores: tuple[str, ...]
    """Tags of the compiled cores that are there: `cpython-312-x86_64-linux-gnu`."""
    has_core: bool
    """Whether one of them is for this Python."""
    root: Path | None
    """The folder with `include`, by Mirage's own rules."""

    @property
    def python(self) -> Path:
        """The folder for `sys.path`."""
        return self.package.parent

    @property
    def include(self) -> Path | None:
        return None if self.root is None else self.root / "include"

    @property
    def deps(self) -> Path | None:
        """Where cutlass and json are."""
        if self.root is None:
            return None
        deps = self.root / "deps"
        return deps if deps.is_dir() else self.root / "include" / "deps"

    def describe(self) -> str:
        """`mirage-project 0.2.4, commit de8745d9, in /opt/mirage/python/mirage`."""
        name = self.distribution or "Mirage"
        version = f" {self.version}" if self.version else ""
        commit = f", commit {self.commit[:8]}" if self.commit else ""
        return f"{name}{version}{commit}, in {self.package}"

    def to_json(self) -> dict[str, Any]:
        return {
            "package": str(self.package),
            "origin": self.origin,
            "distribution": self.distribution,
            "version": self.version,
            "commit": self.commit,
            "has_mpk": self.has_mpk,
            "cores": list(self.cores),
            "has_core": self.has_core,
            "root": None if self.root is None else str(self.root),
        }


def find_mirage(home: Path | None = None) -> FoundMirage | None:
    """The Mirage to use: `home` if given, else `$MIRAGE_HOME` if it is built, else the installed.

    None when there is none. Raises UsageError when `home` holds no Mirage.
    """
    if home is not None:
        package = _package_in(home)
        if package is None:
            raise UsageError(
                "there is no Mirage here: no python/mirage",
                where=str(home),
                remedy="Name the folder that you cloned Mirage into",
            )
        return _found(package, "--mirage-home", None, None)
    variable = os.environ.get(HOME_VARIABLE)
    from_home = None
    if variable:
        package = _package_in(Path(variable))
        if package is not None:
            from_home = _found(package, HOME_VARIABLE, None, None)
            if from_home.has_core:
                return from_home
    installed = installed_mirage()
    if installed is None:
        return from_home
    if from_home is not None and not installed.has_mpk:
        return from_home
    return _found(installed.folder, "installed", installed.distribution, installed.version)


def _package_in(home: Path) -> Path | None:
    folder = home.expanduser().absolute()
    for candidate in (folder / "python" / "mirage", folder / "mirage", folder):
        if (candidate / "mpk" / "persistent_kernel.py").is_file():
            return candidate
    return None


def _found(
    package: Path, origin: str, distribution: str | None, version: str | None
) -> FoundMirage:
    package = package.absolute()
    cores = tuple(
        sorted(m[1] for x in package.glob("core.*.*") if (m := _CORE_TAG.fullmatch(x.name)))
    )
    root = _root(package)
    return FoundMirage(
        package=package,
        origin=origin,
        distribution=distribution,
        version=version or _version(package),
        commit=_git_commit(package.parent.parent) or _installed_commit(distribution),
        has_mpk=(package / "mpk" / "persistent_kernel.py").is_file(),
        cores=cores,
        has_core=_has_core(package),
        root=root,
    )


def _has_core(package: Path) -> bool:
    suffix = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
    return any((package / f"core{x}").is_file() for x in (suffix, ".abi3.so", ".so", ".py"))


def _root(package: Path) -> Path | None:
    """As `get_key_paths` of `python/mirage/kernel.py` finds it."""
    chosen = os.environ.get(ROOT_VARIABLE)
    tree = package.parent.parent
    candidates = [Path(chosen)] if chosen else [tree if (tree / "deps").exists() else package]
    for root in candidates:
        if (root / "include").is_dir():
            return root
    return None


def _version(package: Path) -> str | None:
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        for node in ast.parse((package / "version.py").read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                return str(node.value.value)
    return None


def _git_commit(root: Path) -> str | None:
    """HEAD of the checkout that a folder is, without git."""
    git = root / ".git"
    with contextlib.suppress(OSError):
        if git.is_file():
            git = root / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        head = (git / "HEAD").read_text(encoding="ascii", errors="replace").strip()
        if not head.startswith("ref:"):
            return head or None
        name = head.removeprefix("ref:").strip()
        common = git
        if (git / "commondir").is_file():
            common = git / (git / "commondir").read_text(encoding="utf-8").strip()
        if (common / name).is_file():
            return (common / name).read_text(encoding="ascii").strip()
        for line in (common / "packed-refs").read_text(encoding="utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.partition(" ")[0]
    return None


def _installed_commit(distribution: str | None) -> str | None:
    """What pip noted of a package that it installed from a repository."""
    for name in DISTRIBUTIONS if distribution is None else (distribution,):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError, KeyError):
            text = importlib.metadata.distribution(name).read_text("direct_url.json")
            if text and distribution is not None:
                commit = json.loads(text)["vcs_info"]["commit_id"]
                return str(commit)
    return None
