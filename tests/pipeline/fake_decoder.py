"""Runs a demo of a Qwen3 or Llama 3 decoder with a model whose weights have shapes only.

    python fake_decoder.py NUM_LAYERS DEMO [ARGS...]

The demo's model class, tokenizer and loaders are replaced; what the demo does is its own.
NUM_LAYERS 0 means all.
"""

import runpy
import sys
import types
from pathlib import Path

import torch
from torch import nn

MODELS = {
    # hidden, inner, layers, query heads, key heads, head size, vocabulary, end of text
    "Qwen/Qwen3-0.6B": (1024, 3072, 28, 16, 8, 128, 151936, 151645),
    "Qwen/Qwen3-8B": (4096, 12288, 36, 32, 8, 128, 151936, 151645),
    "Qwen/Qwen3-30B-A3B": (2048, 768, 48, 32, 4, 128, 151936, 151645),
    "meta-llama/Llama-3.2-1B-Instruct": (2048, 8192, 16, 32, 8, 64, 128256, 128001),
}
EXPERTS = 128
EXPERTS_PER_TOKEN = 8
POSITIONS = 32768


class Config(types.SimpleNamespace):
    def __init__(self, name, num_layers):
        hidden, inner, layers, queries, keys, head, vocabulary, end = MODELS[name]
        super().__init__(
            hidden_size=hidden,
            intermediate_size=inner,
            moe_intermediate_size=inner,
            num_hidden_layers=num_layers or layers,
            num_attention_heads=queries,
            num_key_value_heads=keys,
            head_dim=head,
            vocab_size=vocabulary,
            eos_token_id=end,
            num_experts=EXPERTS,
            num_experts_per_tok=EXPERTS_PER_TOKEN,
        )


def linear(rows, columns):
    return nn.Linear(columns, rows, bias=False)


def scale(size):
    return nn.RMSNorm(size)


class Attention(nn.Module):
    def __init__(self, config, ranks):
        super().__init__()
        queries = config.num_attention_heads // ranks * config.head_dim
        keys = config.num_key_value_heads // ranks * config.head_dim
        self.q_proj = linear(queries, config.hidden_size)
        self.k_proj = linear(keys, config.hidden_size)
        self.v_proj = linear(keys, config.hidden_size)
        self.o_proj = linear(config.hidden_size, queries)
        self.q_norm = scale(config.head_dim)
        self.k_norm = scale(config.head_dim)


class Mlp(nn.Module):
    def __init__(self, config, ranks):
        super().__init__()
        inner = config.intermediate_size // ranks
        self.gate_proj = linear(inner, config.hidden_size)
        self.up_proj = linear(inner, config.hidden_size)
        self.down_proj = linear(config.hidden_size, inner)


class Experts(nn.Module):
    def __init__(self, config, ranks):
        super().__init__()
        self.gate = linear(EXPERTS, config.hidden_size)
        self.experts = nn.ModuleList(Mlp(config, ranks) for _ in range(EXPERTS))


class Layer(nn.Module):
    def __init__(self, config, ranks, mlp):
        super().__init__()
        self.self_attn = Attention(config, ranks)
        self.mlp = mlp(config, ranks)
        self.input_layernorm = scale(config.hidden_size)
        self.post_attention_layernorm = scale(config.hidden_size)


class Decoder(nn.Module):
    def __init__(self, config, ranks, pages, page_size, mlp):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, ranks, mlp) for _ in range(config.num_hidden_layers)
        )
        self.norm = scale(config.hidden_size)
        keys = config.num_key_value_heads // ranks
        shape = (config.num_hidden_layers, pages, page_size, keys, config.head_dim)
        self.kv_cache = tuple(torch.zeros(shape, device="cuda") for _ in range(2))

    def rotary_emb(self, *args):
        positions = args[-1]
        shape = (1, positions.shape[1], self.config.head_dim)
        return tuple(torch.zeros(shape, device=positions.device) for _ in range(2))


class Model(nn.Module):
    """`NAME.from_pretrained(...)` and `NAME(config, ...)` as the demos call them."""

    num_layers = 0
    mlp = Mlp

    def __init__(self, config, world_size=1, max_num_pages=1, page_size=1):
        super().__init__()
        self.config = config
        self.model = Decoder(config, world_size, max_num_pages, page_size, self.mlp)
        self.lm_head = linear(config.vocab_size, config.hidden_size)

    @classmethod
    def from_pretrained(cls, name, *args, **kwargs):
        return cls(Config(name, cls.num_layers), *args, **kwargs)

    @property
    def device(self):
        return self.lm_head.weight.device


class MoeModel(Model):
    mlp = Experts


class Tokens(types.SimpleNamespace):
    def to(self, device):
        return Tokens(input_ids=self.input_ids.to(device))


class Tokenizer:
    eos_token_id = 151645
    """What the recorded runs of all models were given."""

    @classmethod
    def from_pretrained(cls, _name):
        return cls()

    def apply_chat_template(self, *_args, **_kwargs):
        return "text"

    def __call__(self, _texts, **_kwargs):
        return Tokens(input_ids=torch.arange(9)[None])


class AutoConfig:
    @staticmethod
    def from_pretrained(name):
        return Config(name, Model.num_layers)


class ShardLoader:
    def __init__(self, model, _name, _mapping, _rank, _world_size, device):
        self.model = model
        self.device = device

    def load(self):
        self.model.to_empty(device=self.device)


def module(name, **names):
    made = types.ModuleType(name)
    vars(made).update(names)
    made.__path__ = []
    sys.modules[name] = made


def main():
    num_layers, demo, *args = sys.argv[1:]
    Model.num_layers = int(num_layers)
    module(
        "transformers",
        AutoConfig=AutoConfig,
        AutoTokenizer=Tokenizer,
        Qwen3MoeForCausalLM=MoeModel,
    )
    module("safetensors", safe_open=None)
    module("safetensors.torch", load_model=None)
    module("huggingface_hub", hf_hub_download=None)
    module("models")
    module("models.modeling_qwen3", Qwen3ForCausalLM=Model, Qwen3RotaryEmbedding=None)
    module("models.modeling_llama3", Llama3ForCausalLM=Model)
    module("models.qwen3_shard_loader", Qwen3ShardLoader=ShardLoader)
    sys.argv = [demo, *args]
    sys.path.insert(0, str(Path(demo).parent))
    runpy.run_path(demo, run_name="__main__")


if __name__ == "__main__":
    main()
