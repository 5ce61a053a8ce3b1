"""Numbering the layers of each recorded pipeline by their keys, against what Mirage numbered."""

import collections

import pytest

from mpkgraph.catalog import DEFAULT
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.planner.variants import VariantRegistry
from tests import goldens, loaded
from tests.catalog.layer_facts import facts_of


def same_process(golden):
    """The graphs that the process made, up to this one: variants go on counting."""
    made = [x for x in goldens.all_graphs() if (x.case, x.rank) == (golden.case, golden.rank)]
    made.sort(key=number_of_compile)
    return made[: made.index(golden) + 1]


def number_of_compile(golden):
    folder, _, _ = golden.file.rpartition("/")
    return int(folder.removeprefix("compile") or 0)


def numbered(records):
    """For each record of one process the (task type, variant) of its layers."""
    registry = VariantRegistry()
    for record in records:
        rows = [REGISTERED_TASKS[layer.register_name] for layer in record.layers]
        yield [
            (row.task_type, registry.number(row, facts_of(layer, record)))
            for row, layer in zip(rows, record.layers, strict=True)
        ]


@pytest.mark.parametrize("golden", goldens.graphs(), ids=str)
def test_keys_number_the_variants(golden):
    records = [loaded.record(x) for x in same_process(golden)]
    *_, expected = numbered(records)
    for operator in loaded.recorded(golden):
        task_type, variant = expected[operator.layer_index]
        assert DEFAULT.task_type_name(operator.task_type) == task_type
        assert operator.variant_ids == (variant,), operator.register_name


def test_goldens_try_the_numbering():
    """Most names, and task types with several variants and with layers that share one."""
    goldens.require()
    names, shared, several = set(), set(), set()
    for golden in goldens.graphs():
        record = loaded.record(golden)
        (found,) = numbered([record])
        names.update(layer.register_name for layer in record.layers)
        shared.update(x for x, count in collections.Counter(found).items() if count > 1)
        several.update(task_type for task_type, variant in found if variant)
    assert len(names) > 50
    assert len(shared) > 40
    assert len(several) > 10
