"""Frozen records are those that `dataclasses` makes."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field

import pytest

from mpkgraph import frozen


def classes(decorate):
    @decorate(frozen=True)
    class Plain:
        """Two fields and a default."""

        left: int
        right: str = "r"
        items: list[int] = field(default_factory=list)
        hidden: int = field(default=3, repr=False, compare=False)

        def __post_init__(self):
            if self.left < 0:
                raise ValueError(self.left)

        @property
        def twice(self) -> int:
            return 2 * self.left

    @decorate(frozen=True, slots=True)
    class Slotted:
        """Slots."""

        only: tuple[int, ...]

    @decorate(frozen=True)
    class Empty:
        """Nothing."""

    @decorate(frozen=True)
    class Own:  # noqa: PLW1641
        """Its own methods."""

        value: int

        def __eq__(self, other):
            return True

        def __repr__(self):
            return "own"

    @decorate(frozen=True, eq=False, repr=False)
    class Bare:
        """Neither compared nor shown."""

        value: int

    @decorate(frozen=True)
    class Base:
        """With a subclass."""

        first: int

    @decorate(frozen=True)
    class Derived(Base):
        """With a base."""

        second: int = 2

    return Plain, Slotted, Empty, Own, Bare, Derived


OURS, THEIRS = classes(frozen.dataclass), classes(dataclasses.dataclass)
GIVEN = [(1,), ((1, 2),), (), (4,), (5,), (6,)]
PAIRS = list(zip(OURS, THEIRS, GIVEN, strict=True))


@frozen.dataclass(frozen=True, slots=True)
class Pickled:
    """Found by name, as pickles need it."""

    value: int
    more: tuple[int, ...] = ()


@pytest.mark.parametrize(("ours", "theirs", "given"), PAIRS, ids=[x.__name__ for x in OURS])
def test_records_are_those_of_the_standard_decorator(ours, theirs, given):
    mine, other = ours(*given), theirs(*given)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))
    names = [x.name for x in dataclasses.fields(theirs)]
    assert [x.name for x in dataclasses.fields(ours)] == names
    assert dataclasses.asdict(mine) == dataclasses.asdict(other)
    assert ours.__match_args__ == theirs.__match_args__
    if "object at" not in repr(other):
        assert repr(mine) == repr(other)
    assert (ours(*given) == mine) == (theirs(*given) == other)
    assert (mine == other) == (other == mine) == isinstance(mine, OURS[3])
    for attempt in (hash, lambda x: hash(x) == hash(type(x)(*given))):
        assert _outcome(attempt, mine) == _outcome(attempt, other)
    for name in [*names, "another"]:
        for change in (lambda x, n=name: setattr(x, n, 1), lambda x, n=name: delattr(x, n)):
            with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
                change(mine)
    if names:
        assert dataclasses.replace(mine, **{names[0]: 8}) == ours(8, *given[1:]) or ours is OURS[4]
    assert ("__dict__" in dir(mine)) == ("__dict__" in dir(other))


def _outcome(attempt, record):
    try:
        found = attempt(record)
    except TypeError as error:
        return str(error)
    return found if isinstance(found, bool) else None


def test_defaults_are_made_anew_and_checks_run():
    plain = OURS[0]
    assert plain(1).items is not plain(1).items
    with pytest.raises(ValueError, match="-1"):
        plain(-1)
    assert plain(1, hidden=4) == plain(1, hidden=5)


def test_hash_is_that_of_the_compared_fields():
    assert hash(OURS[1]((1, 2))) == hash(((1, 2),)) == hash(THEIRS[1]((1, 2)))


def test_pickles_and_copies():
    record = Pickled(3, (4,))
    for again in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
        assert again == record
        with pytest.raises(dataclasses.FrozenInstanceError):
            again.value = 4


def test_a_record_that_holds_itself_has_a_repr():
    record = OURS[0](1)
    record.items.append(record)
    assert "..." in repr(record)


def test_init_is_compiled_when_it_is_asked_for_and_once():
    @frozen.dataclass(frozen=True, slots=True)
    class Late:
        value: int
        more: int = 2

    class Below(Late):
        """Asks for that of its base."""

    assert type(vars(Late)["__init__"]) is not type(lambda: None)
    assert Below(1).more == 2
    made = vars(Late)["__init__"]
    assert inspect.isfunction(made)
    assert "__init__" not in vars(Below)
    assert Late(3).value == 3
    assert vars(Late)["__init__"] is made
    with pytest.raises(TypeError, match=r"Late\.__init__\(\) missing 1 required"):
        Late()
