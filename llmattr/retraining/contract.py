"""What a retraining method is."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from llmattr.core.attribution import Attribution
from llmattr.core.method import Named
from llmattr.retraining.recipe import Recipe

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation

# The options of `retrain` and of its recipe that say how models are trained, or how many.
OF_RUNS = ("jobs", "replicates", "seed", *(field.name for field in dataclasses.fields(Recipe) if field.name != "start"))


@runtime_checkable
class Method(Named, Protocol):
    """A frozen dataclass whose fields are the hyper-parameters (`option`), with one verb.

    `name` is that of the command line and of records. `family`: "datamodel" is a fit on models trained on random subsets;
    "game-theoretic" values a row by what it adds to others: to trained models, in one run, or to a model on top of the states;
    "predictive" leaves one out, which derivatives foretell; "corroborative" compares states and asks no model that was trained.
    """

    family: ClassVar[str]

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Scores [t, n] of the ablation's n sources for each of its t targets, positive = training on it made it likelier.

        An ablation is asked by masks Bool[m, n] and gives outputs Float[m, t] of m models, each trained on the sources that
        its mask keeps; `ablation.causal(name)` shows the model, the rows and the queries. One seed gives the same scores.
        """
        ...


@runtime_checkable
class Ignores(Protocol):
    """A method that does not use some options of `retrain` or its recipe: it trains once or never, or asks otherwise."""

    ignores: ClassVar[tuple[str, ...]]


@runtime_checkable
class OnSubsets(Protocol):
    """A method that trains models on random subsets, `n_models` at most; how well it predicts has a ceiling: seeds differ.

    Whoever has a field of that name is one: the ceiling is looked at with two seeds of up to 16 subsets. `keep`, where it has
    that too, is the chance that a subset keeps a source; else it is .5.
    """

    n_models: int | Literal["auto"]
