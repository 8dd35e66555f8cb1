"""What several runs say of their scores, as text: the mean ranked, how many runs it takes, what makes them differ."""

import numpy as np

from llmattr.certainty.replicates import Replicates
from llmattr.certainty.significance import POWER, runs_needed, true_snr
from llmattr.report.quality import told_shares
from llmattr.report.ranking import ranking


def certainty_text(found: Replicates, top: int = 10, power: float = POWER) -> str:
    """The sources of each target by their mean, with what may be noise, and what more runs would tell."""
    dependent = "they follow one training, so that chance between trainings is not in them"
    more = [f"These are the last checkpoints of one training: {dependent}."] if found.sampling == "last checkpoints" else []
    return "\n".join([ranking(found.attribution(), top), *more, *_needed(found, power), *_variance(found)])


def _needed(found: Replicates, power: float) -> list[str]:
    """How many runs it takes to find the median score, if it is what these runs say but for chance."""
    have, seen = len(found.independent), float(np.median(found.snr))
    snr = true_snr(seen, have)
    needed = runs_needed(snr, power)
    if not seen:
        return ["Half of all scores are 0 in every run: no number of runs tells them from noise."]
    if needed is None:
        return [f"Half of all scores stand out no more than noise does in {have} runs: how many would find them is not known."]
    enough = "there are as many" if needed == have else "fewer than there are" if needed < have else f"there are {have}"
    many = f"such a one is found with power {power:g} by {needed} runs ({enough})"
    return [f"Signal to noise of the median score: {snr:.2g} ({seen:.2g} is seen, of which chance is a part); {many}."]


def _variance(found: Replicates) -> list[str]:
    """Of what runs differ by, the share that each factor makes, over all pairs."""
    if not found.factors:
        return []
    return [told_shares(found.shares())]
