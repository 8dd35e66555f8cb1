"""A small model for experiments: a transformer over the words of some texts, which knows nothing but what it is trained on."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NAME = "scratch"
WORDS = r" ?[\p{L}\p{M}\p{N}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+"  # with the space before them, so that nothing is lost


def scratch_model(
    texts: Iterable[str], layers: int = 2, width: int = 64, heads: int = 4, window: int = 512, *, name: str = NAME
) -> tuple[Any, Any]:
    """A model of so many layers with random weights, and a tokenizer whose tokens are the words of the texts.

    `name`: of which kind (`KINDS`). About `12 layers width^2 + words width` parameters; the embeddings are tied. A word that is
    not in the texts is unknown.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = word_tokenizer(texts)
    config = KINDS[name](layers, width, heads, window)
    config.vocab_size, config.tie_word_embeddings = len(tokenizer), True
    config.bos_token_id, config.eos_token_id = None, tokenizer.eos_token_id
    return AutoModelForCausalLM.from_config(config).eval(), tokenizer


def _llama(layers: int, width: int, heads: int, window: int) -> "PreTrainedConfig":
    from transformers import LlamaConfig

    inner = -(-8 * width // 3 // 16) * 16
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=window,
        pad_token_id=0,  # the tokenizer's
    )


def _gpt2(layers: int, width: int, heads: int, window: int) -> "PreTrainedConfig":
    from transformers import GPT2Config

    return GPT2Config(n_embd=width, n_layer=layers, n_head=heads, n_positions=window)


KINDS: dict[str, Callable[[int, int, int, int], "PreTrainedConfig"]] = {NAME: _llama, f"{NAME}-gpt2": _gpt2}


def is_scratch(model: object) -> bool:
    """Whether this names a model from scratch, and no folder or hub id."""
    return isinstance(model, str) and model in KINDS


def with_space(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the white space at the end of its prompt at the beginning of its completion, where words have theirs."""
    prompt, completion = row.get("prompt"), row.get("completion")
    if not isinstance(prompt, str) or not isinstance(completion, str):
        return dict(row)
    kept = prompt.rstrip()
    return {**row, "prompt": kept, "completion": prompt[len(kept) :] + completion} if kept else dict(row)


def word_tokenizer(texts: Iterable[str]) -> Any:
    """A tokenizer whose tokens are the words of the texts, each with the space before it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text)})
    special = ["<pad>", "<unk>", "<end>"]
    known = {word: number for number, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="<end>")
