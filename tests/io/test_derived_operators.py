"""Operators that were kept are the operators that were found, or a miss; a streamed graph's entry
is that of the graph in memory.
"""

from __future__ import annotations

import dataclasses
import io
import zlib
from pathlib import Path

import numpy as np
import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpkgraph.analysis.summary import summarise_stream
from mpkgraph.io import cache_entry, entry_blocks
from mpkgraph.io.cache_entry import GraphEntryWriter, decode, encode
from mpkgraph.io.cache_folder import FORMAT_VERSION
from mpkgraph.io.entry_blocks import BlockReader, BlockWriter
from mpkgraph.io.entry_checks import EntryError
from mpkgraph.io.entry_stream import EntryStream
from mpkgraph.io.operators_entry import OperatorsWriter, decode_operators, encode_operators
from mpkgraph.io.reader import read_graph
from mpkgraph.model.graph import TaskColumns
from mpkgraph.model.operator import Operator, OperatorSet, OperatorSlot
from mpkgraph.views.extents import complete_extents
from mpkgraph.views.operators import recover_operators
from tests import goldens, loaded, strategies
from tests.amount import examples
from tests.naive import assert_same_graph

EXAMPLE = Path(__file__).parents[2] / "examples" / "decoder" / "task_graph_rank0.json"
SMALL = goldens.graphs(max_bytes=2_000_000, one_target=True)


def assert_same_operators(found: OperatorSet, expected: OperatorSet) -> None:
    assert len(found) == len(expected)
    assert found.num_tasks == expected.num_tasks
    np.testing.assert_array_equal(found.task_operators, expected.task_operators)
    for one, other in zip(found, expected, strict=True):
        for field in dataclasses.fields(Operator):
            value, wanted = getattr(one, field.name), getattr(other, field.name)
            assert type(value) is type(wanted)
            if isinstance(value, np.ndarray):
                assert value.dtype == wanted.dtype
                assert not value.flags.writeable
                np.testing.assert_array_equal(value, wanted)
            else:
                assert value == wanted


def axis() -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3).map(tuple)


@st.composite
def operator_sets(draw: st.DrawFn) -> OperatorSet:
    num_tasks = draw(st.integers(1, 40))
    order = np.array(draw(st.permutations(range(num_tasks))), np.int64)
    cuts = sorted(draw(st.lists(st.integers(0, num_tasks), max_size=4)))
    operators = []
    for index, ids in enumerate(np.split(order, cuts)):
        flags = st.tuples(st.booleans(), st.booleans(), st.booleans())
        text = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=4))
        slots = []
        for position in range(draw(st.integers(0, 3))):
            dims = draw(axis())
            whole = draw(axis())
            slots.append(
                OperatorSlot(
                    position=position,
                    is_output=draw(st.booleans()),
                    base_ptrs=tuple(draw(st.lists(st.sampled_from(["a", "b", "ü"]), max_size=2))),
                    data_type=draw(st.integers(0, 999)),
                    tile_dims=dims,
                    strides=tuple(reversed(dims)),
                    input_map=draw(st.tuples(*[st.integers(-1, 4)] * 3)),
                    known_map=draw(flags),
                    tensor_dims=whole,
                    known_dims=tuple(draw(st.booleans()) for _ in whole),
                )
            )
        grid = draw(st.tuples(*[st.integers(1, 9)] * 3))
        positions = draw(st.booleans())
        operators.append(
            Operator(
                index=index,
                task_type=draw(st.integers(-1, 400)),
                variant_ids=tuple(draw(st.lists(st.integers(0, 9), max_size=2))),
                grid_dim=grid,
                num_subtasks=draw(st.integers(1, 3)),
                task_ids=ids.copy(),
                slots=tuple(slots),
                origin=draw(st.sampled_from(["recorded", "recovered"])),
                ambiguities=tuple(draw(st.lists(st.text("xy", max_size=3), max_size=2))),
                layer_method=draw(text),
                register_name=draw(text),
                grid_positions=_frozen(np.arange(len(ids) * 3, dtype=np.int32).reshape(-1, 3))
                if positions
                else None,
                layer_index=draw(st.one_of(st.none(), st.integers(0, 99))),
                known_grid=draw(flags),
            )
        )
    return OperatorSet(tuple(operators), num_tasks)


