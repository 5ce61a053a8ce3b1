"""What a user reads when a layer refuses: line, layer, tensor, numbers, remedy; and what it is."""

import inspect
import pickle
from types import SimpleNamespace

import pytest

from mpkgraph.errors import MpkGraphError, PipelineError
from mpkgraph.pipeline import PersistentKernel, Target, exception_text, use_target
from mpkgraph.pipeline.refusal import REFUSALS, arithmetic, refuse

BLOCK = (128, 1, 1)


class Pipeline:
    """A kernel, and tensors by their dims."""

    def __init__(self, cc=90, **parameters):
        defaults = PersistentKernel.get_default_init_parameters()
        with use_target(Target(cc=cc)):
            self.kernel = PersistentKernel(**defaults | parameters, test_mode=True)

    def __call__(self, name, *dims):
        return self.kernel.new_tensor(dims=dims, name=name)

    def refused(self, kind, method, *args, **kwargs):
        with pytest.raises(kind) as caught:
            getattr(self.kernel, method)(*args, **kwargs)
        assert isinstance(caught.value, PipelineError)
        assert caught.value.exit_code == 3
        return caught.value


def test_names_line_layer_tensor_and_remedy():
    t = Pipeline()
    x, w = t("x", 2, 4, 64), t("w", 64)
    with pytest.raises(AssertionError) as caught:
        t.kernel.rmsnorm_layer(input=x, weight=w, output=x, grid_dim=(8, 1, 1), block_dim=BLOCK)
    line = inspect.currentframe().f_lineno - 1
    assert caught.value.where.endswith(f"test_messages.py:{line}: rmsnorm_layer")
    assert caught.value.what == "input 'x' [2, 4, 64] has 3 dimensions, 2 are needed"
    assert caught.value.remedy == "Join dimensions before attaching it: [8, 64]"
    assert exception_text(caught.value) == "AssertionError: "


def test_a_script_that_catches_goes_on_and_the_record_shows_it():
    t = Pipeline(cc=80)
    x, w = t("x", 8, 64), t("w", 64, 64)
    t.refused(AssertionError, "splitk_linear_layer", x, w, x, (4, 2, 1), BLOCK)
    t.kernel.linear_layer(x, w, x, (4, 1, 1), BLOCK)
    first, second = t.kernel.record().log[-2:]
    assert first.extra == {"exception": "AssertionError: "}
    assert first.lowlevel[0].register_task is None
    assert second.lowlevel[0].register_task.name == "linear"


@pytest.mark.parametrize(
    ("dims", "remedy"),
    [((64,), "Add dimensions of 1: [1, 64]"), ((), "Add dimensions of 1: [1, 1]")],
)
def test_too_few_dimensions(dims, remedy):
    t = Pipeline()
    x = t("x", *dims)
    assert t.refused(AssertionError, "rmsnorm_layer", x, x, x, (1, 1, 1), BLOCK).remedy == remedy


def test_too_many_dimensions_for_a_vector():
    t = Pipeline()
    x, mask = t("x", 8, 64), t("mask", 3, 5)
    outputs = (x, x, mask)
    error = t.refused(
        AssertionError, "moe_topk_softmax_routing_layer", x, outputs, (8, 1, 1), BLOCK
    )
    assert error.what == "moe_masks 'mask' [3, 5] has 2 dimensions, 1 is needed"
    assert error.remedy == "Join dimensions before attaching it: [15]"


def test_the_nearest_valid_grid():
    t = Pipeline(max_num_batched_requests=4, max_num_pages=2, page_size=16)
    x, cache, out = t("x", 4, 1536), t("k", 2, 16, 8, 64), t("o", 4, 512)
    arguments = [x, cache, cache, None, None, None, None, out]
    error = t.refused(AssertionError, "paged_attention_layer", *arguments, (4, 6, 2), BLOCK)
    assert error.what == "grid_dim is (4, 6, 2): axis y is 6, but the kv heads of k_cache is 8"
    assert error.remedy == "Use grid_dim=(4, 8, 2)"
    error = t.refused(AssertionError, "paged_attention_layer", *arguments, (3, 8, 1), BLOCK)
    assert error.remedy == "Use grid_dim=(4, 8, 1)"


def test_the_shape_that_a_cache_must_have():
    t = Pipeline(max_num_batched_requests=4, max_num_pages=2, page_size=16)
    x, cache, out = t("x", 4, 1536), t("k", 3, 16, 8, 64), t("o", 4, 512)
    arguments = [x, cache, cache, None, None, None, None, out]
    error = t.refused(AssertionError, "paged_attention_layer", *arguments, (4, 8, 1), BLOCK)
    assert "k_cache 'k' [3, 16, 8, 64]: dimension 0 is 3" in error.what
    assert error.remedy == "Make it [2, 16, 8, 64]"


