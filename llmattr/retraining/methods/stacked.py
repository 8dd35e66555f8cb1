"""A few retrained models around scores that are known: what each of these is worth, and what all of them miss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float

from llmattr import surrogate
from llmattr.core.attribution import Attribution
from llmattr.core.method import option
from llmattr.errors import LlmattrError

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Stacked:
    """Scores of other methods, weighed by a few retrained models (stacking: Wolpert 1992); without any, ridge.

    `prior` names results of the same rows and queries. Their weights are one for all queries and never negative, so that 10 to
    25 models suffice for them; a query's own correction is added where it clearly predicts better (`surrogate.stacked`). It
    helps where scores are cheap and models dear: alone so few models predict next to nothing. It costs the scores and the
    models; scores that already say nearly all that can be said are not made better. In Python: `surrogate.stacked(ablation,
    priors_of({"a": attribution}, ablation))`.

    Cost: 25
    """

    name: ClassVar[str] = "stacked"
    family: ClassVar[str] = "datamodel"
    n_models: int = option(25, "models trained on random subsets; 10 weigh a few priors, more correct them", least=2)
    keep: float = option(0.5, "chance that a subset keeps a source", below=1)
    prior: str = option("none", "known scores: JSON results of trace with all rows (--top as many), with commas between")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Scores in the outputs' unit, one row for each target of the ablation."""
        names = [] if self.prior == "none" else [name.strip() for name in self.prior.split(",")]
        if "" in names:
            raise LlmattrError(f"prior {self.prior!r} has a comma with no name of a file beside it: leave it out")
        given = {name: Attribution.load(name) for name in names}
        return surrogate.stacked(ablation, priors_of(given, ablation), self.n_models, self.keep, seed=seed)


def priors_of(given: Mapping[str, Attribution], ablation: "RetrainingAblation") -> Float[np.ndarray, "k t n"]:
    """The scores of these attributions for an ablation's targets and sources; names are for the error.

    Raises `LlmattrError` for one of other rows or queries, or without some of the rows.
    """
    found = [_scores(name, one, ablation) for name, one in given.items()]
    return np.array(found).reshape(-1, len(ablation.targets), len(ablation.sources))


def _scores(name: str, prior: Attribution, ablation: "RetrainingAblation") -> Float[np.ndarray, "t n"]:
    sources, targets = ablation.sources, ablation.targets
    asked, own = _asked(prior.asked), _asked(ablation.trainer.asked)
    if _words(prior.targets.texts) != _words(targets.texts) or (asked and own and asked != own):
        what = f"the prior {name!r} is of other queries than these {len(targets)}"
        raise LlmattrError(f"{what}: make it for the same ones, in the same order")
    texts = dict(zip(prior.sources.ids, _words(prior.sources.texts), strict=True))
    wanted = dict(zip(sources.ids, _words(sources.texts), strict=True))
    if any(wanted.get(number) != text for number, text in texts.items()):
        raise LlmattrError(f"the prior {name!r} is of other {sources.kind} than these {len(sources)}: make it of the same ones")
    many = prior.values.shape[1]
    if many < len(sources):
        what = f"the prior {name!r} has scores of {many} of {len(sources)} {sources.kind} for each query"
        raise LlmattrError(f"{what}: make it with all of them (--top {len(sources)})")
    index = np.arange(many) if prior.index is None else prior.index
    place = {number: i for i, number in enumerate(sources.ids)}
    places = np.array([place[number] for number in prior.sources.ids])[np.broadcast_to(index, prior.values.shape)]
    values = np.zeros(prior.values.shape)
    np.put_along_axis(values, places, prior.values, axis=1)
    return values


def _words(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text: scratch models move white space."""
    return [text.split() for text in texts]


def _asked(queries: Sequence[Mapping[str, str]] | None) -> list[list[str]]:
    """The words of what was asked, where that is known."""
    return _words(["".join((query.get("prompt", ""), query.get("completion", ""))) for query in queries or ()])
