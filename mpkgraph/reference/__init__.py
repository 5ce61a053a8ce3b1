"""What each task type computes, as torch functions of tensor views.

`TASK_FUNCTIONS` is the table: one function a task type, with the semantics of Mirage's kernel. A
task is one call on its tiles; one call on the union of all tiles of a layer is the layer's
reference. So a difference between the two is the split's fault, and a difference from the GPU is
the kernel's.

Nothing here imports torch before a function is run.
"""

from __future__ import annotations

from mpkgraph.reference.call import (
    Settings,
    TaskCall,
    TaskExecutionError,
)
from mpkgraph.reference.joins import Joins
from mpkgraph.reference.row import TaskFunction, Tolerance
from mpkgraph.reference.table import (
    TASK_FUNCTIONS,
    executable_types,
    task_function,
    unexecutable_types,
)

__all__ = [
    "TASK_FUNCTIONS",
    "Joins",
    "Settings",
    "TaskCall",
    "TaskExecutionError",
    "TaskFunction",
    "Tolerance",
    "executable_types",
    "task_function",
    "unexecutable_types",
]
