import subprocess
import sys
from importlib import import_module

import pytest

from mpkgraph.catalog import DEFAULT
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.catalog.task_types import TASK_TYPES
from mpkgraph.reference import TASK_FUNCTIONS, executable_types, unexecutable_types
from mpkgraph.reference.row import KERNELS

NUM_SLOTS = {row.name: (row.num_inputs, row.num_outputs) for row in TASK_TYPES}


def test_types_are_known_and_listed_in_their_order():
    numbers = [DEFAULT.task_type_numbers[name] for name in executable_types()]
    assert numbers == sorted(numbers)
    assert set(executable_types()) == set(TASK_FUNCTIONS)


def test_no_type_is_both_executable_and_not():
    assert not set(TASK_FUNCTIONS) & set(unexecutable_types())


@pytest.mark.parametrize("row", TASK_FUNCTIONS.values(), ids=lambda row: row.task_type)
def test_row_fits_the_slots_of_its_type(row):
    inputs, outputs = NUM_SLOTS[row.task_type]
    assert row.joins is None or len(row.joins.dims) == inputs + outputs
    assert row.task_type in {x.task_type for x in REGISTERED_TASKS.values()}
    assert row.checked_against


@pytest.mark.parametrize("row", TASK_FUNCTIONS.values(), ids=lambda row: row.task_type)
def test_function_exists(row):
    pytest.importorskip("torch")
    module, _, name = row.function.rpartition(".")
    assert row.run is getattr(import_module(f"{KERNELS}.{module}"), name)
    assert row.run.__doc__


def test_table_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from mpkgraph.reference import TASK_FUNCTIONS\n"
        "from mpkgraph.errors import MissingDependencyError\n"
        "try:\n"
        "    TASK_FUNCTIONS['TASK_RMS_NORM'].run\n"
        "except MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "executing tasks needs torch, which is not installed. "
        "Install torch: pip install 'mpkgraph[torch]'\n"
    )
