"""Two equal trainings, many pairs: are p-values as even as promised, and is a known effect found as often?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from eval.harness.contract import Entry, Judged, Scored
from eval.stability.trainings import Trained
from llmattr.certainty import power_of, t_test
from llmattr.core.seeded import generator

NOISE = "planted noise"  # the line of normal numbers, for which the t-test's promises are exact
PAIRS = 1000  # of a query and a row
LEVEL = 0.05
EFFECT = 1.0  # deviations between runs


@dataclass(frozen=True, eq=False)
class Equal:
    """A `Problem`: the seeds of a `Trained`, of which one half is set against the other: the same training twice."""

    trained: Trained
    judging: bool = True
    of: str = "two equal trainings"

    @property
    def name(self) -> str:
        """What it is."""
        return self.of

    def identity(self) -> Any:
        """That of the trainings."""
        return self.trained.identity()

    def groups(self) -> Sequence[str]:
        """All pairs are one unit: those of one model depend on each other."""
        return [self.of]

    def seconds(self, entry: Entry) -> float:
        """Those of the trainings, which are traced once."""
        return self.trained.seconds(entry)

    def score(self, entry: Entry) -> Scored:
        """The scores by every training, one below the other; normal numbers for the line without a method."""
        if entry.method is not None:
            return self.trained.score(entry)
        facts, runs = self.trained.learner.facts, len(self.trained.made)
        return Scored(generator(0, NOISE).normal(size=(runs * len(facts.queries), len(facts.rows))))

    def judge(self, found: Mapping[str, Scored]) -> dict[str, Judged]:
        """What is promised of chance, and what comes."""
        return {name: Judged(calibration(one.values.reshape(len(self.trained.made), -1))) for name, one in found.items()}


def calibration(scores: Float[np.ndarray, "r p"]) -> dict[str, Float[np.ndarray, "1"]]:
    """Of `PAIRS` of p pairs at most, by the differences of the first half of the r runs from the other half.

    "KS": the largest distance of their p-values' shares from those of even ones (Kolmogorov 1933), and its own p-value, which
    is right where pairs do not depend on each other. "false": the share with p below `LEVEL`, where nothing differs. "found":
    the same where each pair differs by `EFFECT` deviations, as those of the sums of the same runs tell them: of normal numbers
    they are as large as those of the differences, and do not depend on them. "promised": what `power_of` says of it.
    Nothing where no pair differs between runs.
    """
    from scipy.stats import kstest

    half = len(scores) // 2
    one, other = scores[:half], scores[half : 2 * half]
    noisy = np.flatnonzero(np.ptp(one - other, axis=0))
    chosen = generator(0, "pairs").permutation(noisy)[:PAIRS]
    if not len(chosen):
        return {}
    differences, deviation = (one - other)[:, chosen], (one + other)[:, chosen].std(axis=0, ddof=1)
    p_values = t_test(differences)
    distance, chance = kstest(p_values, "uniform")
    found = (t_test(differences + EFFECT * deviation) < LEVEL).mean()
    figures = {"pairs": len(chosen), "KS": distance, "KS p": chance, "false": (p_values < LEVEL).mean(), "found": found}
    return {name: np.array([float(value)]) for name, value in {**figures, "promised": power_of(EFFECT, half)}.items()}
