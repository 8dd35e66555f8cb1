"""Are the right sources cited, and only those?"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from llmattr.metrics.shapes import Gold, PerTarget


class Citation(NamedTuple):
    """Per target [t], from 0 to 1, higher is better; nan for a target without a gold source."""

    precision: PerTarget
    recall: PerTarget
    f1: PerTarget


def citation(cited: Bool[np.ndarray, "t n"], gold: Gold) -> Citation:
    """`precision = |cited and gold| / |cited|`, `recall = |cited and gold| / |gold|`, `f1` their harmonic mean.

    A target for which nothing is cited has 0 in all three, as in ALCE (Gao et al. 2023, arXiv 2305.14627), where
    an entailment model says what is gold (`entailed_citation`); here people did.

    >>> found = citation(np.array([[True, True, False]]), np.array([[True, False, False]]))
    >>> found.precision.tolist(), found.recall.tolist(), found.f1.round(12).tolist()
    ([0.5], [1.0], [0.666666666667])
    """
    hits, n_cited = (cited & gold).sum(axis=1), cited.sum(axis=1)
    n_gold = np.where(gold.any(axis=1), gold.sum(axis=1), np.nan)
    # The harmonic mean of hits/cited and hits/gold.
    return Citation(hits / np.maximum(n_cited, 1) + 0 * n_gold, hits / n_gold, 2 * hits / (n_cited + n_gold))


def best_threshold(scores: Sequence[Float[np.ndarray, " _"]], gold: Sequence[Bool[np.ndarray, " _"]]) -> float | None:
    """Above which score to cite: the threshold with the best mean F1 over the questions, each with its own n; None without any.

    Thresholds lie midway between two scores that occur, or below all; of equally good ones the lowest is taken. To be chosen on
    other questions than those that judge.

    >>> best_threshold([np.array([0.9, 0.2])], [np.array([True, False])])
    0.55
    """
    if not scores:
        return None
    seen = np.unique(np.concatenate(scores))
    thresholds = np.insert((seen[1:] + seen[:-1]) / 2, 0, -np.inf)
    f1 = [
        citation(one > thresholds[:, None], np.tile(marked, (len(thresholds), 1))).f1
        for one, marked in zip(scores, gold, strict=True)
    ]
    return float(thresholds[np.argmax(np.round(np.sum(f1, axis=0), 9))])


def entailed_citation(
    cited: Bool[np.ndarray, "t n"], claims: Sequence[str], passages: Sequence[str], entails: Callable[[str, str], bool]
) -> Citation:
    """Citations of t claims judged by `entails(premise, claim)`, any function of yours (an entailment model, a person).

    `recall` is 1 where all that is cited, joined by line breaks, entails the claim, else 0. `precision` is 0 where recall is,
    else the share of the cited passages that entail the claim alone or without which the others do not. `f1` is their harmonic
    mean. All are from 0 to 1, higher is better, 0 where nothing is cited. At most 1 + 2 x cited calls for each claim.
    ALCE (Gao et al. 2023, arXiv 2305.14627, section 4), which pools the citations of an answer; here each claim is by itself.
    """
    precision = np.zeros(len(cited))
    recall = np.zeros(len(cited))
    for t, row in enumerate(cited):
        chosen = [passages[i] for i in np.flatnonzero(row).tolist()]
        if not chosen or not entails("\n".join(chosen), claims[t]):
            continue
        recall[t] = 1.0
        precision[t] = np.mean([_counts(chosen, i, claims[t], entails) for i in range(len(chosen))])
    return Citation(precision, recall, 2 * precision * recall / np.where(recall > 0, precision + recall, 1.0))


def _counts(chosen: list[str], i: int, claim: str, entails: Callable[[str, str], bool]) -> bool:
    """Whether passage i of those that entail the claim together is no mere addition."""
    others = chosen[:i] + chosen[i + 1 :]
    return not others or bool(entails(chosen[i], claim)) or not entails("\n".join(others), claim)
