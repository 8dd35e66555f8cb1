"""Which kind a method is of (context, training, retraining, components), seen by its verbs and by what they take."""

import inspect
from collections import ChainMap
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Literal

from llmattr.errors import LlmattrError

Kind = Literal["context", "training", "retraining", "components"]
TAKEN_BY: dict[Kind, str] = {
    "context": "llmattr.cite",
    "training": "llmattr.build_index",
    "retraining": "llmattr.retrain",
    "components": "llmattr.components.build.attribute",
}
TRAINING_VERBS = {"weigh", "transform", "unroll", "precondition", "retrieve", "quote"}
ABLATIONS: dict[str, Kind] = {  # that `attribute` takes
    "ContextAblation": "context",
    "RetrainingAblation": "retraining",
    "ComponentAblation": "components",
}


def kinds_of(method: object) -> set[Kind]:
    """Which kinds a method (or a contract) may be of, by its verbs, and by the ablation that its `attribute` says it takes."""
    has = public_names(method)
    kinds: set[Kind] = {"training"} if TRAINING_VERBS.intersection(has) else set()
    if "attribute" in has:
        own = attrgetter("attribute")(method)
        said = str(inspect.signature(own)) if callable(own) else ""
        kinds |= {kind for name, kind in ABLATIONS.items() if name in said} or set(ABLATIONS.values())
    return kinds


def check_kind(method: object, contract: type) -> None:
    """Raise `LlmattrError` for a method of another kind than the contract's, with the function that takes it."""
    kinds, wanted = kinds_of(method), kinds_of(contract)
    if kinds and wanted and not kinds & wanted:
        of = " or ".join(TAKEN_BY[kind] for kind in sorted(kinds))
        kind = method if isinstance(method, type) else type(method)
        raise LlmattrError(f"{kind.__name__} is no method of {min(wanted)}: give it to {of}")


def public_names(method: object) -> list[str]:
    """What a method has and is not None, but for names that begin with an underscore."""
    kind = method if isinstance(method, type) else type(method)
    of_class = ChainMap(*[dict(vars(base)) for base in kind.__mro__])
    return [name for name in dir(method) if not name.startswith("_") and of_class.get(name, name) is not None]


@contextmanager
def asking(name: str, ablation: object) -> Iterator[None]:
    """Raises `LlmattrError` where a method looks for what its ablation has not: it may be a method of another kind."""
    try:
        yield
    except AttributeError as error:
        if type(error.obj) is not type(ablation):
            raise
        known = ", ".join(f"{TAKEN_BY[kind]} gives a {one}" for one, kind in ABLATIONS.items())
        what = f"{name} looks for {error.name!r}, which a {type(ablation).__name__} has not"
        raise LlmattrError(f"{what}: annotate in `attribute` which ablation it takes ({known})") from error
