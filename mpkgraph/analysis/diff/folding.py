"""Changes that repeat over the layers of a model, told once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from mpkgraph.analysis.diff.changes import (
    Change,
    EdgeChange,
    OperatorChange,
    OperatorRef,
    OrderChange,
    TensorChange,
    TileMove,
)
from mpkgraph.analysis.layer_names import layer_number, without_layer_number

_Item = TypeVar("_Item")


def fold_operators(changes: Iterable[OperatorChange]) -> tuple[OperatorChange, ...]:
    """Equal changes of alike operators as the first of them, with all members."""
    return tuple(
        replace(
            group[0],
            members=tuple(member for x in group for member in x.members),
            layers=_layers(ref.layer for x in group for ref in (*x.left, *x.right)),
        )
        for group in _groups(changes, _operator_key)
    )


def fold_tensors(changes: Iterable[TensorChange]) -> tuple[TensorChange, ...]:
    """Tensors that differ alike, whatever they are called, as the first of them."""
    return tuple(
        replace(
            group[0],
            names=tuple(x.left_name for x in group),
            layers=_layers(layer_number(x.left_name) for x in group),
            num_uses=sum(x.num_uses for x in group),
        )
        for group in _groups(changes, _tensor_key)
    )


def fold_edges(changes: Iterable[EdgeChange]) -> tuple[EdgeChange, ...]:
    return tuple(
        replace(
            group[0],
            num_alike=len(group),
            layers=_layers(
                number
                for x in group
                for label in (x.producer, x.consumer)
                for number in map(layer_number, label.split(" "))
            ),
        )
        for group in _groups(changes, _edge_key)
    )


def fold_orders(changes: Iterable[OrderChange]) -> tuple[OrderChange, ...]:
    return tuple(
        replace(
            group[0],
            num_alike=len(group),
            layers=_layers(y.layer for x in group for y in (x.earlier, x.later)),
        )
        for group in _groups(changes, _order_key)
    )


def _groups(items: Iterable[_Item], key: Callable[[_Item], Hashable]) -> list[list[_Item]]:
    found: dict[Hashable, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def _layers(numbers: Iterable[int | None]) -> tuple[int, ...]:
    return tuple(sorted({x for x in numbers if x is not None}))


def _operator_key(x: OperatorChange) -> Hashable:
    return (
        x.kind,
        tuple(_ref_key(y) for y in x.left),
        tuple(_ref_key(y) for y in x.right),
        tuple(_change_key(y) for y in x.changes),
        tuple(_change_key(y) for y in x.effects),
        tuple(_move_key(y) for y in x.tiles),
    )


def _ref_key(x: OperatorRef) -> Hashable:
    return (x.name, without_layer_number(x.subject), x.grid_dim, x.num_tasks)


def _change_key(x: Change) -> Hashable:
    tensor = None if x.tensor is None else without_layer_number(x.tensor)
    return (x.aspect, x.what, _plain(x.left), _plain(x.right), x.slot, tensor, x.num_tasks)


def _move_key(x: TileMove) -> Hashable:
    return (x.slot, without_layer_number(x.tensor), x.left_tile, x.right_tile, x.moved)


def _tensor_key(x: TensorChange) -> Hashable:
    """Dims by where they differ: the batch of all tensors is one change."""
    left, right = x.change.left, x.change.right
    if x.change.aspect == "shape" and len(left) == len(right):
        differing = tuple(
            (dim, one, other)
            for dim, (one, other) in enumerate(zip(left, right, strict=True))
            if one != other
        )
        return ("shape", len(left), differing)
    return (x.change.aspect, x.change.what, _plain(left), _plain(right))


def _edge_key(x: EdgeChange) -> Hashable:
    names = (_label_key(x.producer), _label_key(x.consumer))
    return (*names, x.left, x.right, x.is_remote, x.because, x.what)


def _label_key(label: str) -> str:
    return " ".join(map(without_layer_number, label.split(" ")))


def _order_key(x: OrderChange) -> Hashable:
    return (x.kind, *(_ref_key(y) for y in (x.earlier, x.later)))


def _plain(value: Any) -> Hashable:
    if isinstance(value, str):
        return without_layer_number(value)
    if isinstance(value, (list, tuple)):
        return tuple(_plain(x) for x in value)
    if isinstance(value, dict):
        return tuple(sorted((k, _plain(v)) for k, v in value.items()))
    hashable: Hashable = value
    return hashable
