"""What an H100 computed, against the functions of the table: one call a layer, whole tensors."""

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from mpkgraph.catalog.registered import REGISTERED_TASKS  # noqa: E402
from mpkgraph.io.record import read_record  # noqa: E402
from mpkgraph.reference import TASK_FUNCTIONS, Settings, TaskCall  # noqa: E402
from tests import goldens  # noqa: E402
from tests.reference.bench import close, same_bits  # noqa: E402

FOLDER = goldens.FOLDER / "gpu_runs"
RUNS = sorted(FOLDER.glob("*.safetensors"))
EXACT = {"small_rmsnorm", "small_embed", "small_argmax"}


@pytest.mark.skipif(not RUNS, reason=goldens.ABSENT)
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_gpu_agrees(path):
    record = read_record(goldens.FOLDER / "gpu" / f"{path.stem}-cc90" / "pipeline_rank0.json.zst")
    stored = load_file(path)
    memory = {k.removeprefix("in."): v.clone() for k, v in stored.items() if k.startswith("in.")}
    after = {k.removeprefix("out."): v for k, v in stored.items() if k.startswith("out.")}
    # Buffers that only the generated code made
    memory |= {k: torch.full_like(v, float("nan")) for k, v in after.items() if k not in memory}
    _shuffle(record, memory)
    rows = next(t.dims[0] for t in record.tensors if len(t.dims) == 2)
    rows = record.init["max_num_batched_tokens"] if path.stem == "small_argmax" else rows
    meta = {"qo_indptr_buffer": torch.tensor([0, rows], dtype=torch.int32)}
    for layer in record.layers:
        graph, task = layer.graph, layer.graph.register_task
        registered = REGISTERED_TASKS[task.name]
        views = [memory[slot.name] for slot in graph.inputs]
        grid = tuple(graph.grid_dim)
        TASK_FUNCTIONS[registered.task_type].run(
            TaskCall(
                registered.task_type,
                tuple(views[: registered.num_inputs]),
                tuple(views[registered.num_inputs :]),
                params=tuple(task.params or ()),
                registered_name=task.name,
                meta=meta,
                settings=Settings(target_cc=90),
                grid_dim=grid,
                joined=grid,
                tile_dims=tuple(
                    _tile(v.shape, s.input_map, grid)
                    for v, s in zip(views, graph.inputs, strict=True)
                ),
            )
        )
        for slot in graph.inputs[registered.num_inputs :]:
            if slot.name in after:
                if path.stem in EXACT:
                    assert same_bits(memory[slot.name], after[slot.name]), slot.name
                close(memory[slot.name], after[slot.name], registered.task_type)


def _tile(dims, input_map, grid):
    dims = list(dims)
    for axis, dim in enumerate(input_map):
        if dim >= 0:
            dims[dim] //= grid[axis]
    return tuple(dims)


def _shuffle(record, memory):
    for entry in record.log:
        if getattr(entry, "op", None) == "shuffle_tensors":
            parts = [memory[x.name].chunk(entry.num_groups) for x in entry.inputs]
            rows = [group for groups in zip(*parts, strict=True) for group in groups]
            memory[entry.name] = torch.cat(rows)
