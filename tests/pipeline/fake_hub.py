"""Runs a Mirage demo with weights that have shapes only, in place of those of a model hub.

    python fake_hub.py DEMO [ARGS...]

`transformers` and `safetensors` are replaced; what the demo does is its own.
"""

import json
import runpy
import sys
import tempfile
import types
from pathlib import Path

import torch

FP8 = torch.float8_e4m3fn
BF16 = torch.bfloat16
F32 = torch.float32

DEEPSEEK = {
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "vocab_size": 129280,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "first_k_dense_replace": 3,
    "eos_token_id": 1,
    "rms_norm_eps": 1e-6,
}


def fp8(name, rows, columns):
    """A weight and its scales, one for each block of 128 x 128."""
    blocks = (-(-rows // 128), -(-columns // 128))
    return {f"{name}.weight": (FP8, (rows, columns)), f"{name}.weight_scale_inv": (F32, blocks)}


def mlp(name, hidden, inner):
    return {
        **fp8(f"{name}gate_proj", inner, hidden),
        **fp8(f"{name}up_proj", inner, hidden),
        **fp8(f"{name}down_proj", hidden, inner),
    }


def deepseek_weights():
    """Names, types and shapes of the published checkpoint, layer 61 (multi-token) included."""
    hidden = DEEPSEEK["hidden_size"]
    vocab = (BF16, (DEEPSEEK["vocab_size"], hidden))
    norm = (BF16, (hidden,))
    weights = {"model.embed_tokens.weight": vocab, "model.norm.weight": norm}
    weights["lm_head.weight"] = vocab
    for layer in range(62):
        prefix = f"model.layers.{layer}."
        attention = f"{prefix}self_attn."
        weights |= {
            f"{prefix}input_layernorm.weight": norm,
            f"{prefix}post_attention_layernorm.weight": norm,
            **fp8(f"{attention}q_a_proj", 1536, hidden),
            f"{attention}q_a_layernorm.weight": (BF16, (1536,)),
            **fp8(f"{attention}q_b_proj", 128 * 192, 1536),
            **fp8(f"{attention}kv_a_proj_with_mqa", 576, hidden),
            f"{attention}kv_a_layernorm.weight": (BF16, (512,)),
            **fp8(f"{attention}kv_b_proj", 128 * 256, 512),
            **fp8(f"{attention}o_proj", hidden, 128 * 128),
        }
        if layer < 3:
            weights |= mlp(f"{prefix}mlp.", hidden, 18432)
            continue
        weights |= {
            f"{prefix}mlp.gate.weight": (BF16, (256, hidden)),
            f"{prefix}mlp.gate.e_score_correction_bias": (F32, (256,)),
            **mlp(f"{prefix}mlp.shared_experts.", hidden, 2048),
        }
        for expert in range(256):
            weights |= mlp(f"{prefix}mlp.experts.{expert}.", hidden, 2048)
    weights |= {
        "model.layers.61.embed_tokens.weight": vocab,
        "model.layers.61.enorm.weight": norm,
        "model.layers.61.hnorm.weight": norm,
        "model.layers.61.eh_proj.weight": (BF16, (hidden, 2 * hidden)),
        "model.layers.61.shared_head.norm.weight": norm,
        "model.layers.61.shared_head.head.weight": vocab,
    }
    return weights


WEIGHTS = deepseek_weights()


class Config(types.SimpleNamespace):
    def to_dict(self):
        return dict(vars(self))


class Tokens(types.SimpleNamespace):
    def to(self, device):
        return Tokens(input_ids=self.input_ids.to(device))


class Tokenizer:
    def apply_chat_template(self, *_args, **_kwargs):
        return "text"

    def __call__(self, _texts, **_kwargs):
        return Tokens(input_ids=torch.arange(9)[None])


class SafeOpen:
    """On the GPU even where the demo loads to the host: there is no room for 670 GB."""

    def __init__(self, _path, framework, device): ...

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def get_tensor(self, key):
        data_type, shape = WEIGHTS[key]
        return torch.empty(shape, dtype=data_type, device="cuda")


def main():
    demo, *args = sys.argv[1:]
    transformers = types.ModuleType("transformers")
    transformers.AutoConfig = types.SimpleNamespace(from_pretrained=lambda _: Config(**DEEPSEEK))
    transformers.AutoTokenizer = types.SimpleNamespace(from_pretrained=lambda _: Tokenizer())
    safetensors = types.ModuleType("safetensors")
    safetensors.safe_open = SafeOpen
    safetensors.torch = types.ModuleType("safetensors.torch")
    safetensors.torch.safe_open = SafeOpen
    for name in ("load_file", "load_model", "save_file"):
        setattr(safetensors.torch, name, None)
    for module in (transformers, safetensors, safetensors.torch):
        sys.modules[module.__name__] = module
    with tempfile.TemporaryDirectory() as folder:
        index = {"weight_map": dict.fromkeys(WEIGHTS, "model-1.safetensors")}
        Path(folder, "model.safetensors.index.json").write_text(json.dumps(index))
        sys.argv = [demo, "--model-path", folder, *args]
        sys.path.insert(0, str(Path(demo).parent))
        runpy.run_path(demo, run_name="__main__")


if __name__ == "__main__":
    main()
