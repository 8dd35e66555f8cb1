"""The rule of citation: which scores stand clear of their errors, and which of these a reader is shown."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

CLEAR = 2.0  # standard errors
FALSE = 0.05  # share of false findings that is borne: a score with a higher q-value may be noise
LEAST = 0.1  # nats: a change of the odds by a tenth
LEAST_SHARE = 0.01  # of the target's largest score, in a unit of anybody's
ROUNDING = 1e-12  # of the baseline
IN_NATS = ("logit", "logprob")  # measures
UNITLESS = ("loss", "margin", "similarity")  # measures whose scores rank, and have no unit in which one could be clear
SHARE = 0.2  # of the highest score of the same target that can be quoted, both weighed by relevance
LEAST_RELEVANCE = 0.2  # of the highest: what the model needs most is cited without a word in common


class Score(NamedTuple):
    """One cell of an attribution, ready to read: how much `source` supports `target`, in the attribution's unit."""

    target: int
    rank: int
    source: int
    id: str
    document: str | None
    text: str
    score: float
    stderr: float | None
    cited: bool
    p: float | None = None
    deviation: float | None = None
    q: float | None = None

    @property
    def is_noise(self) -> bool:
        """Whether it is a mean over runs that cannot be told from noise."""
        return self.q is not None and self.q > FALSE


def is_cited(
    values: Float[np.ndarray, "*t k"],
    stderr: Float[np.ndarray, "*t k"] | None = None,
    least: float | Float[np.ndarray, "..."] = LEAST,
    *,
    share: float = SHARE,
    quotable: Bool[np.ndarray, "..."] | bool = True,
    relevance: Float[np.ndarray, "*t k"] | None = None,
) -> Bool[np.ndarray, "*t k"]:
    """Whether a source is cited for a target: its score is clear (`is_clear`), among the best, and it can be quoted.

    `w values >= share * max(w values of quotable sources)`, `w = max(relevance / max relevance, 0.2)`: what the model needed
    and has the words of the sentence, so that a reader can check it; 1 where no relevance is known, or none has any. A source
    that cannot be quoted (a heading, a rule, markup) keeps its score and is never cited.

    >>> is_cited(np.array([4.9, 0.9, 1.2, 5.5]), quotable=np.array([True, True, True, False])).tolist()
    [True, False, True, False]
    >>> is_cited(np.array([4.9, 1.2, 1.2]), relevance=np.array([0.8, 0.8, 0.1])).tolist()
    [True, True, False]
    """
    weighed = values if relevance is None else values * _weights(relevance)
    highest = np.where(quotable, weighed, 0.0).max(axis=-1, keepdims=True, initial=0.0)
    return is_clear(values, stderr, least) & quotable & (weighed >= share * highest)


def _weights(relevance: Float[np.ndarray, "*t k"]) -> Float[np.ndarray, "*t k"]:
    highest = relevance.max(axis=-1, keepdims=True, initial=0.0)
    shares = np.divide(relevance, highest, out=np.ones_like(relevance), where=highest > 0)
    return np.maximum(shares, LEAST_RELEVANCE)


def is_clear(
    values: Float[np.ndarray, "*any"],
    stderr: Float[np.ndarray, "*any"] | None,
    least: float | Float[np.ndarray, "..."] = LEAST,
) -> Bool[np.ndarray, "*any"]:
    """Whether a score stands clear of its error and is worth a mention: `values > max(2 stderr, least)`, see `least_score`.

    A source without any effect passes about once in 40 (an error of two standard errors to one side). Scores that have no error
    (None: leave-one-out, say) have stderr 0; one whose error is not known (nan: too few ablations) is not clear.
    """
    error = np.zeros_like(values) if stderr is None else stderr
    return np.asarray(values > np.maximum(CLEAR * error, least))


def least_score(
    measure: str, values: Float[np.ndarray, "*t k"], baseline: Float[np.ndarray, "*t"] | float | None
) -> Float[np.ndarray, "*t 1"]:
    """The size from which a score is worth a mention: 0.1 in nats, else a hundredth of the target's largest.

    So outputs of any unit are judged alike, whatever they are multiplied by; rounding beside the baseline is worth none.
    """
    largest = np.abs(values).max(axis=-1, keepdims=True, initial=0.0)
    if measure in IN_NATS:
        return np.full_like(largest, LEAST)
    level = np.zeros_like(largest) if baseline is None else np.abs(np.asarray(baseline, dtype=float))[..., None]
    return np.maximum(LEAST_SHARE * largest, ROUNDING * level)


def citation_rule(measure: str, share: float = SHARE) -> str:
    """The rule in words, for scores of this measure."""
    least = f"{LEAST}" if measure in IN_NATS else f"{LEAST_SHARE:.0%} of the largest"
    clear = f"its score is above {least} and above {CLEAR:.0f} standard errors"
    among = f"at least {share:.0%} of the sentence's highest, both weighed by the words of the sentence that the source has"
    return f"cited = {clear}, and {among}; a heading or markup never is"
