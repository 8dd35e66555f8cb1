"""Scores as a ranked list in the terminal: what cites nothing (training rows, similarities), and how it was made."""

import math
from typing import Any

import click

from llmattr.core.attribution import Attribution, Score
from llmattr.core.sources import Sources
from llmattr.report import quotes
from llmattr.report.lines import one_line, plain
from llmattr.report.quality import certain, fit_quality, stands_out
from llmattr.report.trace import query_of


def ranking(attribution: Attribution, top: int = 10) -> str:
    """For each target the sources that support it most and those that oppose it most, with their scores."""
    lines = []
    for target, one in enumerate(attribution):
        scores, query = one.top(None), query_of(attribution, target)
        lines.append(plain(query.start) + click.style(one_line(query.name), bold=True))
        kinds = {"for": [s for s in scores if s.score > 0][:top], "against": [s for s in scores[::-1] if s.score < 0][:top]}
        out = stands_out(attribution, target)
        lines += [f"  {out}"] if out else []
        spoken = quotes.lines(attribution, target)
        lines += spoken
        for kind, chosen in kinds.items():
            lines += [f"  {kind}:"] if chosen else []
            lines += [
                f"  {place + 1:>3}  {_score(s)}{among(s)}  {_name(s, attribution.sources)}  {one_line(s.text)}"
                for place, s in enumerate(chosen)
            ]
        lines += [] if any(kinds.values()) or spoken else ["  no source has an effect that can be seen"]
        lines.append("")
    lines.append(f"Scores are {attribution.unit}: {attribution.meaning or _meaning(attribution)}.")
    lines += fit_quality(attribution)
    return "\n".join([*lines, plain(summary(attribution.method, attribution.run))])


def _meaning(attribution: Attribution) -> str:
    """What a score says, where the attribution does not say it itself."""
    if attribution.sources.spans is not None:  # parts of a context
        alike = "higher = more alike; no source was removed for these scores, and they cite nothing"
        return "positive = the source made the answer likelier" if attribution.can_cite else alike
    if attribution.targets.measure == "similarity":
        return "higher = more alike; the model was not asked"
    thing = "row" if attribution.sources.kind == "training rows" else "group"
    return f"positive = the {thing} made the completion likelier"


def summary(method: dict[str, Any], run: dict[str, Any]) -> str:
    """One line of how an attribution was made."""
    options = ", ".join(f"{key} {value}" for key, value in method.items() if key != "name")
    said = [
        f"{method['name']}{f' ({options})' if options else ''}",
        run.get("model", "") + (f" in {run['dtype']}" if "forward_passes" in run and "dtype" in run else ""),
        _dictionary(run["dictionary"]) if "dictionary" in run else "",
        f"behind {run['server']}" if "server" in run else "",
        f"{run['forward_passes']} forward pass{'es' * (run['forward_passes'] != 1)}" if "forward_passes" in run else "",
        f"{run['answers']} answers generated, compared by {run['similarity']}" if "similarity" in run else "",
        f"{run['resumed']} kept by an earlier run" if "resumed" in run else "",
        f"{run['runs']} models trained" if run.get("runs") else "",
        f"{sum(run['seconds'].values()):.0f} s" if "seconds" in run else "",
    ]
    return ", ".join(part for part in said if part)


def _dictionary(said: dict[str, Any]) -> str:
    """Whose features these are, and what they leave to the error term."""
    left = f", which leave {said['fvu']:.0%} of the variance to the error term" if math.isfinite(said["fvu"]) else ""
    return f"{said['live']} of {said['features']} features of {said['name']}{left}"


def _score(score: Score) -> str:
    return f"{score.score:+.4g}" if score.stderr is None else f"{score.score:+.3g}{error(score, '.2g')}"


def error(score: Score, form: str) -> str:
    """A score's standard error: nothing where there is no error, a question mark where it is not known."""
    if score.stderr is None:
        return ""
    return " ±?" if math.isnan(score.stderr) else f" ±{score.stderr:{form}}"


def among(score: Score) -> str:
    """What is known of a mean over runs, in brackets; nothing of a single run."""
    return f"  ({certain(score)})" if score.q is not None else ""


def _name(score: Score, sources: Sources) -> str:
    """A training row by its number, what else is removed by its id."""
    return f"row {score.id}" if sources.kind == "training rows" else plain(score.id)
