"""Which tasks belong to one layer.

Mirage emits a layer's tasks together, except that the branches of a fork are emitted per event,
one after the other. All tasks that wait on events of the same producing layers are therefore one
contiguous *bundle*: a chain layer, a join layer, or the branches of one fork. Producers precede
their consumers, so one pass in order of task ids finds the bundles. Inside a bundle, tasks of one
key are one layer unless they repeat in a way that one grid can't.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpkgraph.frozen import dataclass
from mpkgraph.model.distinct import distinct
from mpkgraph.views.rows import AXES, LINEAR, Int, KeyTable, Rows

SOURCE = -1
"""Class of the tasks that wait on nothing."""
ORPHAN = -2
"""Class of the tasks whose event nobody before them triggers (joins that count a producer twice,
graphs that were cut or edited)."""
_FIRST_WINDOW = 64
"""Tasks examined at once while the end of a bundle is looked for; doubled as long as it lasts."""


class EventClasses:
    """Which layers trigger an event, as classes: layers that trigger a common event share one.

    Events are forgotten once the tasks that wait on them are known, so this stays small.
    """

    def __init__(self) -> None:
        self._events = np.empty(0, dtype=np.int64)
        self._owners = np.empty(0, dtype=np.int64)
        self._num_layers: list[int] = []

    def of_events(self, events: Int) -> Int:
        """Class of each event (-1: no event)."""
        classes = np.where(events < 0, SOURCE, ORPHAN)
        if len(self._events):
            places = np.searchsorted(self._events, events)
            places[places == len(self._events)] = 0
            classes = np.where(self._events[places] == events, self._owners[places], classes)
        return classes

    def num_layers(self, event_class: int) -> int:
        """How many layers trigger the events of a class."""
        return self._num_layers[event_class] if event_class >= 0 else 0

    def add_layer(self, triggers: Int) -> None:
        """Note the events that one layer's tasks trigger."""
        events = distinct(triggers)
        events = events[events >= 0]
        if not len(events):
            return
        classes = self.of_events(events)
        met = distinct(classes[classes >= 0]).tolist()
        if met:
            root = met[0]
            self._num_layers[root] = sum(self._num_layers[x] for x in met)
            self._owners[np.isin(self._owners, met)] = root
        else:
            root = len(self._num_layers)
            self._num_layers.append(0)
        self._num_layers[root] += 1
        added = events[classes < 0]
        places = np.searchsorted(self._events, added)
        self._events = np.insert(self._events, places, added)
        self._owners = np.insert(self._owners, places, root)

    def forget(self, events: Int) -> None:
        """Drop events whose waiting tasks have all been seen."""
        kept = ~np.isin(self._events, events)
        self._events, self._owners = self._events[kept], self._owners[kept]


@dataclass(frozen=True)
class Layer:
    """Positions (in the rows) of the tasks of one layer, in the order of the file."""

    positions: Int
    is_single: bool
    """Whether the events prove that this is one layer even where its tasks repeat."""


def bundle_end(rows: Rows, start: int, scanned: int, classes: EventClasses, table: KeyTable) -> int:
    """End of the bundle that starts at `start`; `len(rows)` when the rows end first.

    Rows before `scanned` are known to belong to it.
    """
    event_class = int(classes.of_events(rows.dependents[start : start + 1])[0])
    signatures = table.fuse_signatures
    position, end = max(scanned, start + 1), len(rows)
    width = _FIRST_WINDOW
    while position < end:
        window = slice(position, min(position + width, end))
        width *= 2
        found = classes.of_events(rows.dependents[window])
        inside = found == event_class
        if event_class < 0:
            # source layers follow each other whole, so another signature is another layer
            inside &= signatures[rows.keys[window]] == signatures[rows.keys[start]]
        leaving = np.flatnonzero(~inside)
        if not len(leaving):
            position = window.stop
            continue
        position += int(leaving[0])
        if event_class < 0 or found[leaving[0]] != ORPHAN:
            return position
        event = rows.dependents[position]
        if rows.keys[position] != rows.keys[position - 1] or bool(
            (rows.triggers[start:position] == event).any()
        ):
            return position
        position += 1
    return end


