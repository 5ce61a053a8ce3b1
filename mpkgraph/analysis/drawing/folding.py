"""Equal layers of a model drawn once: which operators stand for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from mpkgraph.analysis.layer_names import without_layer_number
from mpkgraph.frozen import dataclass
from mpkgraph.model.operator import Operator, OperatorSlot

FOLD_ABOVE = 64
"""Operators above which equal layers are folded unless asked otherwise: about eight layers, some
three screens of picture."""


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Consecutive model layers that are alike, or one layer."""

    layers: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]
    """For each operator of a layer the operators that it stands for, one a layer."""

    @property
    def title(self) -> str:
        """The frame's title.

        >>> LayerGroup((3, 4, 5), ()).title
        'layers 3-5 (3 alike)'
        """
        if len(self.layers) == 1:
            return f"layer {self.layers[0]}"
        first, last = self.layers[0], self.layers[-1]
        dense = last - first + 1 == len(self.layers)
        span = f"{first}-{last}" if dense else f"{first}, … {last}"
        return f"layers {span} ({len(self.layers)} alike)"


def group_layers(
    operators: Sequence[Operator],
    layers: Sequence[int | None],
    edges: Iterable[tuple[int, int, int]],
    *,
    fold: bool,
) -> tuple[LayerGroup, ...]:
    """The model's layers in order; with `fold`, runs of equal ones joined.

    Two layers are alike when their operators agree in order, task type, grid, tiles and outputs'
    names (numbers of layers apart), and so do the `edges` (tail, head, num_events) inside.
    """
    operators_of: dict[int, list[int]] = {}
    for operator, layer in enumerate(layers):
        if layer is not None:
            operators_of.setdefault(layer, []).append(operator)
    place = {op: i for members in operators_of.values() for i, op in enumerate(members)}
    inside: dict[int, list[tuple[int, int, int]]] = {}
    for tail, head, num_events in edges:
        layer = layers[tail]
        if layer is not None and layer == layers[head]:
            inside.setdefault(layer, []).append((place[tail], place[head], num_events))
    runs: list[list[int]] = []
    last_signature: object = None
    for layer in sorted(operators_of):
        signature = (
            tuple(_signature(operators[op]) for op in operators_of[layer]),
            tuple(sorted(inside.get(layer, ()))),
        )
        if fold and signature == last_signature:
            runs[-1].append(layer)
        else:
            runs.append([layer])
        last_signature = signature
    return tuple(
        LayerGroup(tuple(run), tuple(zip(*(operators_of[layer] for layer in run), strict=True)))
        for run in runs
    )


def _signature(operator: Operator) -> object:
    """What two operators must share to be drawn as one. Inputs' names differ at the first layer."""
    return (
        operator.task_type,
        operator.register_name,
        operator.grid_dim,
        operator.num_subtasks,
        operator.num_tasks,
        tuple(
            (
                slot.is_output,
                slot.data_type,
                slot.tile_dims,
                without_layer_number(slot.name) if slot.is_output else None,
            )
            for slot in operator.slots
        ),
    )


def common_name(slots: Sequence[OperatorSlot]) -> str:
    """One name for a slot of several layers: the number of the layer as `*`, the commonest."""
    if len(slots) == 1:
        return slots[0].name
    names = Counter("+".join(map(without_layer_number, s.base_ptrs)) or s.name for s in slots)
    return min(names, key=lambda name: (-names[name], name))


def numbers_text(numbers: Sequence[int]) -> str:
    """A short text for ascending numbers.

    >>> numbers_text((3, 11, 19, 27)), numbers_text((4,))
    ('3, 11, … 27', '4')
    """
    if len(numbers) <= 3:
        return ", ".join(map(str, numbers))
    return f"{numbers[0]}, {numbers[1]}, … {numbers[-1]}"
