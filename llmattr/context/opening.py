"""The model that is asked, however it is named, and the file of what it has scored."""

from contextlib import suppress
from pathlib import Path

from llmattr.context.removal.ablation import Store, store_path
from llmattr.context.removal.cache import shrink
from llmattr.core.processes import device, is_main
from llmattr.model.contract import Scorer
from llmattr.model.lm import LM
from llmattr.model.server import ServerLM
from llmattr.text.prompt import Prompt


def scorer_of(model: object) -> Scorer:
    """The model by its name, folder or address, or as it was given."""
    if isinstance(model, (LM, ServerLM)):
        return model
    if isinstance(model, str) and model.startswith(("http://", "https://")):
        return ServerLM(model)
    return LM.load(model, "fast", device())


def check_length(lm: Scorer, prompt: Prompt) -> None:
    """Raise `LlmattrError` for a prompt beyond a model's window, before masks of as many sources are made; servers say so."""
    if isinstance(lm, LM):
        lm.check([prompt.full().ids])


def store_of(cache: str | Path, room: float, lm: Scorer, prompt: Prompt) -> Store:
    """What this model has said behind this prompt, kept in the folder `cache` of at most `room` gigabytes."""
    assert prompt.sources.spans is not None  # sources cut from documents have them
    places = prompt.sources.spans.tolist(), prompt.full().ids
    store = Store(store_path(cache, lm.record(), lm.fingerprint(), *places, repr(prompt.messages)))
    if is_main():
        with suppress(OSError):  # a folder that may only be read serves all the same
            shrink(Path(cache), room)
    return store