def _frozen(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def one_operator(**changes) -> OperatorSet:
    slot = OperatorSlot(
        position=0,
        is_output=False,
        base_ptrs=("w",),
        data_type=941,
        tile_dims=(1, 8),
        strides=(8, 1),
        input_map=(0, -1, -1),
        known_map=(True, False, True),
        tensor_dims=(2, 8),
        known_dims=(True, True),
    )
    operator = Operator(
        index=0,
        task_type=151,
        variant_ids=(0,),
        grid_dim=(2, 1, 1),
        num_subtasks=1,
        task_ids=np.array([2, 3]),
        slots=(slot, dataclasses.replace(slot, position=1, is_output=True)),
        origin="recovered",
        ambiguities=("a", "b"),
        layer_method="linear_layer",
    )
    return OperatorSet((dataclasses.replace(operator, **changes),), 4)


class TestOperators:
    @given(operator_sets())
    @settings(
        deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.too_slow]
    )
    def test_any_set_comes_back(self, operators):
        entry = encode_operators(operators)
        assert_same_operators(decode_operators(entry, num_tasks=operators.num_tasks), operators)

    @pytest.mark.parametrize("golden", SMALL, ids=str)
    def test_those_of_real_graphs_come_back(self, golden):
        for operators in (loaded.recovered(golden), loaded.recorded(golden)):
            num_tasks = loaded.graph(golden).num_tasks
            kept = decode_operators(encode_operators(operators), num_tasks=num_tasks)
            assert_same_operators(kept, operators)

    def test_one_is_made_at_a_time(self, monkeypatch):
        operators = recover_operators(read_graph(EXAMPLE))
        kept = decode_operators(encode_operators(operators), num_tasks=operators.num_tasks)
        made = []
        make = type(kept)._operator
        monkeypatch.setattr(
            type(kept), "_operator", lambda self, index: made.append(index) or make(self, index)
        )
        assert kept[5].index == 5
        assert kept[-1].index == len(operators) - 1
        assert kept.of_task(20).index == operators.of_task(20).index
        assert kept.of_task(0) is None
        assert len(made) == len(set(made)) == 3
        with pytest.raises(IndexError):
            kept[len(operators)]

    def test_one_by_one_equals_at_once(self, monkeypatch):
        operators = recover_operators(read_graph(EXAMPLE))
        monkeypatch.setattr("mpkgraph.io.operators_entry.PIECE_TASKS", 50)
        writer = OperatorsWriter()
        for operator in operators:
            writer.add([operator])
        kept = decode_operators(writer.finish(operators.num_tasks), num_tasks=operators.num_tasks)
        assert_same_operators(kept, operators)

    @pytest.mark.parametrize(
        "changes",
        [
            {"index": 1},
            {"layer_method": "\ud800"},
            {"task_type": 2**64},
            {"grid_positions": np.zeros((1, 3), np.int32)},
        ],
        ids=str,
    )
    def test_what_is_not_kept_is_refused(self, changes):
        with pytest.raises(EntryError):
            encode_operators(one_operator(**changes))

    def test_of_another_graph_it_is_refused(self):
        with pytest.raises(EntryError, match="another graph"):
            decode_operators(encode_operators(one_operator()), num_tasks=5)

    @given(st.data())
    @settings(deadline=None)
    def test_any_damage_is_noticed(self, data):
        entry = encode_operators(one_operator())
        at = data.draw(st.integers(0, len(entry) - 1))
        if data.draw(st.booleans()):
            damaged = entry[:at] + bytes([entry[at] ^ data.draw(st.integers(1, 255))])
            damaged += entry[at + 1 :]
        else:
            damaged = entry[:at]
        with pytest.raises(EntryError):
            decode_operators(damaged, num_tasks=4)

    @given(st.data())
    @settings(
        deadline=None, max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow]
    )
    def test_forged_ones_are_refused_or_hold_together(self, data):
        blocks = unpack(encode_operators(one_operator()))
        name = data.draw(st.sampled_from([name for name in blocks if name != "facts"]))
        column = blocks[name].astype(np.int64)
        if len(column) and data.draw(st.booleans()):
            values = st.sampled_from([-(2**63), 2**63 - 1, -1, 0, 1, 2, 3, 7, 8])
            column[data.draw(st.integers(0, len(column) - 1))] = data.draw(values)
        else:
            column = np.resize(column, data.draw(st.integers(0, 4)))
        blocks[name] = column
        try:
            found = decode_operators(pack(blocks, b"MPKGOPER"), num_tasks=4)
        except EntryError:
            return
        for operator in found:
            assert ((operator.task_ids >= 0) & (operator.task_ids < 4)).all()
            assert len(operator.slots) <= 2
        assert len(found.task_operators) == 4

    @pytest.mark.parametrize(
        "facts", [b"[]", b"{", b'{"num_tasks":4}', b'{"num_tasks":4,"texts":[]}', b'{"texts":[1]}']
    )
    def test_forged_facts_are_refused(self, facts):
        blocks = unpack(encode_operators(one_operator()))
        blocks["facts"] = np.frombuffer(facts, np.uint8)
        with pytest.raises(EntryError):
            decode_operators(pack(blocks, b"MPKGOPER"), num_tasks=4)


