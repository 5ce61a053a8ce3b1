"""Which `mirage` is installed, without importing it.

PyPI's `mirage` is of astronomers (James Webb telescope); Mirage's own name there is
`mirage-project`, and releases of it may lack MPK.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path

DISTRIBUTIONS = ("mirage-project", "mirage")
INSTALL = "Build it from its branch mpk: https://github.com/mirage-project/mirage"


@dataclass(frozen=True)
class InstalledMirage:
    """The package that `import mirage` would take outside the stand-in."""

    folder: Path
    distribution: str | None
    """Name on PyPI; None for a source tree on the path."""
    version: str | None
    has_mpk: bool

    def describe(self) -> str:
        """One clause: what it is."""
        name = self.distribution or "a source tree"
        version = f" {self.version}" if self.version else ""
        if self.has_mpk:
            return f"{name}{version} with MPK"
        if self.distribution == "mirage":
            return f"PyPI's mirage{version}, a simulator for astronomers and another project"
        return f"{name}{version} without MPK (no mirage.mpk.persistent_kernel)"


def installed_mirage() -> InstalledMirage | None:
    """What is installed under the name; None for nothing."""
    try:
        spec = importlib.util.find_spec("mirage")
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    folder = Path(folders[0] if folders else spec.origin or ".")
    distribution, version = _distribution()
    has_mpk = (folder / "mpk" / "persistent_kernel.py").is_file()
    return InstalledMirage(folder, distribution, version, has_mpk)


def describe_installed_mirage() -> str:
    """A sentence for messages: what `mirage` is here, and how to get MPK when it isn't."""
    found = installed_mirage()
    if found is None:
        return f"Mirage is not installed. {INSTALL}"
    if found.has_mpk:
        return f"Mirage is installed: {found.describe()}"
    return f"The installed mirage is {found.describe()}. {INSTALL}"


def _distribution() -> tuple[str | None, str | None]:
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return name, importlib.metadata.version(name)
    return None, None
