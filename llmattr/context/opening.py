"""The model that is asked, however it is named, and the file of what it has scored."""

from contextlib import suppress
from pathlib import Path

from llmattr.context.removal.ablation import ContextAblation, Store, store_path
from llmattr.context.removal.cache import shrink
from llmattr.context.removal.regenerated import MEASURE, SimilarityAblation
from llmattr.core.processes import device, is_main
from llmattr.model.chat import ChatServer
from llmattr.model.contract import Scorer
from llmattr.model.lm import LM
from llmattr.model.served import served
from llmattr.model.server import ServerLM
from llmattr.retrieval.similarity import usual
from llmattr.text.prompt import Prompt


def scorer_of(model: object, may_generate: bool = False) -> Scorer:
    """The model by its name, folder or address, or as it was given.

    `may_generate`: a server that gives no log-probabilities is taken, too, by what it generates (`ChatServer`).
    """
    if isinstance(model, (LM, ServerLM, ChatServer)):
        return model
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        return served(model) if may_generate else ServerLM(model)
    return LM.load(model, "fast", device())


def ablation_of(
    lm: Scorer, prompt: Prompt, measure: str, *, max_new_tokens: int, cache: str | Path | None, room: float
) -> ContextAblation:
    """The prompt's ablation: scored, or by what is generated where the model gives no log-probabilities."""
    if isinstance(lm, ChatServer):
        store = Store() if cache is None else store_of(cache, room, lm, prompt, max_new_tokens)
        return SimilarityAblation(lm, prompt, prompt.targets(MEASURE), store, max_new_tokens, usual())
    return ContextAblation(lm, prompt, prompt.targets(measure), Store() if cache is None else store_of(cache, room, lm, prompt))


def check_length(lm: Scorer, prompt: Prompt) -> None:
    """Raise `LlmattrError` for a prompt beyond a model's window, before masks of as many sources are made; servers say so."""
    if isinstance(lm, LM):
        lm.check([prompt.full().ids])


def store_of(cache: str | Path, room: float, lm: Scorer, prompt: Prompt, *more: int) -> Store:
    """What this model has said behind this prompt, kept in the folder `cache` of at most `room` bytes."""
    assert prompt.sources.spans is not None  # sources cut from documents have them
    places = prompt.sources.spans.tolist(), prompt.full().ids
    store = Store(store_path(cache, lm.record(), lm.fingerprint(), *places, repr(prompt.messages), *more))
    if is_main():
        with suppress(OSError):  # a folder that may only be read serves all the same
            shrink(Path(cache), room)
    return store