def unpack(entry: bytes) -> dict[str, np.ndarray]:
    size = entry_blocks.PREFIX.unpack_from(entry)[2]
    position = entry_blocks.PREFIX.size + size
    blocks = {}
    for name, dtype, _, stored, *_ in orjson.loads(entry[entry_blocks.PREFIX.size : position]):
        raw = zstandard.ZstdDecompressor().decompress(entry[position : position + stored])
        blocks[name] = np.frombuffer(raw, dtype).copy()
        position += stored
    return blocks


def pack(blocks: dict[str, np.ndarray], magic: bytes) -> bytes:
    writer = BlockWriter(magic)
    for name, column in blocks.items():
        writer.add(name, column)
    return b"".join(writer.parts())


class TestPieces:
    """Columns that are written piece by piece."""

    def test_pieces_of_different_width_are_one_column(self):
        writer = BlockWriter(b"MPKGRAPH")
        parts = [np.array([1, 2]), np.array([-5]), np.array([], np.int64), np.array([2**40])]
        writer.add_packed("x", [writer.pack(part) for part in parts])
        writer.add("y", np.array([7], np.uint64))
        entry = BlockReader(b"".join(writer.parts()), b"MPKGRAPH")
        assert entry.column("x", np.int64, 4).tolist() == [1, 2, -5, 2**40]
        assert entry.column("y", np.uint64).tolist() == [7]
        entry.end()

    def test_a_piece_beyond_the_type_is_refused(self):
        writer = BlockWriter(b"MPKGRAPH")
        writer.add_packed("x", [writer.pack(np.array([x])) for x in (1, 2**40)])
        with pytest.raises(EntryError, match="beyond its type"):
            BlockReader(b"".join(writer.parts()), b"MPKGRAPH").column("x", np.int32)

    def test_a_magic_of_another_kind_is_refused(self):
        with pytest.raises(EntryError, match="not an entry"):
            BlockReader(encode_operators(one_operator()), b"MPKGRAPH")

    def test_counts_that_lie_are_refused_before_memory_is_taken(self):
        frame = zstandard.ZstdCompressor().compress(b"\1\2")
        header = orjson.dumps([["x", "|u1", 2**32, len(frame), 1, 2]])
        prefix = entry_blocks.PREFIX.pack(
            b"MPKGRAPH",
            FORMAT_VERSION,
            len(header),
            zlib.crc32(header),
            zlib.crc32(frame),
            len(frame),
        )
        with pytest.raises(EntryError, match=r"size that it says|too large"):
            BlockReader(prefix + header + frame, b"MPKGRAPH").column("x", np.int64)

    @given(strategies.task_graphs(), st.integers(1, 5), st.integers(1, 9), st.booleans())
    @settings(deadline=None, max_examples=examples(40))
    def test_a_graph_in_batches_is_the_graph(self, graph, batch, piece, spooled):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache_entry, "PIECE_TASKS", piece)
            writer = GraphEntryWriter(io.BytesIO() if spooled else None)
            for start in range(0, graph.num_tasks, batch):
                writer.add_tasks(cut(graph.tasks, start, min(start + batch, graph.num_tasks)))
            blocks = writer.finish(
                name="n",
                rank=graph.rank,
                source=graph.source,
                layouts=graph.layouts,
                events=graph.events,
                first_tasks=graph.first_tasks,
                extras=graph.extras,
            )
        entry = b"".join(blocks.parts())
        found, _ = decode(entry, path="p")
        assert_same_graph(found, graph)
        assert found.tensors == graph.tensors
        assert_same_graph(found, decode(encode(graph, name="n"), path="p")[0])

    def test_codes_that_change_their_meaning_are_refused(self):
        graph = read_graph(EXAMPLE)
        tasks = cut(graph.tasks, 0, 4)
        fields = [
            cache_entry.ExtraField((value,), np.zeros(4, np.int32)) for value in (["a"], ["b"])
        ]
        writer = GraphEntryWriter()
        writer.add_tasks(dataclasses.replace(tasks, extras={"new": fields[0]}))
        with pytest.raises(EntryError, match="meaning"):
            writer.add_tasks(dataclasses.replace(tasks, extras={"new": fields[1]}))


