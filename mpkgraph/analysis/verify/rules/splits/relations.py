"""Relations between numbers of an operator, written as they are read: `in0.tile[1] == p[0]`.

Names are `inN` and `outN` with `.tile`, `.dim` (of the whole tensor) and `.stride`, `grid`, and `p`
for the ints that the layer was registered with. A relation about a number that is not known (a dim
without a record, a slot given as None or not used) is not judged.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from mpkgraph.analysis.verify.rules.splits.facts import OperatorFacts
from mpkgraph.frozen import dataclass


class UnknownNumberError(Exception):
    """A relation asks for a number that nothing tells."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A relation with its numbers."""

    holds: bool
    left: int
    right: int
    labels: tuple[str, ...]
    """The slots that it is about, in order of mention."""
    numbers: tuple[tuple[str, int], ...]
    """Each name in it, such as `in0.tile[1]`, with its number."""


_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = MappingProxyType(
    {
        ast.Add: lambda a, b: a + b,
        ast.Mult: lambda a, b: a * b,
        ast.Mod: lambda a, b: a % b if b else 0,
    }
)
_COMPARE: Mapping[type[ast.cmpop], Callable[[int, int], bool]] = MappingProxyType(
    {ast.Eq: lambda a, b: a == b, ast.LtE: lambda a, b: a <= b}
)


def judge(text: str, facts: OperatorFacts) -> Judged | None:
    """Whether a relation holds; None where a number is unknown.

    Raises ValueError for a text that is no relation.
    """
    compare = _parse(text)
    numbers: dict[str, int] = {}
    try:
        left = _value(compare.left, facts, numbers)
        right = _value(compare.comparators[0], facts, numbers)
    except UnknownNumberError:
        return None
    holds = _COMPARE[type(compare.ops[0])](left, right)
    labels = dict.fromkeys(name.partition(".")[0] for name in numbers if "." in name)
    return Judged(holds, left, right, tuple(labels), tuple(numbers.items()))


@lru_cache(maxsize=256)
def _parse(text: str) -> ast.Compare:
    tree = ast.parse(text, mode="eval").body
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or type(tree.ops[0]) not in _COMPARE:
        raise ValueError(f"no relation: {text}")
    return tree


def _value(node: ast.expr, facts: OperatorFacts, numbers: dict[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            a, b = _value(left, facts, numbers), _value(right, facts, numbers)
            return _ARITHMETIC[type(op)](a, b)
        case ast.Subscript(value=ast.Name(id="p"), slice=place):
            params, index = facts.params, _index(place)
            if params is None or index >= len(params):
                raise UnknownNumberError
            return numbers.setdefault(ast.unparse(node), params[index])
        case ast.Subscript(value=ast.Name(id="grid"), slice=place):
            return numbers.setdefault(ast.unparse(node), facts.grid[_index(place)])
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id=label), attr=what), slice=place):
            return numbers.setdefault(ast.unparse(node), _of_slot(facts, label, what, place))
    raise ValueError(f"no number: {ast.unparse(node)}")


def _of_slot(facts: OperatorFacts, label: str, what: str, place: ast.expr) -> int:
    slot = facts.slot(label)
    if slot is None or slot.is_null or slot.effect.access == "none":
        raise UnknownNumberError
    numbers: tuple[int | None, ...] = {
        "tile": slot.tile,
        "dim": slot.dims,
        "stride": slot.strides,
    }[what]
    index = _index(place)
    if not -len(numbers) <= index < len(numbers):
        raise UnknownNumberError
    number = numbers[index]
    # No second element is reached through the stride of a dim of one
    if number is None or (what == "stride" and slot.dims[index] == 1):
        raise UnknownNumberError
    return number


def _index(node: ast.expr) -> int:
    index = ast.literal_eval(node)
    if not isinstance(index, int):
        raise TypeError(f"no index: {ast.unparse(node)}")
    return index
