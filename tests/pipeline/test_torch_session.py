"""torch as a script sees it: GPUs of the target, memory on the CPU or none."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import pytest

from mpkgraph.pipeline import Target
from mpkgraph.pipeline.script_errors import ScriptError
from tests.pipeline.scripts import KERNEL, RMSNORM, call, layer_names, run, write

torch = pytest.importorskip("torch")

from mpkgraph.pipeline.standin.torch_session import torch_session  # noqa: E402

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")


@pytest.fixture(params=[False, True], ids=["cpu", "meta"])
def meta(request):
    return request.param


@pytest.fixture
def session(meta):
    with torch_session(Target(cc=90, world_size=2), meta=meta):
        yield


# Tensors

FACTORIES = {
    "empty": lambda d: torch.empty(2, 3, device=d),
    "zeros": lambda d: torch.zeros((2, 3), device=d),
    "ones": lambda d: torch.ones(2, device=d, dtype=torch.int32),
    "full": lambda d: torch.full((2,), 1.5, device=d),
    "arange": lambda d: torch.arange(5, device=d),
    "linspace": lambda d: torch.linspace(0, 1, 5, device=d),
    "tensor": lambda d: torch.tensor([1, 2], device=d),
    "as_tensor": lambda d: torch.as_tensor([1, 2], device=d),
    "rand": lambda d: torch.rand(3, device=d),
    "randn": lambda d: torch.randn(3, dtype=torch.bfloat16, device=d),
    "randint": lambda d: torch.randint(0, 9, (3,), device=d),
    "randperm": lambda d: torch.randperm(3, device=d),
    "eye": lambda d: torch.eye(3, device=d),
    "empty_strided": lambda d: torch.empty_strided((2, 3), (3, 1), device=d),
    "zeros_like": lambda d: torch.zeros_like(torch.ones(3), device=d),
    "new_zeros": lambda d: torch.ones(3).new_zeros(2, device=d),
    "to": lambda d: torch.ones(3).to(d),
    "to device=": lambda d: torch.ones(3).to(device=d),
    "to with a type": lambda d: torch.ones(3).to(d, torch.float16),
    "to as another": lambda d: torch.ones(3).to(torch.ones(1, device=d)),
    "cuda": lambda d: torch.ones(3).cuda(d),
    "generator": lambda d: torch.randn(3, device=d, generator=torch.Generator(device=d)),
    "pinned": lambda d: torch.ones(3, pin_memory=True).pin_memory().to(d, non_blocking=True),
    "from numpy": lambda d: torch.from_numpy(np.ones(3)).to(d),
}


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0, GPU, torch.device("cuda")], ids=repr)
@pytest.mark.parametrize("name", FACTORIES)
def test_is_on_the_gpu_for_the_script(session, name, device):
    tensor = FACTORIES[name](device)
    assert tensor.device == GPU
    assert tensor.is_cuda
    assert not tensor.is_cpu
    assert tensor.get_device() == 0
    assert not tensor.is_meta  # it is small
    assert tensor.data_ptr() != 0


OPERATIONS = {
    "view": lambda x: x[1:, :2],
    "transpose": lambda x: x.T,
    "arithmetic": lambda x: x * 2 + 1,
    "with a host scalar": lambda x: x + torch.tensor(2.0),
    "matmul": lambda x: x @ x.T,
    "cast": lambda x: x.to(torch.bfloat16),
    "float8": lambda x: x.to(torch.float8_e4m3fn),
    "empty_like": torch.empty_like,
    "cat": lambda x: torch.cat([x, x]),
    "clone": lambda x: x.clone(),
    "contiguous": lambda x: x.T.contiguous(),
    "new_empty": lambda x: x.new_empty(3),
    "split": lambda x: torch.split(x, 2)[1],
    "parameter": torch.nn.Parameter,
    "detach": lambda x: torch.nn.Parameter(x).data.detach(),
    "functional": torch.nn.functional.silu,
    "device of another": lambda x: torch.zeros(3, device=x.device),
    "in place": lambda x: x.mul_(2).zero_(),
}


@pytest.mark.parametrize("size", [4, 1024])
@pytest.mark.parametrize("name", OPERATIONS)
def test_results_stay_where_their_inputs_are(session, meta, name, size):
    there = OPERATIONS[name](torch.ones(size, size, device="cuda"))
    assert there.device == GPU
    assert there.is_meta == (meta and size == 1024 and name != "device of another")
    assert OPERATIONS[name](torch.ones(4, 4)).device == CPU


LARGE = {
    "zeros": lambda: torch.zeros(1 << 40, device="cuda"),
    "randn": lambda: torch.randn(1 << 40, device="cuda", generator=torch.Generator("cuda")),
    "full": lambda: torch.full((1 << 40,), 1, device="cuda", dtype=torch.bfloat16),
    "arange": lambda: torch.arange(1 << 40, device="cuda"),
    "expanded": lambda: torch.zeros(1).expand(1 << 40).cuda(),
    "empty_like": lambda: torch.empty_like(torch.empty(1 << 40, device="meta"), device="cuda"),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_tensors_have_no_memory(name):
    with torch_session(Target(cc=90), meta=True):
        tensor = LARGE[name]()
        assert (tensor.device, tensor.is_meta, tensor.numel()) == (GPU, True, 1 << 40)


MIXED = {
    "sum": lambda large, small: large + small[:1],
    "matmul": lambda large, small: small @ large,
    "index": lambda large, small: large[small[:, 0].long()],
    "cat": lambda large, small: torch.cat([large, small]),
    "where": lambda large, small: torch.where(small > 0, large[:1], small),
    "copied into large": lambda large, small: large[:2].copy_(small),
    "copied into small": lambda large, small: small.copy_(large[:2]),
    "embedding": lambda large, small: torch.nn.functional.embedding(small.long(), large),
    "linear": lambda large, small: torch.nn.functional.linear(small, large),
}


@pytest.mark.parametrize("name", MIXED)
def test_large_and_small_tensors_work_together(name):
    with torch_session(Target(cc=90), meta=True):
        large = torch.zeros(1024, 1024, device="cuda")
        small = torch.ones(2, 1024, device="cuda")
        assert (large.is_meta, small.is_meta) == (True, False)
        result = MIXED[name](large, small)
        assert (result.device, result.is_meta) == (GPU, True)
        if name == "copied into small":
            with pytest.raises(RuntimeError, match="meta"):
                small.sum().item()
            with pytest.raises(RuntimeError, match="meta"):
                small[1].tolist()
        else:
            assert small.sum().item() == 2048


def test_scripts_can_branch_on_small_tensors(meta):
    with torch_session(Target(cc=90), meta=meta):
        routing = torch.zeros(64, 16, dtype=torch.int32, device="cuda")
        routing[3, 5] = 1
        assert [e for e in range(64) if routing[e].any()] == [3]
        assert routing.cpu().tolist()[3][5] == routing.max().item() == 1


def test_a_transfer_makes_a_tensor_of_its_own(session):
    host = torch.ones(3)
    there = host.cuda()
    assert (host.device, there.device) == (CPU, GPU)
    assert there.cuda() is there
    assert there.to("cuda:0") is there
    assert there.to("cuda:1").device == torch.device("cuda", 1)
    assert host.to("cpu") is host
    with pytest.raises(RuntimeError, match="must be cuda"):
        host.cuda("cpu")


def test_back_from_the_gpu():
    with torch_session(Target(cc=90), meta=False):
        there = torch.ones(3, device="cuda")
        for host in (there.cpu(), there.to("cpu"), there.to(torch.zeros(1))):
            assert host.device == CPU
            assert host.tolist() == [1, 1, 1]
            host.zero_()
        assert there.tolist() == [1, 1, 1]


def test_without_memory_there_is_nothing_to_bring_back():
    with torch_session(Target(cc=90), meta=True):
        host = torch.ones(1 << 40, device="cuda").cpu()
        assert (host.device, host.is_meta) == (CPU, True)


def test_addresses_without_memory():
    with torch_session(Target(cc=90), meta=True):
        first = torch.empty(1 << 30, dtype=torch.bfloat16, device="cuda")
        second = torch.empty(1 << 30, device="cuda")
        assert first[100:].data_ptr() == first.data_ptr() + 200
        assert second.data_ptr() >= first.data_ptr() + (2 << 30)
        assert first.data_ptr() == first.data_ptr()


def test_an_8b_model_needs_no_memory():
    with torch_session(Target(cc=90), meta=True):
        layers = [torch.nn.Linear(8192, 28672, device="cuda") for _ in range(36)]
        assert sum(x.weight.numel() for x in layers) > 8e9
        assert layers[-1].weight.is_cuda


def test_modules(session):
    for module in (
        torch.nn.Linear(4, 4).cuda(),
        torch.nn.Linear(4, 4).to("cuda"),
        torch.nn.Linear(4, 4).to(device="cuda", dtype=torch.bfloat16),
        torch.nn.Linear(4, 4, device="cuda"),
        torch.nn.Linear(4, 4, device="meta").to_empty(device="cuda"),
    ):
        assert [x.device for x in module.parameters()] == [GPU, GPU]
        assert module(torch.ones(1, 4, device="cuda", dtype=module.weight.dtype)).is_cuda


def test_default_devices(session):
    with torch.device("cuda"):
        assert torch.zeros(3).device == GPU
        assert torch.zeros(3, device="cpu").device == CPU
        assert torch.nn.Linear(2, 2).weight.device == GPU
        assert torch.tensor([1]).is_cuda
    assert torch.zeros(3).device == CPU
    torch.set_default_device("cuda")
    assert torch.ones(2).device == GPU
    torch.set_default_device(None)
    assert torch.ones(2).device == CPU
    with torch.device("meta"):
        assert torch.zeros(3).device == torch.device("meta")


def test_threads(session):
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="cuda").device))
    thread.start()
    thread.join()
    assert found == [GPU]


def test_checkpoints(session, tmp_path):
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pt")
    for location, device in (("cuda", GPU), ("cuda:1", torch.device("cuda", 1)), ("cpu", CPU)):
        assert torch.load(tmp_path / "w.pt", map_location=location)["w"].device == device


# torch.cuda


@pytest.mark.parametrize(
    ("target", "capability", "sms"),
    [
        (Target(cc=80), (8, 0), 108),
        (Target(cc=90), (9, 0), 132),
        (Target(cc=100), (10, 0), 148),
        (Target(cc=90, num_sms=114, name="NVIDIA H100 PCIe"), (9, 0), 114),
    ],
)
def test_answers_for_the_target(target, capability, sms):
    with torch_session(target, meta=True):
        assert torch.cuda.is_available()
        assert torch.cuda.get_device_capability() == capability
        properties = torch.cuda.get_device_properties("cuda:0")
        assert (properties.major, properties.minor) == capability
        assert properties.multi_processor_count == sms
        assert torch.cuda.get_device_name(0) == properties.name == target.properties.name
        free, total = torch.cuda.mem_get_info()
        assert free == total == properties.total_memory


def test_current_device(session):
    assert torch.cuda.device_count() == 2
    torch.cuda.set_device(1)
    assert torch.cuda.current_device() == 1
    assert torch.zeros(1, device="cuda").device == torch.device("cuda", 1)
    with torch.cuda.device(0):
        assert torch.zeros(1).cuda().device == GPU
    assert torch.cuda.current_device() == 1
    torch.cuda.set_device("cuda:0")
    torch.cuda.set_device("cuda")
    torch.cuda.set_device(torch.device("cuda"))
    assert torch.cuda.current_device() == 0
    with pytest.raises(RuntimeError, match="invalid device ordinal 2"):
        torch.cuda.set_device(2)


def test_streams_events_and_graphs(session):
    stream = torch.cuda.Stream()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    with torch.cuda.stream(stream):
        end.record(stream)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    assert start.elapsed_time(end) > 0
    assert int(torch.cuda.current_stream().cuda_stream) == 0
    assert stream.cuda_stream != 0
    assert isinstance(stream, torch.cuda.Stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pass
    graph.replay()
    torch.cuda.nvtx.range_push("x")
    torch.cuda.nvtx.range_pop()
    torch.cuda.empty_cache()
    torch.manual_seed(0)
    torch.cuda.manual_seed_all(0)
    assert torch.cuda.memory_allocated() == 0
    with torch.autocast("cuda", dtype=torch.bfloat16):
        pass


def test_distributed():
    dist = torch.distributed
    with torch_session(Target(cc=90, world_size=4, rank=2), meta=False):
        dist.init_process_group(backend="nccl", init_method="env://")
        assert (dist.get_rank(), dist.get_world_size()) == (2, 4)
        tensor = torch.ones(3, device="cuda")
        dist.all_reduce(tensor)
        dist.broadcast(tensor, src=0)
        dist.barrier()
        objects = ["mine"]
        dist.broadcast_object_list(objects, src=0)
        assert objects == ["mine"]
    assert not dist.is_initialized()


# What is left afterwards


def test_torch_is_as_it_was(meta):
    def state():
        return (
            dict(vars(torch)),
            dict(vars(torch.cuda)),
            dict(vars(torch.Tensor)),
            threading.Thread.run,
            torch.overrides._len_torch_function_stack(),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_grad_enabled(),
            torch.get_rng_state().tolist(),
        )

    torch.zeros(1).storage_offset()  # what torch imports late is there
    with torch_session(Target(), meta=meta):
        pass
    before = state()
    with contextlib.suppress(KeyError), torch_session(Target(), meta=meta):
        torch.randn = None
        torch.Tensor.add = None
        torch.set_default_dtype(torch.bfloat16)
        torch.set_default_device("cuda")
        torch.device("cuda").__enter__()
        torch.set_grad_enabled(mode=False)
        torch.manual_seed(1)
        raise KeyError
    after = state()
    for left, right in zip(before[:3], after[:3], strict=True):
        assert [k for k, v in left.items() if right.get(k) is not v] == []
    assert before[2].keys() == after[2].keys()  # Tensor.add is inherited
    assert after[3:] == before[3:]
    assert torch.zeros(1).device == CPU


# Scripts


def test_the_guides_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (compiled,) = run(write(tmp_path, RMSNORM)).compiled
    assert layer_names(compiled) == ["rmsnorm_hopper"]
    assert [x.as_posix() for x in compiled.files] == ["test_output/pipeline_rank0.json"]
    out, err = capsys.readouterr()
    assert "Max diff:" in out
    assert err.count("nothing is executed") == 1


def test_without_memory_the_same_pipeline_and_a_note(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = write(tmp_path, RMSNORM)
    (expected,) = run(script).compiled
    large = write(tmp_path, RMSNORM.replace("4096", "4096 * 1024"), "large.py")
    result = run(script, meta=True)
    assert (result.compiled[0].record, result.notes) == (expected.record, ())
    result = run(large, meta=True)
    assert result.compiled[0].record.tensors[0].dims == (16, 4096 * 1024)
    assert "after its pipeline had been compiled: RuntimeError" in result.notes[0]


def test_values_asked_for_before_compiling(tmp_path):
    script = write(tmp_path, KERNEL + "import torch\ntorch.ones(1 << 40, device=0).sum().item()\n")
    with pytest.raises(ScriptError, match="run without it"):
        run(script, meta=True)


def test_a_model_too_large_for_the_machine(tmp_path):
    script = write(tmp_path, KERNEL + "import torch\ntorch.ones(1 << 60, device='cuda')\n")
    with pytest.raises(ScriptError, match="Run with --meta"):
        run(script)


def test_torch_in_a_function(tmp_path):
    script = write(
        tmp_path,
        """
import torch

def build(pk, rows: int):
    assert torch.cuda.get_device_capability() == (10, 0)
    x = pk.attach_input(torch.zeros(rows, 512, dtype=torch.bfloat16, device="cuda"), name="x")
    w = pk.attach_input(torch.zeros(512, dtype=torch.bfloat16).cuda(), name="w")
    pk.rmsnorm_layer(x, w, x, grid_dim=(rows, 1, 1), block_dim=(256, 1, 1))
""",
    )
    result = call(script, "build", target=Target(cc=100), settings={"rows": "4"}, meta=True)
    assert result.compiled[0].record.tensors[0].torch_dtype == "bfloat16"
