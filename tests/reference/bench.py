"""One layer of Mirage's API over real tensors: planned, and its tasks run one by one and joined.

    bench = Bench(cc=90)
    bench.attach("x", x)
    bench.attach("out", out)
    bench.layer("silu_mul_layer", input="x", output="out", grid_dim=(8, 1, 1))
    whole = bench.run_everyway()     # tensors after the whole call; tiles gave the same bits

Tiles are those of the planned graph: names, offsets, dims and strides as in the JSON.
"""

import itertools
from dataclasses import replace

import torch

from mpkgraph.catalog import DEFAULT
from mpkgraph.catalog.registered import REGISTERED_TASKS
from mpkgraph.pipeline import PersistentKernel, Target, use_target
from mpkgraph.planner.plan import plan
from mpkgraph.reference import TASK_FUNCTIONS, Settings, TaskCall
from mpkgraph.reference.tiles import FIELDS, LAYERS_MAPS, tasks_of

torch.set_num_threads(1)

USES_MAPS = {*LAYERS_MAPS, "TASK_MLA_DECODE_SM100", "TASK_MLA_REDUCE_SM100"}
GUARD = 4096
"""Elements around each tensor that nobody may change."""


class Bench:
    def __init__(self, cc=90, world_size=1, rank=0, meta=None, **sizes):
        parameters = PersistentKernel.get_default_init_parameters()
        parameters |= {"world_size": world_size, "mpi_rank": rank, **sizes}
        with use_target(Target(cc=cc, world_size=world_size, rank=rank)):
            self.kernel = PersistentKernel(**parameters, test_mode=True)
        self.settings = Settings(
            target_cc=cc,
            world_size=world_size,
            rank=rank,
            max_seq_length=parameters["max_seq_length"],
            max_num_batched_requests=parameters["max_num_batched_requests"],
            max_num_batched_tokens=parameters["max_num_batched_tokens"],
            max_num_pages=parameters["max_num_pages"],
            page_size=parameters["page_size"],
        )
        self.meta = dict(meta or {})
        self.tensors = {}
        self.handles = {}

    def attach(self, name, tensor):
        """A tensor of the layer, by the name it has in its call. Strides may be anything."""
        self.tensors[name] = tensor
        strides = tuple(tensor.stride())
        self.handles[name] = self.kernel.new_tensor(
            dims=tuple(tensor.shape), strides=strides, dtype=_mirage(tensor.dtype), name=name
        )
        return tensor

    def layer(self, method, block_dim=(128, 1, 1), **arguments):
        """Arguments that are names of tensors stand for them."""
        given = {k: self._handle(v) for k, v in arguments.items()}
        if "grid_dim" in given:
            given["block_dim"] = block_dim
        getattr(self.kernel, method)(**given)
        record = self.kernel.record(generate={"num_gpus": self.kernel.world_size, "my_gpu_id": 0})
        self.graph = plan(record).graph
        (self.recorded,) = record.layers
        self.task = self.recorded.graph.register_task
        self.row = TASK_FUNCTIONS[REGISTERED_TASKS[self.task.name].task_type]
        return self

    def run_everyway(self):
        """Run the whole layer, its tasks in order, its tasks backwards, and tasks joined as far as
        the row allows: all must give the same bits. The tensors after the whole call."""
        whole = self._after(lambda memory: [self.whole(memory)])
        runs = [self.tasks, lambda m: reversed(self.tasks(m)), self.joined]
        if self.row.task_type in USES_MAPS:
            # As from a graph alone, whose splits are not known
            runs.append(lambda m: _without_maps([self.whole(m)]))
            runs.append(lambda m: _without_maps(self.tasks(m)))
        for run in runs:
            memory = self._after(run)
            for name, tensor in whole.items():
                assert same_bits(memory[name], tensor), name
        return whole

    def run_whole(self):
        return self._after(lambda memory: [self.whole(memory)])

    def run_tasks(self):
        return self._after(self.tasks)

    # Calls

    def whole(self, memory):
        """The call on whole tensors."""
        graph = self.recorded.graph
        views = [None if x.tensor is None else memory[x.name] for x in graph.inputs]
        inputs = len(views) - REGISTERED_TASKS[self.task.name].num_outputs
        slots = self.graph.slots(2)
        return TaskCall(
            self.row.task_type,
            tuple(views[:inputs]),
            tuple(views[inputs:]),
            params=tuple(int(x) for x in self.task.params or ()),
            registered_name=self.task.name,
            metadata=self._metadata(2),
            meta=self.meta_now,
            settings=self.settings,
            grid_dim=tuple(graph.grid_dim),
            joined=tuple(graph.grid_dim),
            input_maps=tuple(tuple(x.input_map) for x in graph.inputs),
            tile_dims=tuple(x.dims for x in slots),
        )

    def tasks(self, memory):
        """The calls of the planned tasks, by what the graph says of them."""
        whole = self.whole(memory)
        points = list(itertools.product(*(range(size) for size in whole.grid_dim)))
        calls = []
        for task_id, point in zip(range(2, self.graph.num_tasks), points, strict=True):
            assert (
                self.graph.tasks.task_types[task_id] == DEFAULT.task_type_numbers[whole.task_type]
            )
            views = [self._view(memory, slot) for slot in self.graph.slots(task_id)]
            inputs = len(whole.inputs)
            calls.append(
                replace(
                    whole,
                    inputs=tuple(views[:inputs]),
                    outputs=tuple(views[inputs:]),
                    metadata=self._metadata(task_id),
                    grid_position=point,
                    joined=(1, 1, 1),
                )
            )
        return calls

    def joined(self, memory):
        """The axes that the row allows joined, all others split."""
        whole = self.whole(memory)
        if self.row.joins is None:
            return self.tasks(memory)
        may = self.row.joins.joinable_axes(whole.input_maps, whole.grid_dim)
        fixed = [n if ok else 1 for n, ok in zip(whole.grid_dim, may, strict=True)]
        apart = [1 if ok else n for n, ok in zip(whole.grid_dim, may, strict=True)]
        # Cut the whole as if only the axes to split were there
        calls = []
        for task in tasks_of(replace(whole, joined=tuple(apart), tile_dims=())):
            first = tuple(task.grid_position)
            index = (first[0] * whole.grid_dim[1] + first[1]) * whole.grid_dim[2] + first[2]
            calls.append(
                replace(
                    task,
                    joined=tuple(fixed),
                    tile_dims=whole.tile_dims,
                    metadata=self._metadata(2 + index),
                )
            )
        return calls

    # Memory

    def _after(self, calls):
        memory, guards = {}, []
        for name, tensor in self.tensors.items():
            span = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride(), strict=True))
            span = max(span, tensor.numel())
            buffer = torch.full((span + 2 * GUARD,), 0x5A, dtype=torch.uint8)
            buffer = buffer.repeat_interleave(tensor.element_size()).view(tensor.dtype)
            view = buffer.as_strided(tensor.shape, tensor.stride(), GUARD)
            base = tensor.as_strided((span,), (1,), tensor.storage_offset())
            buffer[GUARD : GUARD + span] = base
            memory[name] = view
            guards.append((name, buffer, span))
        self.meta_now = {k: v if v is None else v.clone() for k, v in self.meta.items()}
        for call in calls(memory):
            self.row.run(call)
        for name, buffer, span in guards:
            raw = buffer.view(torch.uint8)
            size = GUARD * buffer.element_size()
            assert (raw[:size] == 0x5A).all(), f"{name}: written before its start"
            assert (raw[size + span * buffer.element_size() :] == 0x5A).all(), (
                f"{name}: past its end"
            )
        return memory | {f"meta.{k}": v for k, v in self.meta_now.items()}

    def _view(self, memory, slot):
        if slot.layout.is_null:
            return None
        tensor = memory[slot.base_ptr]
        offset = tensor.storage_offset() + slot.offset // tensor.element_size()
        return tensor.as_strided(slot.dims, slot.strides, offset)

    def _metadata(self, task_id):
        tasks = self.graph.tasks
        return {name: int(getattr(tasks, f"{name}s")[task_id]) for name in FIELDS}

    def _handle(self, value):
        return self.handles[value] if isinstance(value, str) else value


