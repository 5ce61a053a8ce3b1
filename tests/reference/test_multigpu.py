"""All-reduce of several ranks: put and add up, and in one step."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from mpkgraph.catalog.registered import REGISTERED_TASKS  # noqa: E402
from mpkgraph.model.record import LayerCall  # noqa: E402
from mpkgraph.pipeline import PersistentKernel, Target, use_target  # noqa: E402
from mpkgraph.planner.plan import plan  # noqa: E402
from mpkgraph.reference import TASK_FUNCTIONS, Settings, TaskCall, TaskExecutionError  # noqa: E402
from tests.reference.bench import bf16, close, nan, same_bits  # noqa: E402

ROWS, COLUMNS, ACTIVE = 4, 64, 3


def _plan(ranks, rank, grid, *, multicast):
    parameters = PersistentKernel.get_default_init_parameters()
    parameters |= {"world_size": ranks, "mpi_rank": rank}
    with use_target(Target(cc=90, world_size=ranks, rank=rank, multicast=multicast)):
        kernel = PersistentKernel(**parameters, test_mode=True)
        made = {
            name: kernel.new_tensor(dims=dims, name=name, io_category="nvshmem_tensor")
            for name, dims in {
                "x": (ROWS, COLUMNS),
                "buffer": (ranks, ROWS, COLUMNS),
                "out": (ROWS, COLUMNS),
            }.items()
        }
        kernel.allreduce_layer(
            input=made["x"],
            buffer=made["buffer"],
            output=made["out"],
            grid_dim=(grid, 1, 1),
            block_dim=(128, 1, 1),
        )
    record = kernel.record(generate={"num_gpus": ranks, "my_gpu_id": rank})
    return record, plan(record).graph


def _view(memory, slot):
    """As the JSON says, cut to what is there: the planes behind this rank's are not."""
    tensor = memory[slot.base_ptr]
    dims = list(slot.dims)
    offset = slot.offset // tensor.element_size()
    if len(dims) == 3:
        dims[0] -= offset // (ROWS * COLUMNS)
    return tensor.as_strided(dims, slot.strides, offset)


def _run(ranks, grid, *, multicast):
    """Every task of every rank, puts of all first; the ranks' memories."""
    memories = [
        {
            "x": bf16(ROWS, COLUMNS, seed=r),
            "buffer": nan(ranks, ROWS, COLUMNS),
            "out": nan(ROWS, COLUMNS),
        }
        for r in range(ranks)
    ]
    meta = {"qo_indptr_buffer": torch.tensor([0, ACTIVE], dtype=torch.int32)}
    calls = []
    for rank in range(ranks):
        record, graph = _plan(ranks, rank, grid, multicast=multicast)
        params = tuple(record.layers[0].graph.register_task.params)
        for task_id in range(2, graph.num_tasks):
            number = int(graph.tasks.task_types[task_id])
            name = next(
                x.task_type for x in REGISTERED_TASKS.values() if _number(x.task_type) == number
            )
            slots, inputs = graph.slots(task_id), int(graph.tasks.num_inputs[task_id])
            views = [_view(memories[rank], slot) for slot in slots]
            calls.append(
                TaskCall(
                    name,
                    tuple(views[:inputs]),
                    tuple(views[inputs:]),
                    params=params,
                    meta=meta,
                    settings=Settings(world_size=ranks, rank=rank),
                    grid_dim=(grid, 1, 1),
                    peers={
                        peer: tuple(_view(memories[peer], slot) for slot in slots)
                        for peer in range(ranks)
                    },
                    target_rank=int(graph.tasks.trigger_events[task_id]) >> 32 & 0xFFFF,
                )
            )
    for call in sorted(calls, key=lambda call: call.task_type == "TASK_REDUCE"):
        TASK_FUNCTIONS[call.task_type].run(call)
    return memories


def _number(name):
    from mpkgraph.catalog import DEFAULT

    return DEFAULT.task_type_numbers[name]


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("grid", [1, 4])
def test_put_and_reduce(ranks, grid):
    memories = _run(ranks, grid, multicast=False)
    total = sum(memory["x"].double() for memory in memories)
    for rank, memory in enumerate(memories):
        for plane in range(ranks):
            got = memory["buffer"][plane]
            if plane == rank:
                assert got.isnan().all()
            else:
                assert same_bits(got[:ACTIVE], memories[plane]["x"][:ACTIVE])
                assert got[ACTIVE:].isnan().all()
        close(memory["out"][:ACTIVE], total[:ACTIVE], "TASK_REDUCE")
        assert memory["out"][ACTIVE:].isnan().all()


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("grid", [1, 4])
def test_tile_allreduce(ranks, grid):
    memories = _run(ranks, grid, multicast=True)
    total = sum(memory["x"].double() for memory in memories)
    for memory in memories:
        close(memory["out"][:ACTIVE], total[:ACTIVE], "TASK_NVSHMEM_TILE_ALLREDUCE")
        assert memory["out"][ACTIVE:].isnan().all()
        assert same_bits(memory["out"], memories[0]["out"])


def test_whole_put_goes_to_all_others():
    x, buffers = bf16(ROWS, COLUMNS), [nan(3, ROWS, COLUMNS) for _ in range(3)]
    call = TaskCall(
        "TASK_NVSHMEM_ALLGATHER_STRIDED_PUT",
        (x,),
        (buffers[1][1:],),
        meta={"qo_indptr_buffer": torch.tensor([0, ROWS])},
        settings=Settings(world_size=3, rank=1),
        peers={rank: (x, buffer[1:]) for rank, buffer in enumerate(buffers)},
    )
    TASK_FUNCTIONS[call.task_type].run(call)
    for rank, buffer in enumerate(buffers):
        assert buffer[1].isnan().all() if rank == 1 else same_bits(buffer[1], x)
        assert buffer[0].isnan().all()
        assert buffer[2].isnan().all()
    with pytest.raises(TaskExecutionError, match="tensors of rank 2 are not known"):
        TASK_FUNCTIONS[call.task_type].run(replace(call, peers={}, target_rank=2))


def test_record_has_both_tasks():
    """What the tests above rely on: the layer is two tasks without multicast, one with."""
    record, _ = _plan(2, 0, 1, multicast=False)
    assert [x.graph.register_task.name for x in record.layers] == [
        "nvshmem_allgather_strided_put",
        "reduction",
    ]
    assert isinstance(record.log[-1], LayerCall)
    record, _ = _plan(2, 0, 1, multicast=True)
    assert [x.graph.register_task.name for x in record.layers] == ["nvshmem_tile_allreduce"]
