"""Where modules were until 0.1: old paths still import, with a note, until the next release.

One line a module; `llmattr` asks this file only for what is nowhere else.
"""

import sys
import warnings
from collections.abc import Iterable
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "llmattr.data": ("llmattr.text.rows", "llmattr.text.reading"),
    "llmattr.embedded": ("llmattr.model.embedded",),
    "llmattr.encoder": ("llmattr.retrieval.encoder",),
    "llmattr.evidence": ("llmattr.core.evidence",),
    "llmattr.lm": ("llmattr.model.lm",),
    "llmattr.messages": ("llmattr.text.messages",),
    "llmattr.method": ("llmattr.core.method",),
    "llmattr.prompt": ("llmattr.text.prompt",),
    "llmattr.saved": ("llmattr.report.json",),
    "llmattr.server": ("llmattr.model.server",),
    "llmattr.split": ("llmattr.text.split",),
    "llmattr.types": ("llmattr.core.sources", "llmattr.core.citing", "llmattr.core.attribution"),
    "llmattr.context.ablation": ("llmattr.context.removal.ablation",),
    "llmattr.context.at2": ("llmattr.context.methods.at2",),
    "llmattr.context.context_cite": ("llmattr.context.methods.surrogates",),
    "llmattr.retraining.counterfactual": ("llmattr.curation.counterfactual",),
    "llmattr.retraining.data_oob": ("llmattr.retraining.methods.data_oob",),
    "llmattr.retraining.datamodels": ("llmattr.retraining.methods.datamodels",),
    "llmattr.retraining.selection": ("llmattr.curation.selection",),
    "llmattr.training.gradient": (
        "llmattr.training.vectors.contract",
        "llmattr.training.vectors.projector",
        "llmattr.training.vectors.fill",
        "llmattr.model.batches",
    ),
}
RENAMED = {"span_logits": "values", "Features": "Vectors", "Prior": "PriorKind"}  # in modules that moved


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Iterable[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        homes = MOVED[module.__name__]
        said = f"{module.__name__} is now {' and '.join(homes)}; the old name goes with the next release"
        warnings.warn(said, DeprecationWarning, stacklevel=2)
        for home in homes:
            public = {name: value for name, value in vars(import_module(home)).items() if not name.startswith("__")}
            vars(module).update(public)
        vars(module).update({old: vars(module)[now] for old, now in RENAMED.items() if now in vars(module)})


def find_moved() -> None:
    """From now on old paths import, where nothing else of that name is found."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