def _without_maps(calls):
    return [replace(call, input_maps=()) for call in calls]


def same_bits(a, b):
    """Equal to the bit, NaN and all; of any strides."""
    if a is None or b is None:
        return a is b
    return torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


def bf16(*shape, seed=0, scale=1.0):
    """Normal values."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator) * scale).to(torch.bfloat16)


def nan(*shape, dtype=torch.bfloat16):
    """What no one has written."""
    return torch.full(shape, float("nan"), dtype=dtype)


def close(actual, expected, task_type):
    """Within the row's tolerance of a float64 result."""
    name = {torch.bfloat16: "bf16", torch.float32: "fp32"}.get(actual.dtype, str(actual.dtype))
    tolerance = TASK_FUNCTIONS[task_type].tolerance_of(name)
    actual, expected = actual.double(), expected.double()
    assert not actual.isnan().any()
    error = (actual - expected).abs()
    allowed = tolerance.atol + tolerance.rtol * expected.abs()
    assert (error <= allowed).all(), f"{(error - allowed).max():.3g} too much"


def _mirage(dtype):
    from mpkgraph.pipeline import dtype as mirage_type
    from mpkgraph.pipeline.dtypes import TORCH_TYPES

    return mirage_type(TORCH_TYPES[str(dtype).removeprefix("torch.")])
