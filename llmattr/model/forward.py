"""How a model's forward pass is called: in evaluation mode, within what its configuration says, and with what it can do.

What it can do is found by trying it on a few tokens, and remembered for as long as the model lives. The names of arguments say
nothing: transformers renames them, wrapped models hide them, and some models take them and do not heed them.
"""

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from llmattr.errors import LlmattrError
from llmattr.model.contract import Weights

if TYPE_CHECKING:
    from transformers import DynamicCache, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")
M = TypeVar("M", bound=torch.nn.Module)
Numbers = TypeVar("Numbers", torch.Tensor, np.ndarray)

# Words of a RuntimeError that says nothing of the model: no memory, on a CPU or in a GPU's libraries.
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cuda error", "cublas_status", "cudnn_status")
TRIED = [5, 6, 7, 8, 9, 10]  # tokens


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Within, the model is in evaluation mode (no dropout); afterwards every part is in the mode that it was in.

    One thread at a time: a mode, attention of our own and hooks are the model's, and so everybody's who asks it.
    """
    with _turn(model):
        training = [module for module in model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True


_TURNS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_TAKING = threading.Lock()


def _turn(model: torch.nn.Module) -> threading.RLock:
    with _TAKING:
        return _TURNS.setdefault(model, threading.RLock())


def attempt(call: Callable[[], T]) -> T | None:
    """What a call returns, or None where the model cannot do it, which it says in its own way.

    Running out of memory says nothing of what it can do, and is raised; so is Ctrl-C.
    """
    try:
        return call()
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if any(words in str(error).lower() for words in NO_MEMORY):
            raise
        return None


def remembered(find: Callable[[M], T]) -> Callable[[M], T]:
    """Ask a function of a model once for each model, without gradients and in evaluation mode."""
    known: WeakKeyDictionary[Any, T] = WeakKeyDictionary()

    @wraps(find)
    def found(model: M) -> T:
        if model not in known:
            with evaluating(model), torch.no_grad():
                known[model] = find(model)
        return known[model]

    return found


class Abilities(NamedTuple):
    """What a model can do beside a plain pass over a row.

    `without_cache`: the option that keeps no keys and values, where it takes one. `keeps_logits`: it computes the logits of
    chosen positions alone (`logits_to_keep`). `cache`: the name by which it takes keys and values to go on from, and adds to
    them; None where it does not. `padding_before`: what it must be given (its positions, or nothing) so that padding before a
    row changes nothing; None where it always does, as the first column is position 0 to it: its rows are padded behind.
    """

    without_cache: dict[str, bool]
    keeps_logits: bool
    cache: str | None
    padding_before: tuple[str, ...] | None


@remembered
def abilities(model: "PreTrainedModel") -> Abilities:
    """Try the model on a few tokens; a compiled one is tried as what was compiled, since every shape would be compiled anew.

    Who changes what a model does for a while asks before, so that the model itself is tried.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names of arguments that are no more
        return _tried(uncompiled(model))


def uncompiled(model: "PreTrainedModel") -> "PreTrainedModel":
    """What `torch.compile` was given; any other model itself."""
    return getattr(model, "_orig_mod", model)


def _tried(model: "PreTrainedModel") -> Abilities:
    plain = _logits(model)
    if plain is None:  # it refuses any input, and will say so when it is used
        return Abilities({}, False, None, None)
    alone = _logits(model, logits_to_keep=torch.tensor([1], device=model.device))
    return Abilities(
        without_cache=without_cache(model),
        keeps_logits=alone is not None and alone.shape[1] == 1 and alike(alone, plain[:, 1:2], plain.dtype),
        cache=next((name for name in ("cache", "past_key_values") if _fills(model, name)), None),
        padding_before=next((tuple(given) for given in _paddings(model) if _agrees(model, plain, given)), None),
    )


@remembered
def without_cache(model: "PreTrainedModel") -> dict[str, bool]:
    """The option that keeps no keys and values, where the model takes one; found in one pass, where `abilities` needs five."""
    return {"use_cache": False} if _logits(uncompiled(model), use_cache=False) is not None else {}


def vocabulary(lm: Weights) -> int:
    """The number of logits at a position."""
    return lm.model.config.get_text_config().vocab_size


def check_vocabulary(texts: Iterable[Sequence[int]], tokenizer: "PreTrainedTokenizerBase", size: int) -> None:
    """Raise `LlmattrError` for a token that a model of so many embeddings has none for."""
    highest = max((max(ids) for ids in texts if len(ids)), default=0)
    if highest >= size:
        raise LlmattrError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {size}: {tokenizer.decode([highest])!r} is number {highest} "
            "from 0; take the tokenizer that the model was trained with, or resize the model's embeddings and train them"
        )


def setting(config: "PretrainedConfig", name: str, default: object = None) -> Any:
    """What a model's configuration says of this, or the default where its kind of model has no such thing."""
    return getattr(config, name, default)


def sees_all(config: "PretrainedConfig", longest: int) -> bool:
    """Whether every layer's attention reaches over a text of so many tokens: no window slides inside it."""
    windows = (setting(config, name) for name in ("sliding_window", "attention_chunk_size"))
    return all(longest <= window for window in windows if window)


def positions(seen: torch.Tensor) -> torch.Tensor:
    """A token's position, which does not count the padding before it."""
    return (seen.cumsum(1) - 1).clamp(min=0)


def alike(one: Numbers, other: Numbers, dtype: torch.dtype) -> bool:
    """Whether two ways to compute logits or log-odds in this type differ by no more than rounding, which grows with depth.

    A wrong pattern is off by nats, which the coarse rounding of bfloat16 must not hide: half a nat at most.
    """
    rounding = 100 * torch.finfo(dtype).eps ** 0.75
    return float(abs(one - other).max()) <= min(rounding, 0.5)


def _fills(model: "PreTrainedModel", name: str) -> bool:
    from transformers import DynamicCache

    cache = DynamicCache()
    return _logits(model, **{name: cache}, use_cache=True) is not None and cache.get_seq_length() == len(TRIED)


def _paddings(model: "PreTrainedModel") -> list[dict[str, torch.Tensor]]:
    return [{"position_ids": positions(_seen(model))}, {}]


def _agrees(model: "PreTrainedModel", plain: torch.Tensor, given: dict[str, torch.Tensor]) -> bool:
    ids = torch.cat([torch.zeros_like(_ids(model)), _ids(model)], dim=1)
    padded = attempt(lambda: model(input_ids=ids, attention_mask=_seen(model), **given).logits)
    return padded is not None and alike(padded[:, len(TRIED) :], plain, plain.dtype)


def _seen(model: "PreTrainedModel") -> torch.Tensor:
    return torch.tensor([[0] * len(TRIED) + [1] * len(TRIED)], device=model.device)


def _ids(model: "PreTrainedModel") -> torch.Tensor:
    return torch.tensor([TRIED], device=model.device) % model.config.get_text_config().vocab_size


def _logits(model: "PreTrainedModel", **options: "torch.Tensor | bool | DynamicCache") -> torch.Tensor | None:
    ids = _ids(model)
    given = {"input_ids": ids} | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})
    return attempt(lambda: model(**given, **options).logits)
