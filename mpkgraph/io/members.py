"""Where the members of tasks are, for texts whose keys come in any order; found with numpy.

A *member* is a key and its value. In a text without blanks, a key ends before each `":`, and what
stands between two keys is a value and then one of a few *joints*: `,`, `},{` and so on. A look at
every key, and at the bytes before the next one, accounts for all bytes but those of values. Where
`":` is part of a name, what precedes it is no key: such a text is not read this way.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mpkgraph.io.block_text import BlockText
from mpkgraph.io.digits import read_integers
from mpkgraph.io.interning import CodeTable
from mpkgraph.io.words import (
    LAST_BYTES,
    WORD_BYTES,
    IrregularError,
    Numbers,
    Positions,
    word,
)
from mpkgraph.model.graph import SLOT_KEYS, TASK_KEYS, TASK_SCALARS

Kinds = npt.NDArray[np.uint8]

SLOT_INTEGERS = ("data_type", "offset")
SLOT_TEXTS = ("base_ptr", "dims", "strides")
INTEGERS = (*TASK_SCALARS, *SLOT_INTEGERS)
KEYS = ("inputs", "outputs", *INTEGERS, *SLOT_TEXTS)
"""A key's kind is its position here: keys of tasks, then those of slots."""
_KEY_TEXTS = tuple(b'"%b"' % key.encode() for key in KEYS)
_KEY_LENGTHS = np.array([len(text) for text in _KEY_TEXTS])
_MAX_KEY_BYTES = 3 * WORD_BYTES
_WORDS = np.array(
    [np.frombuffer(x.rjust(_MAX_KEY_BYTES, b"\0"), "<u8")[::-1] for x in _KEY_TEXTS]
).T.copy()
"""A row with the last eight bytes of each kind of key, one with the eight before, and so on."""
_LONGEST = [kind for kind, text in enumerate(_KEY_TEXTS) if len(text) > 2 * WORD_BYTES]
_MASKS = np.array([LAST_BYTES.take(_KEY_LENGTHS - k, mode="clip") for k in (0, 8, 16)])
_NUM_TASK_KEYS, _NUM_SLOT_KEYS = len(TASK_KEYS), len(SLOT_KEYS)

_TASK_ENDS, _SLOTS_BEGIN, _SLOTS_END, _BOTH_END, _SLOT_ENDS = 0b001, 0b011, 0b100, 0b101, 0b111
_JOINTS: Mapping[int, bytes] = {
    0b000: b",",
    _TASK_ENDS: b"},{",
    _SLOTS_BEGIN: b"[{",
    _SLOTS_END: b"}],",
    _BOTH_END: b"}]},{",
    0b110: b",",
    _SLOT_ENDS: b"},{",
}
"""By three bits: whether the key before is one of a slot, whether the key after is, and whether a
brace opens before that."""
_IMPOSSIBLE = 0b010
_JOINT_LENGTHS = np.array([len(_JOINTS.get(k, b"")) for k in range(8)])
_JOINT_WORDS = np.array(
    [int.from_bytes(_JOINTS.get(k, b"").rjust(WORD_BYTES, b"\0"), "little") for k in range(8)],
    np.uint64,
)
_COMMA, _BRACE, _QUOTE = b',{"'
_AFTER = b',{"'
"""Put after the last record, as if another one came."""
_NULL, _EMPTY = (
    word(int.from_bytes(text.rjust(WORD_BYTES, b"\0"), "little")) for text in (b"null", b"[]")
)


class KeyKinds:
    """Kinds of keys, told by the bytes before their colons: learned as they are met."""

    def __init__(self) -> None:
        self._kinds = CodeTable()
        self._kinds_of_long = CodeTable()

    def find(self, text: BlockText, colons: Positions) -> tuple[Kinds, Positions]:
        """The kind of the key before each colon, and where it begins.

        Raises IrregularError where there is none.
        """

        def new(position: int) -> int:
            kind = _kind_before(text, int(colons[position]))
            return _LONG if _KEY_TEXTS[kind][-WORD_BYTES:] in _LONG_ENDS else kind

        def new_long(position: int) -> int:
            return _kind_before(text, int(colons[long[position]]))

        # A word that was met is the end of a key, or all of it and what precedes it.
        codes = self._kinds.codes(text.words(-WORD_BYTES)[colons], new)
        words = text.words(-2 * WORD_BYTES)[colons]
        long = (codes.astype(np.uint8) == _LONG).nonzero()[0]
        codes[long] = self._kinds_of_long.codes(words[long], new_long)
        words &= _MASKS[1][codes]
        words ^= _WORDS[1][codes]
        if words.any():
            raise IrregularError
        kinds = codes.astype(np.uint8)
        for kind in _LONGEST:
            words = text.words(-3 * WORD_BYTES)[colons.compress(kinds == kind)]
            words &= _MASKS[2, kind]
            if (words != _WORDS[2, kind]).any():
                raise IrregularError
        return kinds, colons - _KEY_LENGTHS[codes]


_KINDS = {key.encode(): kind for kind, key in enumerate(KEYS)}
_LONG = len(KEYS)
"""Instead of the kind of a key whose last word is that of another."""
_ENDS = [text[-WORD_BYTES:] for text in _KEY_TEXTS]
_LONG_ENDS = {end for end in _ENDS if _ENDS.count(end) > 1}


def _kind_before(text: BlockText, colon: int) -> int:
    before = text.slice(colon - _MAX_KEY_BYTES, colon)
    kind = _KINDS.get(before[:-1].rpartition(b'"')[2])
    if kind is None or not before.endswith(b'"'):
        raise IrregularError
    return kind


