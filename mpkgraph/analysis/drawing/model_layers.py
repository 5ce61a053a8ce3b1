"""Which layer of the model (transformer block) an operator belongs to, as far as names tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mpkgraph.analysis.layer_names import layer_number
from mpkgraph.model.operator import Operator


def model_layers(
    operators: Sequence[Operator], edges: Iterable[tuple[int, int]]
) -> list[int | None]:
    """For each operator the number of its model layer; None where names do not tell.

    The numbers in the names of an operator's weights (what no operator writes) decide by
    majority, then those in the names of its outputs. An operator without any number belongs to
    the layer that it is within: of its latest producer and, following the edges, of what comes
    next. Between two layers it goes with its producer, unless it has weights of its own (a final
    norm): then it belongs to none. `edges` are (producer, consumer).
    """
    written = {
        name for operator in operators for slot in operator.outputs for name in slot.base_ptrs
    }
    producers: dict[int, list[int]] = {}
    consumers: dict[int, list[int]] = {}
    for tail, head in edges:
        # Operators are in topological order; an edge back is one of a cycle and tells nothing.
        if tail < head:
            producers.setdefault(head, []).append(tail)
            consumers.setdefault(tail, []).append(head)
    weights = [
        [name for slot in operator.inputs for name in slot.base_ptrs if name not in written]
        for operator in operators
    ]
    named = [_named_layer(operator, weights[i]) for i, operator in enumerate(operators)]
    following: list[int | None] = list(named)
    for index in reversed(range(len(operators))):
        if following[index] is None:
            after = [following[consumer] for consumer in consumers.get(index, ())]
            following[index] = min((x for x in after if x is not None), default=None)
    layers: list[int | None] = []
    for index, layer in enumerate(named):
        latest = max(producers.get(index, ()), default=None)
        before = None if latest is None else layers[latest]
        inside = before == following[index] or not weights[index]
        layers.append(layer if layer is not None else before if inside else None)
    return layers


def _named_layer(operator: Operator, weights: Sequence[str]) -> int | None:
    """The layer that an operator's own names tell."""
    number = _majority(weights)
    if number is not None:
        return number
    return _majority(name for slot in operator.outputs for name in slot.base_ptrs)


def _majority(names: Iterable[str]) -> int | None:
    """The commonest layer number; the smallest of several equally common ones."""
    numbers = [number for name in names if (number := layer_number(name)) is not None]
    if len(set(numbers)) < 2:
        return numbers[0] if numbers else None
    counts = Counter(numbers)
    return min(counts, key=lambda number: (-counts[number], number))
