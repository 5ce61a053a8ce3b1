"""Of a wrong tensor the tasks that wrote its wrong elements, and how far off each is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.run import RunResult
from mpkgraph.reference.validation.blame import Wrong
from mpkgraph.reference.validation.writers import NOBODY, last_writers

MAX_MAPPED = 1 << 27
"""Elements of a tensor that is mapped, but for the blamed one: some 20 bytes each are needed."""

IntArray = npt.NDArray[np.int64]
_NO_TASKS: IntArray = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class TaskErrors:
    """One wrong tensor of one rank. Columns are over the tasks that wrote wrong elements last."""

    rank: int
    tensor: str
    task_ids: IntArray
    max_abs_error: npt.NDArray[np.float64]
    """Infinity for a NaN, an infinity or what should have been written and was not."""
    num_wrong: IntArray
    """Elements that mismatch."""
    num_elements: IntArray
    """Elements that the task wrote last."""
    num_outside: int
    """Wrong elements in no task's tile."""
    is_mapped: bool = True
    """False for a tensor that is too large for it."""

    @classmethod
    def unmapped(cls, rank: int, tensor: str) -> TaskErrors:
        none = _NO_TASKS
        return cls(rank, tensor, none, none.astype(np.float64), none, none, 0, is_mapped=False)

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "tensor": self.tensor,
            "is_mapped": self.is_mapped,
            "num_outside": self.num_outside,
            "tasks": self.task_ids.tolist(),
            "max_abs_error": [
                x if math.isfinite(x) else "Infinity" for x in self.max_abs_error.tolist()
            ],
            "num_wrong": self.num_wrong.tolist(),
            "num_elements": self.num_elements.tolist(),
        }


def task_errors(program: Program, result: RunResult, wrong: Wrong) -> TaskErrors:
    """By task the wrong elements of a tensor."""
    shape = wrong.shape
    owners = last_writers(program, result, wrong.position, shape)
    # Elements of the tensor, whatever lies between them in memory
    owners = owners.as_strided(shape.dims, shape.strides, 0)
    written = owners[owners != NOBODY]
    concerned, errors = owners[wrong.mask], wrong.error[wrong.mask].double()
    has_owner = concerned != NOBODY
    concerned, errors = concerned[has_owner].long(), errors[has_owner]
    tasks, rows = torch.unique(concerned, return_inverse=True)
    worst = torch.zeros(len(tasks), dtype=torch.float64)
    worst.scatter_reduce_(0, rows, errors, "amax")
    num_elements = torch.bincount(written.long(), minlength=1)[tasks]
    return TaskErrors(
        rank=program.ranks[wrong.position].rank,
        tensor=shape.name,
        task_ids=tasks.numpy(),
        max_abs_error=worst.numpy(),
        num_wrong=torch.bincount(rows, minlength=len(tasks)).numpy(),
        num_elements=num_elements.numpy(),
        num_outside=int((~has_owner).sum()),
    )