def split_bundle(
    rows: Rows, start: int, end: int, classes: EventClasses, table: KeyTable
) -> list[Layer]:
    """The layers of a bundle, by first task."""
    event_class = int(classes.of_events(rows.dependents[start : start + 1])[0])
    is_join = classes.num_layers(event_class) > 1
    layers: list[Layer] = []
    for positions in _group_keys(rows, start, end, table, is_join=is_join):
        if is_join:
            layers.append(Layer(positions, is_single=True))
            continue
        instances = _instances(rows, positions, orphan=event_class == ORPHAN)
        if instances is None:
            layers.append(Layer(positions, is_single=False))
            continue
        order = np.argsort(instances, kind="stable")
        bounds = np.flatnonzero(np.diff(instances[order])) + 1
        layers.extend(Layer(part, is_single=False) for part in np.split(positions[order], bounds))
    layers.sort(key=lambda layer: int(layer.positions[0]))
    return layers


def _group_keys(rows: Rows, start: int, end: int, table: KeyTable, *, is_join: bool) -> list[Int]:
    """Positions of the tasks of each key; keys that are one layer with a fused tensor together."""
    keys = rows.keys[start:end]
    if (keys == keys[0]).all():
        return [np.arange(start, end)]
    signatures = table.fuse_signatures[keys]
    groups = []
    for signature in distinct(signatures).tolist():
        positions = start + np.flatnonzero(signatures == signature)
        if is_join or (rows.keys[positions] == rows.keys[positions[0]]).all():
            groups.append(positions)
        else:
            groups += _group_fused(rows, positions, table)
    return groups


def _group_fused(rows: Rows, positions: Int, table: KeyTable) -> list[Int]:
    """Keys that differ in input tensors alone, as groups that may each be one layer.

    Every layer has a first tile, and no tile twice; the sub-tensors of one fused tensor share
    that first tile, so the keys without it belong to the key before them that has it.
    """
    key = table.keys[rows.keys[positions[0]]]
    num_slots, num_inputs = len(key) - 3, key[2]
    outputs = rows.slot_starts[positions][:, None] + np.arange(num_inputs, num_slots)
    places = np.concatenate([rows.coordinates[positions], rows.slot_offsets[outputs]], axis=1)
    is_first = (places == places.min(axis=0)).all(axis=1)
    tiles = row_numbers(places)
    groups: list[Int] = []
    taken = np.zeros(int(tiles.max()) + 1, dtype=np.bool_)
    unique, first = np.unique(rows.keys[positions], return_index=True)
    for one_key in unique[np.argsort(first)].tolist():
        members = np.flatnonzero(rows.keys[positions] == one_key)
        if not groups or is_first[members].any() or taken[tiles[members]].any():
            groups.append(positions[members])
            taken[:] = False
        else:
            groups[-1] = np.union1d(groups[-1], positions[members])
        taken[tiles[members]] = True
    return groups


