"""Training rows as players of a game whose worth is what a model trained on them says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from llmattr import surrogate
from llmattr.core.attribution import Attribution
from llmattr.core.method import option

if TYPE_CHECKING:
    from llmattr.retraining.ablation import RetrainingAblation


@dataclass(frozen=True)
class Shapley:
    """Data Shapley (Ghorbani and Zou 2019, arXiv 1904.02868): the scores add up to what all the data does.

    Of a source, its mean marginal effect over all orders in which the sources can come.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "shapley"
    family: ClassVar[str] = "game-theoretic"
    n_models: int | Literal["auto"] = option(
        256,
        "the most models to train; exact where these suffice for all subsets; auto: orders until values are settled",
        least=2,
    )
    estimator: Literal["auto", "exact", "regression", "permutation", "kernel"] = option(
        "auto", "auto: exact for few sources, else regression: a linear fit, and what it leaves"
    )
    truncate: float = option(0.0, "with permutation: an order ends this near (in nats) to the output with all the data")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Shapley values, one row for each target of the ablation."""
        return surrogate.shapley(ablation, self.n_models, self.estimator, self.truncate, seed)


@dataclass(frozen=True)
class Banzhaf:
    """Data Banzhaf (Wang and Jia 2023, arXiv 2205.15466): robust to the noise of training; every model serves every source.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "banzhaf"
    family: ClassVar[str] = "game-theoretic"
    n_models: int = option(256, "the most models to train; exact where they suffice for every subset", least=4)
    estimator: Literal["auto", "exact", "regression", "sample"] = option(
        "auto", "auto: exact for few sources, else regression: a linear fit, and what it leaves"
    )

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Banzhaf values, one row for each target of the ablation."""
        return surrogate.banzhaf(ablation, self.n_models, self.estimator, seed)


@dataclass(frozen=True)
class BetaShapley:
    """Beta Shapley (Kwon and Zou 2022, arXiv 2110.14049): what a source adds, above all to few others; less noise.

    Cost: 2^n, at most 256
    """

    name: ClassVar[str] = "beta-shapley"
    family: ClassVar[str] = "game-theoretic"
    n_models: int = option(256, "the most models to train; exact where they suffice for every subset", least=4)
    alpha: float = option(16.0, "large: what a source adds to few others counts most; both 1: Shapley's value", least=1e-6)
    beta: float = option(1.0, "large: what it adds to most others counts most", least=1e-6)

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Beta Shapley values, one row for each target of the ablation."""
        return surrogate.beta_shapley(ablation, self.n_models, self.alpha, self.beta, seed)


@dataclass(frozen=True)
class LeaveOneOut:
    """What is lost when the model is trained without one source; n + 1 models with one seed, up to 16 with two.

    Cost: n + 1
    """

    name: ClassVar[str] = "leave-one-out"
    family: ClassVar[str] = "predictive"

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """`f(all) - f(all but i)`, one row for each target, with the error of the draw of the seeds in a difference."""
        from llmattr.retraining.ablation import RetrainingAblation

        paired = (
            ablation.with_pairs() if isinstance(ablation, RetrainingAblation) else ablation
        )  # other functions have no seeds
        return surrogate.leave_one_out(paired, seed)


@dataclass(frozen=True)
class Ame:
    """Average marginal effect (Lin et al. 2022, arXiv 2206.10013): a lasso on models that keep .2, .4, .6 or .8 of the data.

    Cost: 256
    """

    name: ClassVar[str] = "ame"
    family: ClassVar[str] = "game-theoretic"
    n_models: int = option(256, "the most models to train; exact where they suffice for every subset", least=8)
    alpha: float | Literal["auto"] = option("auto", "lasso penalty in the outputs' unit; auto: the least held-out error")
    bootstraps: int = option(20, "resamplings of the models for the standard errors; 0 for none, and nothing is cited")

    def attribute(self, ablation: "RetrainingAblation", seed: int = 0) -> Attribution:
        """Effects, one row for each target of the ablation."""
        return surrogate.ame(ablation, self.n_models, alpha=self.alpha, bootstraps=self.bootstraps, seed=seed)
