"""Names of modules and classes as they were, put back however a script ended."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

Namespace = ModuleType | type


class Snapshot:
    """What some namespaces held when this was made.

    `restore` puts back every name that changed or went away. Names that came are taken from
    classes, where they hide inherited ones, and left in modules, which import submodules late.
    """

    def __init__(self, namespaces: Iterable[Namespace]) -> None:
        self._held = [(space, dict(vars(space))) for space in namespaces]

    def restore(self) -> None:
        for space, names in self._held:
            now = vars(space)
            changed = {
                name: value
                for name, value in names.items()
                if name not in now or now[name] is not value
            }
            for name, value in changed.items():
                _put(space, name, value)
            if isinstance(space, type):
                for name in set(now) - set(names):
                    delattr(space, name)


def _put(space: Namespace, name: str, value: Any) -> None:
    if isinstance(space, ModuleType):
        vars(space)[name] = value
    else:
        setattr(space, name, value)