def _instances(rows: Rows, positions: Int, *, orphan: bool) -> Int | None:
    """Number of the layer that each task of one key belongs to; None when it is one layer.

    The blocks of one event are cut where one layer's tasks would not be in grid order, where
    another key lies between, and where equal tiles trigger different events (an axis that no
    slot shows lies wholly within one event). The i-th blocks of all events are one layer.
    """
    events = rows.dependents[positions]
    triggers = _filled(rows.triggers[positions])
    coordinates = rows.coordinates[positions]
    event_changes = np.flatnonzero(events[1:] != events[:-1]) + 1
    cuts = positions[1:] != positions[:-1] + 1
    cuts |= _leaves_grid_order(coordinates)
    cuts[event_changes - 1] = False
    many_triggers = bool((triggers != triggers[0]).any())
    linear = bool((coordinates[:, LINEAR] >= 0).any())
    if not (cuts.any() or many_triggers or linear or (orphan and len(event_changes))):
        return None

    starts = np.zeros(len(positions), dtype=np.bool_)
    starts[1:] = cuts
    tiles = tile_numbers(rows, positions)
    event_numbers = np.zeros(len(positions), dtype=np.int64)
    event_numbers[event_changes] = 1
    np.cumsum(event_numbers, out=event_numbers)
    places = event_numbers * (int(tiles.max()) + 1) + tiles
    if many_triggers:
        ranks = first_seen_ranks(places, triggers)
        starts[1:] |= ranks[1:] != ranks[:-1]
        starts[event_changes] = False
    if linear:
        # two grid points never share the linear index
        ranks = _occurrences(places)
        starts[1:] |= ranks[1:] != ranks[:-1]
        starts[event_changes] = False
    numbers: Int = np.cumsum(starts, dtype=np.int64)
    first_of_event = np.zeros(len(positions), dtype=np.int64)
    first_of_event[event_changes] = event_changes
    numbers = numbers - numbers[np.maximum.accumulate(first_of_event)]
    if orphan:
        # not one bundle for sure: a tile that comes back under another event is another layer
        ranks = first_seen_ranks(tiles, events)
        numbers = numbers * (int(ranks.max()) + 1) + ranks
    return None if (numbers == numbers[0]).all() else numbers


def _filled(triggers: Int) -> Int:
    """Triggers, where there is none that of the task before.

    Of the tasks of a put that nothing waits on, the first of each point alone has one.
    """
    if (triggers >= 0).all():
        return triggers
    last = np.where(triggers >= 0, np.arange(len(triggers)), 0)
    return triggers[np.maximum.accumulate(last)]


def _leaves_grid_order(coordinates: Int) -> npt.NDArray[np.bool_]:
    """Whether a task's leading coordinates that are known come before the previous task's."""
    behind = np.zeros(len(coordinates) - 1, dtype=np.bool_)
    equal = np.ones(len(coordinates) - 1, dtype=np.bool_)
    for axis in range(len(AXES)):
        column = coordinates[:, axis]
        if (column < 0).any():
            return behind
        behind |= equal & (column[1:] < column[:-1])
        equal &= column[1:] == column[:-1]
    # all three are known: two tasks of one layer never share them
    return behind | equal


def tile_numbers(rows: Rows, positions: Int) -> Int:
    """Equal numbers for tasks of equal slots, offsets and coordinates, by first task."""
    num_slots = int(rows.slot_starts[positions[0] + 1] - rows.slot_starts[positions[0]])
    slots = rows.slot_starts[positions][:, None] + np.arange(num_slots)
    table = np.concatenate(
        [
            rows.slot_offsets[slots],
            rows.slot_layouts[slots].astype(np.int64),
            rows.coordinates[positions],
        ],
        axis=1,
    )
    table = table[:, (table != table[0]).any(axis=0)]
    if not table.shape[1]:
        return np.zeros(len(positions), dtype=np.int64)
    return row_numbers(table)


def row_numbers(table: Int) -> Int:
    """Equal numbers from 0 for equal rows."""
    order = np.lexsort(table.T)
    ordered = table[order]
    changes = np.zeros(len(table), dtype=np.int64)
    changes[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    numbers = np.empty(len(table), dtype=np.int64)
    numbers[order] = np.cumsum(changes)
    return numbers


def first_seen_ranks(groups: Int, values: Int) -> Int:
    """For each position how many other values its group had shown before this one first came."""
    pairs = row_numbers(np.stack([groups, values], axis=1))
    _, first = np.unique(pairs, return_index=True)
    order = np.lexsort((first, groups[first]))
    ranks = np.empty(len(first), dtype=np.int64)
    ranks[order] = _positions_in_group(groups[first][order])
    return ranks[pairs]


def _occurrences(groups: Int) -> Int:
    """For each position how often its group has come before."""
    order = np.argsort(groups, kind="stable")
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = _positions_in_group(groups[order])
    return ranks


def _positions_in_group(ordered: Int) -> Int:
    starts = np.zeros(len(ordered), dtype=np.int64)
    changes = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    starts[changes] = changes
    positions: Int = np.arange(len(ordered)) - np.maximum.accumulate(starts)
    return positions
