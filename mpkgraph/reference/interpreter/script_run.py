"""`run_test_mode()` of a script: the graph, executed on the script's own tensors."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from mpkgraph.analysis.execution.schedulers import make_scheduler
from mpkgraph.analysis.verify.subjects import context_of
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.pipeline.compiled import Compiled
from mpkgraph.planner.registered import RegisteredTasks
from mpkgraph.reference.interpreter.initial import in_place, missing_meta
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.roles import tensor_roles
from mpkgraph.reference.interpreter.run import RunResult, run_program


class ExecutionError(RuntimeError):
    """What a script's launch would come to on a GPU: a crash, a hang; or it can't be executed.

    As CUDA's errors it ends the script, which may catch it; the pipeline is checked all the same.
    """


@dataclass
class ScriptExecutor:
    """Runs pipelines where a script launches them; keeps what tensors held before the first run."""

    tasks: RegisteredTasks = field(default_factory=lambda: REGISTERED_TASKS)
    before: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """By identity of a record copies of the tensors that its tasks read and write."""
    num_runs: int = 0

    def __call__(self, compiled: Compiled) -> None:
        """Execute one pipeline in place.

        Meta tensors that it lacks are made up. Raises ExecutionError for a hang, a task that
        crashes, or one that can't be executed.
        """
        if compiled.graph is None:
            return
        with _plain_torch():
            context = context_of(compiled.graph, compiled.record, tasks=self.tasks)
            program = Program.of([context])
            rank = program.ranks[0]
            if rank.settings.world_size > 1:
                raise ExecutionError(
                    "ranks of a script run one after another here, and their kernels need each "
                    "other; mpkgraph verify --run --world-size N runs them together"
                )
            if id(compiled.record) not in self.before:
                roles = tensor_roles(rank)
                self.before[id(compiled.record)] = {
                    name: tensor.clone()
                    for name, tensor in compiled.tensors.items()
                    if name in rank.written and roles[name].role != "output"
                }
            missing = missing_meta(rank, compiled.meta_tensors)
            memory = in_place(rank, compiled.tensors, {**missing, **compiled.meta_tensors})
            if missing:
                sys.stderr.write(
                    f"mpkgraph: the pipeline lacks the meta tensor {', '.join(missing)}: on a GPU "
                    "this launch dereferences a null pointer; it goes on with all rows in use\n"
                )
            scheduler = make_scheduler("batched", program.tasks, groups=program.groups)
            result = run_program(program, [memory], scheduler)
            self.num_runs += 1
        _check(result)


def _check(result: RunResult) -> None:
    causes = result.unexecuted.causes
    if causes:
        types = ", ".join(sorted({x.task_type for x in causes}))
        raise ExecutionError(f"can't execute {types}: {causes[0].reason}")
    if result.hang is not None:
        wait = next(iter(result.hang.waits), None)
        text = "" if wait is None else f": task {wait.task_id} waits for event {wait.event_index}"
        raise ExecutionError(f"the kernel would hang{text}")
    if result.faults:
        raise ExecutionError(f"the kernel would crash: {result.faults[0]}")


@contextmanager
def _plain_torch() -> Iterator[None]:
    """Without what the script has set, and what its GPU tensors are told apart by."""
    default = torch.get_default_dtype()
    try:
        with torch._C.DisableTorchFunction(), torch.no_grad():  # noqa: SLF001
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        torch.set_default_dtype(default)