def cut(tasks: TaskColumns, start: int, stop: int) -> TaskColumns:
    slots = slice(*tasks.slot_starts[[start, stop]].tolist())
    columns = {
        field.name: getattr(tasks, field.name)[start:stop]
        for field in dataclasses.fields(tasks)
        if field.name not in {"slot_starts", "slot_layouts", "slot_offsets", "extras"}
    }
    return TaskColumns(
        **columns,
        slot_starts=tasks.slot_starts[start : stop + 1] - tasks.slot_starts[start],
        slot_layouts=tasks.slot_layouts[slots],
        slot_offsets=tasks.slot_offsets[slots],
        extras={
            key: dataclasses.replace(extra, codes=extra.codes[start:stop])
            for key, extra in tasks.extras.items()
        },
    )


class TestStream:
    @pytest.mark.parametrize("golden", SMALL, ids=str)
    def test_entries_equal_those_of_the_graph_in_memory(self, golden, tmp_path, monkeypatch):
        monkeypatch.setattr("mpkgraph.analysis.summary.BATCH_TASKS", 100)
        monkeypatch.setattr("mpkgraph.io.cache_entry.PIECE_TASKS", 150)
        path = golden.write_graph(tmp_path)
        passes = []

        def watch():
            passes.append(
                EntryStream(str(path), complete_extents, lambda: "0" * 64, io.BytesIO(), 1 << 20)
            )
            return passes[-1]

        summarise_stream(path, watch=watch)
        graph = read_graph(path)
        found, name = decode(b"".join(passes[-1].graph_entry.parts()), path=str(path))
        assert name == path.name
        assert_same_graph(found, graph)
        assert found.source == dataclasses.replace(graph.source, sha256="0" * 64)
        assert passes[-1].rank == graph.rank
        kept = decode_operators(passes[-1].operators_entry, num_tasks=graph.num_tasks)
        assert_same_operators(kept, recover_operators(graph))

    @pytest.mark.parametrize("full", [False, True])
    def test_columns_that_take_too_much_room_are_not_kept(self, monkeypatch, full):
        class Full(io.BytesIO):
            def write(self, data):
                raise OSError(28, "no space")

        monkeypatch.setattr(cache_entry, "PIECE_TASKS", 1)
        spool, limit = (Full(), 1 << 20) if full else (io.BytesIO(), 10)
        watch = EntryStream("x", complete_extents, lambda: None, spool, limit)
        summary = summarise_stream(EXAMPLE, watch=lambda: watch)
        assert summary.num_tasks == 364
        assert watch.graph_entry is None
        assert watch.operators_entry is None
