"""PersistentKernel apart from its layers: construction, tensors, the record."""

import inspect

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.pipeline import PersistentKernel, Target, TensorSpec, dtypes, use_target
from mpkgraph.pipeline.kernel import MODES

INT32_SHAPES = {
    "num_new_tokens": (4,),
    "prompt_lengths": (4,),
    "qo_indptr_buffer": (5,),
    "paged_kv_indptr_buffer": (5,),
    "paged_kv_indices_buffer": (16,),
    "paged_kv_last_page_len_buffer": (4,),
}
INT64_SHAPES = {"tokens": (4, 512), "input_tokens": (8, 1), "output_tokens": (8, 1)}


def meta_tensors(**changed):
    given = {name: TensorSpec(shape, "int32") for name, shape in INT32_SHAPES.items()}
    given |= {name: TensorSpec(shape, "int64") for name, shape in INT64_SHAPES.items()}
    given |= changed
    return {name: x for name, x in given.items() if x is not None}


def kernel(**changed):
    return PersistentKernel(**PersistentKernel.get_default_init_parameters() | changed)


def serving(**changed):
    sizes = {"max_seq_length": 512, "max_num_batched_requests": 4, "max_num_pages": 16}
    return kernel(**sizes, meta_tensors=meta_tensors(**changed))


def in_test_mode(**changed):
    return kernel(test_mode=True, **changed)


# Construction


def test_parameters_are_mirages():
    parameters = list(inspect.signature(PersistentKernel).parameters.values())
    assert [x.name for x in parameters] == [
        "mode",
        "world_size",
        "mpi_rank",
        "num_workers",
        "num_local_schedulers",
        "num_remote_schedulers",
        "max_seq_length",
        "max_num_batched_requests",
        "max_num_batched_tokens",
        "max_num_pages",
        "page_size",
        "meta_tensors",
        "profiler_tensor",
        "trace_name",
        "spec_decode_config",
        "use_cutlass_kernel",
        "eos_token_id",
        "test_mode",
    ]
    assert [x.default for x in parameters[-2:]] == [-1, False]
    defaults = PersistentKernel.get_default_init_parameters()
    assert list(defaults) == [x.name for x in parameters[:-1]]
    assert defaults["meta_tensors"] is not kernel_defaults()["meta_tensors"]


def kernel_defaults():
    return PersistentKernel.get_default_init_parameters()


def test_attributes():
    with use_target(Target(cc=100)):
        made = in_test_mode(world_size=2, mpi_rank=1, page_size=64, num_workers=7)
    assert (made.target_cc, made.world_size, made.mpi_rank) == (100, 2, 1)
    assert (made.page_size, made.num_workers, made.use_nvshmem) == (64, 7, True)
    assert not in_test_mode().use_nvshmem
    assert made.total_num_requests == 1
    assert made.allocate_nvshmem_teams == 0
    assert not hasattr(made, "argmax_partial_output_size")
    assert made.meta_tensors["paged_kv_indices_snapshot"].shape == (1,)


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode):
    assert in_test_mode(mode=mode).mode == mode


@pytest.mark.parametrize("mode", ["multi_turn", "", None])
def test_an_unknown_mode_is_a_value_error(mode):
    with pytest.raises(ValueError, match="Use one of offline, online") as caught:
        in_test_mode(mode=mode)
    assert isinstance(caught.value, PipelineError)
    assert caught.value.upstream == f"ValueError: Invalid persistent kernel mode: {mode}"


def test_meta_tensors_of_a_server():
    made = serving()
    assert made.total_num_requests == 4
    shown = made.record().init["meta_tensors"]
    assert shown["tokens"] == {"torch": [4, 512], "strides": [512, 1], "dtype": "int64"}
    assert "paged_kv_indices_snapshot" not in shown


def test_meta_tensors_may_be_given_until_compile():
    made = in_test_mode(max_num_pages=2)
    assert made.record().init["meta_tensors"] == {}
    made.meta_tensors["qo_indptr_buffer"] = TensorSpec((2,), "int32")
    expected = {"torch": [2], "strides": [1], "dtype": "int32"}
    assert made.record().init["meta_tensors"] == {"qo_indptr_buffer": expected}
    made.meta_tensors["paged_kv_indices_snapshot"] = TensorSpec((2,), "int32")
    assert made.record().init["meta_tensors"]["paged_kv_indices_snapshot"] == expected


