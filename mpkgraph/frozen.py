"""`dataclasses.dataclass` for frozen records, made in a fraction of the time.

The standard decorator compiles six methods for each class, which takes 1 to 2 ms on Pythons before
3.13; a short command makes some forty classes, which was a sixth of its time. Here only `__init__`
is compiled, when it is asked for first, as methods that read the same for every class are shared.
Fields, `replace`, equality, hash, repr, pickles and signatures are those of the standard one
(`tests/test_frozen.py`).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

_OWN_OPTIONS = frozenset({"frozen", "slots", "eq", "repr"})
_SPECIAL_FIELDS = ("ClassVar", "InitVar", "KW_ONLY")

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """As `dataclasses.dataclass`, which also makes what is no plain frozen record."""

        def made(cls: type) -> type:
            if not options.get("frozen") or not options.keys() <= _OWN_OPTIONS or _is_special(cls):
                return dataclasses.dataclass(**options)(cls)
            return _frozen(
                cls,
                slots=options.get("slots", False),
                eq=options.get("eq", True),
                repr_=options.get("repr", True),
            )

        return made if cls is None else made(cls)


class _Factory:
    """Stands in signatures for a default that is made anew each time."""

    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


def _is_special(cls: type) -> bool:
    """Whether the class has more than plain fields of its own."""
    own = cls.__dict__
    types = map(str, own.get("__annotations__", {}).values())
    return (
        any(hasattr(base, "__dataclass_fields__") for base in cls.__mro__[1:])
        or any(name in text for text in types for name in _SPECIAL_FIELDS)
        or any(isinstance(x, dataclasses.Field) and not x.init for x in own.values())
    )


def _frozen(cls: type, *, slots: bool, eq: bool, repr_: bool) -> type:
    own = set(cls.__dict__)
    # As Python decides whether `__hash__` was written, or taken away for the sake of `__eq__`
    has_hash = "__hash__" in own and not (cls.__dict__["__hash__"] is None and "__eq__" in own)
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # else it would be told from a signature, which takes long
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    fields = dataclasses.fields(made)
    compared = _values([x.name for x in fields if x.compare])
    hashed = _values([x.name for x in fields if (x.compare if x.hash is None else x.hash)])
    methods: dict[str, Callable[..., Any]] = {"__setattr__": _setattr, "__delattr__": _delattr}
    if repr_ and "__repr__" not in own:
        methods["__repr__"] = _repr(tuple(x.name for x in fields if x.repr))
    if eq and "__eq__" not in own:
        methods["__eq__"] = _eq(compared)
    if eq and not has_hash:
        methods["__hash__"] = _hash(hashed)
    if slots and "__getstate__" not in own:
        names = tuple(x.name for x in fields)
        methods["__getstate__"], methods["__setstate__"] = _getstate(names), _setstate(names)
    for name, method in methods.items():
        if name not in {"__setattr__", "__delattr__"}:
            method.__qualname__ = f"{made.__qualname__}.{name}"
        setattr(made, name, method)
    made.__init__ = _LateInit(made, fields)
    parameters = made.__dataclass_params__
    parameters.frozen = parameters.init = True
    parameters.eq, parameters.repr = eq, repr_
    found: type = made
    return found


class _LateInit:
    """Stands for `__init__` until it is looked for: compiling it is most of the work of making a
    class, and most classes of a short command get no objects.
    """

    def __init__(self, cls: Any, fields: tuple[dataclasses.Field[Any], ...]) -> None:
        self._cls = cls
        self._fields = fields

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        found = _init(self._cls, self._fields)
        found.__qualname__ = f"{self._cls.__qualname__}.__init__"
        self._cls.__init__ = found
        return found if instance is None else found.__get__(instance, owner)


def _init(cls: type, fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
    """`__init__` of these fields. Only names of fields get into the text that is compiled."""
    given: dict[str, Any] = {"_set": object.__setattr__, "_factory": _FACTORY}
    parameters, lines = ["self"], []
    for field in fields:
        name = field.name
        value = name
        if field.default_factory is not dataclasses.MISSING:
            given[f"_default_{name}"] = field.default_factory
            parameters.append(f"{name}=_factory")
            value = f"_default_{name}() if {name} is _factory else {name}"
        elif field.default is not dataclasses.MISSING:
            given[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        lines.append(f"_set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n  ".join(lines or ["pass"])
    text = (
        f"def make({', '.join(given)}):\n"
        f" def __init__({', '.join(parameters)}):\n  {body}\n"
        " return __init__"
    )
    found: dict[str, Any] = {}
    exec(text, sys.modules[cls.__module__].__dict__, found)  # noqa: S102
    init: Callable[..., None] = found["make"](**given)
    init.__annotations__ = {x.name: x.type for x in fields} | {"return": None}
    return init


def _values(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple([getattr(record, name) for name in names])


def _repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    @recursive_repr()
    def __repr__(self: Any) -> str:  # noqa: N807
        values = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{type(self).__qualname__}({values})"

    return __repr__


def _eq(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, object], bool]:
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    return __eq__


def _hash(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _getstate(names: tuple[str, ...]) -> Callable[[Any], list[Any]]:
    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    return __getstate__


def _setstate(names: tuple[str, ...]) -> Callable[[Any, list[Any]], None]:
    def __setstate__(self: Any, state: list[Any]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return __setstate__


def _setattr(self: Any, name: str, value: object) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:  # noqa: ARG001
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
