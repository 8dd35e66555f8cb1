"""Attributions estimated from ablations, over ANY `Ablation`: context, training data, components, a black box."""

from llmattr.surrogate.ame import ame
from llmattr.surrogate.beta import beta_shapley
from llmattr.surrogate.errors import bootstrap_stderr, heldout_stderr, rank_correlation
from llmattr.surrogate.fitting import UNITS, blend, lasso, leave_one_out, ridge
from llmattr.surrogate.game import banzhaf, shapley
from llmattr.surrogate.linear import fit_lasso, fit_ridge
from llmattr.surrogate.pairs import pairs
from llmattr.surrogate.semivalues import banzhaf_sizes, beta_sizes, semivalue, shapley_sizes

__all__ = [
    "UNITS",
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
    "semivalue",
    "shapley",
    "shapley_sizes",
]