class Members:
    """The members of the tasks in a text, all checked but for their values.

    Raises IrregularError unless these are objects with the keys of tasks and slots, each once.
    """

    num_tasks: int
    num_slots: int
    starts: Positions
    """Where each member's value begins, in the order of the text."""
    ends: Positions
    """Where it ends; of `inputs` and `outputs` that hold slots, where it begins."""
    any_null: bool
    """Whether a side of a task is null; known once `sides` was called."""

    def __init__(self, squeezed: bytes, text: BlockText, key_kinds: KeyKinds) -> None:
        text.load(squeezed, 0, len(squeezed), after=_AFTER)
        self.text = text
        colons = text.colons()
        after_quote = text.at(-1).take(colons) == _QUOTE
        if not after_quote.all():
            colons = colons.compress(after_quote)  # others are in names
        if not len(colons):
            raise IrregularError
        kinds, keys = key_kinds.find(text, colons)
        self.starts = colons + 1
        self._sort(kinds)
        self._join(keys, kinds >= _NUM_TASK_KEYS)

    def rows(self, first: str, last: str) -> Positions:
        """The members with keys that follow each other in KEYS, by key and then as they come."""
        return self._order[self._begin(KEYS.index(first)) : self._begin(KEYS.index(last) + 1)]

    def _begin(self, kind: int) -> int:
        of_slots = max(kind - _NUM_TASK_KEYS, 0)
        return (kind - of_slots) * self.num_tasks + of_slots * self.num_slots

    def _sort(self, kinds: Kinds) -> None:
        """Sorts members by kind, those of a kind in the order of the text."""
        counts = np.bincount(kinds, minlength=len(KEYS)).tolist()
        self.num_tasks, self.num_slots = counts[0], counts[_NUM_TASK_KEYS]
        if counts != [self.num_tasks] * _NUM_TASK_KEYS + [self.num_slots] * _NUM_SLOT_KEYS:
            raise IrregularError
        self._order = kinds.argsort(kind="stable")

    def _join(self, keys: Positions, in_slot: npt.NDArray[np.bool_]) -> None:
        """Checks what is between members, and that each object has its keys."""
        text = self.text
        after = np.append(keys[1:], text.length - 1)
        before_next = text.at(-1).take(after)
        brace = before_next == _BRACE
        next_in_slot = np.append(in_slot[1:], False)
        rows = ((in_slot != next_in_slot) | brace).nonzero()[0]
        joints = in_slot.view(np.uint8) << 2 | next_in_slot.view(np.uint8) << 1 | brace
        kinds = joints.take(rows)
        lengths = _JOINT_LENGTHS[kinds]
        words = text.words(-WORD_BYTES)[after[rows]] & LAST_BYTES[lengths]
        if not (
            text.at(0)[0] == _BRACE
            and keys[0] == 1
            and not in_slot[0]
            and ((before_next == _COMMA) | brace).all()
            and (kinds != _IMPOSSIBLE).all()
            and (words == _JOINT_WORDS[kinds]).all()
        ):
            raise IrregularError
        self.ends = after - 1
        self.ends[rows] -= lengths - 1
        last_of_task = rows.compress((kinds == _TASK_ENDS) | (kinds == _BOTH_END))
        last_of_slot = rows.compress(kinds >= _SLOTS_END)
        if len(last_of_task) != self.num_tasks or len(last_of_slot) != self.num_slots:
            raise IrregularError
        first_of_task = np.append(0, last_of_task[:-1] + 1)
        split = self._begin(_NUM_TASK_KEYS)
        _check_within(self._order[:split], first_of_task, last_of_task)
        # five members follow each other, and one of each kind is among them
        first_of_slot = last_of_slot - (_NUM_SLOT_KEYS - 1)
        _check_within(self._order[split:], first_of_slot, last_of_slot)
        self._slots_begin = rows.compress(kinds == _SLOTS_BEGIN)
        self._slots_end = rows.compress((kinds == _SLOTS_END) | (kinds == _BOTH_END))

    def sides(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """For each task, its number of inputs and of outputs, and the first of each: two columns.

        Raises IrregularError for a side that is neither slots nor `[]` nor null.
        """
        begin = self._slots_begin
        rows = self.rows("inputs", "outputs").reshape(2, self.num_tasks)
        counts, firsts = np.zeros((2, len(self.starts)), np.int64)
        counts[begin] = sizes = (self._slots_end - begin) // _NUM_SLOT_KEYS
        firsts[begin] = np.cumsum(sizes) - sizes
        empty = rows[counts[rows] == 0]
        ends = self.ends[empty]
        lengths = ends - self.starts[empty]
        words = self.text.words(-WORD_BYTES)[ends] & LAST_BYTES.take(lengths, mode="clip")
        is_null = words == _NULL
        self.any_null = bool(is_null.any())
        if not (
            len(empty) + len(begin) == rows.size
            and (self.starts[begin] == self.ends[begin]).all()
            and (is_null | (words == _EMPTY)).all()
        ):
            raise IrregularError
        return counts[rows].T, firsts[rows].T

    def integers(self) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """As `read_integers`, of all members whose keys are in INTEGERS."""
        rows = self.rows(INTEGERS[0], INTEGERS[-1])
        return read_integers(self.text, self.starts[rows], self.ends[rows])


def _check_within(rows: Positions, first: Positions, last: Positions) -> None:
    """Raises IrregularError unless every kind's first member is in the first object, and so on."""
    if len(rows):
        rows = rows.reshape(-1, len(first))
        if (rows < first).any() or (rows > last).any():
            raise IrregularError
