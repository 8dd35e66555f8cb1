"""Random models of every kind that the code must treat alike, small enough to run in milliseconds.

`python -m tests.tiny_models FOLDER` saves a tiny Llama with a chat template there.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests import ROOT

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Like Llama 3 and Gemma: white space at the ends of a message is dropped, and Gemma takes no system turn.
TRIMMING = CHATML.replace("m['content']", "m['content'] | trim")
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHATML

CORPUS = (ROOT / "recipes" / "documents" / "panama_canal.md").read_text(encoding="utf-8")


def tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of 400 pieces, trained on the demo document."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator([CORPUS], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|end|>")
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    fast.chat_template = template
    return fast


def metaspace(template: str | None = None) -> PreTrainedTokenizerFast:
    """As Llama 2 and Gemma tokenise: a space is a letter of the word behind it, and the first word gets one too."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    bpe.decoder = decoders.Replace("\u2581", " ")
    special = ["<|end|>", "<|im_start|>", "<|im_end|>"]
    alphabet = [*map(chr, range(33, 127)), "\n", "\u2581"]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    bpe.train_from_iterator([CORPUS], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|end|>")
    fast.chat_template = template
    return fast


def surrounded(tokenizer: PreTrainedTokenizerFast, begin: str = "", end: str = "") -> PreTrainedTokenizerFast:
    """The tokenizer with special tokens that it puts before and behind every text."""
    names = [name for name in (begin, end) if name]
    pattern = " ".join(part for part in (begin, "$A", end) if part)
    added = [(name, tokenizer.convert_tokens_to_ids(name)) for name in names]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=pattern, special_tokens=added)
    return tokenizer


def llama(window: int = 2048, seed: int = 0) -> LlamaForCausalLM:
    """Rotary positions, grouped keys, untied embeddings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window,
        initializer_range=0.2,  # wide enough that the model's answers depend on its input
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


def double_llama() -> LlamaForCausalLM:
    """The Llama in float64 throughout: with PyTorch's norms, where transformers' own are float32 whatever the model is."""
    model = llama().double()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, LlamaRMSNorm):
                norm = torch.nn.RMSNorm(child.weight.shape, child.variance_epsilon, dtype=torch.float64)
                norm.weight = child.weight
                setattr(module, name, norm)
    return model


def gpt2(window: int = 2048, seed: int = 0) -> GPT2LMHeadModel:
    """Absolute positions, tied embeddings, Conv1D layers."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=400,
        n_positions=window,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    return GPT2LMHeadModel(config).eval()


def t5(seed: int = 0) -> T5ForConditionalGeneration:
    """Encoder and decoder, and logits that are scaled before the head."""
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=400, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0, decoder_start_token_id=0,
        eos_token_id=2, initializer_factor=1.0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


def bert(seed: int = 0) -> BertForMaskedLM:
    """Reads both ways, predicts masked tokens."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, pad_token_id=0,
        initializer_range=0.2,
    )  # fmt: skip
    return BertForMaskedLM(config).eval()


SMALL = {
    "vocab_size": 400, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.2, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def mixtral(seed: int = 0) -> MixtralForCausalLM:
    """Fused experts [experts, o, i]."""
    torch.manual_seed(seed)
    return MixtralForCausalLM(MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2)).eval()


def qwen_moe(seed: int = 0) -> Qwen3MoeForCausalLM:
    """More experts than some examples have tokens, and norms of each attention head."""
    torch.manual_seed(seed)
    experts = {"num_experts": 16, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "norm_topk_prob": True}
    config = Qwen3MoeConfig(**SMALL | {"num_hidden_layers": 1}, **experts)
    return Qwen3MoeForCausalLM(config).eval()


def gpt_oss(seed: int = 0) -> GptOssForCausalLM:
    """Fused experts [experts, i, o] with biases, gates and values in turns, and sinks of attention."""
    torch.manual_seed(seed)
    config = GptOssConfig(**SMALL, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=8)
    model = GptOssForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def save(folder: str | Path) -> Path:
    """Write the tiny Llama and its tokenizer to a folder."""
    llama().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return Path(folder)


if __name__ == "__main__":
    save(sys.argv[1])