def test_one_of_a_pair_of_optional_tensors():
    t = Pipeline(max_num_batched_requests=4, max_num_pages=2, page_size=16)
    x, cache, out, norm = t("x", 4, 1536), t("k", 2, 16, 8, 64), t("o", 4, 512), t("n", 64)
    arguments = [x, cache, cache, norm, None, None, None, out]
    error = t.refused(AttributeError, "paged_attention_layer", *arguments, (4, 8, 1), BLOCK)
    assert "k_norm is None" in str(error)
    assert exception_text(error) == "AttributeError: 'NoneType' object has no attribute 'num_dims'"


@pytest.mark.parametrize(
    ("cc", "kind", "upstream"),
    [
        (120, AssertionError, "AssertionError: Unsupported compute capability: 120"),
    ],
)
def test_a_target_without_a_task_names_those_that_have_one(cc, kind, upstream):
    t = Pipeline(cc=cc)
    x, w = t("x", 8, 64), t("w", 64, 64)
    error = t.refused(kind, "linear_layer", x, w, x, (4, 1, 1), BLOCK)
    assert error.remedy == "Plan for one of 80, 86, 89, 90, 100, 103, 110, or use another layer"
    assert exception_text(error) == upstream


def test_tuples_of_tensors_and_numbers():
    t = Pipeline(cc=100)
    x = t("x", 8, 64)
    error = t.refused(AssertionError, "argmax_partial_layer", x, (x, x, x), (4, 1, 1), BLOCK)
    assert error.remedy == "Give output=(output_value, output_index)"
    error = t.refused(TypeError, "argmax_partial_layer", x, None, (4, 1, 1), BLOCK)
    assert exception_text(error) == "TypeError: object of type 'NoneType' has no len()"
    tensors = (x, x, x, x)
    error = t.refused(ValueError, "mla_kv_gather_layer", *tensors, (576, 512), (1, 1, 1), BLOCK)
    assert error.remedy == "Give mla_params=(d_k, d_v, page_size)"
    assert "not enough values to unpack (expected 3, got 2)" in error.upstream
    error = t.refused(ZeroDivisionError, "mla_mtp_decode_layer", *tensors, 0, 4096)
    assert error.what.startswith("what follows from q_len=0, kv_len=4096 can't be computed")


def test_order_of_calls_matters_to_argmax():
    t = Pipeline()
    x, y = t("x", 8, 64), t("y", 8, 4)
    reduce = ("argmax_reduce_layer", (y, y), y, (1, 1, 1), BLOCK)
    error = t.refused(AttributeError, *reduce)
    assert "Call argmax_partial_layer first" in str(error)
    t.kernel.argmax_partial_layer(x, (y, y), (4, 1, 1), BLOCK)
    t.kernel.argmax_reduce_layer(*reduce[1:])
    assert t.kernel.record().layers[-1].params == (16,)


def test_an_inner_call_is_named_beside_the_outer():
    t = Pipeline()
    tokens = t("tokens", 1, 1, 8)
    config = SimpleNamespace(method="promptlookup", ngram_size=3, spec_length=5)
    error = t.refused(
        AssertionError, "draft_forward_layer_dispatcher", config, tokens, (1, 1, 1), BLOCK
    )
    assert error.where.endswith("draft_forward_layer_dispatcher: find_ngram_partial_layer")
    (call,) = [x for x in t.kernel.record().log if not hasattr(x, "tensor")]
    assert call.extra == call.lowlevel[0].extra == {"exception": "AssertionError: "}


def test_wrong_arguments():
    t = Pipeline()
    x = t("x", 8, 64)
    error = t.refused(TypeError, "rmsnorm_layer", x)
    assert "missing a required argument: 'weight'" in str(error)
    assert "It takes input, weight, output, grid_dim, block_dim" in str(error)
    t.refused(TypeError, "rmsnorm_layer", x, x, x, (1, 1, 1), BLOCK, eps=1e-6)
    assert len(t.kernel.record().log) == 1


@pytest.mark.parametrize("kind", REFUSALS, ids=lambda kind: kind.__qualname__)
def test_every_refusal_is_both(kind):
    with pytest.raises(kind) as caught:
        refuse(kind, "what", remedy="remedy", upstream="upstream")
    assert isinstance(caught.value, MpkGraphError)
    assert str(caught.value).endswith("what. remedy")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_bugs_are_not_dressed_up():
    with pytest.raises(LookupError), arithmetic("x"):
        raise LookupError("ours")
