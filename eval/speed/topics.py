"""The workload of the benchmarks: sequences about topics, and two small models trained on them.

A topic is a sub-vocabulary in which each token has a few possible successors. A sequence takes a topic and walks: one of the
successors, all equally likely, or now and then a jump to any token of the topic. Rows of a query's topic are the right answer
to "what made the model say this?", and the models are small enough to compute every gradient exactly.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llmattr.core.files import part_of


@dataclass(frozen=True)
class Recipe:
    """Everything that the data and the models depend on."""

    vocabulary: int = 2048
    topics: int = 20
    words: int = 64  # tokens of a topic
    successors: int = 4
    jump: float = 0.1
    length: int = 64
    rows: int = 2000
    queries: int = 20
    llama: tuple[int, int, int] = (4, 256, 688)  # layers, hidden size, intermediate size
    gpt2: tuple[int, int] = (2, 128)  # layers, hidden size
    epochs: int = 3
    rate: float = 2e-3
    batch: int = 50
    seed: int = 0


FULL = Recipe()
TINY = Recipe(128, 4, 16, 3, length=16, rows=64, queries=4, llama=(2, 32, 48), gpt2=(1, 32), epochs=1)
MODELS = ("llama", "gpt2")


@dataclass(frozen=True, eq=False)
class Data:
    """Token ids [n, length] and the topic of each sequence [n], for the rows and for the queries."""

    rows: np.ndarray
    topics: np.ndarray
    queries: np.ndarray
    query_topics: np.ndarray


def sample(recipe: Recipe) -> Data:
    """The rows and the queries, all from one process."""
    random = np.random.default_rng(recipe.seed)
    words = np.stack([random.choice(recipe.vocabulary, recipe.words, replace=False) for _ in range(recipe.topics)])
    shape = (recipe.topics, recipe.words, recipe.successors)
    following = random.integers(recipe.words, size=shape)
    n = recipe.rows + recipe.queries
    topics = random.integers(recipe.topics, size=n)
    walk = random.integers(recipe.words, size=(n, recipe.length))  # where a jump would go
    for step in range(1, recipe.length):
        successor = following[topics, walk[:, step - 1], random.integers(recipe.successors, size=n)]
        stays = random.random(n) >= recipe.jump
        walk[stays, step] = successor[stays]
    ids = words[topics[:, None], walk].astype(np.int32)
    return Data(ids[: recipe.rows], topics[: recipe.rows], ids[recipe.rows :], topics[recipe.rows :])


def texts(ids: np.ndarray) -> list[dict[str, str]]:
    """Token ids as rows that llmattr reads."""
    return [{"text": " ".join(f"t{token}" for token in row)} for row in ids]


def tokenizer(recipe: Recipe) -> Any:
    """Words t0, t1, ... are the tokens 0, 1, ...; nothing is added."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"t{token}": token for token in range(recipe.vocabulary)}, unk_token="t0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=WINDOW)


WINDOW = 2048  # tokens that the models can read; some peers put no more than this in a batch


def untrained(name: str, recipe: Recipe) -> torch.nn.Module:
    """The model `name` as it is before training, in float32."""
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    ends: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None}
    if name == "gpt2":
        layers, hidden = recipe.gpt2
        off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        size = {"n_layer": layers, "n_embd": hidden, "n_head": 4, "n_positions": WINDOW}
        return GPT2LMHeadModel(GPT2Config(vocab_size=recipe.vocabulary, **size, **off, **ends))
    layers, hidden, wide = recipe.llama
    size = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": wide, "num_attention_heads": 4}
    untied = {"max_position_embeddings": WINDOW, "tie_word_embeddings": False}
    return LlamaForCausalLM(LlamaConfig(vocab_size=recipe.vocabulary, **size, **untied, **ends))


def train(model: torch.nn.Module, rows: np.ndarray, recipe: Recipe) -> torch.nn.Module:
    """AdamW over shuffled batches; the same seed gives the same model."""
    ids, order = torch.from_numpy(rows).long(), np.random.default_rng(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate)
    model.train()
    for _ in range(recipe.epochs):
        for batch in torch.from_numpy(order.permutation(len(ids))).split(recipe.batch):
            optimizer.zero_grad()
            model(input_ids=ids[batch], labels=ids[batch]).loss.backward()
            optimizer.step()
    return model.eval()


def trained(name: str, recipe: Recipe, cache: Path) -> Path:
    """The folder of a trained model with its tokenizer; made the first time."""
    folder = cache / f"{name}-{hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]}"
    if not (folder / "config.json").exists():
        part = part_of(folder)
        train(untrained(name, recipe), sample(recipe).rows, recipe).save_pretrained(part)
        tokenizer(recipe).save_pretrained(part)
        try:
            part.replace(folder)
        except OSError:  # another process was sooner
            shutil.rmtree(part)
    return folder