@pytest.mark.parametrize("name", [*INT32_SHAPES, *INT64_SHAPES])
def test_every_meta_tensor_is_needed_outside_test_mode(name):
    with pytest.raises(KeyError, match=f"meta_tensors has no '{name}'") as caught:
        serving(**{name: None})
    assert caught.value.upstream == f"KeyError: '{name}'"


@pytest.mark.parametrize("name", [*INT32_SHAPES, *INT64_SHAPES])
def test_every_meta_tensor_has_its_type(name):
    shape = (INT32_SHAPES | INT64_SHAPES)[name]
    with pytest.raises(AssertionError, match=f"{name} is of type float32. Make it int"):
        serving(**{name: TensorSpec(shape, "float32")})


@pytest.mark.parametrize(
    ("name", "longest"),
    [
        ("qo_indptr_buffer", 5),
        ("paged_kv_indptr_buffer", 5),
        ("paged_kv_indices_buffer", 16),
        ("paged_kv_last_page_len_buffer", 4),
    ],
)
def test_meta_tensors_may_be_shorter_but_not_longer(name, longest):
    serving(**{name: TensorSpec((1,), "int32")})
    says = f"{name} holds {longest + 1} elements.* Make it at most {longest} long"
    with pytest.raises(AssertionError, match=says):
        serving(**{name: TensorSpec((longest + 1,), "int32")})


def test_tokens_hold_the_longest_sequence():
    with pytest.raises(AssertionError, match=r"Make tokens \[4, 512\]"):
        serving(tokens=TensorSpec((4, 256), "int64"))


# Tensors


def test_attached_tensors():
    made = in_test_mode()
    x = made.attach_input(TensorSpec((8, 64), "torch.bfloat16"), name="model.x")
    assert (x.num_dims, x.dim(0), x.dim(1), x.dtype.name) == (2, 8, 64, "bf16")
    assert x.tensor is not None
    scale = made.attach_input(TensorSpec((128, 4), "uint8", (1, 128)), name="scale")
    assert scale.strides == (1, 128)
    fp8 = made.attach_input(TensorSpec((4,), "float8_e4m3fn"), name="q")
    assert fp8.dtype.is_fp8()
    record = made.record()
    assert [t.torch_dtype for t in record.tensors] == ["bfloat16", "uint8", "float8_e4m3fn"]
    assert record.tensors[0].base_ptr == "model.x"  # only buffers of its own lose their dots


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec((4, 4, 4), "int32", (4, 16, 1)),
        TensorSpec((4, 4), "int32", (0, 1)),
        TensorSpec((8, 4), "int32", (1, 7)),
    ],
)
def test_other_layouts_are_an_assertion_error(spec):
    with pytest.raises(AssertionError, match="neither row-major nor") as caught:
        in_test_mode().attach_input(spec, name="x")
    assert "contiguous()" in str(caught.value)
    assert caught.value.upstream.startswith("AssertionError: Tensor must be row-major or column")


def test_a_last_stride_other_than_one_passes_as_in_mirage():
    spec = TensorSpec((4, 4), "int32", (8, 2))
    assert in_test_mode().attach_input(spec, name="x").strides == (8, 2)


@pytest.mark.parametrize("torch_type", ["bool", "uint64", "complex64"])
def test_types_that_mirage_lacks(torch_type):
    with pytest.raises(RuntimeError, match="Mirage has no element type"):
        in_test_mode().attach_input(TensorSpec((4,), torch_type), name="x")


def test_tensors_need_names_and_known_memory():
    made = in_test_mode()
    with pytest.raises(AssertionError, match="without a name"):
        made.attach_input(TensorSpec((4,), "int32"))
    with pytest.raises(AssertionError, match="without a name"):
        made.new_tensor(dims=(4,))
    with pytest.raises(RuntimeError, match="Use cuda_tensor or nvshmem_tensor"):
        made.new_tensor(dims=(4,), name="x", io_category="host")
    for value, shown in (([1, 2], "a list"), (None, "None")):
        with pytest.raises(AttributeError, match=f"torch_tensor is {shown}: it has no shape"):
            made.attach_input(value, name="x")
    with pytest.raises(TypeError, match="a tuple is needed"):
        made.new_tensor(dims=[4, 4], name="x")
    with pytest.raises(AssertionError, match="2 dims"):
        made.new_tensor(dims=(4, 4), strides=(1,), name="x")
    with pytest.raises(AttributeError, match="an element type of Mirage"):
        made.new_tensor(dims=(4, 4), dtype="bf16", name="x")
    assert made.record().tensors == ()


