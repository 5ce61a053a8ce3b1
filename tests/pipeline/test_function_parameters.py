"""`--set name=value` to the parameters of a function."""

from __future__ import annotations

import enum
from typing import Literal, Optional, Union

import pytest

from mpkgraph.errors import UsageError
from mpkgraph.pipeline.function_parameters import bind_parameters, split_settings


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


def annotated(
    pk,
    a: int = 0,
    b: float = 0.0,
    c: bool = False,
    d: str = "",
    e: tuple[int, ...] = (),
    f: list[int] | None = None,
    g: Optional[int] = None,  # noqa: UP045  what users write
    h: Union[int, str] = 0,  # noqa: UP007
    i: Literal["x", 2] = "x",
    j: Size = Size.SMALL,
): ...


def plain(pk, needed, rows=8, *, name="x", flag=True, ratio=0.5, shape=(1, 2), any_value=None): ...


def open_ended(pk, **more): ...


@pytest.mark.parametrize(
    ("function", "text", "value"),
    [
        (annotated, "a=12", 12),
        (annotated, "a=0x10", 16),
        (annotated, "a=-1", -1),
        (annotated, "b=2", 2.0),
        (annotated, "b=1e-6", 1e-6),
        (annotated, "c=true", True),
        (annotated, "c=0", False),
        (annotated, "d=12", "12"),
        (annotated, "d=", ""),
        (annotated, "d=a=b", "a=b"),
        (annotated, "e=8,1", (8, 1)),
        (annotated, "e=(8, 1)", (8, 1)),
        (annotated, "f=[1, 2]", [1, 2]),
        (annotated, "f=none", None),
        (annotated, "g=3", 3),
        (annotated, "g=None", None),
        (annotated, "h=3", 3),
        (annotated, "h=three", "three"),
        (annotated, "i=2", 2),
        (annotated, "j=LARGE", Size.LARGE),
        (open_ended, "n=3", 3),
        (open_ended, "n=three", "three"),
    ],
)
def test_values(function, text, value):
    (found,) = bind_parameters(function, split_settings([text])).values()
    assert found == value
    assert type(found) is type(value)


def test_without_annotations_the_default_says_the_type():
    texts = ["needed=[1]", "rows=4", "name=7", "flag=no", "ratio=1", "shape=3,4", "any_value=x"]
    assert bind_parameters(plain, split_settings(texts)) == {
        "needed": [1],
        "rows": 4,
        "name": "7",
        "flag": False,
        "ratio": 1.0,
        "shape": (3, 4),
        "any_value": "x",
    }


@pytest.mark.parametrize(
    ("function", "texts", "message"),
    [
        (plain, [], r"needs 'needed'. Give --set needed=..."),
        (plain, ["needed=1", "row=2"], r"no parameter 'row'. It has needed, rows"),
        (plain, ["needed=1", "pk=2"], "no parameter 'pk'"),
        (plain, ["needed=1", "flag=maybe"], r"--set flag=maybe: 'maybe' is no bool"),
        (plain, ["needed=1", "shape=3"], "'3' is no tuple"),
        (annotated, ["a=1.5"], "'1.5' is no int"),
        (annotated, ["a=1", "a=2"], "gives 'a' twice"),
        (annotated, ["a"], "is not name=value"),
        (annotated, ["1a=2"], "is not name=value"),
        (annotated, ["i=y"], "is no Literal"),
        (annotated, ["j=HUGE"], "is no Size"),
    ],
)
def test_errors(function, texts, message):
    with pytest.raises(UsageError, match=message):
        bind_parameters(function, split_settings(texts))
