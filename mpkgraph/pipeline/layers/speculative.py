"""Prompt lookup decoding (`persistent_kernel.py:1988-2112`)."""

from __future__ import annotations

from typing import Any

from mpkgraph.pipeline.dtypes import int64
from mpkgraph.pipeline.layers.call import Call
from mpkgraph.pipeline.layers.checks import ranks, tensors_in
from mpkgraph.pipeline.layers.run import layer_method
from mpkgraph.pipeline.layers.spec import (
    LAUNCH,
    BlockSpec,
    Dispatch,
    LayerSpec,
    Param,
    SlotSpec,
    tensors,
)
from mpkgraph.pipeline.refusal import need_attribute, refuse
from mpkgraph.pipeline.tensors import DTensor

NUM_PARTIAL_RESULTS = 96
"""Columns of the buffer between the two n-gram tasks, whatever the grid."""

_PAIR = "tuple[DTensor, DTensor]"
_TRIPLE = "tuple[int, int, int]"
_CONFIG = Param("spec_decode_config", "SpecDecodeConfig")
_LOOKUP = Param("spec_decode_config", "PromptLookupConfig")
_LAUNCH = (Param("grid_dim", _TRIPLE), Param("block_dim", _TRIPLE))
_NO_KERNEL = "Can be planned; its kernel is in no target's build of Mirage."


def look_up_prompt(call: Call) -> DTensor:
    """Draft tokens: where the last n-gram occurred before, and what followed there."""
    config, tokens = call["spec_decode_config"], call.tensor("tokens", "dim")
    partial = call.kernel.new_tensor(
        dims=(tokens.dim(0), NUM_PARTIAL_RESULTS), dtype=int64, name="partial_ngram_output"
    )
    layer_method(call, "find_ngram_partial_layer")(
        input=tokens,
        output=partial,
        grid_dim=call["grid_dim"],
        block_dim=call["block_dim"],
        ngram_size=_setting(config, "ngram_size"),
    )
    spec_length = _setting(config, "spec_length")
    drafts = call.kernel.new_tensor(
        dims=(tokens.dim(0), spec_length + 1), dtype=int64, name="spec_tokens"
    )
    layer_method(call, "find_ngram_global_layer")(
        input=(partial, tokens),
        output=drafts,
        grid_dim=(1, 1, 1),
        block_dim=(128, 1, 1),
        ngram_size=_setting(config, "ngram_size"),
        spec_length=spec_length,
    )
    return drafts


def verify_greedily(call: Call) -> DTensor:
    """Accept drafts that the model would have chosen; the returned tensor is never written."""
    unused = call.kernel.new_tensor(dims=(1, 1), dtype=int64, name="verify_out")
    layer_method(call, "target_verify_greedy_layer")(
        input=(call["spec_tokens"], call["target_output"]),
        output=unused,
        grid_dim=call["grid_dim"],
        block_dim=call["block_dim"],
    )
    return unused


def draft(call: Call) -> Any:
    handler = _handler(call, call.kernel._spec_decode_handlers)  # noqa: SLF001  Mirage's table
    config, tokens = call["spec_decode_config"], call["tokens"]
    return handler(config, tokens, call["grid_dim"], call["block_dim"])


def verify(call: Call) -> Any:
    handler = _handler(call, call.kernel._spec_verify_handlers)  # noqa: SLF001  Mirage's table
    names = ("spec_decode_config", "spec_tokens", "target_output", "grid_dim", "block_dim")
    return handler(*(call[name] for name in names))


def _handler(call: Call, handlers: dict[str, Any]) -> Any:
    method = _setting(call["spec_decode_config"], "method")
    if method not in handlers:
        refuse(
            KeyError,
            f"no handler for the method {method!r}",
            remedy=f"Use {', '.join(handlers)}",
            upstream=repr(method),
        )
    return handlers[method]


def _setting(config: Any, name: str) -> Any:
    remedy = "Use mirage.spec_decode_class('promptlookup', ...)"
    need_attribute(config, name, "spec_decode_config", remedy)
    return getattr(config, name)


