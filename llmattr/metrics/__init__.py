"""How good is an attribution? Scores `values [t, n]` against ablations or against gold sources; functions of arrays.

Curves and drops ask an ablation. Every measure is a number per target, nan where it is not defined; `bootstrap_interval` sums
them up, `paired_comparison` two methods'. Higher is better in all but `counterfactual_error` and the gaps of `games`.
"""

from llmattr.metrics import circuits, games
from llmattr.metrics.citation import Citation, best_threshold, citation, entailed_citation
from llmattr.metrics.counterfactual import brittleness_hits, counterfactual_error, tail_patch
from llmattr.metrics.drop import (
    curve_area,
    deletion_curve,
    insertion_curve,
    top_k_drop,
    top_k_masks,
)
from llmattr.metrics.lds import lds, lds_ceiling, reliability
from llmattr.metrics.retrieval import average_precision, precision_at_k, recall_at_k, reciprocal_rank, roc_auc
from llmattr.metrics.stats import (
    Comparison,
    Interval,
    bootstrap_interval,
    holm,
    kendall,
    paired_comparison,
    rank_agreement,
    rank_biased_overlap,
    spearman,
    top_k,
    top_k_jaccard,
    top_k_overlap,
    two_way_comparison,
)

__all__ = [
    "Citation",
    "Comparison",
    "Interval",
    "average_precision",
    "best_threshold",
    "bootstrap_interval",
    "brittleness_hits",
    "circuits",
    "citation",
    "counterfactual_error",
    "curve_area",
    "deletion_curve",
    "entailed_citation",
    "games",
    "holm",
    "insertion_curve",
    "kendall",
    "lds",
    "lds_ceiling",
    "paired_comparison",
    "precision_at_k",
    "rank_agreement",
    "rank_biased_overlap",
    "recall_at_k",
    "reciprocal_rank",
    "reliability",
    "roc_auc",
    "spearman",
    "tail_patch",
    "top_k",
    "top_k_drop",
    "top_k_jaccard",
    "top_k_masks",
    "top_k_overlap",
    "two_way_comparison",
]
