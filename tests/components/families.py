"""Tiny models whose layers are built in different ways, with biases that are not 0."""

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests import tiny_models

ODD = {"head_dim": 6}  # heads that are not as wide as the hidden size shared among them


def gemma2():
    """Norms behind each block, capped logits."""
    return Gemma2ForCausalLM(Gemma2Config(**tiny_models.SMALL, **ODD, query_pre_attn_scalar=6, sliding_window=8))


def gemma3():
    """Norms behind each block and of each head."""
    return Gemma3ForCausalLM(Gemma3TextConfig(**tiny_models.SMALL, **ODD, query_pre_attn_scalar=6, sliding_window=8))


def qwen3():
    """Norms of each head."""
    return Qwen3ForCausalLM(Qwen3Config(**tiny_models.SMALL, **ODD))


def opt():
    """No part of its own for the feed-forward layers, learnt positions."""
    sizes = {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32}
    return OPTForCausalLM(OPTConfig(vocab_size=400, **sizes, init_std=0.2, pad_token_id=0, bos_token_id=2, eos_token_id=2))


def neox():
    """Attention and feed-forward layers side by side."""
    sizes = {key: value for key, value in tiny_models.SMALL.items() if key != "num_key_value_heads"}
    return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes))


MAKERS = {
    "llama": tiny_models.llama,
    "gpt2": tiny_models.gpt2,
    "gemma2": gemma2,
    "gemma3": gemma3,
    "qwen3": qwen3,
    "opt": opt,
    "neox": neox,
    "mixtral": tiny_models.mixtral,
}
FINAL_NORM = {"gpt2": "transformer.ln_f", "opt": "model.decoder.final_layer_norm", "neox": "gpt_neox.final_layer_norm"}


def family(name):
    """The model of this name, always the same, in float64; fused experts have no product of that."""
    torch.manual_seed(0)
    model = MAKERS[name]().eval()
    model = model if name == "mixtral" else model.double()
    for parameter_name, parameter in model.named_parameters():
        if parameter_name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def ends(name, model):
    """The final norm and the head of a family's model."""
    return model.get_submodule(FINAL_NORM.get(name, "model.norm")), model.get_output_embeddings()
