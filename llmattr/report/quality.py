"""How far to trust an attribution, in a line or two."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmattr.core.attribution import Attribution, Score
from llmattr.core.citing import FALSE
from llmattr.metrics.circuits import FAITHFULNESS, KEPT

SURE = ((0.8, "well"), (0.5, "roughly"), (-1.0, "badly"))  # from this rank correlation on

TOLD = (0.01, 0.1, 0.5)  # shares of the components whose circuits are told in a line
RARE = 0.05  # a p-value from which on a row does not stand out


def fit_quality(attribution: Attribution) -> list[str]:
    """How well the scores predict ablations that they were not fitted to; nothing where nothing was fitted or tried."""
    tried = [*_held_out(attribution), *_tried(attribution), *_foretold(attribution), *_alone(attribution)]
    return [*tried, *_complete(attribution), *chance(attribution), *over_runs(attribution), *stands_for(attribution)]


def stands_out(attribution: Attribution, t: int) -> str:
    """Whether a row does more for a target than chance; nothing where that is not known."""
    if attribution.p_values is None:
        return ""
    p = float(attribution.p_values[t].min())
    if np.isnan(p):
        return "too many rows have the answer to say whether one stands out"
    return f"{'the best row stands' if p <= RARE else 'no row stands'} out: p = {p:.2g}"


def chance(attribution: Attribution) -> list[str]:
    """One line: what a p-value is."""
    if attribution.p_values is None:
        return []
    return ["p = how often a question that no row answers has a row that scores as high, among questions like the rows."]


def certain(score: Score) -> str:
    """What is known of a mean over runs: the deviation between them, and whether chance alone may have made it."""
    noise = ": may be noise" if score.is_noise else ""
    return "" if score.q is None else f"sd {score.deviation:.2g}, q {score.q:.2g}{noise}"


def over_runs(attribution: Attribution) -> list[str]:
    """One line on a mean over runs: of how many, and how many of its scores cannot be told from noise."""
    if attribution.q_values is None:
        return []
    known, every = attribution.run.get("replicates", {}), attribution.q_values.size
    of = f"{known.get('runs', 'several')} runs" + f" ({known.get('sampling')})" * (known.get("sampling") not in (None, "runs"))
    noise = int((attribution.q_values > FALSE).sum())
    told = f"{noise} of {every} scores cannot be told from noise (q above {FALSE})" if noise else "all stand out from noise"
    meaning = "sd = the deviation between runs, q = the share of noise among the scores that are as sure or surer"
    parts = [told_shares(known["variance"])] if "variance" in known else []
    return [f"Means of {of}, ± their standard errors: {told}; {meaning}.", *parts]


def told_shares(shares: Mapping[str, float]) -> str:
    """What runs differ by, in shares of their variance."""
    return f"Of the variance between runs: {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}."


def stands_for(attribution: Attribution) -> list[str]:
    """One line: how well the model stands for a served one, where that was measured."""
    found = attribution.agreement
    if found is None:
        return []
    ours = attribution.run.get("model", "this model")
    if np.isnan(found.rank):
        same = f"all {found.ablations} ablations are equal there"
        return [f"Whether {ours} stands for {found.model} cannot be said: {same}."]
    how = next(how for bound, how in SURE if found.rank >= bound)
    stands = f"stands {how} for" if found.low > 0 else "cannot be said to stand for"
    of = "log-probabilities" if found.by == "log-probability" else "the similarity of its answers"
    interval = f"{found.rank:.2f} ({found.low:.2f} to {found.high:.2f})"
    return [
        f"{ours} {stands} {found.model}: rank agreement {interval} over {found.ablations} ablations ({of} at {found.server})."
    ]


def stand_in(model: str) -> str:
    """One line for an answer that was given: whose scores these are."""
    said = "if another model wrote the answer, they stand in for its own, and --agree-with URL measures how well"
    return f"These are scores of {model}: {said}."


def how_sure(attribution: Attribution) -> list[str]:
    """One line for a reader: how well the scores foretell removals that they were not fitted to."""
    known = [] if attribution.lds is None else attribution.lds[np.isfinite(attribution.lds)].tolist()
    if not known:
        return [*over_runs(attribution), *stands_for(attribution)]
    least = min(known)
    how = next(how for bound, how in SURE if least >= bound)
    more = "; more ablations may help (--n-ablations)" * (how == SURE[-1][1] and "n_ablations" in attribution.method)
    foretold = f"the scores foretell {how} what the model says when other sources are taken away ({least:.2f} of 1){more}"
    return [f"How sure: {foretold}.", *over_runs(attribution), *stands_for(attribution)]


def _tried(attribution: Attribution) -> list[str]:
    found = attribution.verified
    if not found:
        return []
    if "random" in found:
        return [_removed(found)]
    predicted, seen = (np.mean(found["without"][name]) for name in ("predicted", "seen"))
    return [
        f"Trained again without the {found['removed']} best of each query: {seen:+.2f} on average, {predicted:+.2f} predicted "
        f"by a linear fit (with all: {np.mean(found['all']['seen']):+.2f})."
    ]


def _alone(attribution: Attribution) -> list[str]:
    """What circuits of the components with the highest scores do, where that was measured; a mean over targets."""
    curves = attribution.details.get(FAITHFULNESS)
    if not curves:
        return []
    mean = np.mean(np.asarray(curves, dtype=float), axis=0)
    said = ", ".join(f"{value:.2f} by {share:.0%}" for share, value in zip(KEPT, mean, strict=True) if share in TOLD)
    return [f"What the strongest components do alone, of what all do beyond none: {said}."]


def _foretold(attribution: Attribution) -> list[str]:
    """How far gradients and true removals of components agree, where some were removed to see."""
    known = [rank for rank in attribution.details.get("agreement", ()) if not np.isnan(rank)]
    if not known:
        return []
    many, n = len(attribution.details["verified"][0]), len(attribution.sources)
    rest = ": all scores are true removals" if many == n else "; the others' scores are what gradients foretell, scaled"
    between = " to ".join(dict.fromkeys(f"{rank:.2f}" for rank in (min(known), max(known))))
    return [f"{many} of {n} {attribution.sources.kind} were removed; gradients rank these alike by {between} of 1{rest}."]


def _complete(attribution: Attribution) -> list[str]:
    """How much integrated gradients lack of the whole change, which they add up to with steps enough."""
    gaps = attribution.details.get("gap")
    if not gaps:
        return []
    lack = max(map(abs, gaps))
    return [f"The scores lack {lack:.2g} nats at most of adding up to the whole change; more --steps leave less."]


def _removed(found: Mapping[str, Any]) -> str:
    """What training again without the highest rows took off, beside random ones."""
    everything, without, random = (np.mean(found[name]["seen"]) for name in ("all", "without", "random"))
    clear = np.abs(found["effect"]) > 2 * np.array(found["stderr"], dtype=float)
    return (
        f"Trained again without the {found['removed']} highest of each query: {without:+.2f} on average, {random:+.2f} without "
        f"as many random ones, {everything:+.2f} with all; {clear.sum()} of {len(clear)} differences are clear of their error."
    )


def removal_of(attribution: Attribution, t: int) -> str:
    """What training again without a target's highest rows took off it, beside random ones; nothing where that was not tried."""
    found = attribution.verified or {}
    if "random" not in found:
        return ""
    everything, without, random = (found[name]["seen"][t] for name in ("all", "without", "random"))
    effect, error = found["effect"][t], found["stderr"][t]
    known = "" if error is None or np.isnan(error) else f" ± {error:.2f}"
    return (
        f"Trained again: {everything:+.2f} with all rows, {without:+.2f} without its {found['removed']} highest, {random:+.2f} "
        f"without random ones; these rows do {-effect:+.2f}{known} more than others (nats)."
    )


def _held_out(attribution: Attribution) -> list[str]:
    known = [] if attribution.lds is None else attribution.lds[np.isfinite(attribution.lds)].tolist()
    if not known:
        return []
    spread = " to ".join(dict.fromkeys((f"{min(known):.2f}", f"{max(known):.2f}")))
    lines = [f"Held-out ablations are predicted with a rank correlation of {spread} (LDS; 1 = perfectly)."]
    if attribution.ceiling is not None and np.isfinite(attribution.ceiling).any():
        lines.append(f"The noise between seeds allows {np.nanmean(attribution.ceiling):.2f} on average.")
    return lines
