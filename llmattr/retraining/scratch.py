"""A small model for experiments: a transformer over the words of some texts, which knows nothing but what it is trained on."""

from collections.abc import Iterable, Mapping
from typing import Any

NAME = "scratch"
WORDS = r" ?[\p{L}\p{M}\p{N}]+| ?[^\s\p{L}\p{M}\p{N}]+|\s+"  # with the space before them, so that nothing is lost


def scratch_model(texts: Iterable[str], layers: int = 2, width: int = 64, heads: int = 4, window: int = 512) -> tuple[Any, Any]:
    """A Llama of so many layers with random weights, and a tokenizer whose tokens are the words of the texts.

    About `12 layers width^2 + words width` parameters; the embeddings are tied. A word that is not in the texts is unknown.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = word_tokenizer(texts)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=-(-8 * width // 3 // 16) * 16,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=window,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).eval(), tokenizer


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