ROWS = (
    LayerSpec(
        method="find_ngram_partial_layer",
        family="speculative",
        doc="Where the last n-gram of the tokens occurs, by task.",
        parameters=(*tensors("input output"), *LAUNCH, Param("ngram_size", "int", 3)),
        steps=(ranks(input=2, output=2),),
        block=BlockSpec(
            slots=(
                SlotSpec("input", shape="[batch, seq_len] int64 tokens"),
                SlotSpec("output", (1, -1, -1), shape="[batch, num_tasks] int64"),
            ),
            dispatch=(Dispatch("find_ngram_partial", params=("ngram_size",)),),
        ),
        notes=_NO_KERNEL,
    ),
    LayerSpec(
        method="find_ngram_global_layer",
        family="speculative",
        doc="The tokens that followed the n-gram.",
        parameters=(
            Param("input", _PAIR),
            Param("output"),
            *LAUNCH,
            Param("ngram_size", "int", 3),
            Param("spec_length", "int", 5),
        ),
        steps=(
            tensors_in("input", "partial_results", "tokens"),
            ranks(partial_results=2, tokens=2, output=2),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("partial_results", shape="[batch, num_tasks] int64"),
                SlotSpec("tokens", shape="[batch, seq_len] int64"),
                SlotSpec("output", shape="[batch, spec_length + 1] int64"),
            ),
            dispatch=(Dispatch("find_ngram_global", params=("ngram_size", "spec_length")),),
        ),
        notes=_NO_KERNEL,
    ),
    LayerSpec(
        method="prompt_lookup_spec_handler",
        family="speculative",
        doc="Drafts by prompt lookup: two layers, and the buffers between them.",
        parameters=(_LOOKUP, Param("tokens"), *_LAUNCH),
        expand=look_up_prompt,
        calls=("find_ngram_partial_layer", "find_ngram_global_layer"),
        shapes={"tokens": "[batch, seq_len] int64"},
        notes="Returns the draft tokens.",
    ),
    LayerSpec(
        method="draft_forward_layer_dispatcher",
        family="speculative",
        doc="Drafts by the configuration's method.",
        parameters=(_CONFIG, Param("tokens"), *_LAUNCH),
        expand=draft,
        calls=("prompt_lookup_spec_handler",),
        shapes={"tokens": "[batch, seq_len] int64"},
        notes="Returns the draft tokens. Only promptlookup has a handler.",
    ),
    LayerSpec(
        method="target_verify_greedy_layer",
        family="speculative",
        doc="How many drafts the model would have chosen.",
        parameters=(Param("input", _PAIR), Param("output"), *LAUNCH),
        steps=(
            tensors_in("input", "spec_tokens", "target_tokens"),
            ranks(spec_tokens=2, target_tokens=2, output=2),
        ),
        block=BlockSpec(
            slots=(
                SlotSpec("spec_tokens", shape="[1, spec_length + 1] int64"),
                SlotSpec("target_tokens", shape="two dimensions, int64"),
                SlotSpec("output", shape="[1, 1], never written"),
            ),
            dispatch=(Dispatch("target_verify_greedy"),),
        ),
        notes=_NO_KERNEL,
    ),
    LayerSpec(
        method="prompt_lookup_verify_handler",
        family="speculative",
        doc="Greedy verification of prompt lookup's drafts.",
        parameters=(_CONFIG, *tensors("spec_tokens target_output"), *_LAUNCH),
        expand=verify_greedily,
        calls=("target_verify_greedy_layer",),
        notes="Returns a tensor that is never written.",
    ),
    LayerSpec(
        method="verify_layer_dispatcher",
        family="speculative",
        doc="Verification by the configuration's method.",
        parameters=(
            _CONFIG,
            *tensors("spec_tokens target_output"),
            Param("grid_dim", _TRIPLE, (1, 1, 1)),
            Param("block_dim", _TRIPLE, (128, 1, 1)),
        ),
        expand=verify,
        calls=("prompt_lookup_verify_handler",),
        notes="Only promptlookup has a handler.",
    ),
)
