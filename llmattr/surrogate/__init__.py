"""Attributions estimated from ablations, over ANY `Ablation`: context, training data, components, a black box.

sampling      masks asked for once and in rounds, estimates and their errors, the attribution of them all
linear        the linear fit of one target: lasso and ridge, and the choice of their penalty by held-out error; given: no choice
stacking      known scores weighed by few ablations
screening     masks by design, a fit around a prior, the penalty by likelihood: for few ablations
fitting       lasso, ridge and blend of all targets; settling: of as many masks as it takes; pairs, ame: other columns
sized         masks whose sizes have given shares; regression: semivalues by a fit and what it leaves
semivalues    closed forms over all masks; game: Shapley, Banzhaf, leave-one-out, by kernel, permutations, beta
"""

from llmattr.metrics.stats import bootstrap_stderr
from llmattr.surrogate.ame import ame
from llmattr.surrogate.beta import beta_shapley
from llmattr.surrogate.fitting import Prior, blend, lasso, ridge
from llmattr.surrogate.game import banzhaf, leave_one_out, shapley
from llmattr.surrogate.given import fit_lasso, fit_ridge
from llmattr.surrogate.pairs import pairs
from llmattr.surrogate.sampling import UNITS, heldout_stderr, rank_correlation
from llmattr.surrogate.screening import screening
from llmattr.surrogate.semivalues import banzhaf_sizes, beta_sizes, semivalue, shapley_sizes
from llmattr.surrogate.stacking import stacked

__all__ = [
    "UNITS",
    "Prior",
    "ame",
    "banzhaf",
    "banzhaf_sizes",
    "beta_shapley",
    "beta_sizes",
    "blend",
    "bootstrap_stderr",
    "fit_lasso",
    "fit_ridge",
    "heldout_stderr",
    "lasso",
    "leave_one_out",
    "pairs",
    "rank_correlation",
    "ridge",
    "screening",
    "semivalue",
    "shapley",
    "shapley_sizes",
    "stacked",
]
