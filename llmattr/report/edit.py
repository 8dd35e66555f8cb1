"""An edit of a model as text for the terminal: what was removed, and what that did to each set."""

import math

import numpy as np
from jaxtyping import Float

from llmattr.components.drift import Drift, mean_and_error
from llmattr.components.edit import Edit
from llmattr.report.lines import plain
from llmattr.report.ranking import summary

OF = {"targets": "a completion", "reference": "a completion", "text": "a token"}  # what the log-probability is of


def text(edit: Edit) -> str:
    """The components in the order of Welch's t, then each set before and after."""
    lines = [f"removed ({edit.run['way']}), by Welch's t between the effects on the targets and on the reference:"]
    for one in edit.removed:
        effects = f"targets {one['targets']:+.3g}, reference {one['reference']:+.3g}"
        lines.append(f"  t {one['t']:+.3g}  {plain(one['id'])}  {plain(one['text'])} ({effects})")
    lines += ["", "log-probabilities in nats, the mean over the rows:"]
    lines += [f"  {_drift(name, drift)}" for name, drift in edit.drift.items()]
    return "\n".join([*lines, plain(summary(edit.run["method"], dict(edit.run)))])


def _drift(name: str, drift: Drift) -> str:
    """One set, a line."""
    before, after, change = map(_mean, (drift.before, drift.after, drift.change))
    rows = f"{name} ({len(drift.before)} row{'s' * (len(drift.before) != 1)}, of {OF[name]})"
    return f"{rows}: {before} before, {after} after; {change}, {drift.apart:.3g} apart on average"


def _mean(rows: Float[np.ndarray, " r"]) -> str:
    """With its standard error, where there is one."""
    mean, error = mean_and_error(rows)
    return f"{mean:+.3g}" + ("" if math.isnan(error) else f" ±{error:.2g}")
