"""How good is an attribution? Pure functions of arrays: scores `values [t, n]` against ablations or against gold sources.

Every measure is a number per target, nan where it is not defined; `bootstrap_interval` sums them up. Higher is better in all.
"""

from llmattr.metrics.citation import Citation, citation
from llmattr.metrics.drop import (
    curve_area,
    deletion_curve,
    insertion_curve,
    top_k_drop,
    top_k_masks,
)
from llmattr.metrics.lds import lds, reliability
from llmattr.metrics.retrieval import average_precision, precision_at_k, recall_at_k, reciprocal_rank
from llmattr.metrics.stats import (
    Interval,
    bootstrap_interval,
    kendall,
    rank_biased_overlap,
    spearman,
    top_k,
    top_k_jaccard,
    top_k_overlap,
)

__all__ = [
    "Citation",
    "Interval",
    "average_precision",
    "bootstrap_interval",
    "citation",
    "curve_area",
    "deletion_curve",
    "insertion_curve",
    "kendall",
    "lds",
    "precision_at_k",
    "rank_biased_overlap",
    "recall_at_k",
    "reciprocal_rank",
    "reliability",
    "spearman",
    "top_k",
    "top_k_drop",
    "top_k_jaccard",
    "top_k_masks",
    "top_k_overlap",
]
