"""Where did this come from? Attribution of language models to context, training data and components."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llmattr.moved import find_moved

if TYPE_CHECKING:
    from llmattr import ablation, components, context, metrics, retraining, surrogate, testing, training
    from llmattr.context.check import check
    from llmattr.context.cite import cite
    from llmattr.core.attribution import Attribution
    from llmattr.core.sources import Document, Sources, Targets
    from llmattr.errors import LlmattrError
    from llmattr.model.lm import LM
    from llmattr.retraining.build import retrain
    from llmattr.training.trace import build_index, open_index, trace

__version__ = "0.1.0"
__all__ = [
    "LM",
    "Attribution",
    "Document",
    "LlmattrError",
    "Sources",
    "Targets",
    "ablation",
    "build_index",
    "check",
    "cite",
    "components",
    "context",
    "metrics",
    "open_index",
    "retrain",
    "retraining",
    "surrogate",
    "testing",
    "trace",
    "training",
]

_PLACES = {
    "LM": "llmattr.model.lm",
    "Attribution": "llmattr.core.attribution",
    "Document": "llmattr.core.sources",
    "LlmattrError": "llmattr.errors",
    "Sources": "llmattr.core.sources",
    "Targets": "llmattr.core.sources",
    "build_index": "llmattr.training.trace",
    "check": "llmattr.context.check",
    "cite": "llmattr.context.cite",
    "open_index": "llmattr.training.trace",
    "retrain": "llmattr.retraining.build",
    "trace": "llmattr.training.trace",
}


find_moved()


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import llmattr` loads neither torch nor a model."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name in __all__:
        return import_module(f"llmattr.{name}")
    raise AttributeError(f"module 'llmattr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