def test_buffers():
    made = in_test_mode()
    made.new_tensor(dims=(4, 8), name="a.b")
    made.new_tensor(dims=(4, 8), strides=(16, 1), dtype=dtypes.float8_e4m3, name="c")
    made.new_tensor(dims=(2,), name="d", io_category="nvshmem_tensor")
    first, second, third = made.record().tensors
    assert (first.base_ptr, first.strides, first.dtype) == ("a_b", (8, 1), "bf16")
    assert (second.strides, second.dtype) == ((16, 1), "fp8")
    assert third.io_category == "nvshmem_tensor"


def test_tensors_put_together():
    made = in_test_mode()
    parts = [made.new_tensor(dims=(rows, 16), name=f"p{rows}") for rows in (8, 4)]
    with pytest.raises(AssertionError, match="dimension 0 only"):
        made.fuse_tensors(parts, 1, 4, "whole")
    with pytest.raises(TypeError, match="inputs"):
        made.fuse_tensors(tuple(parts), 0, 4, "whole")
    whole = made.fuse_tensors(inputs=parts, fused_dim=0, num_groups=4, name="whole")
    assert (whole.dims, whole.strides) == ((12, 16), (16, 1))
    call = made.record().log[-1]
    assert (call.op, call.num_groups, call.dim) == ("fuse_tensors", 4, 0)
    assert [x.name for x in call.inputs] == ["p8", "p4"]
    with pytest.raises(PipelineError, match=r"'p8' .* is not a buffer"):
        made.shuffle_tensors(parts, 0, 4, "again")
    with pytest.raises(PipelineError, match="without a name"):
        made.shuffle_tensors([whole], 0, 4)
    with pytest.raises(PipelineError, match="no tensors"):
        made.shuffle_tensors([], 0, 4, "none")


# The record


def test_every_entry_has_the_line_that_made_it():
    made = in_test_mode()
    x = made.new_tensor(dims=(8, 64), name="x")
    w = made.new_tensor(dims=(64,), name="w")
    line = inspect.currentframe().f_lineno + 1
    made.rmsnorm_layer(x, w, x, (8, 1, 1), (128, 1, 1))
    sites = made.record().call_sites
    assert [site.line for site in sites] == [line - 3, line - 2, line]
    assert all(site.file == __file__ for site in sites)
    assert "call_sites" not in made.record().to_json()


def test_what_ended_the_script_is_kept():
    record = in_test_mode().record(exception="ValueError: no", origin={"script": "x.py"})
    assert record.to_json()["exception"] == "ValueError: no"
    assert record.to_json()["origin"] == {"script": "x.py"}
    assert "generate" not in record.to_json()


def test_a_tensor_without_memory_is_an_error_of_the_record():
    made = in_test_mode()
    x = made.kn_graph.new_input(dims=(8, 64))
    w = made.new_tensor(dims=(64,), name="w")
    made.rmsnorm_layer(x, w, x, (8, 1, 1), (128, 1, 1))
    with pytest.raises(PipelineError, match=r"unnamed \[8, 64\] is used by a layer"):
        made.record()


def test_layer_methods_have_names_signatures_and_shapes():
    method = PersistentKernel.rmsnorm_layer
    assert method.__name__ == "rmsnorm_layer"
    assert str(inspect.signature(method)) == (
        "(self, input: 'DTensor', weight: 'DTensor', output: 'DTensor', grid_dim: 'tuple', "
        "block_dim: 'tuple')"
    )
    assert method.__doc__.endswith("\n    output: [batch, hidden]")
    assert "\n    weight: [hidden]\n" in method.__doc__
    noted = PersistentKernel.rmsnorm_linear_layer.__doc__
    assert noted.endswith("\n\nCan be planned; its kernel is in no target's build of Mirage.")
